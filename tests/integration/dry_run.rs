//! Dry runs: what they foretell is what then happens, and while they run nothing else does. Each kind's
//! answer is held against the real thing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::harness::{
    Broker, DryRun, Rec, Setup, Value, Wire, custom_partitioner, digest_of, eventually,
    hostile_module, hostile_sister, keyed, map, opaque, shipped_module, valued,
};

/// Cleans and deletes every 50 ms.
fn quick() -> Setup {
    Setup::new()
        .option("log.cleaner.backoff.ms", "50")
        .option("log.retention.check.interval.ms", "50")
}

fn numbers(list: &Value) -> Vec<u64> {
    list.list().iter().map(Value::u64).collect()
}

fn all(wire: &mut Wire, topic: &str, partitions: u32) -> Vec<(u32, Rec)> {
    let partitions = 0..partitions;
    partitions
        .flat_map(|partition| {
            let records = wire.read_all(topic, partition).into_iter();
            records.map(move |record| (partition, record))
        })
        .collect()
}

/// How many of the records each partition has.
fn histogram(placed: impl Iterator<Item = u32>, partitions: usize) -> Vec<u64> {
    let mut counts = vec![0; partitions];
    placed.for_each(|partition| counts[usize::try_from(partition).expect("fits")] += 1);
    counts
}

#[test]
fn a_partitioners_histogram_is_that_of_the_same_records_produced_again() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 5, &[]);
    for batch in 0..10 {
        let records: Vec<Value> = (0..40)
            .map(|n| {
                keyed(
                    &format!("{}:{}", ["eu", "us"][n % 2], n * n % 23),
                    &format!("{batch}"),
                )
            })
            .collect();
        wire.produce_routed("t", records);
    }
    wire.produce("t", 4, vec![keyed("eu:1", "put there by hand")]);
    let stored = all(&mut wire, "t", 5);
    let before = histogram(stored.iter().map(|(partition, _)| *partition), 5);
    let module = fs::read(custom_partitioner()).expect("it was built");
    let report = DryRun::of_module("t", &module).report(&mut wire, "partitioner");
    assert_eq!(numbers(report.get("before")), before);
    assert_eq!(report.get("records").u64(), 401);

    wire.deploy("mine", &module, map! {}).unwrap();
    wire.alter("t", &[("partitioner", "mine")]);
    let again = |(_, record): &(u32, Rec)| {
        let key = String::from_utf8(record.key.clone().expect("keyed")).expect("text");
        keyed(&key, &record.text())
    };
    let placed = wire.produce_routed("t", stored.iter().map(again).collect::<Vec<_>>());
    let after = histogram(placed.iter().map(|(partition, _)| *partition), 5);
    assert_eq!(numbers(report.get("after")), after);
    let pairs = || stored.iter().zip(&placed);
    let moved = pairs().filter(|((before, _), (after, _))| before != after);
    assert_eq!(report.get("moved").u64(), moved.count() as u64);
    let mut keys: BTreeMap<&[u8], u64> = BTreeMap::new();
    for (_, record) in &stored {
        *keys
            .entry(record.key.as_deref().expect("keyed"))
            .or_default() += 1;
    }
    let hottest = report.get("hottest").list();
    assert_eq!(hottest.len(), 10);
    for hot in hottest {
        let key = hot.get("key").bytes().expect("keyed");
        assert_eq!(hot.get("records").u64(), keys[&key[..]]);
        let mut placed = pairs().filter(|((_, record), _)| record.key.as_ref() == Some(&key));
        let here =
            |(_, (partition, _)): (_, &(u32, u64))| u64::from(*partition) == hot.get("after").u64();
        assert!(placed.all(here), "{hot:?}");
    }
    assert!(hottest.is_sorted_by_key(|hot| std::cmp::Reverse(hot.get("records").u64())));
}

#[test]
fn only_the_newest_records_are_looked_at_if_so_asked() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 2, &[]);
    for number in 0..30 {
        let value = if number < 20 { "{" } else { "{}" };
        wire.produce("t", 0, vec![valued(value); 5]);
    }
    wire.produce("t", 1, vec![valued("{")]);
    let report = |wire: &mut Wire, last: u64| {
        let dry_run = DryRun::of_plugin("t", "json").with("last", last);
        let report = dry_run.report(wire, "serializer");
        (report.get("records").u64(), report.get("refused").u64())
    };
    assert_eq!(report(&mut wire, 50), (51, 1));
    assert_eq!(report(&mut wire, 53), (54, 4), "in the middle of a batch");
    assert_eq!(report(&mut wire, 1_000), (151, 101));
    assert_eq!(report(&mut wire, 0), (0, 0));
}

