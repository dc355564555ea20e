//! Tests of `ClusterMetadata`: what commands do, that stale ones are rejected, and that random
//! sequences of planned, late and repeated commands keep the state whole and replay to the same.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use super::*;

#[path = "history_tests.rs"]
mod history;

use crate::{CreationDefaults, NewTopic, PluginSlot, TopicConfig, TopicDefaults};

/// A rule broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlantedBug {
    IgnoresTakenNames,
    GrowsFromAStalePlan,
    RebindsWhatTurnedAway,
}

fn id(raw: u8) -> TopicId {
    TopicId::from_bytes([raw; 16])
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn create(raw: u8, name: &str) -> Command {
    Command::CreateTopic {
        id: id(raw),
        name: TopicName::new(name).unwrap(),
        assignment: vec![vec![BrokerId::new(1)]; 2],
        config: BTreeMap::new(),
        bindings: Vec::new(),
        at: at(10),
    }
}

fn grow(raw: u8, from: u32, added: usize) -> Command {
    Command::CreatePartitions {
        id: id(raw),
        from,
        added: vec![vec![BrokerId::new(1)]; added],
        at: at(20),
    }
}

#[test]
fn a_topic_is_created_grows_changes_and_goes() {
    let mut metadata = ClusterMetadata::new();
    let register = Command::RegisterBroker {
        id: BrokerId::new(1),
        address: "here:7420".to_owned(),
    };
    assert_eq!(metadata.apply(0, register.clone()).unwrap().len(), 1);
    assert_eq!(metadata.apply(1, register), Ok(Vec::new()), "nothing new");
    metadata.apply(2, create(1, "orders")).unwrap();
    let snapshot = metadata.clone();

    let changes = metadata.apply(3, grow(1, 2, 3)).unwrap();
    let [Change::PartitionsAdded { topic, first }] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!((topic.partition_count(), first.get()), (5, 2));
    assert_eq!(topic.counts(), [2, 5]);
    assert_eq!(snapshot.topic("orders").unwrap().partition_count(), 2);

    let set = BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]);
    let alter = |set: &BTreeMap<String, String>, unset: &[&str]| Command::AlterTopicConfig {
        id: id(1),
        set: set.clone(),
        unset: unset.iter().map(|key| (*key).to_owned()).collect(),
        bindings: Vec::new(),
    };
    assert_eq!(metadata.apply(4, alter(&set, &[])).unwrap().len(), 1);
    assert_eq!(metadata.apply(5, alter(&set, &[])), Ok(Vec::new()), "same");
    assert_eq!(metadata.topic("orders").unwrap().config, set);
    metadata
        .apply(6, alter(&BTreeMap::new(), &["retention.ms"]))
        .unwrap();
    assert!(metadata.topic_by_id(id(1)).unwrap().config.is_empty());

    metadata
        .apply(7, Command::DeleteTopic { id: id(1) })
        .unwrap();
    assert!(metadata.topic("orders").is_none());
    assert!(metadata.topic_by_id(id(1)).is_none());
    metadata.apply(8, create(2, "orders")).unwrap();
}

#[test]
fn what_another_command_overtook_is_rejected_and_changes_nothing() {
    let mut metadata = ClusterMetadata::new();
    metadata.apply(0, create(1, "a.b")).unwrap();
    let before = metadata.clone();
    let rejected = [
        create(2, "a.b"),
        create(3, "a_b"),
        create(1, "other"),
        grow(1, 1, 1),
        grow(9, 1, 1),
        Command::DeleteTopic { id: id(9) },
    ];
    for (index, command) in (1..).zip(rejected) {
        let outcome = metadata.apply(index, command.clone());
        assert!(outcome.is_err(), "{command:?} gave {outcome:?}");
    }
    metadata.applied = before.applied;
    assert_eq!(metadata, before);
}

#[test]
#[should_panic(expected = "out of order")]
fn a_log_is_applied_once() {
    let mut metadata = ClusterMetadata::new();
    metadata.apply(5, create(1, "a")).unwrap();
    let _ = metadata.apply(5, create(2, "b"));
}

#[derive(Clone, Debug)]
enum Wish {
    Register {
        broker: u32,
    },
    Create {
        name: String,
        partitions: u32,
        replicas: u32,
    },
    Delete {
        name: String,
    },
    Grow {
        name: String,
        to: u32,
    },
    Alter {
        name: String,
        key: usize,
        unset: bool,
    },
    /// The topic turns to one of the partitioners, as it is deployed by now.
    Bind {
        name: String,
        plugin: &'static str,
    },
    Deploy {
        plugin: &'static str,
    },
    Remove {
        plugin: &'static str,
    },
}

const PARTITIONERS: [&str; 2] = ["mine", "yours"];

fn partitioner() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&PARTITIONERS[..])
}

