//! Topics and partitions: names, counts, growth, deletion, and what of it is seen on disk.

use std::collections::BTreeSet;
use std::fs;

use broker_model::limits::TOPICS_PER_REQUEST_MAX;

use crate::harness::{Broker, Setup, Value, Wire, eventually, keyed, map, plain, valued};

#[track_caller]
fn refuses(wire: &mut Wire, args: Value, name: &str) {
    let error = wire.refused("create_topic", args.clone());
    assert_eq!(error.name, name, "{args:?}: {error:?}");
    assert!(error.definite, "{error:?}");
}

fn topic_names(wire: &mut Wire) -> Vec<String> {
    let metadata = wire.call("metadata", map! {}).unwrap();
    let topics = metadata.get("topics").list().iter();
    topics
        .filter(|topic| !topic.get("internal").bool())
        .map(|topic| topic.get("name").text().to_owned())
        .collect()
}

#[test]
fn a_topic_with_more_options_than_it_may_have_is_refused_and_others_are_not() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let config = map! {
        "cleanup.policy" => "compact",
        "compaction.policy" => "newest-by-header",
        "compaction.policy.option.header" => "a".repeat(9 << 20),
    };
    let big = map! { "name" => "big", "config" => config };
    refuses(&mut wire, big, "INVALID_CONFIG");
    wire.create_topic("small", 1, &[]);
    wire.produce("small", 0, vec![valued("x")]);
}

#[test]
fn a_topic_that_is_asked_about_many_times_is_answered_once() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 100, &[]);
    let mut names = vec!["nope".to_owned()];
    names.resize(10_000, "t".to_owned());
    let metadata = wire.call("metadata", map! { "topics" => names }).unwrap();
    let topics = metadata.get("topics").list().iter();
    let answered: Vec<_> = topics
        .map(|topic| {
            (
                topic.get("name").text(),
                topic.get("partitions").list().len(),
            )
        })
        .collect();
    assert_eq!(answered, [("nope", 0), ("t", 100)]);
}

#[test]
fn a_topic_has_a_name_and_at_least_one_partition() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    refuses(
        &mut wire,
        map! { "name" => "t", "partitions" => 0 },
        "INVALID_PARTITIONS",
    );
    refuses(
        &mut wire,
        map! { "name" => "t", "partitions" => 10_001 },
        "INVALID_PARTITIONS",
    );
    refuses(&mut wire, map! { "name" => "" }, "INVALID_TOPIC");
    assert_eq!(topic_names(&mut wire), [""; 0]);
    let created = wire.create_topic("t", 6, &[]);
    assert_eq!(created.get("partitions").u64(), 6);
    assert_eq!(created.get("replication_factor").u64(), 1);
    let described = wire.describe_topic("t");
    let numbers: Vec<u64> = described
        .get("partitions")
        .list()
        .iter()
        .map(|p| p.get("partition").u64())
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    for number in numbers {
        assert!(
            broker.data_dir().join(format!("t-{number}")).is_dir(),
            "t-{number} is no directory"
        );
    }
}

#[test]
fn names_follow_the_rules() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    for length in [1, 248, 249] {
        wire.create_topic(&"n".repeat(length), 1, &[]);
    }
    let too_long = "n".repeat(250);
    for bad in [
        "",
        ".",
        "..",
        "a b",
        "한글",
        "a/b",
        "a\0",
        "../escape",
        "a\\b",
        "a:b",
        "a\n",
        &too_long,
    ] {
        refuses(&mut wire, map! { "name" => bad }, "INVALID_TOPIC");
    }
    for good in ["A-Z_0", "...", "-", "__mine"] {
        wire.create_topic(good, 1, &[]);
    }
    let beside = fs::read_dir(broker.home()).expect("it is there");
    let beside: BTreeSet<String> = beside
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        beside,
        BTreeSet::from(["data".to_owned(), "log".to_owned()]),
        "something escaped the data directory"
    );
}

#[test]
fn a_name_is_taken_once() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    refuses(&mut wire, map! { "name" => "t" }, "TOPIC_ALREADY_EXISTS");
    refuses(
        &mut wire,
        map! { "name" => "t", "partitions" => 5 },
        "TOPIC_ALREADY_EXISTS",
    );
    assert_eq!(wire.describe_topic("t").get("partitions").list().len(), 1);
}

#[test]
fn dots_and_underscores_draw_a_warning_and_a_real_collision_is_refused() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let created = wire.create_topic("a.b_c", 1, &[]);
    let warnings = created.get("warnings").list();
    assert_eq!(warnings.len(), 1, "{created:?}");
    assert!(
        warnings[0].text().contains('.') && warnings[0].text().contains('_'),
        "{warnings:?}"
    );
    eventually("the warning is in the log", || {
        broker
            .log()
            .lines()
            .any(|line| line.contains("WARN") && line.contains("a.b_c"))
            .then_some(())
    });
    assert_eq!(wire.create_topic("a.b", 1, &[]).get("warnings").list(), []);
    refuses(&mut wire, map! { "name" => "a_b" }, "TOPIC_NAME_COLLISION");
    refuses(
        &mut wire,
        map! { "name" => "a_b.c" },
        "TOPIC_NAME_COLLISION",
    );
    wire.create_topic("a-b", 1, &[]);
}