/// Reason, how many, and the first of them.
type Reasons = BTreeMap<String, (u64, u64)>;

#[test]
fn a_serializer_refuses_what_the_dry_run_said_and_for_the_same_reasons() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let values = ["{}", "{", "[1]", "nope", "{\"a\":", "7", "{", "\u{7f}"];
    for (number, codec) in ["none", "zstd", "lz4", "gzip"].into_iter().enumerate() {
        let records = values.map(|value| keyed(&format!("k{number}"), value));
        wire.call("produce", opaque("t", 0, &records.to_vec().into(), codec))
            .unwrap();
    }
    let tombstone = Value::Array(vec![(&b"k"[..]).into(), Value::Nil]);
    wire.produce("t", 0, vec![tombstone]);
    let report = DryRun::of_plugin("t", "json")
        .with("sample", 100)
        .report(&mut wire, "serializer");
    let stored = wire.read_all("t", 0);
    assert_eq!(report.get("records").u64(), stored.len() as u64);
    let told: Reasons = report
        .get("reasons")
        .list()
        .iter()
        .map(|reason| {
            let offset = reason.get("offset").u64();
            let at = usize::try_from(offset).expect("fits");
            assert_eq!(reason.get("key").bytes(), stored[at].key);
            assert_eq!(reason.get("partition").u64(), 0);
            let text = reason.get("reason").text().to_owned();
            (text, (reason.get("records").u64(), offset))
        })
        .collect();

    wire.create_topic("checked", 1, &[("value.serializer", "json")]);
    let bytes = |bytes: &Option<Vec<u8>>| Value::from(bytes.as_deref());
    let again = stored
        .iter()
        .map(|record| Value::Array(vec![bytes(&record.key), bytes(&record.value)]));
    let args = map! {
        "topic" => "checked", "partition" => 0, "partial" => "accept",
        "records" => again.collect::<Vec<_>>(),
    };
    let answer = wire.call("produce", args).unwrap();
    let refused = answer.get("refused").list();
    assert_eq!(report.get("refused").u64(), refused.len() as u64);
    let mut real = Reasons::new();
    for entry in refused {
        let reason = entry.get("reason").text().to_owned();
        let first = (0, entry.get("index").u64());
        real.entry(reason).or_insert(first).0 += 1;
    }
    assert_eq!(told, real);
    assert_eq!(refused.len(), 20, "five of eight, four times: {refused:?}");
    let keys = DryRun::of_plugin("t", "integer").with("slot", "key.serializer");
    let report = keys.report(&mut wire, "serializer");
    assert_eq!(report.get("refused").u64(), 33, "no key has eight bytes");
}

/// Batches of about 1,000 bytes, the first ones an hour and more old.
fn fill(wire: &mut Wire, topic: &str, partition: u32, count: i64) {
    for number in 0..count {
        let record = Value::Array(vec![
            format!("k{}", number % 7).as_bytes().into(),
            Value::Bin(vec![b'x'; 900]),
            (1_000 + number).into(),
        ]);
        wire.produce(topic, partition, vec![record]);
    }
}

/// Start, bytes and segments of each partition.
fn shape(wire: &mut Wire, topic: &str) -> Vec<[u64; 3]> {
    let described = wire.describe_topic(topic);
    let partitions = described.get("partitions").list().iter();
    partitions
        .map(|partition| {
            ["log_start", "size_bytes", "segments"].map(|field| partition.get(field).u64())
        })
        .collect()
}

