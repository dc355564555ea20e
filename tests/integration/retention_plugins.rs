//! Retention by other plugins than the default one: floors that hold whatever the limits say, numbers of
//! records, and deletion beside compaction.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Broker, Rec, Setup, Value, Wire, eventually, map};

fn quick() -> Setup {
    Setup::new()
        .option("log.cleaner.backoff.ms", "50")
        .option("log.retention.check.interval.ms", "50")
}

fn minutes_ago(minutes: i64) -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(since.as_millis()).expect("fits") - minutes * 60_000
}

/// Appends a batch of about 1,000 bytes.
fn append(wire: &mut Wire, topic: &str, key: &str, timestamp: i64) -> u64 {
    let record = Value::Array(vec![
        key.as_bytes().into(),
        Value::Bin(vec![b'x'; 900]),
        timestamp.into(),
    ]);
    wire.produce(topic, 0, vec![record])
}

fn size(wire: &mut Wire, topic: &str) -> u64 {
    let described = wire.describe_topic(topic);
    described.get("partitions").list()[0]
        .get("size_bytes")
        .u64()
}

fn segments(broker: &Broker, topic: &str) -> usize {
    broker.files(topic, 0, "log").len()
}

/// Every record; none if some were deleted meanwhile.
fn undisturbed(wire: &mut Wire) -> Option<Vec<Rec>> {
    let start = wire.offset_at("t", 0, "earliest")?;
    let (records, error) = wire.read_until_error("t", 0, start);
    error.is_none().then_some(records)
}

fn kept(wire: &mut Wire) -> Option<Vec<u64>> {
    let records = undisturbed(wire)?.into_iter();
    Some(records.map(|record| record.offset).collect())
}

const LIMITS: [(&str, &str); 2] = [("segment.bytes", "4KiB"), ("retention.ms", "1h")];

fn with(wire: &mut Wire, topic: &str, more: &[(&str, &str)]) {
    wire.create_topic(topic, 1, &[&LIMITS[..], more].concat());
}

#[test]
fn a_floor_keeps_what_the_age_alone_would_delete() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let policy = ("retention.policy", "keep-at-least");
    with(&mut wire, "alone", &[]);
    with(
        &mut wire,
        "bytes",
        &[policy, ("retention.policy.option.keep.bytes", "20KiB")],
    );
    with(
        &mut wire,
        "hours",
        &[policy, ("retention.policy.option.keep.ms", "2h")],
    );
    let topics = ["alone", "bytes", "hours"];
    for number in 0..60 {
        for topic in topics {
            let age = if number < 20 { 180 } else { 90 };
            append(&mut wire, topic, "k", minutes_ago(age));
        }
    }
    eventually("the age alone deletes all but the active segment", || {
        (segments(&broker, "alone") == 1).then_some(())
    });
    let floor = 20 << 10;
    let left = eventually("what is above the floor goes", || {
        Some(size(&mut wire, "bytes")).filter(|size| *size < floor + (4 << 10))
    });
    assert!(left >= floor, "{left}");
    let start = eventually("what is older than two hours goes", || {
        wire.offset_at("hours", 0, "earliest")
            .filter(|start| *start > 0)
    });
    assert!(start > 12 && start <= 20, "{start}");
    // The checks go on, and nothing more goes.
    let probe = ["bytes", "hours"].map(|topic| size(&mut wire, topic));
    with(&mut wire, "probe", &[]);
    for _ in 0..20 {
        append(&mut wire, "probe", "k", 1_000);
    }
    eventually("a check was made", || {
        (segments(&broker, "probe") == 1).then_some(())
    });
    assert_eq!(
        ["bytes", "hours"].map(|topic| size(&mut wire, topic)),
        probe
    );
    for topic in topics {
        let last = wire.read_all(topic, 0).last().map(|record| record.offset);
        assert_eq!(last, Some(59), "{topic}");
    }
}

#[test]
fn the_newest_records_stay_however_old_they_are() {
    let mut broker = quick().start();
    let mut wire = broker.connect();
    let policy = [
        ("retention.policy", "newest-records"),
        ("retention.policy.option.records", "10"),
    ];
    with(&mut wire, "t", &policy);
    for _ in 0..40 {
        append(&mut wire, "t", "k", 1_000);
    }
    let left = eventually("what is older goes", || {
        kept(&mut wire).filter(|left| left.len() < 10 + 5)
    });
    assert!(left.len() >= 10 && left.last() == Some(&39), "{left:?}");
    wire.alter("t", &[("retention.policy.option.records", "25")]);
    for _ in 0..40 {
        append(&mut wire, "t", "k", 1_000);
    }
    let left = eventually("more is kept from now on", || {
        kept(&mut wire).filter(|left| left.len() < 25 + 5)
    });
    assert!(left.len() >= 25 && left.last() == Some(&79), "{left:?}");
    broker.crash();
    let mut wire = broker.connect();
    let left = eventually("it can be read", || kept(&mut wire));
    assert!(left.len() >= 25 && left.last() == Some(&79), "{left:?}");
    let wrong = map! { "retention.policy" => "newest-records" };
    let args = map! { "name" => "u", "config" => wrong };
    let error = broker.connect().refused("create_topic", args);
    assert!(error.message.contains("records is missing"), "{error:?}");
}

#[test]
fn deletion_by_a_plugin_and_compaction_go_on_beside_each_other() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let config = [
        ("cleanup.policy", "compact,delete"),
        ("min.cleanable.dirty.ratio", "0"),
        ("retention.policy", "keep-at-least"),
        ("retention.policy.option.keep.ms", "2h"),
    ];
    with(&mut wire, "t", &config);
    for number in 0..20 {
        append(&mut wire, "t", &format!("old{number}"), minutes_ago(300));
    }
    let mut newest = BTreeMap::new();
    for number in 0..200 {
        let key = format!("young{}", number % 7);
        let offset = append(&mut wire, "t", &key, minutes_ago(90));
        newest.insert(key.into_bytes(), offset);
    }
    let key = |record: &Rec| record.key.clone().expect("keyed");
    let left = eventually("old ones are deleted and young ones compacted", || {
        let left = undisturbed(&mut wire)?;
        let old = left.iter().any(|record| record.offset < 16);
        (!old && left.len() < 25).then_some(left)
    });
    let found: BTreeMap<_, _> = left
        .iter()
        .map(|record| (key(record), record.offset))
        .collect();
    for (key, offset) in newest {
        assert_eq!(found.get(&key), Some(&offset), "{key:?}");
    }
    assert!(wire.offset_at("t", 0, "earliest") >= Some(16));
}
