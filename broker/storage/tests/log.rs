//! What a log does while nothing goes wrong, and when the disk is full: offsets, rolls, restarts.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use broker_model::{BrokerId, Clock, LeaderEpoch, ManualClock, Offset};
use broker_record::ProducedBatch;
use broker_storage::io::Io;
use broker_storage::io::recording::{Operation, RecordingIo, Survival};
use broker_storage::{AppendError, Log, LogConfig, LogDir, LogDirOptions, ReadLimit};
use support::{
    BATCH, Record, append, append_numbers, at, batch, batch_of, big, clocked, numbers, offset,
    open, open_dir_at, segment_file, small, sync, values,
};

#[test]
fn many_batches_are_one_vectored_write_with_consecutive_offsets() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, big());
    let before = io.operation_count() as usize;
    let mut batches: Vec<ProducedBatch> = (1..=200)
        .map(|records| batch(&vec![Record::new("v", 1); records % 4 + 1]))
        .collect();
    let run = log
        .append(&mut batches, LeaderEpoch::new(7), at(5))
        .unwrap();
    let operations = io.operations();
    assert_eq!(operations.len() - before, 1, "{:?}", &operations[before..]);
    assert!(matches!(operations[before], Operation::Write { .. }));
    let mut next = Offset::ZERO;
    for batch in &batches {
        assert_eq!(batch.header.base_offset, next);
        assert_eq!(batch.header.leader_epoch, LeaderEpoch::new(7));
        next = batch.header.next_offset();
    }
    assert_eq!((run.first, run.end, log.end()), (Offset::ZERO, next, next));
}

#[test]
fn a_batch_above_the_limit_refuses_all_of_its_run() {
    let io = RecordingIo::new();
    let config = LogConfig {
        batch_bytes_max: 300,
        ..big()
    };
    let (_dir, mut log, _) = open(&io, config);
    let mut batches = [batch_of("small", 50), batch_of("large", 300)];
    let size = batches[1].size() as u64;
    match log.append(&mut batches, LeaderEpoch::new(1), at(5)) {
        Err(AppendError::BatchTooLarge {
            index,
            size: found,
            max,
        }) => {
            assert_eq!((index, found, max), (1, size, 300));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((log.end(), log.size_bytes()), (Offset::ZERO, 0));
}

#[test]
fn an_empty_run_appends_nothing() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, big());
    let run = log.append(&mut [], LeaderEpoch::new(1), at(5)).unwrap();
    assert_eq!((run.first, run.end), (Offset::ZERO, Offset::ZERO));
    assert!(log.sync_request().is_none());
}

#[test]
fn segments_are_named_by_their_first_offset_and_none_is_larger_than_its_limit() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, small());
    // One run that needs several segments.
    let mut batches: Vec<ProducedBatch> = (0..35).map(|n| batch_of(&n.to_string(), 100)).collect();
    log.append(&mut batches, LeaderEpoch::new(1), at(5))
        .unwrap();
    let segments = log.segments();
    assert_eq!(segments.len(), 4);
    let mut next = Offset::ZERO;
    for segment in &segments {
        assert_eq!(segment.base, next);
        assert!(segment.bytes <= small().segment_bytes);
        assert_eq!(segment.sealed, segment.next != log.end());
        let bytes = support::file_bytes(&io, &segment_file(segment.base.get(), "log"));
        assert_eq!(bytes.len() as u64, segment.bytes);
        assert_eq!(bytes[..8], segment.base.get().to_be_bytes());
        next = segment.next;
    }
    assert_eq!(values(&log), numbers(35));
}

#[test]
fn a_batch_larger_than_a_segment_has_one_to_itself() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, small());
    append(&mut log, batch_of("a", 10));
    append(&mut log, batch_of("b", 5_000));
    append(&mut log, batch_of("c", 10));
    assert_eq!(log.segments().len(), 3);
    assert_eq!(values(&log), ["a", "b", "c"]);
}

#[test]
fn a_closed_segment_does_not_change_any_more() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..15);
    let first = segment_file(0, "log");
    let before = support::file_bytes(&io, &first);
    append_numbers(&mut log, 15..60);
    sync(&dir, &mut log);
    assert_eq!(support::file_bytes(&io, &first), before);
}

#[test]
fn a_segment_is_followed_by_another_when_its_first_batch_is_old() {
    let config = LogConfig {
        roll_after: Duration::from_secs(10),
        ..big()
    };
    let (io, clock, dir, mut log) = clocked(config);
    append_numbers(&mut log, 0..2);
    clock.advance(Duration::from_secs(9));
    assert!(!log.roll_if_due().unwrap());
    append_numbers(&mut log, 2..3);
    // A jump of the wall clock rolls nothing.
    clock.set_wall(at(i64::MAX / 2));
    assert!(!log.roll_if_due().unwrap());
    clock.set_wall(at(1_009_000));
    clock.advance(Duration::from_secs(2));
    assert!(log.roll_if_due().unwrap());
    assert!(
        !log.roll_if_due().unwrap(),
        "an empty segment is never followed by another"
    );
    append_numbers(&mut log, 3..4);
    assert_eq!(log.segments().len(), 2);
    // The age goes on across a restart.
    clock.advance(Duration::from_secs(6));
    sync(&dir, &mut log);
    log.close().unwrap();
    drop(dir);
    let later = Arc::new(ManualClock::at(clock.now()));
    let dir = open_dir_at(
        &io,
        Default::default(),
        Arc::clone(&later) as Arc<dyn Clock>,
    )
    .unwrap();
    let (mut log, _) = support::open_log(&dir, config);
    assert!(!log.roll_if_due().unwrap());
    later.advance(Duration::from_secs(5));
    append_numbers(&mut log, 4..5);
    assert_eq!(log.segments().len(), 3);
    assert_eq!(values(&log), numbers(5));
}