fn name() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["a", "b.c", "b_c", "d"]).prop_map(str::to_owned)
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        1 => (1..5_u32).prop_map(|broker| Wish::Register { broker }),
        4 => (name(), 0..4_u32, 0..4_u32)
            .prop_map(|(name, partitions, replicas)| Wish::Create { name, partitions, replicas }),
        2 => name().prop_map(|name| Wish::Delete { name }),
        4 => (name(), 0..9_u32).prop_map(|(name, to)| Wish::Grow { name, to }),
        2 => (name(), 0..5_usize, any::<bool>())
            .prop_map(|(name, key, unset)| Wish::Alter { name, key, unset }),
        4 => (name(), partitioner()).prop_map(|(name, plugin)| Wish::Bind { name, plugin }),
        3 => partitioner().prop_map(|plugin| Wish::Deploy { plugin }),
        1 => partitioner().prop_map(|plugin| Wish::Remove { plugin }),
    ]
}

fn planned(metadata: &ClusterMetadata, wish: &Wish, number: u8) -> Option<Command> {
    let now = at(i64::from(number));
    let defaults = CreationDefaults {
        partitions: 1,
        replication_factor: 1,
        topic: TopicDefaults::default(),
    };
    match wish {
        Wish::Register { broker } => Some(Command::RegisterBroker {
            id: BrokerId::new(*broker),
            address: format!("host-{number}:1"),
        }),
        Wish::Create {
            name,
            partitions,
            replicas,
        } => {
            let new = NewTopic {
                name: name.clone(),
                partitions: Some(*partitions),
                replication_factor: Some(*replicas),
                ..NewTopic::default()
            };
            let plan = metadata.plan_create_topic(&new, &defaults, now, id(number));
            plan.ok().map(|(command, _)| command)
        }
        Wish::Delete { name } => metadata.plan_delete_topic(name, None).ok(),
        Wish::Grow { name, to } => {
            let plan = metadata.plan_create_partitions(name, *to, None, now);
            plan.ok().map(|(command, _)| command)
        }
        Wish::Alter { name, key, unset } => {
            let key = crate::TOPIC_KEYS[*key].key;
            let mut change = crate::ConfigChange::default();
            if *unset {
                change.unset.insert(key.name.to_owned());
            } else {
                let value = key.default.to_owned();
                change.set.insert(key.name.to_owned(), value);
            }
            let plan = metadata.plan_alter_config(name, &change, &defaults.topic);
            plan.ok()
        }
        Wish::Bind { name, plugin } => {
            let known = metadata.plugins().get(*plugin);
            let deployed = known.and_then(|plugin| plugin.current());
            let digest = deployed.map_or_else(|| digest(0), |current| current.digest.clone());
            let change = crate::ConfigChange {
                set: BTreeMap::from([("partitioner".to_owned(), (*plugin).to_owned())]),
                bindings: vec![binding(plugin, &digest, now)],
                ..crate::ConfigChange::default()
            };
            let plan = metadata.plan_alter_config(name, &change, &defaults.topic);
            plan.ok()
        }
        Wish::Deploy { plugin } => {
            let digest = digest(number);
            let users = metadata.topics().filter(|topic| {
                let present = topic.binding(PluginSlot::Partitioner);
                present.is_some_and(|present| present.holds(plugin))
            });
            let rebind = users.map(|topic| (topic.id, binding(plugin, &digest, now)));
            let plan = metadata.plan_deploy(plugin, deployment(&digest), rebind.collect(), now);
            Some(plan.expect("nothing is wrong with it"))
        }
        Wish::Remove { plugin } => metadata.plan_remove(plugin, &defaults.topic, now).ok(),
    }
}