#[test]
fn a_retention_policy_deletes_what_the_dry_run_said() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let all = [
        ("retention.policy", "newest-records"),
        ("retention.policy.option.records", "9999"),
    ];
    let config = [
        &all[..],
        &[("segment.bytes", "4KiB"), ("retention.ms", "1h")],
    ]
    .concat();
    let cases = [
        ("a", "newest-records", ("records", "10")),
        ("b", "keep-at-least", ("keep.bytes", "9KiB")),
        ("c", "time-and-size", ("", "")),
        ("d", "newest-records", ("records", "500")),
    ];
    for (topic, policy, (option, value)) in cases {
        wire.create_topic(topic, 3, &config);
        fill(&mut wire, topic, 0, 40);
        fill(&mut wire, topic, 1, 17);
        let before = shape(&mut wire, topic);
        let options = if option.is_empty() {
            map! {}
        } else {
            map! { option => value }
        };
        let dry_run = DryRun::of_module(topic, shipped_module(policy)).with("options", options);
        let report = dry_run.report(&mut wire, "retention");
        assert_eq!(
            shape(&mut wire, topic),
            before,
            "{policy}: nothing has happened"
        );
        let mut expected = before.clone();
        for partition in report.get("partitions").list() {
            let number = usize::try_from(partition.get("partition").u64()).expect("fits");
            let [start, bytes, segments] = &mut expected[number];
            let records = partition.get("new_start").u64() - *start;
            assert_eq!(partition.get("records").u64(), records, "{partition:?}");
            let newest = partition.get("newest_ms").u64();
            assert_eq!(newest, 1_000 + partition.get("new_start").u64() - 1);
            assert!(partition.get("oldest_ms").u64() <= newest);
            *start = partition.get("new_start").u64();
            *bytes -= partition.get("bytes").u64();
            *segments -= partition.get("segments").u64();
        }
        let sum = |at: usize| -> u64 {
            let pairs = before.iter().zip(&expected);
            pairs.map(|(a, b)| a[at].abs_diff(b[at])).sum()
        };
        for (field, at) in [("records", 0), ("bytes", 1), ("segments", 2)] {
            assert_eq!(report.get(field).u64(), sum(at), "{policy}: {report:?}");
        }
        assert_eq!(sum(0) > 0, value != "500", "{policy}: {report:?}");
        let unset = vec!["retention.policy.option.records"];
        let mut set = map! { "retention.policy" => policy };
        if !option.is_empty() {
            set = set.set(&format!("retention.policy.option.{option}"), value);
        }
        let unset = if option == "records" {
            Vec::new()
        } else {
            unset
        };
        let args = map! { "name" => topic, "set" => set, "unset" => unset };
        wire.call("alter_topic", args).unwrap();
        eventually("what was foretold happens", || {
            (shape(&mut wire, topic) == expected).then_some(())
        });
        std::thread::sleep(std::time::Duration::from_millis(150));
        assert_eq!(shape(&mut wire, topic), expected, "{policy}: and no more");
    }
}

