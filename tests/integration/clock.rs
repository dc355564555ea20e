//! The wall clock is moved by an hour and by a year, both ways, under a running broker: nothing goes
//! before its time, and nothing that waits for a time waits longer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::harness::{Broker, ClockShift, Rec, Setup, Value, Wire, eventually, keyed, map};

const HOUR: i64 = 3_600;
const YEAR: i64 = 365 * 24 * HOUR;
const JUMPS: [i64; 4] = [HOUR, -HOUR, YEAR, -YEAR];

/// The right time, which the broker goes on showing.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("fits")
}

fn quick() -> Setup {
    Setup::new()
        .option("log.retention.check.interval.ms", "50")
        .option("log.cleaner.backoff.ms", "50")
}

/// A broker whose wall clock can be moved.
fn shifted() -> (Broker, ClockShift, tempfile::TempDir) {
    shifted_with(|setup, _| setup)
}

/// The same, set up with a folder to use.
fn shifted_with(
    set_up: impl FnOnce(Setup, &Path) -> Setup,
) -> (Broker, ClockShift, tempfile::TempDir) {
    let folder = tempfile::TempDir::new().expect("a temporary directory can be made");
    let shift = ClockShift::build_in(folder.path());
    let setup = shift.environment().into_iter();
    let setup = setup.fold(quick(), |setup, (name, value)| {
        setup.environment(name, &value)
    });
    (set_up(setup, folder.path()).start(), shift, folder)
}

fn ping_ms(wire: &mut Wire) -> i64 {
    let answer = wire.call("ping", map! {}).expect("ping is answered");
    i64::try_from(answer.get("time_ms").u64()).expect("fits")
}

/// About a kilobyte, with no time of its own, or with one.
fn append(wire: &mut Wire, topic: &str, timestamp: Option<i64>) -> u64 {
    let mut record = vec![Value::Nil, Value::Bin(vec![b'x'; 900])];
    record.extend(timestamp.map(Value::from));
    wire.produce(topic, 0, vec![Value::Array(record)])
}

fn start_of(wire: &mut Wire, topic: &str) -> u64 {
    wire.offset_at(topic, 0, "earliest")
        .expect("it has a start")
}

fn keep(wire: &mut Wire) {
    for topic in ["kept", "stamped"] {
        for _ in 0..6 {
            append(wire, topic, None);
        }
    }
}

/// Segments whose records say that they are old go, also now.
fn retention_goes_on(wire: &mut Wire) {
    let old = now_ms() - 2 * HOUR * 1_000;
    let mut last = 0;
    for _ in 0..10 {
        last = append(wire, "gone", Some(old));
    }
    eventually("old segments go", || {
        (start_of(wire, "gone") + 5 > last).then_some(())
    });
}

/// A key's old records go and the tombstone of another, which is younger than an hour, stays.
fn compaction_goes_on(wire: &mut Wire) {
    let cleanings = |wire: &mut Wire| {
        let topic = wire.describe_topic("compacted");
        topic.get("partitions").list()[0]
            .get("cleaning")
            .get("cleanings")
            .u64()
    };
    let before = cleanings(wire);
    for _ in 0..12 {
        wire.produce("compacted", 0, vec![keyed("key", &"x".repeat(900))]);
    }
    eventually("the log is cleaned", || {
        (cleanings(wire) > before).then_some(())
    });
    let records = wire.read_all("compacted", 0);
    let is_tombstone = |record: &&Rec| record.value.is_none();
    assert_eq!(
        records.iter().filter(is_tombstone).count(),
        1,
        "{records:?}"
    );
}

/// A fetch that waits is woken by what it waits for, and otherwise by time.
fn polls_go_on(broker: &Broker, shift: &ClockShift, jump: i64) {
    let mut wire = broker.connect();
    let end = wire.offset_at("kept", 0, "latest").expect("it has an end");
    let poll = |wire: &mut Wire, wait: i64| {
        let wanted = map! { "topic" => "kept", "partition" => 0, "offset" => end };
        let args = map! { "partitions" => vec![wanted], "max_wait_ms" => wait, "min_bytes" => 1 };
        wire.send("fetch", args)
    };
    let began = Instant::now();
    poll(&mut wire, 400);
    std::thread::sleep(Duration::from_millis(100));
    shift.set(jump);
    let empty = wire.receive().outcome.expect("a fetch is answered");
    assert_eq!(
        empty.get("partitions").list()[0].get("next_offset").u64(),
        end
    );
    assert!(
        began.elapsed() >= Duration::from_millis(400),
        "it waited its time"
    );
    poll(&mut wire, 30_000);
    append(&mut broker.connect(), "kept", None);
    let woken = wire.receive().outcome.expect("a fetch is answered");
    assert_eq!(
        woken.get("partitions").list()[0].get("next_offset").u64(),
        end + 1
    );
}