#[test]
fn reserved_topics_are_the_brokers_own() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    for name in [
        "__consumer_offsets",
        "__transaction_state",
        "__cluster_metadata",
    ] {
        refuses(&mut wire, map! { "name" => name }, "TOPIC_RESERVED");
        let error = wire.refused("delete_topic", map! { "name" => name });
        assert!(
            ["TOPIC_RESERVED", "UNKNOWN_TOPIC_OR_PARTITION"].contains(&error.name.as_str()),
            "{error:?}"
        );
        for args in [map! { "partition" => 0 }, map! {}] {
            let args = args.set("topic", name).set("records", plain("x", 0..1));
            let error = wire.refused("produce", args);
            assert!(
                ["TOPIC_RESERVED", "UNKNOWN_TOPIC_OR_PARTITION"].contains(&error.name.as_str()),
                "{error:?}"
            );
        }
    }
}

#[test]
fn two_hundred_topics_fit_one_broker_and_survive_a_crash() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    for number in 0..200 {
        wire.create_topic(&format!("topic-{number:03}"), 1, &[("flush.mode", "async")]);
    }
    for number in 0..200 {
        wire.produce(
            &format!("topic-{number:03}"),
            0,
            vec![valued(&number.to_string())],
        );
    }
    broker.crash();
    let mut wire = broker.connect();
    assert_eq!(topic_names(&mut wire).len(), 200);
    for number in 0..200 {
        let records = wire.read_all(&format!("topic-{number:03}"), 0);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].text(), number.to_string());
    }
}

#[test]
fn a_deleted_topic_is_gone_and_another_of_its_name_starts_anew() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let old = wire
        .create_topic("t", 2, &[])
        .get("topic_id")
        .text()
        .to_owned();
    wire.produce("t", 0, plain("old", 0..5));
    wire.call("delete_topic", map! { "name" => "t" }).unwrap();
    assert_eq!(
        wire.fetch("t", 0, 0, map! {}).unwrap_err().name,
        "UNKNOWN_TOPIC_OR_PARTITION"
    );
    eventually("its directories are gone", || {
        let entries = fs::read_dir(broker.data_dir())
            .expect("it is there")
            .flatten();
        let left = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("t-"))
            .count();
        (left == 0).then_some(())
    });
    let new = wire
        .create_topic("t", 1, &[])
        .get("topic_id")
        .text()
        .to_owned();
    assert_ne!(old, new);
    assert_eq!(wire.produce("t", 0, vec![valued("new")]), 0);
    assert_eq!(wire.read_all("t", 0).len(), 1);
    // Who knows only the old topic gets an error instead of foreign data.
    let wanted =
        map! { "topic" => "t", "topic_id" => old.as_str(), "partition" => 0, "offset" => 0 };
    let answer = wire
        .call("fetch", map! { "partitions" => vec![wanted] })
        .unwrap();
    let error = answer.get("partitions").list()[0].get("error");
    assert_eq!(error.get("name").text(), "TOPIC_ID_MISMATCH");
    let args = map! { "topic" => "t", "topic_id" => old.as_str(), "partition" => 0, "records" => plain("x", 0..1) };
    assert_eq!(wire.refused("produce", args).name, "TOPIC_ID_MISMATCH");
    let error = wire.refused("delete_topic", map! { "name" => "t", "topic_id" => old });
    assert_eq!(error.name, "TOPIC_ID_MISMATCH");
}

#[test]
fn a_deletion_survives_a_crash() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("gone", 3, &[]);
    wire.produce("gone", 1, plain("x", 0..5));
    wire.call("delete_topic", map! { "name" => "gone" })
        .unwrap();
    broker.crash();
    let mut wire = broker.connect();
    assert_eq!(topic_names(&mut wire), [""; 0]);
    wire.create_topic("gone", 3, &[]);
    assert_eq!(wire.read_all("gone", 1), []);
}

#[test]
fn partitions_grow_and_never_shrink() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 3, &[]);
    for partition in 0..3 {
        wire.produce("t", partition, plain(&format!("p{partition}-"), 0..4));
    }
    let grown = wire
        .call(
            "create_partitions",
            map! { "name" => "t", "partitions" => 5 },
        )
        .unwrap();
    assert_eq!(grown.get("partitions").u64(), 5);
    for bad in [3, 5, 0] {
        let error = wire.refused(
            "create_partitions",
            map! { "name" => "t", "partitions" => bad },
        );
        assert_eq!(error.name, "INVALID_PARTITIONS", "{bad}");
    }
    broker.crash();
    let mut wire = broker.connect();
    let described = wire.describe_topic("t");
    assert_eq!(described.get("partitions").list().len(), 5);
    let counts = described.get("partition_counts").list().iter();
    let counts: Vec<u64> = counts.map(|count| count.get("partitions").u64()).collect();
    assert_eq!(counts, [3, 5], "the history of the counts");
    for partition in 0..3 {
        let records = wire.read_all("t", partition);
        assert_eq!(records.len(), 4);
        assert_eq!(records[3].text(), format!("p{partition}-3"));
    }
    for partition in 3..5 {
        assert_eq!(wire.read_all("t", partition), []);
        assert_eq!(wire.produce("t", partition, vec![valued("x")]), 0);
    }
}