#[test]
fn a_compaction_removes_what_the_dry_run_said() {
    let broker = quick().start();
    let mut wire = broker.connect();
    for (topic, policy, options) in [
        ("latest", "latest-by-key", vec![]),
        ("last", "keep-last-n", vec![("n", "3")]),
        (
            "sample",
            "sample-old",
            vec![("keep", "4"), ("older.than", "1h")],
        ),
    ] {
        wire.create_topic(
            topic,
            2,
            &[("segment.bytes", "4KiB"), ("retention.ms", "-1")],
        );
        for partition in 0..2 {
            fill(&mut wire, topic, partition, 30);
            let tombstone = Value::Array(vec![(&b"k3"[..]).into(), Value::Nil, 77.into()]);
            wire.produce(topic, partition, vec![tombstone]);
            fill(&mut wire, topic, partition, 12);
        }
        let given = |prefix: &str| -> Value {
            let pairs = options.iter();
            let pair = |(name, value): &(&str, &str)| {
                (Value::from(format!("{prefix}{name}")), Value::from(*value))
            };
            Value::Map(pairs.map(pair).collect())
        };
        let before = (all(&mut wire, topic, 2), shape(&mut wire, topic));
        let report = DryRun::of_plugin(topic, policy)
            .with("options", given(""))
            .with("sample", 100)
            .report(&mut wire, "compaction");
        assert_eq!((all(&mut wire, topic, 2), shape(&mut wire, topic)), before);

        let set = given("compaction.policy.option.")
            .set("compaction.policy", policy)
            .set("cleanup.policy", "compact")
            .set("min.cleanable.dirty.ratio", "0");
        wire.call("alter_topic", map! { "name" => topic, "set" => set })
            .unwrap();
        eventually("it is cleaned", || {
            let described = wire.describe_topic(topic);
            let mut partitions = described.get("partitions").list().iter();
            let cleaned = |partition: &Value| {
                let cleaning = partition.get("cleaning");
                cleaning.get("cleanings").u64() > 0
            };
            partitions.all(cleaned).then_some(())
        });
        let after = (all(&mut wire, topic, 2), shape(&mut wire, topic));
        let kept: BTreeSet<(u32, u64)> = after.0.iter().map(|(p, r)| (*p, r.offset)).collect();
        let gone: Vec<&(u32, Rec)> = before
            .0
            .iter()
            .filter(|(partition, record)| !kept.contains(&(*partition, record.offset)))
            .collect();
        assert!(!gone.is_empty(), "{policy}");
        assert_eq!(
            report.get("removed_records").u64(),
            gone.len() as u64,
            "{policy}"
        );
        let times = || gone.iter().map(|(_, record)| record.timestamp);
        assert_eq!(
            Some(report.get("oldest_ms").i64()),
            times().min(),
            "{policy}"
        );
        assert_eq!(
            Some(report.get("newest_ms").i64()),
            times().max(),
            "{policy}"
        );
        for (field, at) in [("bytes", 1), ("segments", 2)] {
            let sum = |shape: &[[u64; 3]]| shape.iter().map(|shape| shape[at]).sum::<u64>();
            let of = |when: &str| report.get(&format!("{field}_{when}")).u64();
            let told = of("before") - of("after");
            assert_eq!(
                told,
                sum(&before.1) - sum(&after.1),
                "{policy} {field}: {report:?}"
            );
        }
        let sample = report.get("sample").list().iter();
        let sample: BTreeSet<_> = sample
            .map(|sample| {
                let place = (sample.get("partition").u64(), sample.get("offset").u64());
                (place, sample.get("key").bytes())
            })
            .collect();
        let real = gone.iter().map(|(partition, record)| {
            ((u64::from(*partition), record.offset), record.key.clone())
        });
        assert_eq!(sample, real.collect(), "{policy}");
        let per_partition = report.get("partitions").list().iter();
        let per_partition = per_partition.map(|partition| partition.get("removed_records").u64());
        assert_eq!(per_partition.sum::<u64>(), gone.len() as u64);
    }
}

/// Every file of the data directory with its digest.
fn files(broker: &Broker) -> BTreeMap<PathBuf, String> {
    let entries = walkdir::WalkDir::new(broker.data_dir()).into_iter();
    let files = entries.map(|entry| entry.expect("it can be read"));
    files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let bytes = fs::read(entry.path()).expect("it can be read");
            (entry.into_path(), digest_of(&bytes))
        })
        .collect()
}

#[test]
fn a_dry_run_leaves_no_trace() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let config = [
        ("segment.bytes", "4KiB"),
        ("value.serializer", "json"),
        ("retention.ms", "-1"),
    ];
    wire.create_topic("t", 2, &config);
    let record = |n: u32| keyed(&format!("go{n}"), &format!("\"{}\"", "x".repeat(300)));
    for n in 0..60 {
        wire.produce_routed("t", vec![record(n), record(n)]);
    }
    let bad = fs::read(hostile_module()).expect("it was built");
    let options = |behaviour: &str| map! { "behaviour" => behaviour };
    wire.deploy("bad", &bad, map! { "options" => options("panic") })
        .unwrap();
    wire.produce("t", 0, vec![keyed("go", "1")]);
    let seen = |wire: &mut Wire| {
        let plugins = wire.call("list_plugins", map! {}).unwrap();
        let logs = wire.call("plugin_logs", map! { "name" => "bad" }).unwrap();
        let history = wire.call("plugin_history", map! { "name" => "bad" });
        (plugins, logs, history.unwrap(), wire.describe_topic("t"))
    };
    let before = (seen(&mut wire), files(&broker));
    for plugin in [
        "round-robin",
        "json",
        "string",
        "time-and-size",
        "latest-by-key",
    ] {
        let status = DryRun::of_plugin("t", plugin).end(&mut wire);
        assert_eq!(status.get("state").text(), "done", "{status:?}");
        let status = DryRun::of_module("t", shipped_module(plugin)).end(&mut wire);
        assert_eq!(status.get("state").text(), "done", "{status:?}");
    }
    // Plugins that crash, more often than is allowed to one that is at work.
    for _ in 0..4 {
        let status = DryRun::of_plugin("t", "bad").with("last", 1).end(&mut wire);
        assert_eq!(status.get("state").text(), "failed", "{status:?}");
        let error = status.get("error");
        assert_eq!(error.get("name").text(), "PLUGIN_TRAPPED", "{status:?}");
        let message = error.get("message").text();
        assert!(message.contains("roof is on fire"), "{message}");
        assert!(status.get("report").is_nil());
    }
    // The serializer answers the rows as they are, which is not MessagePack.
    for (kind, state) in [
        ("retention", "done"),
        ("compaction", "done"),
        ("serializer", "failed"),
    ] {
        let module = fs::read(hostile_sister(kind)).expect("it was built");
        let status = DryRun::of_module("t", &module).end(&mut wire);
        assert_eq!(status.get("state").text(), state, "{status:?}");
    }
    assert_eq!(seen(&mut wire), before.0);
    assert_eq!(files(&broker), before.1);
}