#[test]
fn a_segment_is_followed_by_another_when_its_index_is_full() {
    let io = RecordingIo::new();
    let config = LogConfig {
        index_interval_bytes: 1,
        index_bytes_max: 32 + 5 * 16,
        ..big()
    };
    let (_dir, mut log, _) = open(&io, config);
    append_numbers(&mut log, 0..30);
    assert_eq!(log.segments().len(), 5);
    assert_eq!(values(&log), numbers(30));
}

#[test]
fn settings_take_effect_at_once() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..20);
    assert_eq!(log.segments().len(), 1);
    log.set_config(small());
    append_numbers(&mut log, 20..21);
    assert_eq!(log.segments().len(), 2);
}

#[test]
fn a_log_on_a_real_disk_comes_back() {
    let temp = tempfile::tempdir().unwrap();
    let open = || {
        let dir = LogDir::open(LogDirOptions::new(temp.path(), BrokerId::new(1))).unwrap();
        let (log, report) = support::open_log(&dir, small());
        (dir, log, report)
    };
    let (dir, mut log, _) = open();
    append_numbers(&mut log, 0..25);
    sync(&dir, &mut log);
    append_numbers(&mut log, 25..30);
    drop((log, dir));
    let (dir, mut log, report) = open();
    assert_eq!(report.scanned_bytes, 5 * BATCH);
    assert_eq!(values(&log), numbers(30));
    for number in 0..30 {
        let slice = log
            .read(offset(number), log.end(), ReadLimit::OneBatchOr(1))
            .unwrap();
        assert_eq!(slice.first_offset(), offset(number));
    }
    log.truncate_to(offset(7)).unwrap();
    append_numbers(&mut log, 7..12);
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    let (dir, log, report) = open();
    assert!(dir.was_clean());
    assert_eq!(report.scanned_bytes, 0);
    assert_eq!(values(&log), numbers(12));
    assert!(dir.space().free > 0);
}

#[test]
fn the_log_says_since_when_something_waits_for_a_sync() {
    let (_io, clock, dir, mut log) = clocked(big());
    assert_eq!(log.unsynced_since(), None);
    clock.advance(Duration::from_millis(100));
    append_numbers(&mut log, 0..1);
    clock.advance(Duration::from_millis(100));
    append_numbers(&mut log, 1..2);
    assert_eq!(log.unsynced_since(), Some(Duration::from_millis(100)));
    sync(&dir, &mut log);
    assert_eq!(log.unsynced_since(), None);
}

#[test]
fn a_full_disk_is_a_definite_refusal_and_reads_go_on() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..3);
    sync(&dir, &mut log);
    let used = io.space(std::path::Path::new("/")).unwrap();
    io.set_capacity(Some(used.total - used.free + BATCH + 50));
    let mut batches = [batch_of("3", 100), batch_of("4", 100)];
    let refused = log
        .append(&mut batches, LeaderEpoch::new(1), at(5))
        .unwrap_err();
    assert!(matches!(refused, AppendError::NoSpace { .. }), "{refused}");
    assert!(refused.is_definite());
    assert_eq!(dir.is_failed(), None);
    assert_eq!(values(&log), numbers(3));
    append_numbers(&mut log, 3..4);
    io.set_capacity(None);
    append_numbers(&mut log, 4..5);
    sync(&dir, &mut log);
    assert_eq!(values(&log), numbers(5));
}

#[test]
fn a_broker_starts_on_a_full_disk() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..30);
    sync(&dir, &mut log);
    drop((log, dir));
    let io = io.after_kill();
    let space = io.space(std::path::Path::new("/")).unwrap();
    // A checkpoint replaced needs room for both for a moment: the reserve of the operator.
    io.set_capacity(Some(space.total - space.free + 40_000));
    let (_dir, log, _) = open(&io, small());
    assert_eq!(values(&log), numbers(30));
}

#[test]
fn idle_files_are_let_go_and_opened_again() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..35);
    sync(&dir, &mut log);
    for _ in 0..3 {
        log.release_idle_files();
        assert_eq!(values(&log), numbers(35));
    }
    log.release_idle_files();
    log.release_idle_files();
    append_numbers(&mut log, 35..36);
    log.release_idle_files();
    log.release_idle_files();
    sync(&dir, &mut log);
    assert_eq!(values(&io_reopened(&io)), numbers(36));
}

fn io_reopened(io: &Arc<RecordingIo>) -> Log {
    open(&io.after_power_loss(Survival::Synced), small()).1
}