#[test]
fn a_chosen_partition_is_honoured_and_read_alone() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 4, &[]);
    wire.produce("t", 2, vec![keyed("any key", "here")]);
    for partition in [0, 1, 3] {
        assert_eq!(wire.read_all("t", partition), []);
    }
    assert_eq!(wire.read_all("t", 2)[0].text(), "here");
}

#[test]
fn checking_only_changes_nothing() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let args = map! { "name" => "t", "partitions" => 3, "validate_only" => true };
    let checked = wire.call("create_topic", args.clone()).unwrap();
    assert_eq!(checked.get("partitions").u64(), 3);
    assert_eq!(topic_names(&mut wire), [""; 0]);
    refuses(&mut wire, args.set("partitions", 0), "INVALID_PARTITIONS");
    wire.create_topic("t", 1, &[]);
    wire.call(
        "create_partitions",
        map! { "name" => "t", "partitions" => 9, "validate_only" => true },
    )
    .unwrap();
    assert_eq!(wire.describe_topic("t").get("partitions").list().len(), 1);
}

#[test]
fn replication_is_held_against_the_number_of_brokers() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    for factor in [0, 2] {
        refuses(
            &mut wire,
            map! { "name" => "t", "replication_factor" => factor },
            "INVALID_REPLICATION_FACTOR",
        );
    }
    refuses(
        &mut wire,
        map! { "name" => "t", "assignment" => vec![vec![1], vec![2]] },
        "INVALID_ASSIGNMENT",
    );
    refuses(
        &mut wire,
        map! { "name" => "t", "assignment" => vec![vec![1, 1]] },
        "INVALID_ASSIGNMENT",
    );
    let args = map! { "name" => "t", "assignment" => vec![vec![1], vec![1]] };
    assert_eq!(
        wire.call("create_topic", args)
            .unwrap()
            .get("partitions")
            .u64(),
        2
    );
}

#[test]
fn configuration_is_checked_named_and_kept() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    let error = wire.refused(
        "create_topic",
        map! { "name" => "t", "config" => map! { "retention.msx" => "1" } },
    );
    assert_eq!(error.name, "INVALID_CONFIG");
    assert_eq!(error.data.get("suggestion").text(), "retention.ms");
    for (key, value) in [
        ("retention.ms", "soon"),
        ("segment.bytes", "-5"),
        ("flush.mode", "never"),
        ("partitioner", "no-such-plugin"),
    ] {
        let error = wire.refused(
            "create_topic",
            map! { "name" => "t", "config" => map! { key => value } },
        );
        assert!(
            ["INVALID_CONFIG", "UNKNOWN_PLUGIN"].contains(&error.name.as_str()),
            "{key}: {error:?}"
        );
        assert!(error.message.contains(value), "{error:?}");
    }
    wire.create_topic("t", 1, &[("retention.ms", "3d"), ("segment.bytes", "1MiB")]);
    let set = map! { "name" => "t", "set" => map! { "flush.mode" => "async" }, "unset" => vec!["segment.bytes"] };
    wire.call("alter_topic", set).unwrap();
    let error = wire.refused(
        "alter_topic",
        map! { "name" => "t", "set" => map! { "roll.ms" => "1h", "no" => "1" } },
    );
    assert_eq!(error.name, "INVALID_CONFIG");
    broker.crash();
    let mut wire = broker.connect();
    let described = wire.describe_topic("t");
    let value = |key: &str| {
        let entry = described
            .get("config")
            .list()
            .iter()
            .find(|entry| entry.get("key").text() == key);
        let entry = entry.expect("every key is described");
        (
            entry.get("value").text().to_owned(),
            entry.get("source").text().to_owned(),
        )
    };
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(value("retention.ms"), pair("259200000", "topic"));
    assert_eq!(value("flush.mode"), pair("async", "topic"));
    assert_eq!(value("segment.bytes"), pair("1073741824", "default"));
    assert_eq!(value("roll.ms"), pair("604800000", "default"));
}

#[test]
fn what_is_asked_about_is_created_unless_too_much_is_asked() {
    let broker = Setup::new()
        .option("auto.create.topics.enable", "true")
        .start();
    let mut wire = broker.connect();
    let names = |count: usize| (0..count).map(|number| Value::from(format!("t{number}")));
    let all = map! { "topics" => Value::Array(names(TOPICS_PER_REQUEST_MAX + 1).collect()) };
    let error = wire.refused("metadata", all);
    assert_eq!(error.name, "INVALID_REQUEST", "{error:?}");
    let known = wire.call("metadata", map! {}).unwrap();
    assert!(known.get("topics").list().is_empty(), "they were created");
    let two = map! { "topics" => Value::Array(names(2).collect()) };
    let made = wire.call("metadata", two).unwrap();
    assert_eq!(made.get("topics").list().len(), 2);
    wire.wait_until_open("t1", 1);
}
