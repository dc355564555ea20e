//! What a log forgets: deleted records, retention, and what is still in use meanwhile.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use broker_model::{BrokerId, Clock, LeaderEpoch, Offset, Timestamp};
use broker_record::TimestampType;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::io::{Io, OpenMode};
use broker_storage::{
    ChangeError, LogConfig, LogDir, LogDirOptions, PolicyFailed, ReadLimit, RetentionPolicy,
    RetentionView,
};
use support::{
    AgeOrSize, BATCH, Record, append, append_numbers, at, batch, batch_of, clocked, numbers,
    offset, open, segment_file, small, sync, values,
};

#[test]
fn deleted_records_are_gone_for_good_before_the_answer() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..35);
    sync(&dir, &mut log);
    let segments = log.segments().len();
    assert_eq!(log.advance_start(offset(17)).unwrap(), offset(17));
    assert_eq!(log.segments().len(), segments - 1, "only whole segments go");
    assert_eq!(
        log.advance_start(offset(5)).unwrap(),
        offset(17),
        "it never goes back"
    );
    let beyond = log.advance_start(offset(36));
    assert!(matches!(beyond, Err(ChangeError::OffsetOutOfRange { .. })));
    drop((log, dir));
    for survival in [Survival::Synced, Survival::Everything, Survival::Random(5)] {
        let io = io.after_power_loss(survival);
        let (_dir, log, report) = open(&io, small());
        assert_eq!(report.corruption, []);
        assert_eq!((log.start(), log.end()), (offset(17), offset(35)));
        assert_eq!(values(&log), numbers(35)[17..]);
    }
}

#[test]
fn everything_can_be_deleted_and_the_offsets_go_on() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..35);
    log.advance_start(offset(35)).unwrap();
    assert_eq!(values(&log), Vec::<String>::new());
    drop((log, dir));
    let (_dir, mut log, _) = open(&io.after_kill(), small());
    assert_eq!(append(&mut log, batch_of("next", 10)).first, offset(35));
}

struct All;

impl RetentionPolicy for All {
    fn expired(&mut self, view: &RetentionView<'_>) -> Result<usize, PolicyFailed> {
        assert!(view.segments.iter().all(|segment| segment.sealed));
        Ok(usize::MAX)
    }
}

#[test]
fn retention_takes_neither_the_active_segment_nor_what_is_not_committed() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..45);
    let segments = log.segments();
    assert_eq!(segments.len(), 5);
    let outcome = log
        .apply_retention(&mut All, segments[1].next, at(5))
        .unwrap();
    assert_eq!((outcome.segments, outcome.start), (2, segments[2].base));
    let just_below = Offset::new(segments[2].next.get() - 1);
    let outcome = log.apply_retention(&mut All, just_below, at(5)).unwrap();
    assert_eq!((outcome.segments, outcome.bytes), (0, 0));
    let outcome = log.apply_retention(&mut All, log.end(), at(5)).unwrap();
    assert_eq!((outcome.segments, outcome.start), (2, segments[4].base));
    assert_eq!(log.segments().len(), 1);
    let outcome = log.apply_retention(&mut All, log.end(), at(5)).unwrap();
    assert_eq!(outcome.segments, 0);
    let left = io.list(&support::partition_dir()).unwrap();
    assert!(left.iter().all(|entry| !entry.name.ends_with(".deleted")));
    assert_eq!(
        left.iter()
            .filter(|entry| entry.name.ends_with(".log"))
            .count(),
        1
    );
}

#[test]
fn a_jump_of_the_wall_clock_deletes_nothing() {
    let (_io, clock, _dir, mut log) = clocked(small());
    for number in 0..40 {
        let record = Record::new(&format!("{number:.<100}"), clock.now().as_millis());
        append(&mut log, batch(&[record]));
    }
    let mut policy = support::AgeOrSize {
        age_max: Some(Duration::from_secs(60)),
        bytes_min: None,
    };
    clock.set_wall(at(1_000_000 + 10 * 3_600_000));
    let end = log.end();
    let outcome = log.apply_retention(&mut policy, end, clock.now()).unwrap();
    assert_eq!(outcome.segments, 0);
    clock.advance(Duration::from_secs(61));
    let outcome = log.apply_retention(&mut policy, end, clock.now()).unwrap();
    assert_eq!(outcome.segments, 3);
    let outcome = log
        .apply_retention(&mut policy, end, Timestamp::MIN)
        .unwrap();
    assert_eq!(outcome.segments, 0);
}

