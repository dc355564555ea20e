//! Dry runs: what they foretell is what then happens, and while they run nothing else does. Each kind's
//! answer is held against the real thing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use crate::harness::{
    Broker, DryRun, Rec, Setup, Value, Wire, config_of, custom_partitioner, eventually,
    hostile_module, keyed, map, opaque, shipped_module, valued,
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
fn batches_without_keys_go_in_a_dry_run_where_produce_sends_them() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 3, &[]);
    let keyless = || vec![valued("without a key"); 4];
    wire.produce("t", 1, keyless());
    wire.produce("t", 1, [keyless(), vec![keyed("k", "with one")]].concat());
    // As a whole it sends them to the last partition, record by record to the first one.
    let module = fs::read(hostile_module()).expect("it was built");
    let options = map! { "behaviour" => "keyless-apart" };
    let dry_run = DryRun::of_module("t", &module).with("options", options);
    let report = dry_run.report(&mut wire, "partitioner");
    assert_eq!(numbers(report.get("before")), [0, 9, 0]);
    assert_eq!(numbers(report.get("after")), [5, 0, 4]);

    wire.deploy("apart", &module, map! {}).unwrap();
    let configuration = [
        ("partitioner", "apart"),
        ("partitioner.option.behaviour", "keyless-apart"),
    ];
    wire.create_topic("again", 3, &configuration);
    let placed = wire.produce_routed("again", keyless());
    assert_eq!(placed.iter().map(|at| at.0).collect::<Vec<_>>(), [2; 4]);
    let mut partition_for = |keys: Vec<Value>| {
        let args = map! { "topic" => "again", "keys" => keys };
        let answer = wire.call("partition_for", args).unwrap();
        numbers(answer.get("partitions"))
    };
    assert_eq!(partition_for(vec![Value::Nil; 2]), [2, 2]);
    assert_eq!(partition_for(vec![Value::Nil, (&b"k"[..]).into()]), [0, 0]);
    assert_eq!(partition_for(Vec::new()), Vec::<u64>::new());
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

/// What is left of a topic after what a report about retention says.
fn foretold(report: &Value, before: &[[u64; 3]]) -> Vec<[u64; 3]> {
    let mut expected = before.to_vec();
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
    for (field, at) in [("records", 0), ("bytes", 1), ("segments", 2)] {
        let pairs = before.iter().zip(&expected);
        let sum: u64 = pairs.map(|(a, b)| a[at].abs_diff(b[at])).sum();
        assert_eq!(report.get(field).u64(), sum, "{report:?}");
    }
    expected
}

#[test]
fn a_retention_policy_deletes_what_the_dry_run_said() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let config = [
        ("segment.bytes", "4KiB"),
        ("retention.ms", "1h"),
        ("retention.policy", "newest-records"),
        ("retention.policy.option.records", "9999"),
    ];
    let cases = [
        ("a", "newest-records", Some(("records", "10"))),
        ("b", "keep-at-least", Some(("keep.bytes", "9KiB"))),
        ("c", "time-and-size", None),
        ("d", "newest-records", Some(("records", "500"))),
    ];
    for (topic, policy, option) in cases {
        wire.create_topic(topic, 3, &config);
        fill(&mut wire, topic, 0, 40);
        fill(&mut wire, topic, 1, 17);
        let before = shape(&mut wire, topic);
        let (mut options, mut set) = (map! {}, map! { "retention.policy" => policy });
        let mut unset = vec!["retention.policy.option.records"];
        if let Some((name, value)) = option {
            options = options.set(name, value);
            let key = format!("retention.policy.option.{name}");
            unset.retain(|other| *other != key);
            set = set.set(&key, value);
        }
        let dry_run = DryRun::of_module(topic, shipped_module(policy)).with("options", options);
        let report = dry_run.report(&mut wire, "retention");
        assert_eq!(shape(&mut wire, topic), before, "nothing has happened");
        let expected = foretold(&report, &before);
        assert_eq!(expected == before, topic == "d", "{policy}: {report:?}");
        let args = map! { "name" => topic, "set" => set, "unset" => unset };
        wire.call("alter_topic", args).unwrap();
        eventually("what was foretold happens", || {
            (shape(&mut wire, topic) == expected).then_some(())
        });
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(shape(&mut wire, topic), expected, "{policy}: and no more");
    }
}

