//! Compaction from outside: which records go, which stay and where, when it starts, and that whatever a
//! crash interrupts, nothing is lost or comes back.

use std::collections::BTreeMap;

use crate::harness::{Broker, Rec, Setup, Value, Wire, eventually, keyed, map};

/// Looks for something to clean every 50 ms.
fn quick() -> Setup {
    Setup::new()
        .option("log.cleaner.backoff.ms", "50")
        .option("log.retention.check.interval.ms", "50")
}

const COMPACT: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("segment.bytes", "4KiB")];

fn compacted(wire: &mut Wire, name: &str, more: &[(&str, &str)]) {
    let config = [&COMPACT[..], more].concat();
    wire.create_topic(name, 1, &config);
}

/// How the cleaning of the partition stands, as `describe_topic` shows it.
fn described(wire: &mut Wire, topic: &str) -> Value {
    let partition = wire.describe_topic(topic).get("partitions").list()[0].clone();
    partition.get("cleaning").clone()
}

/// Waits until nothing is left to clean.
fn cleaned(wire: &mut Wire, topic: &str) -> Value {
    eventually("the log is cleaned", || {
        let partition = described(wire, topic);
        let clean = partition.get("cleanings").u64() > 0 && partition.get("dirty_bytes").u64() == 0;
        clean.then_some(partition)
    })
}

fn latest(records: &[Rec]) -> BTreeMap<Vec<u8>, (u64, Option<Vec<u8>>)> {
    let entry = |record: &Rec| {
        let key = record.key.clone().expect("keyed");
        (key, (record.offset, record.value.clone()))
    };
    records.iter().map(entry).collect()
}

#[test]
fn the_newest_record_of_each_key_stays_with_its_offset() {
    let broker = quick().start();
    let mut wire = broker.connect();
    compacted(&mut wire, "t", &[("min.cleanable.dirty.ratio", "0.01")]);
    let mut written = Vec::new();
    for version in 0..100 {
        for key in 0..10 {
            let record = keyed(&format!("k{key}"), &format!("{version:040}"));
            wire.produce("t", 0, vec![record]);
        }
        if version == 50 {
            written = wire.read_all("t", 0);
        }
    }
    let partition = cleaned(&mut wire, "t");
    let after = wire.read_all("t", 0);
    let boundary = partition.get("first_dirty").u64();
    assert!(boundary > 0, "{partition:?}");
    let tail: Vec<&Rec> = after
        .iter()
        .filter(|record| record.offset < boundary)
        .collect();
    let mut keys: Vec<_> = tail.iter().map(|record| record.key.clone()).collect();
    keys.sort();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count, "no key twice in the clean part");
    assert!(after.len() < 300, "{} records are left", after.len());
    for (key, (offset, value)) in latest(&after) {
        assert!(offset >= 990, "{key:?}");
        assert_eq!(value, Some(format!("{:040}", 99).into_bytes()));
    }
    let before: BTreeMap<u64, Rec> = written.into_iter().map(|rec| (rec.offset, rec)).collect();
    for record in &after {
        if let Some(known) = before.get(&record.offset) {
            assert_eq!(record, known, "what stays is not changed");
        }
    }
    // The active segment is not touched: every record above the boundary is there.
    let above: Vec<u64> = after
        .iter()
        .map(|record| record.offset)
        .filter(|offset| *offset >= boundary)
        .collect();
    assert_eq!(above, (boundary..1_000).collect::<Vec<_>>());
    // A fetch from inside a gap goes on at the next record.
    let fetched = wire.fetch("t", 0, 1, map! {}).unwrap();
    assert!(fetched.records().is_empty() || fetched.records()[0].offset >= 1);
    assert!(fetched.offset("next_offset") > 1);
}