#[test]
fn a_run_can_be_cancelled_and_too_many_at_once_are_refused() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    for _ in 0..40 {
        wire.produce("t", 0, vec![keyed("key", "{\"a\": [1, 2, 3]}"); 2_000]);
    }
    let dry_run = DryRun::of_plugin("t", "json");
    let status = |wire: &mut Wire, run: &str, cancel: bool| {
        let args = map! { "run" => run, "cancel" => cancel };
        wire.call("dry_run_status", args).unwrap()
    };
    let mut runs = Vec::new();
    let error = eventually("too many are under way", || {
        match dry_run.start(&mut wire) {
            Ok(run) => {
                runs.push(run);
                None
            }
            Err(error) => Some(error),
        }
    });
    assert_eq!(error.name, "BUSY");
    assert!(error.retriable && error.definite, "{error:?}");
    let names: BTreeSet<&String> = runs.iter().collect();
    assert_eq!(names.len(), runs.len(), "each has a name of its own");
    let state = eventually("a run is cancelled before its end", || {
        let run = dry_run.start(&mut wire).ok()?;
        let first = status(&mut wire, &run, true);
        assert!(
            first.get("done").u64() <= first.get("total").u64(),
            "{first:?}"
        );
        assert_eq!(first.get("unit").text(), "records");
        let ended = eventually("the run ends", || {
            let now = status(&mut wire, &run, false);
            (now.get("state").text() != "running").then_some(now)
        });
        (ended.get("state").text() == "cancelled").then_some(ended)
    });
    assert!(
        state.get("report").is_nil() && state.get("error").is_nil(),
        "{state:?}"
    );
    for run in ["0", "99999", "", "x", "18446744073709551616"] {
        let error = wire.refused("dry_run_status", map! { "run" => run });
        assert_eq!(error.name, "DRY_RUN_NOT_FOUND", "{run}");
    }
}

#[test]
fn what_cannot_be_tried_is_refused_at_once() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let json = || DryRun::of_plugin("t", "json");
    let mut refused = |dry_run: DryRun| dry_run.start(&mut wire).expect_err("it is refused");
    let module = shipped_module("json");
    assert_eq!(
        refused(json().with("module", module)).name,
        "INVALID_REQUEST"
    );
    assert_eq!(
        refused(json().with("plugin", Value::Nil)).name,
        "INVALID_REQUEST"
    );
    assert_eq!(
        refused(json().with("slot", "partitioner")).name,
        "INVALID_REQUEST"
    );
    assert_eq!(
        refused(json().with("slot", "nothing")).name,
        "INVALID_REQUEST"
    );
    assert_eq!(
        refused(DryRun::of_plugin("t", "nobody")).name,
        "UNKNOWN_PLUGIN"
    );
    let error = refused(DryRun::of_plugin("u", "json"));
    assert_eq!(error.name, "UNKNOWN_TOPIC_OR_PARTITION");
    assert_eq!(
        refused(DryRun::of_module("t", b"\0asm")).name,
        "INVALID_PLUGIN"
    );
    let error = refused(DryRun::of_plugin("t", "newest-records"));
    assert!(error.message.contains("records is missing"), "{error:?}");
    let report = json().report(&mut wire, "serializer");
    assert_eq!(
        report.get("records").u64(),
        0,
        "an empty topic is no failure"
    );
}