fn digest(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

fn binding(plugin: &str, digest: &str, since: Timestamp) -> Binding {
    let bound = crate::BoundPlugin {
        plugin: plugin.to_owned(),
        version: "1".to_owned(),
        kind: "partitioner".to_owned(),
        digest: digest.to_owned(),
        options: BTreeMap::new(),
    };
    Binding {
        slot: PluginSlot::Partitioner,
        bound: Some(bound),
        since,
        offsets: Vec::new(),
    }
}

fn deployment(digest: &str) -> crate::NewDeployment {
    crate::NewDeployment {
        kind: "partitioner".to_owned(),
        version: "1".to_owned(),
        digest: digest.to_owned(),
        size_bytes: 8,
        options: BTreeMap::new(),
        limits: crate::DeploymentLimits::default(),
        fallback: None,
        from: crate::DeploymentSource::Deploy,
    }
}

/// What a slot runs is what its topic's configuration names, and histories only grow.
fn check_plugins(
    metadata: &ClusterMetadata,
    before: &ClusterMetadata,
) -> Result<(), TestCaseError> {
    for topic in metadata.topics() {
        let config = TopicConfig::resolve(&topic.config, &TopicDefaults::default()).unwrap();
        if let Some(present) = topic.binding(PluginSlot::Partitioner) {
            prop_assert!(present.holds(&config.partitioner), "{topic:?}");
        }
        for pair in topic.bindings.windows(2) {
            prop_assert_ne!(
                &pair[0].bound,
                &pair[1].bound,
                "a binding that changes nothing"
            );
        }
        if let Some(earlier) = before.topic_by_id(topic.id) {
            // They are fewer than would be forgotten.
            prop_assert!(topic.bindings.starts_with(&earlier.bindings));
        }
    }
    for (name, plugin) in metadata.plugins() {
        let numbers: Vec<u32> = plugin.history.iter().map(|one| one.revision).collect();
        let expected: Vec<u32> = (1..).take(numbers.len()).collect();
        prop_assert_eq!(numbers, expected);
        if let Some(earlier) = before.plugins().get(name) {
            prop_assert!(plugin.history.starts_with(&earlier.history));
        }
    }
    Ok(())
}

fn check(metadata: &ClusterMetadata, before: &ClusterMetadata) -> Result<(), TestCaseError> {
    prop_assert_eq!(metadata.names.len(), metadata.topics.len(), "ids and names");
    prop_assert_eq!(
        metadata.folded.len(),
        metadata.topics.len(),
        "colliding names"
    );
    for topic in metadata.topics() {
        let by_id = metadata.topic_by_id(topic.id);
        prop_assert!(by_id.is_some_and(|found| found.name == topic.name));
        prop_assert!(topic.counts().is_sorted_by(|a, b| a < b), "a count shrank");
        prop_assert_eq!(topic.counts().pop(), Some(topic.partition_count()));
        prop_assert_eq!(
            TopicConfig::normalise(&topic.config).ok(),
            Some(topic.config.clone())
        );
        if let Some(earlier) = before.topic_by_id(topic.id) {
            let kept = topic.partitions.get(..earlier.partitions.len());
            prop_assert_eq!(
                kept,
                Some(earlier.partitions.as_slice()),
                "old partitions moved"
            );
        }
        for (_, partition) in topic.numbered() {
            let different: BTreeSet<_> = partition.replicas.iter().collect();
            prop_assert_eq!(different.len(), partition.replicas.len());
            prop_assert_eq!(partition.replicas.len(), topic.partitions[0].replicas.len());
            prop_assert!(
                partition
                    .leader
                    .is_some_and(|leader| partition.isr.contains(&leader))
            );
            for broker in &partition.replicas {
                prop_assert!(metadata.brokers().contains_key(broker));
            }
        }
    }
    Ok(())
}

/// Applies what was wished; every `late` command is applied some steps after it was planned.
fn run_script(script: &[(Wish, bool)], planted: Option<PlantedBug>) -> Result<(), TestCaseError> {
    let mut metadata = ClusterMetadata {
        planted,
        ..ClusterMetadata::new()
    };
    let mut log: Vec<Vec<u8>> = Vec::new();
    let mut late: Vec<Command> = Vec::new();
    for (number, (wish, is_late)) in (0..).zip(script) {
        let command = planned(&metadata, wish, number);
        let due: Vec<Command> = if *is_late {
            late.extend(command);
            Vec::new()
        } else {
            command.into_iter().chain(late.drain(..)).collect()
        };
        for command in due {
            let before = metadata.clone();
            let index = log.len() as u64;
            log.push(command.encode().unwrap());
            let outcome = metadata.apply(index, command.clone());
            if let (
                Ok(_),
                Command::CreatePartitions {
                    id, from, added, ..
                },
            ) = (outcome, command)
            {
                let grown = metadata.topic_by_id(id).unwrap().partition_count();
                prop_assert_eq!(
                    u32::try_from(added.len()),
                    Ok(grown - from),
                    "more than was asked for"
                );
            }
            check(&metadata, &before)?;
            check_plugins(&metadata, &before)?;
        }
    }
    let mut replayed = ClusterMetadata {
        planted,
        ..ClusterMetadata::new()
    };
    for (index, bytes) in (0..).zip(&log) {
        let _ = replayed.apply(index, Command::decode(bytes).unwrap());
    }
    prop_assert_eq!(replayed, metadata, "the replayed log gives another state");
    Ok(())
}

/// A planted bug may take many scripts to show; the first that shows it ends the run.
fn run(planted: Option<PlantedBug>) -> Result<(), TestError<Vec<(Wish, bool)>>> {
    let mut config = Config {
        cases: 1_500,
        failure_persistence: None,
        ..Config::default()
    };
    if planted.is_some() {
        (config.cases, config.max_shrink_iters) = (60_000, 0);
    }
    let mut runner = TestRunner::new(config);
    let script = proptest::collection::vec((wish(), any::<bool>()), 1..60);
    runner.run(&script, |script| run_script(&script, planted))
}

#[test]
fn random_commands_keep_the_state_whole_and_replay_to_the_same() {
    if let Err(error) = run(None) {
        panic!("{error}");
    }
}

#[test]
fn the_invariants_catch_planted_bugs() {
    for bug in [
        PlantedBug::IgnoresTakenNames,
        PlantedBug::GrowsFromAStalePlan,
        PlantedBug::RebindsWhatTurnedAway,
    ] {
        assert!(run(Some(bug)).is_err(), "{bug:?} went unnoticed");
    }
}
