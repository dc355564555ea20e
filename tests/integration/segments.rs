//! Segments and indexes as they lie in the data directory.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Broker, Rec, Value, Wire, eventually, map, plain};

/// The base offset that a file's name says.
fn base_of(file: &Path) -> u64 {
    let name = file
        .file_stem()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    assert_eq!(name.len(), 20, "20 digits: {name}");
    name.parse().expect("digits")
}

/// A topic of small segments with `count` records of about 100 bytes, in batches of 5.
fn fill(wire: &mut Wire, topic: &str, segment_bytes: &str, count: u64) {
    wire.create_topic(
        topic,
        1,
        &[
            ("segment.bytes", segment_bytes),
            ("index.interval.bytes", "512"),
        ],
    );
    for start in (0..count).step_by(5) {
        let record = |n: u64| {
            Value::Array(vec![
                Value::Nil,
                Value::Bin(format!("{n} {}", "x".repeat(90)).into_bytes()),
                (10_000 + n).into(),
            ])
        };
        wire.produce(topic, 0, (start..start + 5).map(record).collect::<Vec<_>>());
    }
}

fn assert_complete(records: &[Rec], count: u64) {
    let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (0..count).collect::<Vec<_>>());
    assert!(
        records
            .iter()
            .all(|record| record.text().starts_with(&format!("{} ", record.offset)))
    );
}

#[test]
fn a_partition_is_a_directory_of_segments_named_by_their_first_offset() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    fill(&mut wire, "t", "4KiB", 200);
    let logs = broker.files("t", 0, "log");
    assert!(logs.len() >= 4, "{logs:?}");
    assert_eq!(base_of(&logs[0]), 0);
    for log in &logs {
        assert!(fs::metadata(log).expect("it is there").len() <= 4_096);
        assert!(
            log.with_extension("index").exists() && log.with_extension("timeindex").exists(),
            "{}",
            log.display()
        );
        let base = base_of(log);
        let fetched = wire
            .fetch("t", 0, base, map! { "form" => "batch", "max_bytes" => 1 })
            .unwrap();
        let batch = fetched.answer.get("batch").bytes().expect("bytes");
        assert_eq!(
            batch[..8],
            base.to_be_bytes(),
            "the file's first batch has the file's offset"
        );
        assert!(fs::read(log).expect("it is there").starts_with(&batch));
    }
    let described = wire.describe_topic("t");
    let partition = &described.get("partitions").list()[0];
    assert_eq!(
        partition.get("segments").u64(),
        u64::try_from(logs.len()).expect("fits")
    );
    let bytes: u64 = logs
        .iter()
        .map(|log| fs::metadata(log).expect("it is there").len())
        .sum();
    assert_eq!(partition.get("size_bytes").u64(), bytes);
}

#[test]
fn only_the_newest_segment_grows() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    fill(&mut wire, "t", "4KiB", 100);
    let sizes = |broker: &Broker| {
        broker
            .files("t", 0, "log")
            .iter()
            .map(|log| fs::metadata(log).expect("it is there").len())
            .collect::<Vec<_>>()
    };
    let before = sizes(&broker);
    wire.produce("t", 0, plain("x", 0..1));
    let after = sizes(&broker);
    let last = before.len() - 1;
    assert_eq!(before[..last], after[..last]);
    assert!(after.len() > before.len() || after[last] > before[last]);
}

#[test]
fn defaults_are_those_that_kafka_users_know() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let mut value = |kind: &str, name: &str, key: &str| {
        let resource = map! { "kind" => kind, "name" => name };
        let answer = wire
            .call("describe_configs", map! { "resource" => resource })
            .unwrap();
        let entries = answer.get("entries").list().to_vec();
        let entry = entries
            .into_iter()
            .find(|entry| entry.get("key").text() == key);
        let entry = entry.unwrap_or_else(|| panic!("{key} is not described"));
        assert!(!entry.get("documentation").text().is_empty(), "{key}");
        assert_eq!(entry.get("source").text(), "default", "{key}");
        entry.get("value").text().to_owned()
    };
    for (key, default) in [
        ("segment.bytes", "1073741824"),
        ("roll.ms", "604800000"),
        ("retention.ms", "604800000"),
        ("retention.bytes", "-1"),
        ("flush.mode", "sync"),
        ("message.max.bytes", "1048576"),
        ("message.timestamp.type", "CreateTime"),
        ("partitioner", "key-hash"),
    ] {
        assert_eq!(value("topic", "t", key), default, "{key}");
    }
    for (key, default) in [
        ("log.segment.bytes", "1073741824"),
        ("log.roll.ms", "604800000"),
        ("log.retention.ms", "604800000"),
        ("log.retention.bytes", "-1"),
        ("log.retention.check.interval.ms", "300000"),
        ("default.replication.factor", "1"),
    ] {
        assert_eq!(value("broker", "", key), default, "{key}");
    }
}

#[test]
fn a_segment_is_rolled_by_age_without_being_full() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("roll.ms", "300ms")]);
    wire.produce("t", 0, plain("x", 0..3));
    eventually("the segment is rolled", || {
        (broker.files("t", 0, "log").len() == 2).then_some(())
    });
    assert_eq!(base_of(&broker.files("t", 0, "log")[1]), 3);
    assert_eq!(wire.produce("t", 0, plain("y", 0..1)), 3);
    assert_eq!(wire.read_all("t", 0).len(), 4);
}

