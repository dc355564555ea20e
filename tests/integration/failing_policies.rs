//! Plugins that go on failing, as an operator sees it: a few lines of the log however many partitions ask however
//! often, and a warning of the cluster while topics do without a plugin that is suspended.

use std::fs;
use std::time::Instant;

use crate::harness::{
    Broker, Setup, Value, Wire, eventually, hostile_module, hostile_sister, keyed, map, valued,
};

const PARTITIONS: u32 = 4;

/// Cleans and deletes every 50 ms.
fn quick() -> Broker {
    let setup = Setup::new().option("log.cleaner.backoff.ms", "50");
    setup
        .option("log.retention.check.interval.ms", "50")
        .start()
}

fn deploy(wire: &mut Wire, name: &str, kind: &str, behaviour: &str) {
    let hostile = hostile_module();
    let file = match kind {
        "partitioner" => hostile.to_owned(),
        other => hostile_sister(other),
    };
    let module = fs::read(file).expect("it was built");
    let options = map! { "options" => map! { "behaviour" => behaviour } };
    wire.deploy(name, &module, options).unwrap();
}

fn warnings(wire: &mut Wire) -> Vec<String> {
    let cluster = wire.call("describe_cluster", map! {}).unwrap();
    let warnings = cluster.get("warnings").list().iter();
    warnings.map(|warning| warning.text().to_owned()).collect()
}

/// The only warning, which has these words in it.
#[track_caller]
fn assert_warned(wire: &mut Wire, words: &[&str]) {
    let warnings = warnings(wire);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for word in words {
        assert!(warnings[0].contains(word), "{word}: {warnings:?}");
    }
}

/// How many lines of the log have all of these words in them.
fn lines(broker: &Broker, words: &[&str]) -> usize {
    let log = broker.log();
    let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
    log.lines().filter(has_all).count()
}

/// Asserts that what has failed many times since `began` was told as often as that may be: once a minute.
#[track_caller]
fn assert_told_rarely(broker: &Broker, words: &[&str], began: Instant) {
    let told = lines(broker, words);
    let allowed = 1 + began.elapsed().as_secs() / 60;
    assert!(told >= 1, "{words:?} is not told");
    assert!(told as u64 <= allowed, "{words:?} is told {told} times");
}

#[test]
fn a_retention_plugin_that_fails_in_every_partition_is_told_once_and_when_it_works_again() {
    let broker = quick();
    let mut wire = broker.connect();
    // One of them is suspended; the other one's answers break a rule each time.
    for behaviour in ["panic", "prefix-too-long"] {
        deploy(&mut wire, behaviour, "retention", behaviour);
        let config = [("retention.policy", behaviour)];
        wire.create_topic(behaviour, PARTITIONS, &config);
        let began = Instant::now();
        for partition in 0..PARTITIONS {
            let records: Vec<Value> = (0..666).map(|_| valued("y")).collect();
            wire.produce(behaviour, partition, records);
        }
        eventually("it fails over and over", || {
            let errors = wire.plugin(behaviour).get("errors").u64();
            (errors >= 40).then_some(())
        });
        let topic = format!("partition={behaviour}-");
        assert_told_rarely(&broker, &["retention failed", &topic], began);
        let works_again = ["retention works again", &format!("topic={behaviour}")];
        assert_eq!(lines(&broker, &works_again), 0);
        if behaviour == "panic" {
            let words = [
                "retention plugin panic 6.6.6 is suspended",
                "for topic panic:",
                "nothing is deleted, and the log grows",
                "broker plugin resume panic",
                "broker plugin deploy",
            ];
            assert_warned(&mut wire, &words);
            let shown = String::from_utf8(broker.run(&["cluster", "describe"])).expect("text");
            assert!(
                shown.contains("NEEDS ATTENTION (1)") && shown.contains("is suspended"),
                "{shown}"
            );
        }
        // The guest fails when the log ends at 666.
        for partition in 0..PARTITIONS {
            wire.produce(behaviour, partition, vec![valued("z")]);
        }
        wire.call("resume_plugin", map! { "name" => behaviour })
            .unwrap();
        eventually("it works again, which is told", || {
            (lines(&broker, &works_again) == 1).then_some(())
        });
        assert_eq!(warnings(&mut wire), [""; 0]);
    }
    assert_eq!(lines(&broker, &["retention works again"]), 2);
    let shown = String::from_utf8(broker.run(&["cluster", "describe"])).expect("text");
    assert!(shown.contains("nothing needs attention"), "{shown}");
}

