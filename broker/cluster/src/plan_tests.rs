//! Tests of planning: every rule about topics, by example.

use super::*;

fn metadata(brokers: &[u32]) -> ClusterMetadata {
    let mut metadata = ClusterMetadata::new();
    for (index, id) in (0..).zip(brokers) {
        let register = Command::RegisterBroker {
            id: BrokerId::new(*id),
            address: format!("b{id}:7420"),
        };
        metadata.apply(index, register).unwrap();
    }
    metadata
}

fn defaults() -> CreationDefaults {
    CreationDefaults {
        partitions: 1,
        replication_factor: 1,
        topic: TopicDefaults::default(),
    }
}

fn named(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        ..NewTopic::default()
    }
}

fn ids(assignment: &[&[u32]]) -> Vec<Vec<BrokerId>> {
    let one = |ids: &&[u32]| ids.iter().copied().map(BrokerId::new).collect();
    assignment.iter().map(one).collect()
}

fn plan(metadata: &ClusterMetadata, new: &NewTopic) -> Result<Planned, CreateTopicError> {
    metadata.plan_create_topic(
        new,
        &defaults(),
        Timestamp::from_millis(7),
        TopicId::random(),
    )
}

fn create(metadata: &mut ClusterMetadata, new: &NewTopic) {
    let (command, _) = plan(metadata, new).unwrap();
    let index = metadata.applied().map_or(0, |last| last + 1);
    metadata.apply(index, command).unwrap();
}

fn leaders(metadata: &ClusterMetadata, topic: &str) -> Vec<u32> {
    let partitions = &metadata.topic(topic).unwrap().partitions;
    let leaders = partitions.iter().map(|partition| partition.leader.unwrap());
    leaders.map(BrokerId::get).collect()
}

#[test]
fn bad_and_reserved_names_are_refused() {
    let metadata = metadata(&[1]);
    for bad in ["", ".", "..", "a b", "a/b", "한글"] {
        let refused = plan(&metadata, &named(bad));
        assert!(matches!(refused, Err(CreateTopicError::InvalidName(_))));
    }
    for kept in [
        "__consumer_offsets",
        "__transaction_state",
        "__cluster_metadata",
    ] {
        let refused = plan(&metadata, &named(kept));
        assert!(matches!(refused, Err(CreateTopicError::Reserved { .. })));
        let refused = metadata.plan_delete_topic(kept, None);
        assert!(matches!(refused, Err(AlterTopicError::Reserved { .. })));
        let refused = metadata.plan_create_partitions(kept, 9, None, Timestamp::MIN);
        assert!(matches!(
            refused,
            Err(CreatePartitionsError::Reserved { .. })
        ));
    }
    assert!(plan(&metadata, &named(&"a".repeat(249))).is_ok());
    assert!(plan(&metadata, &named(&"a".repeat(250))).is_err());
}

#[test]
fn only_the_topic_that_is_meant_is_deleted() {
    let mut metadata = metadata(&[1]);
    let (command, _) = plan(&metadata, &named("t")).expect("it is planned");
    metadata.apply(1, command).expect("it fits");
    let id = metadata.topic("t").expect("there").id;
    let asked = TopicId::random();
    let refused = metadata.plan_delete_topic("t", Some(asked));
    let name = TopicName::new("t").expect("a name");
    let other = AlterTopicError::OtherTopic { name, id, asked };
    assert_eq!(refused, Err(other));
    for meant in [None, Some(id)] {
        let planned = metadata.plan_delete_topic("t", meant);
        assert_eq!(planned, Ok(Command::DeleteTopic { id }));
    }
}

#[test]
fn a_topic_asks_for_no_more_replicas_in_sync_than_it_has() {
    let mut metadata = metadata(&[1, 2]);
    let asking = |replicas: u32, in_sync: &str| NewTopic {
        replication_factor: Some(replicas),
        config: BTreeMap::from([("min.insync.replicas".to_owned(), in_sync.to_owned())]),
        ..named("t")
    };
    for (replicas, in_sync) in [(1, "2"), (2, "3")] {
        let refused = plan(&metadata, &asking(replicas, in_sync)).unwrap_err();
        let said = refused.to_string();
        let wanted = format!("at most the number of the topic's replicas, which is {replicas}");
        assert!(said.contains(&wanted), "{said}");
    }
    create(&mut metadata, &asking(2, "2"));
    let set = |in_sync: &str| ConfigChange {
        set: BTreeMap::from([("min.insync.replicas".to_owned(), in_sync.to_owned())]),
        ..ConfigChange::default()
    };
    let alter = |in_sync| metadata.plan_alter_config("t", &set(in_sync), &TopicDefaults::default());
    assert!(alter("3").is_err());
    assert!(alter("1").is_ok());

    // A default that is too much for a topic is told, and counts as what there is.
    let mut defaults = defaults();
    defaults.topic.set("min.insync.replicas", "3").unwrap();
    let planned = metadata.plan_create_topic(
        &named("other"),
        &defaults,
        Timestamp::MIN,
        TopicId::random(),
    );
    let (_, warnings) = planned.unwrap();
    assert_eq!(
        warnings,
        [Warning::FewerReplicasThanInsync {
            name: TopicName::new("other").unwrap(),
            asked: 3,
            replicas: 1,
        }]
    );
}

