//! What is kept of what a topic's slots ran and of a plugin's revisions, however often they change.

use broker_model::limits;

use super::*;

#[test]
fn of_the_plugins_that_a_slot_ran_the_newest_are_kept_and_what_other_slots_run() {
    let mut metadata = ClusterMetadata::new();
    metadata.apply(0, create(1, "t")).expect("it is created");
    let other = Binding {
        slot: PluginSlot::RetentionPolicy,
        ..binding("other", &digest(1), at(0))
    };
    let mut alter = |index: u64, binding: Binding| {
        let command = Command::AlterTopicConfig {
            id: id(1),
            set: BTreeMap::new(),
            unset: BTreeSet::new(),
            bindings: vec![binding],
        };
        metadata.apply(index, command).expect("it is altered");
        metadata.topic_by_id(id(1)).expect("it is there").clone()
    };
    alter(1, other.clone());
    for number in 2..500_u64 {
        let name = format!("p{number}");
        let topic = alter(number, binding(&name, &digest(2), at(0)));
        assert!(topic.bindings.len() <= limits::BINDINGS_KEPT_MAX + 1);
        assert!(
            topic
                .binding(PluginSlot::Partitioner)
                .expect("bound")
                .holds(&name)
        );
        assert_eq!(topic.binding(PluginSlot::RetentionPolicy), Some(&other));
    }
    for number in 500..520_u64 {
        let mut large = binding(&format!("p{number}"), &digest(2), at(0));
        let bound = large.bound.as_mut().expect("a plugin");
        bound
            .options
            .insert("schema".to_owned(), "x".repeat(300 * 1024));
        let topic = alter(number, large);
        let bytes: usize = topic.bindings.iter().map(|one| one.bytes()).sum();
        assert!(bytes <= limits::BINDINGS_KEPT_BYTES_MAX + other.bytes());
        assert_eq!(topic.binding(PluginSlot::RetentionPolicy), Some(&other));
    }
    let topic = metadata.topic_by_id(id(1)).expect("it is there");
    assert_eq!(
        topic.bindings.len(),
        1 + 3,
        "three large ones, and the other"
    );
}

#[test]
fn of_the_revisions_of_a_plugin_the_newest_are_kept_and_numbers_go_on() {
    let mut metadata = ClusterMetadata::new();
    for index in 0..300_u64 {
        let new = deployment(&digest(u8::try_from(index % 7).expect("small")));
        let command = metadata.plan_deploy("p", new, Vec::new(), at(0));
        let command = command.expect("nothing is wrong with it");
        metadata.apply(index, command).expect("it is deployed");
    }
    let plugin = metadata.plugins().get("p").expect("it is there");
    let numbers: Vec<u32> = plugin.history.iter().map(|one| one.revision).collect();
    assert_eq!(numbers, (201..=300).collect::<Vec<_>>());
    assert!(plugin.revision(200).is_none());
    let mut large = deployment(&digest(9));
    large
        .options
        .insert("schema".to_owned(), "x".repeat(250 * 1024));
    for index in 300..310 {
        let command = metadata.plan_deploy("p", large.clone(), Vec::new(), at(0));
        let command = command.expect("it may");
        metadata.apply(index, command).expect("it is");
    }
    let plugin = metadata.plugins().get("p").expect("it is there");
    assert_eq!(plugin.history.len(), 4, "of 250 KiB no more are kept");
    assert_eq!(plugin.next_revision(), 311);
}