#[test]
fn tombstones_go_after_their_time_and_not_before() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let soon = [
        ("min.cleanable.dirty.ratio", "0"),
        ("delete.retention.ms", "0"),
    ];
    let later = [
        ("min.cleanable.dirty.ratio", "0"),
        ("delete.retention.ms", "1h"),
    ];
    compacted(&mut wire, "soon", &soon);
    compacted(&mut wire, "later", &later);
    for topic in ["soon", "later"] {
        wire.produce(topic, 0, vec![keyed("gone", "value")]);
        let tombstone = Value::Array(vec![(&b"gone"[..]).into(), Value::Nil]);
        wire.produce(topic, 0, vec![tombstone]);
    }
    let fill = |wire: &mut Wire, topic: &str| {
        for n in 0..60 {
            let value = "x".repeat(200);
            wire.produce(topic, 0, vec![keyed(&format!("k{}", n % 5), &value)]);
        }
    };
    let gone = |wire: &mut Wire, topic: &str| -> Vec<Rec> {
        let all = wire.read_all(topic, 0);
        all.into_iter()
            .filter(|record| record.key == Some(b"gone".to_vec()))
            .collect()
    };
    for topic in ["soon", "later"] {
        fill(&mut wire, topic);
        cleaned(&mut wire, topic);
    }
    let kept = gone(&mut wire, "later");
    assert_eq!(kept.len(), 1, "the tombstone stays: {kept:?}");
    assert_eq!(kept[0].value, None);
    eventually("the tombstone goes", || {
        fill(&mut wire, "soon");
        gone(&mut wire, "soon").is_empty().then_some(())
    });
    fill(&mut wire, "later");
    cleaned(&mut wire, "later");
    assert_eq!(gone(&mut wire, "later").len(), 1);
}