#[test]
fn duplicates_and_collisions_are_refused_and_mixed_names_draw_a_warning() {
    let mut metadata = metadata(&[1]);
    create(&mut metadata, &named("a.b"));
    let refused = plan(&metadata, &named("a.b"));
    assert!(matches!(refused, Err(CreateTopicError::Exists { .. })));
    let refused = plan(&metadata, &named("a_b"));
    assert!(matches!(refused, Err(CreateTopicError::Collides { .. })));
    let (_, warnings) = plan(&metadata, &named("a.b_c")).unwrap();
    let [warning @ Warning::MixedSeparators { .. }] = warnings.as_slice() else {
        panic!("{warnings:?}");
    };
    assert!(warning.to_string().contains("a.b_c"));
}

#[test]
fn partitions_and_replicas_stay_within_their_bounds() {
    let metadata = metadata(&[1, 2, 3]);
    let asked = |partitions, replicas| {
        let new = NewTopic {
            partitions: Some(partitions),
            replication_factor: Some(replicas),
            ..named("t")
        };
        plan(&metadata, &new)
    };
    let max = limits::PARTITIONS_PER_TOPIC_MAX;
    assert!(asked(max, 3).is_ok());
    for wrong in [0, max + 1, u32::MAX] {
        let refused = asked(wrong, 1);
        assert!(matches!(
            refused,
            Err(CreateTopicError::InvalidPartitions { .. })
        ));
    }
    for wrong in [0, 4, u32::MAX] {
        let refused = asked(1, wrong);
        let expected = CreateTopicError::InvalidReplicationFactor {
            asked: wrong,
            brokers: 3,
        };
        assert_eq!(refused, Err(expected));
    }
}

#[test]
fn what_is_not_said_comes_from_the_defaults() {
    let metadata = metadata(&[1, 2]);
    let defaults = CreationDefaults {
        partitions: 4,
        replication_factor: 2,
        ..defaults()
    };
    let planned =
        metadata.plan_create_topic(&named("t"), &defaults, Timestamp::MIN, TopicId::random());
    let (Command::CreateTopic { assignment, .. }, _) = planned.unwrap() else {
        panic!("another command");
    };
    assert_eq!(assignment.len(), 4);
    assert!(assignment.iter().all(|replicas| replicas.len() == 2));
    // A default that the cluster cannot carry is refused, not lowered.
    let defaults = CreationDefaults {
        replication_factor: 3,
        ..defaults
    };
    let refused =
        metadata.plan_create_topic(&named("t"), &defaults, Timestamp::MIN, TopicId::random());
    assert!(refused.is_err());
}

#[test]
fn leaders_go_round_and_each_topic_starts_one_further() {
    let mut metadata = metadata(&[999, 101, 205, 300]);
    let five = NewTopic {
        partitions: Some(5),
        ..named("five")
    };
    create(&mut metadata, &five);
    assert_eq!(leaders(&metadata, "five"), [101, 205, 300, 999, 101]);
    create(&mut metadata, &named("one"));
    create(&mut metadata, &named("two"));
    assert_eq!(leaders(&metadata, "one"), [205]);
    assert_eq!(leaders(&metadata, "two"), [300]);

    let (command, warnings) = metadata
        .plan_create_partitions("one", 4, None, Timestamp::from_millis(9))
        .unwrap();
    assert!(matches!(
        warnings.as_slice(),
        [Warning::KeysMove { from: 1, to: 4, .. }]
    ));
    metadata.apply(100, command).unwrap();
    assert_eq!(leaders(&metadata, "one"), [205, 300, 999, 101]);
}

