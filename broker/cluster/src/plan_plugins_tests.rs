//! Tests of planning what concerns plugins: every rule by example.

use std::collections::BTreeMap;

use broker_model::{BrokerId, Offset};

use super::*;
use crate::{
    BoundPlugin, Change, ConfigChange, CreateTopicError, CreationDefaults, Deployment,
    DeploymentLimits, DeploymentSource, NewTopic,
};

const NOW: Timestamp = Timestamp::from_millis(7);

fn defaults() -> CreationDefaults {
    CreationDefaults {
        partitions: 2,
        replication_factor: 1,
        topic: TopicDefaults::default(),
    }
}

fn digest(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn bound(slot: PluginSlot, plugin: &str, digit: char) -> Binding {
    Binding {
        slot,
        bound: Some(BoundPlugin {
            plugin: plugin.to_owned(),
            version: "1.0.0".to_owned(),
            kind: slot.kind_name().to_owned(),
            digest: digest(digit),
            options: BTreeMap::new(),
        }),
        since: NOW,
        offsets: vec![Offset::ZERO; 2],
    }
}

fn emptied(slot: PluginSlot) -> Binding {
    Binding {
        bound: None,
        ..bound(slot, "", '0')
    }
}

fn partitioner(digit: char) -> NewDeployment {
    NewDeployment {
        kind: "partitioner".to_owned(),
        version: "1.0.0".to_owned(),
        digest: digest(digit),
        size_bytes: 100,
        options: BTreeMap::new(),
        limits: DeploymentLimits::default(),
        fallback: None,
        from: DeploymentSource::Deploy,
    }
}

fn new_topic(config: &[(&str, &str)], bindings: Vec<Binding>) -> NewTopic {
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    NewTopic {
        name: "t".to_owned(),
        config: config.iter().map(text).collect(),
        bindings,
        ..NewTopic::default()
    }
}

fn empty() -> ClusterMetadata {
    let mut metadata = ClusterMetadata::new();
    let register = Command::RegisterBroker {
        id: BrokerId::new(1),
        address: "b:1".to_owned(),
    };
    metadata.apply(0, register).unwrap();
    metadata
}

fn apply(metadata: &mut ClusterMetadata, command: Command) -> Vec<Change> {
    let index = metadata.applied().map_or(0, |last| last + 1);
    metadata.apply(index, command).unwrap()
}

/// A cluster with the topic `t`, which runs the partitioner `mine` of digest `a…`.
fn with_topic() -> (ClusterMetadata, TopicId) {
    let (mut metadata, id) = (empty(), TopicId::random());
    let new = new_topic(
        &[("partitioner", "mine")],
        vec![bound(PluginSlot::Partitioner, "mine", 'a')],
    );
    let planned = metadata.plan_create_topic(&new, &defaults(), NOW, id);
    apply(&mut metadata, planned.unwrap().0);
    (metadata, id)
}

#[test]
fn bindings_have_to_be_what_the_configuration_names() {
    let metadata = empty();
    let plan = |config: &[(&str, &str)], bindings| {
        let new = new_topic(config, bindings);
        let planned = metadata.plan_create_topic(&new, &defaults(), NOW, TopicId::random());
        match planned {
            Ok(_) => Ok(()),
            Err(CreateTopicError::InvalidBinding(problem)) => Err(problem),
            Err(other) => panic!("{other}"),
        }
    };
    let (partition, value) = (PluginSlot::Partitioner, PluginSlot::ValueSerializer);
    let config = [("value.serializer", "json")];
    assert_eq!(plan(&config, vec![bound(value, "json", 'a')]), Ok(()));
    assert_eq!(plan(&[], vec![emptied(value)]), Ok(()));
    assert_eq!(plan(&[], vec![bound(partition, "key-hash", 'a')]), Ok(()));
    let twice = vec![bound(value, "json", 'a'), bound(value, "json", 'a')];
    let expected = InvalidBinding::Twice { slot: value };
    assert_eq!(plan(&config, twice), Err(expected));
    for wrong in [bound(value, "xml", 'a'), emptied(value)] {
        let refused = plan(&config, vec![wrong]);
        assert!(matches!(refused, Err(InvalidBinding::WrongPlugin { .. })));
    }
    let mut wrong = bound(value, "json", 'a');
    wrong.bound.as_mut().unwrap().kind = "partitioner".to_owned();
    let refused = plan(&config, vec![wrong]);
    assert!(matches!(refused, Err(InvalidBinding::WrongKind { .. })));
    let refused = plan(&config, vec![bound(value, "json", 'A')]);
    assert!(matches!(refused, Err(InvalidBinding::Digest { .. })));
    let mut wrong = bound(value, "json", 'a');
    wrong.offsets.push(Offset::ZERO);
    let refused = plan(&config, vec![wrong]);
    assert!(matches!(
        refused,
        Err(InvalidBinding::TooManyOffsets { .. })
    ));
}

#[test]
fn a_topic_keeps_every_binding_it_ever_had() {
    let (mut metadata, _) = with_topic();
    let slot = PluginSlot::Partitioner;
    let mut alter = |plugin: &str, digit, offset| {
        let mut binding = bound(slot, plugin, digit);
        binding.offsets = vec![Offset::new(offset)];
        let change = ConfigChange {
            set: BTreeMap::from([("partitioner".to_owned(), plugin.to_owned())]),
            bindings: vec![binding],
            ..ConfigChange::default()
        };
        let command = metadata.plan_alter_config("t", &change, &TopicDefaults::default());
        apply(&mut metadata, command.unwrap()).len()
    };
    assert_eq!(alter("mine", 'a', 3), 0, "it runs that already");
    assert_eq!(alter("yours", 'b', 5), 1);
    assert_eq!(alter("mine", 'c', 9), 1);
    let topic = metadata.topic("t").unwrap();
    let plugins = topic.bindings.iter().map(|binding| {
        let bound = binding.bound.as_ref().unwrap();
        (bound.plugin.as_str(), bound.digest.chars().next().unwrap())
    });
    let plugins: Vec<_> = plugins.collect();
    assert_eq!(plugins, [("mine", 'a'), ("yours", 'b'), ("mine", 'c')]);
    let present = topic.binding(slot).unwrap();
    let offset = |partition| present.offset(broker_model::PartitionId::new(partition));
    assert_eq!((offset(0), offset(1)), (Offset::new(9), Offset::ZERO));
    assert!(topic.binding(PluginSlot::KeySerializer).is_none());
}

#[test]
fn a_deployment_gets_the_next_revision_and_moves_the_topics_that_use_the_name() {
    let (mut metadata, id) = with_topic();
    let rebind = |digit| vec![(id, bound(PluginSlot::Partitioner, "mine", digit))];
    let command = metadata.plan_deploy("mine", partitioner('b'), rebind('b'), NOW);
    let changes = apply(&mut metadata, command.unwrap());
    let [
        Change::PluginDeployed { name, plugin },
        Change::TopicConfigChanged { topic },
    ] = changes.as_slice()
    else {
        panic!("{changes:?}");
    };
    assert_eq!((name.as_str(), plugin.history.len()), ("mine", 1));
    let present = topic.binding(PluginSlot::Partitioner).unwrap();
    assert_eq!(present.bound.as_ref().unwrap().digest, digest('b'));

    let command = metadata.plan_deploy("mine", partitioner('c'), rebind('c'), NOW);
    apply(&mut metadata, command.unwrap());
    let first = metadata.plugins()["mine"].revision(1).unwrap().clone();
    assert!(first.equals(&partitioner('b')) && !first.equals(&partitioner('c')));
    let back = NewDeployment::rollback(&first);
    assert_eq!(back.from, DeploymentSource::Rollback { to: 1 });
    let command = metadata.plan_deploy("mine", back, rebind('b'), NOW);
    apply(&mut metadata, command.unwrap());
    let plugin = &metadata.plugins()["mine"];
    let current: &Deployment = plugin.current().unwrap();
    assert_eq!((current.revision, &current.digest), (3, &digest('b')));
    assert!(plugin.revision(4).is_none());
}

#[test]
fn a_deployment_that_another_overtook_is_rejected() {
    let mut metadata = empty();
    let first = metadata.plan_deploy("mine", partitioner('a'), Vec::new(), NOW);
    let second = metadata.plan_deploy("mine", partitioner('b'), Vec::new(), NOW);
    apply(&mut metadata, first.unwrap());
    let rejected = metadata.apply(9, second.unwrap());
    assert!(rejected.is_err_and(|error| error.to_string().contains("revision 2")));
}

#[test]
fn what_cannot_be_deployed_is_refused() {
    let (metadata, id) = with_topic();
    let deploy = |name: &str, new| metadata.plan_deploy(name, new, Vec::new(), NOW);
    for name in ["", "a b", "a/b", &"a".repeat(65)] {
        let refused = deploy(name, partitioner('a'));
        assert!(matches!(
            refused,
            Err(DeployPluginError::InvalidName { .. })
        ));
    }
    let of_kind = |kind: &str| NewDeployment {
        kind: kind.to_owned(),
        ..partitioner('a')
    };
    let refused = deploy("mine", of_kind("tokenizer"));
    assert!(matches!(
        refused,
        Err(DeployPluginError::InvalidKind { .. })
    ));
    let with_option = |bytes: usize| NewDeployment {
        options: [("o".to_owned(), "x".repeat(bytes))].into(),
        ..partitioner('a')
    };
    assert!(deploy("mine", with_option(CONFIG_BYTES_MAX - 1)).is_ok());
    let refused = deploy("mine", with_option(CONFIG_BYTES_MAX));
    assert!(matches!(
        refused,
        Err(DeployPluginError::OptionsTooLarge { .. })
    ));
    let with_fallback = |kind: &str, fallback: &str| NewDeployment {
        fallback: Some(fallback.to_owned()),
        ..of_kind(kind)
    };
    assert!(deploy("mine", with_fallback("partitioner", "key-hash")).is_ok());
    for (kind, fallback) in [("partitioner", "mine"), ("serializer", "json")] {
        assert!(deploy("mine", with_fallback(kind, fallback)).is_err());
    }
    let rebind = |binding| {
        let planned = metadata.plan_deploy("mine", partitioner('a'), vec![(id, binding)], NOW);
        planned.is_ok()
    };
    let slot = PluginSlot::Partitioner;
    assert!(rebind(bound(slot, "mine", 'a')));
    assert!(!rebind(bound(slot, "mine", 'b')), "another module");
    assert!(!rebind(bound(slot, "yours", 'a')), "another plugin");
    assert!(!rebind(emptied(slot)));
    let stranger = vec![(TopicId::random(), bound(slot, "mine", 'a'))];
    let planned = metadata.plan_deploy("mine", partitioner('a'), stranger, NOW);
    assert!(planned.is_err(), "no such topic");
    let elsewhere = vec![(id, bound(slot, "yours", 'a'))];
    let planned = metadata.plan_deploy("yours", partitioner('a'), elsewhere, NOW);
    assert!(planned.is_err(), "the topic runs another");
}

#[test]
fn the_kind_of_a_deployed_name_stays() {
    let mut metadata = empty();
    let command = metadata.plan_deploy("x", partitioner('a'), Vec::new(), NOW);
    apply(&mut metadata, command.unwrap());
    let serializer = || NewDeployment {
        kind: "serializer".to_owned(),
        ..partitioner('b')
    };
    let refused = metadata.plan_deploy("x", serializer(), Vec::new(), NOW);
    assert!(matches!(
        refused,
        Err(DeployPluginError::KindChanged { .. })
    ));
    let remove = metadata.plan_remove("x", &TopicDefaults::default(), NOW);
    apply(&mut metadata, remove.unwrap());
    let command = metadata.plan_deploy("x", serializer(), Vec::new(), NOW);
    apply(&mut metadata, command.unwrap());
    let plugin = &metadata.plugins()["x"];
    assert_eq!(plugin.current().unwrap().revision, 2);
}

#[test]
fn a_plugin_in_use_is_not_removed() {
    let (mut metadata, _) = with_topic();
    let none = TopicDefaults::default();
    let refused = metadata.plan_remove("mine", &none, NOW);
    assert!(matches!(
        refused,
        Err(RemovePluginError::NotDeployed { .. })
    ));
    let command = metadata.plan_deploy("mine", partitioner('a'), Vec::new(), NOW);
    apply(&mut metadata, command.unwrap());
    let command = metadata.plan_deploy("spare", partitioner('b'), Vec::new(), NOW);
    apply(&mut metadata, command.unwrap());
    let refused = metadata.plan_remove("mine", &none, NOW).unwrap_err();
    assert_eq!(refused.to_string(), "plugin mine is in use by topic t");

    // The broker's default names it for every topic that names none.
    let mut default = TopicDefaults::default();
    default.set("retention.policy", "spare").unwrap();
    let refused = metadata.plan_remove("spare", &default, NOW);
    assert!(matches!(refused, Err(RemovePluginError::InUse { .. })));
    let with_fallback = NewDeployment {
        fallback: Some("spare".to_owned()),
        ..partitioner('a')
    };
    let command = metadata.plan_deploy("other", with_fallback, Vec::new(), NOW);
    apply(&mut metadata, command.unwrap());
    let refused = metadata.plan_remove("spare", &none, NOW).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "plugin spare is in use by plugin other"
    );

    let remove = metadata.plan_remove("other", &none, NOW);
    apply(&mut metadata, remove.unwrap());
    let remove = metadata.plan_remove("spare", &none, NOW).unwrap();
    apply(&mut metadata, remove.clone());
    let plugin = &metadata.plugins()["spare"];
    assert_eq!((plugin.removed_at, plugin.current()), (Some(NOW), None));
    assert!(metadata.apply(99, remove).is_err(), "it is gone already");
}