#[test]
fn slices_outlive_their_segment() {
    let temp = tempfile::tempdir().unwrap();
    let real = LogDirOptions::new(temp.path(), BrokerId::new(1));
    let mut recorded = LogDirOptions::new(support::DIR, BrokerId::new(1));
    recorded.io = RecordingIo::new();
    for options in [real, recorded] {
        let dir = LogDir::open(options).unwrap();
        let (mut log, _) = support::open_log(&dir, small());
        append_numbers(&mut log, 0..35);
        let slice = log
            .read(Offset::ZERO, log.end(), ReadLimit::OneBatchOr(5 * BATCH))
            .unwrap();
        let before = slice.read().unwrap();
        log.advance_start(log.end()).unwrap();
        assert_eq!(log.segments().len(), 1);
        assert_eq!(slice.read().unwrap(), before);
        assert!(before.len() as u64 >= 3 * BATCH);
    }
}

/// Gives no answer; remembers what it was asked.
#[derive(Default)]
struct Failing {
    asked: Option<(Offset, Offset, Offset)>,
}

impl RetentionPolicy for Failing {
    fn expired(&mut self, view: &RetentionView<'_>) -> Result<usize, PolicyFailed> {
        self.asked = Some((view.log_start, view.high_watermark, view.log_end));
        Err(PolicyFailed::new("no idea"))
    }
}

#[test]
fn a_policy_that_fails_keeps_everything() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..45);
    log.advance_start(offset(7)).unwrap();
    let before = log.segments();
    let operations = io.operation_count();
    let mut policy = Failing::default();
    let failed = log
        .apply_retention(&mut policy, offset(30), at(5))
        .unwrap_err();
    assert!(matches!(&failed, ChangeError::Policy(PolicyFailed { reason }) if reason == "no idea"));
    assert_eq!(policy.asked, Some((offset(7), offset(30), offset(45))));
    assert_eq!((log.segments(), io.operation_count()), (before, operations));
}

#[test]
fn a_time_from_the_future_holds_its_segment_no_longer_than_the_time_of_its_append() {
    let (io, clock, dir, mut log) = clocked(small());
    let century = clock.now().as_millis() + 100 * 365 * 24 * 3_600_000;
    for number in 0..40 {
        let stamp = if number == 3 {
            century
        } else {
            clock.now().as_millis()
        };
        append(
            &mut log,
            batch(&[Record::new(&format!("{number:.<100}"), stamp)]),
        );
        clock.advance(Duration::from_millis(100));
    }
    sync(&dir, &mut log);
    let mut policy = support::AgeOrSize {
        age_max: Some(Duration::from_secs(60)),
        bytes_min: None,
    };
    let end = log.end();
    clock.advance(Duration::from_secs(56));
    let outcome = log.apply_retention(&mut policy, end, clock.now()).unwrap();
    assert_eq!(outcome.segments, 0, "nothing is a minute old yet");
    drop((log, dir));
    let options = || {
        let io = io.after_kill();
        let clock = Arc::clone(&clock) as Arc<dyn Clock>;
        support::open_dir_at(&io, Default::default(), clock).unwrap()
    };
    // The first segment ended with its tenth record; an eleventh came 59.9 seconds ago.
    clock.advance(Duration::from_millis(900));
    let dir = options();
    let (mut log, _) = support::open_log(&dir, small());
    let outcome = log.apply_retention(&mut policy, end, clock.now()).unwrap();
    assert_eq!(outcome.segments, 0);
    clock.advance(Duration::from_millis(200));
    let outcome = log.apply_retention(&mut policy, end, clock.now()).unwrap();
    assert_eq!(outcome.segments, 1);
}

#[test]
fn append_times_do_not_go_back_with_the_clock() {
    let config = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..small()
    };
    let (_io, _clock, _dir, mut log) = clocked(config);
    let mut stamp = |now| {
        let mut batches = [batch_of("x", 10)];
        let run = log
            .append(&mut batches, LeaderEpoch::new(1), at(now))
            .unwrap();
        assert_eq!(batches[0].header.max_timestamp, run.append_time);
        run.append_time
    };
    assert_eq!(
        [stamp(5_000), stamp(-7), stamp(5_001)],
        [at(5_000), at(5_000), at(5_001)]
    );
}

#[test]
fn segments_that_cannot_be_deleted_are_deleted_later() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..45);
    let segments = log.segments().len();
    let second = segment_file(10, "log");
    io.set_faults(move |_, operation| {
        let is_it = matches!(operation, Operation::Rename { from, .. } if *from == second);
        is_it.then_some(Fault::Error(1))
    });
    let moved = log.advance_start(offset(35));
    assert!(matches!(moved, Err(ChangeError::Io { .. })));
    assert_eq!(log.start(), offset(35));
    assert_eq!(log.segments().len(), segments - 1);
    io.clear_faults();
    let applied = log.apply_retention(&mut AgeOrSize::default(), offset(45), at(5));
    assert_eq!(applied.unwrap().segments, 0, "the policy gives up nothing");
    assert_eq!(log.segments().len(), segments - 3);
    let there = |base| io.open(&segment_file(base, "log"), OpenMode::Read).is_ok();
    let left: Vec<u64> = (0..45).filter(|base| there(*base)).collect();
    assert_eq!(left, [30, 40]);
    assert_eq!(values(&log), numbers(45)[35..]);
}