#[test]
fn a_shorter_age_counts_for_the_segment_that_is_open() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    wire.produce("t", 0, plain("x", 0..3));
    wire.call(
        "alter_topic",
        map! { "name" => "t", "set" => map! { "roll.ms" => "200ms" } },
    )
    .unwrap();
    eventually("the segment is rolled", || {
        (broker.files("t", 0, "log").len() == 2).then_some(())
    });
}

#[test]
fn indexes_that_are_missing_or_damaged_are_made_again() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    fill(&mut wire, "t", "8KiB", 400);
    // Those of the active segment come and go with it; those of sealed ones stay.
    let indexes = |broker: &Broker| -> Vec<PathBuf> {
        let logs = broker.files("t", 0, "log");
        let active = base_of(logs.last().expect("there is one"));
        let all = [
            broker.files("t", 0, "index"),
            broker.files("t", 0, "timeindex"),
        ]
        .concat();
        all.into_iter()
            .filter(|file| base_of(file) < active)
            .collect()
    };
    let all = indexes(&broker);
    assert!(all.len() >= 8, "{all:?}");
    let damages: [fn(&Path); 4] = [
        |file| fs::remove_file(file).expect("it is there"),
        |file| {
            let mut bytes = fs::read(file).expect("it is there");
            bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
            fs::write(file, bytes).expect("it can be written");
        },
        |file| fs::write(file, b"").expect("it can be written"),
        |file| {
            let bytes = fs::read(file).expect("it is there");
            fs::write(file, [&bytes[..bytes.len() / 2], &[7; 5]].concat())
                .expect("it can be written");
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        if number % 2 == 0 {
            broker.stop()
        } else {
            broker.kill()
        }
        all.iter().for_each(|file| damage(file));
        broker.start_again();
        let mut wire = broker.connect();
        assert_complete(&wire.read_all("t", 0), 400);
        for start in [1, 137, 399] {
            assert_eq!(
                wire.fetch("t", 0, start, map! {}).unwrap().records()[0].offset,
                start
            );
            let time = i64::try_from(10_000 + start).expect("fits");
            assert_eq!(wire.offset_at("t", 0, time), Some(start), "damage {number}");
        }
        assert_eq!(
            indexes(&broker),
            all,
            "damage {number}: every index is there again"
        );
    }
}

#[test]
fn the_last_committed_offset_is_kept_in_a_file() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    wire.produce("t", 0, plain("x", 0..25));
    let file = broker.data_dir().join("replication-offset-checkpoint");
    let saved = |file: &Path| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("t 0 ").map(str::to_owned))?;
        line.parse::<u64>().ok()
    };
    let checkpoint = eventually("the checkpoint has the partition", || {
        saved(&file).filter(|offset| *offset > 0)
    });
    assert_eq!(checkpoint, 25);
    wire.produce("t", 0, plain("y", 0..5));
    broker.crash();
    let high_watermark = broker
        .connect()
        .offset_at("t", 0, "latest")
        .expect("there is one");
    assert!(
        (checkpoint..=30).contains(&high_watermark),
        "{high_watermark}"
    );
    broker.stop();
    assert_eq!(saved(&file), Some(30), "a clean stop saves the last one");
}

#[test]
fn the_whole_log_is_where_log_dirs_says() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    wire.produce("t", 0, plain("x", 0..3));
    let described = wire.call("describe_cluster", map! {}).unwrap();
    let dirs = described.get("brokers").list()[0]
        .get("log_dirs")
        .list()
        .to_vec();
    assert_eq!(dirs.len(), 1);
    assert_eq!(
        dirs[0].get("path").text(),
        broker.data_dir().display().to_string()
    );
    assert_eq!(dirs[0].get("state").text(), "online");
    assert!(dirs[0].get("free_bytes").u64() > 0);
    let outside = fs::read_dir(broker.home()).expect("it is there").flatten();
    let mut outside: Vec<String> = outside
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    outside.sort();
    assert_eq!(outside, ["data", "log"], "nothing else was written");
}

#[test]
fn reading_costs_no_memory_that_grows_with_the_log() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic(
        "t",
        1,
        &[("flush.mode", "async"), ("segment.bytes", "16MiB")],
    );
    let record = Value::Array(vec![Value::Nil, Value::Bin(vec![b'x'; 1_000_000])]);
    for _ in 0..128 {
        wire.produce("t", 0, vec![record.clone()]);
    }
    broker.stop();
    broker.start_again();
    let mut wire = broker.connect();
    wire.fetch("t", 0, 0, map! {}).unwrap();
    let before = broker.resident_mib();
    for form in ["batch", "records"] {
        let mut offset = 0;
        while offset < 128 {
            offset = wire
                .fetch("t", 0, offset, map! { "form" => form })
                .unwrap()
                .offset("next_offset");
        }
    }
    let grown = broker.resident_mib().saturating_sub(before);
    assert!(grown < 64, "reading 128 MB twice cost {grown} MiB");
}