#[test]
fn a_compaction_plugin_that_is_suspended_is_told_once_and_when_another_works() {
    let broker = quick();
    let mut wire = broker.connect();
    deploy(&mut wire, "bad", "compaction", "late-panic");
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "4KiB"),
        ("min.cleanable.dirty.ratio", "0"),
        ("compaction.policy", "bad"),
    ];
    wire.create_topic("t", PARTITIONS, &config);
    let began = Instant::now();
    fill(&mut wire, "t");
    eventually("the plugin is suspended", || {
        (wire.plugin("bad").get("state").text() == "suspended").then_some(())
    });
    assert_warned(
        &mut wire,
        &["compaction plugin bad 6.6.6", "topic t:", "the log grows"],
    );
    // Whenever these are clean, the others were put off again.
    for topic in ["one", "two", "three"] {
        wire.create_topic(topic, PARTITIONS, &config[..3]);
        fill(&mut wire, topic);
        eventually("others are compacted", || {
            (wire.read_all(topic, 0).len() < 10).then_some(())
        });
    }
    let log = broker.log();
    let warned = |line: &&str| line.contains("WARN") && line.contains("partition=t-");
    let told = log.lines().filter(warned).count() as u64;
    assert!(told <= 1 + began.elapsed().as_secs() / 60, "{told} lines");
    assert_told_rarely(&broker, &["compaction failed", "partition=t-"], began);
    wire.alter("t", &[("compaction.policy", "latest-by-key")]);
    eventually("another one compacts it, which is told", || {
        (lines(&broker, &["compaction works again", "topic=t"]) == 1).then_some(())
    });
    assert_eq!(warnings(&mut wire), [""; 0]);
}

/// Sealed batches of one key in every partition.
fn fill(wire: &mut Wire, topic: &str) {
    for partition in 0..PARTITIONS {
        for _ in 0..20 {
            let record = Value::Array(vec![(&b"go"[..]).into(), Value::Bin(vec![b'x'; 900])]);
            wire.produce(topic, partition, vec![record]);
        }
    }
}

#[test]
fn what_a_suspended_plugin_means_for_producers_is_a_warning() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    deploy(&mut wire, "bad", "partitioner", "panic");
    for topic in ["t", "u"] {
        wire.create_topic(topic, 2, &[("partitioner", "bad")]);
    }
    let go = |topic: &str| map! { "topic" => topic, "records" => vec![keyed("go", "1")] };
    for topic in ["t", "t", "t", "u", "u", "u"] {
        wire.refused("produce", go(topic));
    }
    let refused = ["topics t, u:", "without a partition are refused"];
    assert_warned(&mut wire, &refused);
    let module = fs::read(hostile_module()).expect("it was built");
    let more = map! { "options" => map! { "behaviour" => "panic" }, "fallback" => "key-hash" };
    wire.deploy("bad", &module, more).unwrap();
    assert_eq!(warnings(&mut wire), [""; 0], "another try");
    for _ in 0..3 {
        wire.call("produce", go("t")).unwrap();
    }
    let answered = ["its fallback key-hash answers in its place"];
    assert_warned(&mut wire, &answered);
    for topic in ["t", "u"] {
        wire.alter(topic, &[("partitioner", "key-hash")]);
    }
    assert_eq!(warnings(&mut wire), [""; 0], "nobody asks it");

    deploy(&mut wire, "worse", "serializer", "panic");
    let both = [("key.serializer", "worse"), ("value.serializer", "worse")];
    wire.create_topic("s", 1, &both);
    let record = Value::Array(vec!["go".into(), "go".into()]);
    let produce =
        map! { "topic" => "s", "partition" => 0, "records" => vec![record], "encode" => true };
    for _ in 0..3 {
        wire.refused("produce", produce.clone());
    }
    let words = [
        "serializer plugin worse 6.6.6",
        "topic s: records are refused",
    ];
    assert_warned(&mut wire, &words);
    wire.call("resume_plugin", map! { "name" => "worse" })
        .unwrap();
    assert_eq!(warnings(&mut wire), [""; 0]);
}