/// The topic's records, and its shape.
type State = (Vec<(u32, Rec)>, Vec<[u64; 3]>);

fn state(wire: &mut Wire, topic: &str) -> State {
    (all(wire, topic, 2), shape(wire, topic))
}

/// Asserts that a report about compaction tells what became of a topic.
fn assert_foretold(report: &Value, before: &State, after: &State) {
    let kept: BTreeSet<(u32, u64)> = after.0.iter().map(|(p, r)| (*p, r.offset)).collect();
    let records = before.0.iter();
    let gone: Vec<&(u32, Rec)> = records
        .filter(|(partition, record)| !kept.contains(&(*partition, record.offset)))
        .collect();
    assert!(!gone.is_empty());
    let count = gone.len() as u64;
    assert_eq!(report.get("removed_records").u64(), count, "{report:?}");
    let times = || gone.iter().map(|(_, record)| record.timestamp);
    let told = ["oldest_ms", "newest_ms"].map(|field| report.get(field).i64());
    assert_eq!(Some(told[0]), times().min());
    assert_eq!(Some(told[1]), times().max());
    for (field, at) in [("bytes", 1), ("segments", 2)] {
        let sum = |state: &State| state.1.iter().map(|shape| shape[at]).sum::<u64>();
        let of = |when: &str| report.get(&format!("{field}_{when}")).u64();
        let (told, real) = (of("before") - of("after"), sum(before) - sum(after));
        assert_eq!(told, real, "{field}: {report:?}");
    }
    let sample = report.get("sample").list().iter();
    let sample: BTreeSet<_> = sample
        .map(|sample| {
            let place = (sample.get("partition").u64(), sample.get("offset").u64());
            (place, sample.get("key").bytes())
        })
        .collect();
    let real = gone.iter().map(|(partition, record)| {
        let place = (u64::from(*partition), record.offset);
        (place, record.key.clone())
    });
    assert_eq!(sample, real.collect());
    let partitions = report.get("partitions").list().iter();
    let sum: u64 = partitions.map(|p| p.get("removed_records").u64()).sum();
    assert_eq!(sum, count);
}

/// The same answer twice: what was written last counts as durable by then.
fn settled(wire: &mut Wire, dry_run: &DryRun) -> Value {
    let mut last = Value::Nil;
    eventually("the report stays the same", || {
        let report = dry_run.report(wire, "compaction");
        let is_same = report == last;
        std::thread::sleep(Duration::from_millis(50));
        last = report;
        is_same.then(|| last.clone())
    })
}

#[test]
fn a_compaction_removes_what_the_dry_run_said() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let config = [("segment.bytes", "4KiB"), ("retention.ms", "-1")];
    let sampling = [("keep", "4"), ("older.than", "1h")];
    let cases: [(&str, &[(&str, &str)]); 3] = [
        ("latest-by-key", &[]),
        ("keep-last-n", &[("n", "3")]),
        ("sample-old", &sampling),
    ];
    for (policy, options) in cases {
        wire.create_topic(policy, 2, &config);
        for partition in 0..2 {
            fill(&mut wire, policy, partition, 30);
            let tombstone = Value::Array(vec![(&b"k3"[..]).into(), Value::Nil, 77.into()]);
            wire.produce(policy, partition, vec![tombstone]);
            fill(&mut wire, policy, partition, 12);
        }
        let before = state(&mut wire, policy);
        let dry_run = DryRun::of_plugin(policy, policy)
            .with("options", config_of(options))
            .with("sample", 100);
        let report = settled(&mut wire, &dry_run);
        assert_eq!(state(&mut wire, policy), before, "nothing has happened");
        let mut set = map! {
            "compaction.policy" => policy,
            "cleanup.policy" => "compact",
            "min.cleanable.dirty.ratio" => "0",
        };
        for (name, value) in options {
            set = set.set(&format!("compaction.policy.option.{name}"), *value);
        }
        wire.call("alter_topic", map! { "name" => policy, "set" => set })
            .unwrap();
        eventually("it is cleaned", || {
            let described = wire.describe_topic(policy);
            let mut partitions = described.get("partitions").list().iter();
            let cleanings = |p: &Value| p.get("cleaning").get("cleanings").u64();
            partitions.all(|p| cleanings(p) > 0).then_some(())
        });
        assert_foretold(&report, &before, &state(&mut wire, policy));
    }
}
