//! Retention: which segments go, when, and which never do. Ages come from the records' own timestamps,
//! so that no test waits for time to pass.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::{Broker, Setup, Value, Wire, eventually, map};

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(since.as_millis()).expect("fits")
}

/// Checks for what may go every 50 ms.
fn quick() -> Setup {
    Setup::new().option("log.retention.check.interval.ms", "50")
}

/// Appends one batch of about 1,000 bytes with this timestamp.
fn append(wire: &mut Wire, topic: &str, timestamp: i64) -> u64 {
    let record = Value::Array(vec![
        Value::Nil,
        Value::Bin(vec![b'x'; 900]),
        timestamp.into(),
    ]);
    wire.produce(topic, 0, vec![record])
}

/// First offsets of the segments on disk.
fn bases(broker: &Broker, topic: &str) -> Vec<u64> {
    let files = broker.files(topic, 0, "log");
    let stems = files.iter().map(|file| {
        file.file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    });
    stems.map(|stem| stem.parse().expect("digits")).collect()
}

#[test]
fn old_segments_go_and_the_active_one_never_does() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let config = [("segment.bytes", "4KiB"), ("retention.ms", "1h")];
    wire.create_topic("many", 1, &config);
    wire.create_topic("one", 1, &config);
    for _ in 0..20 {
        append(&mut wire, "many", 1_000);
    }
    append(&mut wire, "one", 1_000);
    let left = eventually("old segments go", || {
        let bases = bases(&broker, "many");
        (bases.len() == 1).then_some(bases)
    });
    // Deleted by whole segments: the log starts where a segment starts.
    assert_eq!(wire.offset_at("many", 0, "earliest"), Some(left[0]));
    assert!(left[0] > 0 && left[0] < 20);
    assert_eq!(
        wire.read_all("many", 0).len(),
        usize::try_from(20 - left[0]).expect("fits")
    );
    // By then the other topic was looked at as well, and its only segment is the active one.
    assert_eq!(wire.read_all("one", 0).len(), 1);
    assert_eq!(
        wire.fetch("many", 0, 0, map! {}).unwrap_err().name,
        "OFFSET_OUT_OF_RANGE"
    );
    for extension in ["index", "timeindex"] {
        let files = broker.files("many", 0, extension);
        assert!(
            files.iter().all(|file| file.with_extension("log").exists()),
            "{files:?} outlive their segments"
        );
    }
}

#[test]
fn what_is_deleted_stays_deleted_after_a_crash() {
    let mut broker = quick().start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "4KiB"), ("retention.ms", "1h")]);
    for _ in 0..10 {
        append(&mut wire, "t", 1_000);
    }
    eventually("old segments go", || {
        (bases(&broker, "t").len() == 1).then_some(())
    });
    let start = wire.offset_at("t", 0, "earliest");
    broker.crash();
    let mut wire = broker.connect();
    assert_eq!(wire.offset_at("t", 0, "earliest"), start);
    assert_eq!(
        append(&mut wire, "t", now_ms()),
        10,
        "offsets are not given out twice"
    );
}

#[test]
fn a_young_record_keeps_its_whole_segment_and_all_that_follow() {
    let broker = quick().start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "4KiB"), ("retention.ms", "1h")]);
    // Four batches a segment. The third segment has one young record among old ones.
    for number in 0..24 {
        append(&mut wire, "t", if number == 9 { now_ms() } else { 1_000 });
    }
    let before = bases(&broker, "t");
    let holder = *before
        .iter()
        .rfind(|base| **base <= 9)
        .expect("a segment holds it");
    assert!(holder > 0, "{before:?}");
    let earliest = eventually("old segments go", || {
        wire.offset_at("t", 0, "earliest")
            .filter(|start| *start >= holder)
    });
    assert_eq!(
        earliest, holder,
        "deletion stops at the segment with the young record"
    );
    let kept: Vec<u64> = before.into_iter().filter(|base| *base >= holder).collect();
    assert_eq!(bases(&broker, "t"), kept);
    assert_eq!(wire.read_all("t", 0)[0].offset, holder);
}