/// The broker's own times go on as before, in the records as well, and can be looked up.
fn times_go_on(wire: &mut Wire) {
    let near = |shown: i64| (shown - now_ms()).abs() < 60_000;
    assert!(near(ping_ms(wire)));
    let before = now_ms() - 1;
    std::thread::sleep(Duration::from_millis(5));
    for topic in ["kept", "stamped"] {
        let offset = append(wire, topic, None);
        let found = wire.read_from(topic, 0, offset);
        assert!(near(found[0].timestamp), "{topic}: {found:?}");
        assert_eq!(
            wire.offset_at(topic, 0, before - 120_000),
            Some(0),
            "{topic}"
        );
        assert_eq!(
            wire.offset_at(topic, 0, now_ms() + 120_000),
            None,
            "{topic}"
        );
    }
}

#[test]
fn jumps_of_the_wall_clock_delete_nothing_early_and_stop_nothing() {
    let (broker, shift, _folder) = shifted();
    let mut wire = broker.connect();
    let hour = [("segment.bytes", "4KiB"), ("retention.ms", "30m")];
    let stamped = [
        hour[0],
        hour[1],
        ("message.timestamp.type", "LogAppendTime"),
    ];
    wire.create_topic("kept", 1, &hour);
    wire.create_topic("stamped", 1, &stamped);
    wire.create_topic("gone", 1, &hour);
    let compact = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "4KiB"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "30m"),
    ];
    wire.create_topic("compacted", 1, &compact);
    let tombstone = Value::Array(vec![(&b"other"[..]).into(), Value::Nil]);
    wire.produce("compacted", 0, vec![tombstone]);
    keep(&mut wire);
    for (told, jump) in (1..).zip(JUMPS) {
        polls_go_on(&broker, &shift, jump);
        keep(&mut wire);
        let jumps = || broker.log().matches("the wall clock jumped").count();
        eventually("the jump is told", || {
            ping_ms(&mut wire);
            (jumps() >= told).then_some(())
        });
        times_go_on(&mut wire);
        retention_goes_on(&mut wire);
        compaction_goes_on(&mut wire);
    }
    shift.set(0);
    keep(&mut wire);
    retention_goes_on(&mut wire);
    for topic in ["kept", "stamped"] {
        let all = wire.read_all(topic, 0);
        let end = wire.offset_at(topic, 0, "latest").expect("it has an end");
        assert_eq!(
            u64::try_from(all.len()).expect("fits"),
            end,
            "{topic} is whole"
        );
        assert!(all.is_sorted_by_key(|record| record.timestamp), "{topic}");
    }
}

#[test]
fn a_restart_takes_the_wall_clock_as_it_is() {
    let (mut broker, shift, _folder) = shifted();
    shift.set(HOUR);
    broker.stop();
    broker.start_again();
    let shown = ping_ms(&mut broker.connect());
    assert!((shown - now_ms() - HOUR * 1_000).abs() < 60_000, "{shown}");
}

/// A stopped broker with old records, and its switch for the clock.
fn stopped_with_old_records() -> (Broker, ClockShift, tempfile::TempDir) {
    let (mut broker, shift, folder) = shifted();
    let mut wire = broker.connect();
    wire.create_topic(
        "kept",
        1,
        &[("segment.bytes", "4KiB"), ("retention.ms", "30m")],
    );
    wire.create_topic(
        "stamped",
        1,
        &[("segment.bytes", "4KiB"), ("retention.bytes", "4KiB")],
    );
    keep(&mut wire);
    keep(&mut wire);
    broker.stop();
    (broker, shift, folder)
}

fn warnings(wire: &mut Wire) -> String {
    let cluster = wire
        .call("describe_cluster", map! {})
        .expect("it is described");
    format!("{:?}", cluster.get("warnings"))
}

#[test]
fn a_start_with_a_clock_far_ahead_deletes_nothing_for_its_age_and_says_so() {
    let (mut broker, shift, _folder) = stopped_with_old_records();
    shift.set(YEAR);
    broker.start_again();
    let mut wire = broker.connect();
    let said = warnings(&mut wire);
    assert!(
        said.contains("365 days ahead of the last sign of life"),
        "{said}"
    );
    assert!(
        broker
            .log()
            .contains("365 days ahead of the last sign of life")
    );
    for _ in 0..10 {
        append(&mut wire, "stamped", None);
    }
    eventually("retention by size goes on", || {
        (start_of(&mut wire, "stamped") > 10).then_some(())
    });
    assert_eq!(start_of(&mut wire, "kept"), 0);
    // Set right while it waits: it was wrong, so it waits for the restart that takes it.
    shift.set(0);
    eventually("it is noticed", || {
        warnings(&mut wire)
            .contains("restart the broker")
            .then_some(())
    });
    broker.stop();
    broker.start_again();
    let mut wire = broker.connect();
    assert!(!warnings(&mut wire).contains("clock"), "all is well");
    assert_eq!(start_of(&mut wire, "kept"), 0);
}

/// What a broker has written under a clock that is so far ahead: only its own clock is moved here, not the
/// one that files get their times by.
fn stamp(dir: &Path, ahead: i64) {
    let ahead = Duration::from_secs(u64::try_from(ahead).expect("fits"));
    for name in ["durable-positions", "recovery-point-checkpoint"] {
        let file = fs::File::options().write(true).open(dir.join(name));
        let stamped = file.and_then(|file| file.set_modified(SystemTime::now() + ahead));
        stamped.expect("its time can be set");
    }
}