#[test]
fn a_manual_assignment_is_honoured_and_checked() {
    let mut metadata = metadata(&[1, 2, 3]);
    let assigned = |lists: &[&[u32]]| NewTopic {
        assignment: Some(ids(lists)),
        ..named("t")
    };
    let wrong: [&[&[u32]]; 4] = [&[&[1], &[]], &[&[1, 1]], &[&[1], &[7]], &[&[1, 2], &[3]]];
    for lists in wrong {
        let refused = plan(&metadata, &assigned(lists));
        assert!(
            matches!(refused, Err(CreateTopicError::InvalidAssignment(_))),
            "{lists:?}"
        );
    }
    let refused = plan(&metadata, &assigned(&[]));
    assert!(matches!(
        refused,
        Err(CreateTopicError::InvalidPartitions { .. })
    ));
    let both = NewTopic {
        partitions: Some(1),
        ..assigned(&[&[1]])
    };
    let with_numbers = InvalidAssignment::WithNumbers.into();
    assert_eq!(plan(&metadata, &both), Err(with_numbers));

    create(&mut metadata, &assigned(&[&[2], &[2], &[2]]));
    assert_eq!(leaders(&metadata, "t"), [2, 2, 2]);
    let grow = |count, lists: &[&[u32]]| {
        metadata.plan_create_partitions("t", count, Some(&ids(lists)), Timestamp::MIN)
    };
    assert!(grow(5, &[&[1], &[3]]).is_ok());
    assert!(grow(5, &[&[1]]).is_err(), "one list for two partitions");
    assert!(
        grow(4, &[&[1, 2]]).is_err(),
        "more replicas than the topic has"
    );
}

#[test]
fn partitions_never_shrink() {
    let mut metadata = metadata(&[1]);
    let five = NewTopic {
        partitions: Some(5),
        ..named("t")
    };
    create(&mut metadata, &five);
    for asked in [0, 3, 5, limits::PARTITIONS_PER_TOPIC_MAX + 1] {
        let refused = metadata.plan_create_partitions("t", asked, None, Timestamp::MIN);
        let Err(CreatePartitionsError::InvalidPartitions { current, .. }) = refused else {
            panic!("{asked}: {refused:?}");
        };
        assert_eq!(current, 5);
    }
    let refused = metadata.plan_create_partitions("none", 3, None, Timestamp::MIN);
    assert!(matches!(
        refused,
        Err(CreatePartitionsError::UnknownTopic { .. })
    ));
}

#[test]
fn configuration_is_checked_and_kept_in_base_units() {
    let mut metadata = metadata(&[1]);
    let configured = |key: &str, value: &str| NewTopic {
        config: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        ..named("t")
    };
    let refused = plan(&metadata, &configured("segment.ms", "7d"));
    assert!(matches!(refused, Err(CreateTopicError::InvalidConfig(_))));
    create(&mut metadata, &configured("retention.ms", "7d"));
    assert_eq!(
        metadata.topic("t").unwrap().config["retention.ms"],
        "604800000"
    );

    let alter = |set: &[(&str, &str)], unset: &[&str]| {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let change = ConfigChange {
            set: set.iter().map(text).collect(),
            unset: unset.iter().map(|key| (*key).to_owned()).collect(),
            bindings: Vec::new(),
        };
        metadata.plan_alter_config("t", &change, &TopicDefaults::default())
    };
    assert!(alter(&[("segment.bytes", "64KiB")], &["retention.ms"]).is_ok());
    assert!(
        alter(&[], &["flush.ms"]).is_ok(),
        "taking back what is not set"
    );
    assert!(alter(&[("segment.bytes", "1")], &[]).is_err());
    assert!(alter(&[], &["colour"]).is_err());
    assert!(alter(&[("flush.ms", "5")], &["flush.ms"]).is_err());
    let lags = [
        ("min.compaction.lag.ms", "2h"),
        ("max.compaction.lag.ms", "1h"),
    ];
    let refused = alter(&lags, &[]).map_err(|error| error.to_string());
    assert!(refused.is_err_and(|text| text.contains("max.compaction.lag.ms")));
    assert!(alter(&lags[..1], &[]).is_ok(), "there is no longest lag");
    assert!(alter(&[("dead.letter.topic", "other")], &[]).is_ok());
    let refused = alter(&[("dead.letter.topic", "t")], &[]).map_err(|error| error.to_string());
    assert!(refused.is_err_and(|text| text.contains("another topic")));
    for text in ["__consumer_offsets", "a/b"] {
        assert!(
            alter(&[("dead.letter.topic", text)], &[]).is_err(),
            "{text}"
        );
        assert!(plan(&metadata, &configured("dead.letter.topic", text)).is_err());
    }
}