#[test]
fn the_dirty_ratio_decides_when_it_starts() {
    let broker = quick().start();
    let mut wire = broker.connect();
    // The first cleaning may come when there is one segment to clean: most of all is dirty then.
    compacted(&mut wire, "t", &[("min.cleanable.dirty.ratio", "0.95")]);
    for n in 0..60 {
        wire.produce("t", 0, vec![keyed(&format!("k{n}"), &"x".repeat(200))]);
    }
    // Nothing was ever cleaned: all of it is dirty.
    eventually("the log is cleaned", || {
        (described(&mut wire, "t").get("cleanings").u64() > 0).then_some(())
    });
    let cleanings = described(&mut wire, "t").get("cleanings").u64();
    for n in 0..60 {
        wire.produce("t", 0, vec![keyed(&format!("k{n}"), &"x".repeat(200))]);
    }
    let partition = eventually("the ratio is told", || {
        let partition = described(&mut wire, "t");
        (partition.get("dirty_bytes").u64() > 0).then_some(partition)
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(
        described(&mut wire, "t").get("cleanings").u64(),
        cleanings,
        "{partition:?}"
    );
    let set = map! { "min.cleanable.dirty.ratio" => "0.3" };
    wire.call("alter_topic", map! { "name" => "t", "set" => set })
        .unwrap();
    eventually("it is cleaned again", || {
        let partition = described(&mut wire, "t");
        (partition.get("cleanings").u64() > cleanings).then_some(())
    });
}

#[test]
fn compaction_and_deletion_work_together() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let config = [
        ("cleanup.policy", "delete,compact"),
        ("segment.bytes", "4KiB"),
        ("retention.bytes", "0"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    wire.create_topic("t", 1, &config);
    for n in 0..200 {
        wire.produce(
            "t",
            0,
            vec![keyed(&format!("k{}", n % 7), &"x".repeat(200))],
        );
    }
    eventually("all but the last segment go", || {
        (wire.offset_at("t", 0, "earliest") > Some(185)).then_some(())
    });
    let records = wire.read_all("t", 0);
    assert_eq!(records.last().map(|record| record.offset), Some(199));
}

#[test]
fn a_kill_in_the_middle_of_compaction_loses_and_revives_nothing() {
    let mut broker = quick().option("log.cleaner.backoff.ms", "1").start();
    let mut wire = broker.connect();
    compacted(&mut wire, "t", &[("min.cleanable.dirty.ratio", "0")]);
    let mut expected: BTreeMap<Vec<u8>, (u64, Option<Vec<u8>>)> = BTreeMap::new();
    let mut gone_below: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for round in 0..15_u32 {
        for n in 0..60 {
            let key = format!("k{}", (n * 7 + round) % 11);
            let value = format!("{round}-{n}-{}", "x".repeat(150));
            let offset = wire.produce("t", 0, vec![keyed(&key, &value)]);
            expected.insert(key.into_bytes(), (offset, Some(value.into_bytes())));
        }
        std::thread::sleep(std::time::Duration::from_millis(u64::from(round * 7 % 40)));
        broker.crash();
        wire = broker.connect();
        let records = wire.read_all("t", 0);
        let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
        assert!(
            offsets.is_sorted_by(|a, b| a < b),
            "round {round}: {offsets:?}"
        );
        assert_eq!(latest(&records), expected, "round {round}");
        for record in &records {
            let key = record.key.clone().expect("keyed");
            let known = gone_below.entry(key).or_insert(0);
            assert!(
                record.offset >= *known,
                "round {round}: a removed record came back"
            );
        }
        let first = |key: &Vec<u8>| {
            records
                .iter()
                .find(|record| record.key.as_ref() == Some(key))
        };
        for (key, below) in &mut gone_below {
            *below = first(key).map_or(*below, |record| record.offset);
        }
    }
    assert!(wire.read_all("t", 0).len() < 800, "something was compacted");
}

#[test]
fn another_compaction_plugin_decides_otherwise() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let config = [
        ("min.cleanable.dirty.ratio", "0"),
        ("compaction.policy", "newest-by-header"),
        ("compaction.policy.option.header", "version"),
    ];
    compacted(&mut wire, "t", &config);
    let record = |key: &str, version: u64| {
        let header = Value::Array(vec![
            "version".into(),
            version.to_string().as_bytes().into(),
        ]);
        Value::Array(vec![
            key.as_bytes().into(),
            format!("v{version}-{}", "x".repeat(200)).as_bytes().into(),
            Value::Nil,
            vec![header].into(),
        ])
    };
    // The newest version comes first, the oldest last.
    for version in (1..=30_u64).rev() {
        wire.produce("t", 0, vec![record("a", version)]);
    }
    for n in 0..30 {
        wire.produce("t", 0, vec![record(&format!("fill{n}"), 1)]);
    }
    cleaned(&mut wire, "t");
    let records = wire.read_all("t", 0);
    let a: Vec<String> = records
        .iter()
        .filter(|record| record.key == Some(b"a".to_vec()))
        .map(Rec::text)
        .collect();
    assert_eq!(a.len(), 1, "{} records", records.len());
    assert!(a[0].starts_with("v30-"), "{a:?}");
}

#[test]
fn the_last_three_of_each_key_stay_over_many_cleanings() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let config = [
        ("min.cleanable.dirty.ratio", "0"),
        ("compaction.policy", "keep-last-n"),
        ("compaction.policy.option.n", "3"),
    ];
    compacted(&mut wire, "t", &config);
    let key = |number: u64| format!("k{}", number % 7);
    let mut written = 0;
    for round in 1..=3_u64 {
        for number in written..written + 100 {
            let record = keyed(&key(number), &format!("{number:0>150}"));
            wire.produce("t", 0, vec![record]);
        }
        written += 100;
        // What is read belongs to this boundary if no cleaning ended meanwhile.
        let (boundary, offsets) = eventually("the new records are cleaned", || {
            let before = described(&mut wire, "t");
            let records = wire.read_all("t", 0);
            let same = before.get("cleanings") == described(&mut wire, "t").get("cleanings");
            let boundary = before.get("first_dirty").u64();
            let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
            (same && boundary > written - 100).then_some((boundary, offsets))
        });
        let last_three = (0..written).filter(|number| *number + 21 >= boundary);
        assert_eq!(offsets, last_three.collect::<Vec<_>>(), "round {round}");
    }
}

#[test]
fn other_policies_are_refused() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    for policy in ["compacted", "delete;compact", ""] {
        let args = map! { "name" => "t", "partitions" => 1, "config" => map! { "cleanup.policy" => policy } };
        let error = wire.refused("create_topic", args);
        assert_eq!(error.name, "INVALID_CONFIG", "{policy:?}: {error:?}");
    }
    for (policy, shown) in [
        ("compact", "compact"),
        ("delete", "delete"),
        ("delete,compact", "compact,delete"),
    ] {
        let name = policy.replace(',', "-");
        wire.create_topic(&name, 1, &[("cleanup.policy", policy)]);
        let described = wire.describe_topic(&name);
        let entries = described.get("config").list();
        let entry = entries
            .iter()
            .find(|entry| entry.get("key").text() == "cleanup.policy");
        assert_eq!(entry.expect("it is listed").get("value").text(), shown);
    }
}