#[test]
fn restarts_do_not_make_a_clock_that_is_far_ahead_believed() {
    let (mut broker, shift, _folder) = stopped_with_old_records();
    shift.set(YEAR);
    broker.start_again();
    for end_it in [Broker::stop, Broker::kill] {
        end_it(&mut broker);
        stamp(&broker.data_dir(), YEAR);
        broker.start_again();
        let mut wire = broker.connect();
        let said = warnings(&mut wire);
        assert!(
            said.contains("365 days ahead of the last sign of life"),
            "{said}"
        );
        append(&mut wire, "kept", Some(now_ms() - 2 * HOUR * 1_000));
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(start_of(&mut wire, "kept"), 0);
    }
    broker.stop();
    stamp(&broker.data_dir(), YEAR);
    shift.set(0);
    broker.start_again();
    let mut wire = broker.connect();
    assert!(!warnings(&mut wire).contains("clock"), "all is well");
    assert_eq!(start_of(&mut wire, "kept"), 0);
}

/// Whether every directory says that the clock is in doubt, or none does.
fn is_noted_in(dirs: &[PathBuf], is_noted: bool) -> Option<()> {
    let mut files = dirs.iter().map(|dir| dir.join("clock-doubt").exists());
    files.all(|noted| noted == is_noted).then_some(())
}

fn stop_at_once(broker: &mut Broker, shift: &ClockShift, dirs: &[PathBuf]) {
    shift.set(YEAR);
    broker.stop();
    is_noted_in(dirs, true).expect("the stop notes it");
}

fn kill_once_it_is_told(broker: &mut Broker, shift: &ClockShift, dirs: &[PathBuf]) {
    let mut wire = broker.connect();
    let ahead = "365 days ahead of the broker's time";
    for (shifted, is_ahead) in [(YEAR, true), (0, false), (-YEAR, false), (YEAR, true)] {
        shift.set(shifted);
        eventually("it is noted, and forgotten", || is_noted_in(dirs, is_ahead));
        assert_eq!(warnings(&mut wire).contains(ahead), is_ahead, "{shifted}");
    }
    broker.kill();
}

#[test]
fn a_restart_after_a_jump_does_not_make_a_clock_that_is_far_ahead_believed() {
    for end_it in [stop_at_once, kill_once_it_is_told] {
        let dirs_in = |folder: &Path| ["first", "second"].map(|name| folder.join(name));
        let (mut broker, shift, folder) =
            shifted_with(|setup, folder| setup.log_dirs(&dirs_in(folder)));
        let dirs = dirs_in(folder.path());
        let mut wire = broker.connect();
        let young = [("segment.bytes", "4KiB"), ("retention.ms", "30m")];
        wire.create_topic("kept", 2, &young);
        let small = [young[0], ("retention.bytes", "4KiB")];
        wire.create_topic("small", 1, &small);
        for _ in 0..12 {
            append(&mut wire, "kept", None);
            wire.produce("kept", 1, vec![keyed("key", &"x".repeat(900))]);
        }
        end_it(&mut broker, &shift, &dirs);
        dirs.iter().for_each(|dir| stamp(dir, YEAR));
        broker.start_again();
        let mut wire = broker.connect();
        let said = warnings(&mut wire);
        assert!(
            said.contains("365 days ahead of the last sign of life"),
            "{said}"
        );
        for _ in 0..10 {
            append(&mut wire, "small", None);
        }
        eventually("retention by size goes on", || {
            (start_of(&mut wire, "small") > 0).then_some(())
        });
        let is_whole = |wire: &mut Wire| {
            let starts = [0, 1].map(|partition| wire.offset_at("kept", partition, "earliest"));
            assert_eq!(starts, [Some(0); 2]);
        };
        is_whole(&mut wire);
        broker.stop();
        dirs.iter().for_each(|dir| stamp(dir, YEAR));
        shift.set(0);
        broker.start_again();
        let mut wire = broker.connect();
        assert!(!warnings(&mut wire).contains("clock"), "all is well");
        is_noted_in(&dirs, false).expect("it is forgotten");
        is_whole(&mut wire);
    }
}

#[test]
fn a_broker_that_was_off_for_long_deletes_what_is_due_after_a_while() {
    let (mut broker, shift, _folder) = stopped_with_old_records();
    broker.set_up_again(|setup| setup.option("log.retention.clock.grace.ms", "1s"));
    shift.set(7 * 24 * HOUR);
    broker.start_again();
    let mut wire = broker.connect();
    eventually("what is due goes", || {
        (start_of(&mut wire, "kept") > 0).then_some(())
    });
    assert!(
        broker
            .log()
            .contains("7 days ahead of the last sign of life")
    );
    assert!(!warnings(&mut wire).contains("clock"));
    // Off for a night is nothing to speak of.
    broker.stop();
    shift.set(12 * HOUR);
    broker.start_again();
    assert_eq!(
        broker
            .log()
            .matches("ahead of the last sign of life")
            .count(),
        1
    );
}