#[test]
fn a_partition_above_its_size_loses_its_oldest_segments() {
    let broker = quick().start();
    let mut wire = broker.connect();
    let limit = 12 * 1024;
    wire.create_topic(
        "t",
        1,
        &[("segment.bytes", "4KiB"), ("retention.bytes", "12KiB")],
    );
    wire.create_topic("unlimited", 1, &[("segment.bytes", "4KiB")]);
    for _ in 0..40 {
        append(&mut wire, "t", now_ms());
        append(&mut wire, "unlimited", now_ms());
    }
    let size = |wire: &mut Wire, topic: &str| {
        wire.describe_topic(topic).get("partitions").list()[0]
            .get("size_bytes")
            .u64()
    };
    let left = eventually("it shrinks", || {
        Some(size(&mut wire, "t")).filter(|size| *size <= limit + 4_096)
    });
    assert!(
        left > limit - 4_096,
        "more was deleted than had to be: {left} bytes are left"
    );
    let records = wire.read_all("t", 0);
    assert_eq!(
        records.last().map(|record| record.offset),
        Some(39),
        "the newest are kept"
    );
    assert_eq!(
        wire.offset_at("t", 0, "earliest"),
        Some(bases(&broker, "t")[0])
    );
    assert_eq!(wire.read_all("unlimited", 0).len(), 40);
}

#[test]
fn nothing_goes_before_the_next_check() {
    let mut broker = Setup::new()
        .option("log.retention.check.interval.ms", "1h")
        .start();
    let mut wire = broker.connect();
    wire.create_topic(
        "t",
        1,
        &[("segment.bytes", "4KiB"), ("retention.ms", "1ms")],
    );
    for _ in 0..20 {
        append(&mut wire, "t", 1_000);
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(wire.read_all("t", 0).len(), 20);
    broker.stop();
    broker.set_up_again(|_| quick());
    broker.start_again();
    eventually("the check comes", || {
        (bases(&broker, "t").len() == 1).then_some(())
    });
}

#[test]
fn a_changed_limit_counts_from_the_next_check_on() {
    let broker = quick().start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "4KiB"), ("retention.ms", "-1")]);
    wire.create_topic(
        "probe",
        1,
        &[("segment.bytes", "4KiB"), ("retention.ms", "1h")],
    );
    for _ in 0..12 {
        append(&mut wire, "t", 1_000);
        append(&mut wire, "probe", 1_000);
    }
    eventually("a check was made", || {
        (bases(&broker, "probe").len() == 1).then_some(())
    });
    assert_eq!(
        wire.read_all("t", 0).len(),
        12,
        "without a limit nothing goes"
    );
    wire.call(
        "alter_topic",
        map! { "name" => "t", "set" => map! { "retention.ms" => "1h" } },
    )
    .unwrap();
    eventually("old segments go", || {
        (bases(&broker, "t").len() == 1).then_some(())
    });
}

#[test]
fn cleanup_policies_that_do_not_exist_are_refused() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    for policy in ["shred", "compact,shred", ""] {
        let args = map! { "name" => "t", "config" => map! { "cleanup.policy" => policy } };
        let error = wire.refused("create_topic", args);
        assert_eq!(error.name, "INVALID_CONFIG");
        assert!(error.message.contains(policy), "{error:?}");
    }
    wire.create_topic("t", 1, &[("cleanup.policy", "delete")]);
    wire.create_topic("u", 1, &[("cleanup.policy", "delete, compact")]);
}

#[test]
fn a_damaged_log_start_brings_nothing_back_that_was_deleted() {
    for mode in ["sync", "async"] {
        let mut broker = Setup::new().start();
        let mut wire = broker.connect();
        let config = [("segment.bytes", "4KiB"), ("flush.mode", mode)];
        wire.create_topic("t", 1, &config);
        for _ in 0..20 {
            append(&mut wire, "t", 1_000);
        }
        let args = map! { "topic" => "t", "partition" => 0, "before_offset" => 14 };
        wire.call("delete_records", args).unwrap();
        // Nothing else is written, and yet the leader epochs come to tell it.
        let dir = broker.data_dir().join("t-0");
        eventually("the leader epochs begin there", || {
            let epochs = fs::read_to_string(dir.join("leader-epoch-checkpoint"));
            epochs
                .is_ok_and(|text| text.contains(" 14\n"))
                .then_some(())
        });
        broker.kill();
        fs::write(dir.join("log-start-offset-checkpoint"), "nonsense").unwrap();
        broker.start_again();
        let mut wire = broker.connect();
        assert_eq!(wire.offset_at("t", 0, "earliest"), Some(14));
        assert_eq!(wire.read_all("t", 0).len(), 6);
        let told = wire.call("describe_cluster", map! {}).unwrap();
        assert_eq!(told.get("warnings").list().len(), 0, "{told:?}");
    }
}
