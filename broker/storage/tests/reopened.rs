//! Logs whose owner is gone without having closed them: in the same process, as after the panic of an actor,
//! and for the next one, whatever else in the directory was closed.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use broker_model::Offset;
use broker_storage::io::recording::{RecordingIo, Survival};
use broker_storage::{LastStop, Log};
use support::{
    BATCH, TOPIC_ID, append_numbers, big, flip, killed, numbers, offset, open, open_dir, open_log,
    partition, segment_file, small, sync, values,
};

/// A power loss takes nothing of what a log says is durable.
fn check_durable(io: &Arc<RecordingIo>, log: &Log) {
    let io = io.after_power_loss(Survival::Synced);
    let (_dir, found, report) = open(&io, small());
    assert_eq!(
        (report.corruption.as_slice(), report.torn),
        ([].as_slice(), None)
    );
    assert!(
        found.end() >= log.durable_end(),
        "{} was durable, {} is there",
        log.durable_end(),
        found.end()
    );
    let count = usize::try_from(found.end().get()).unwrap();
    assert_eq!(values(&found), numbers(count));
}

#[test]
fn what_a_lost_owner_has_written_is_synced_before_it_counts_as_durable() {
    // In the segment of the last sync, and through several of them.
    for written in [4, 60] {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, small());
        append_numbers(&mut log, 0..3);
        sync(&dir, &mut log);
        append_numbers(&mut log, 3..written);
        assert_eq!(log.durable_end(), offset(3));
        drop(log);
        let (mut log, report) = open_log(&dir, small());
        assert_eq!(report.last_stop, LastStop::SameBoot);
        assert_eq!(log.durable_end(), offset(written as u64));
        assert_eq!(log.end(), log.durable_end());
        check_durable(&io, &log);
        append_numbers(&mut log, written..written + 1);
        sync(&dir, &mut log);
        check_durable(&io, &log);
    }
}

#[test]
fn an_owner_lost_before_the_first_sync_leaves_nothing_that_only_seems_durable() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..30);
    assert_eq!(log.durable_end(), Offset::ZERO);
    drop(log);
    let (log, _) = open_log(&dir, small());
    assert_eq!(log.durable_end(), offset(30));
    check_durable(&io, &log);
}

#[test]
fn a_directory_with_a_log_that_was_not_closed_is_not_marked_as_cleanly_stopped() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..3);
    drop(log);
    dir.close_clean().unwrap();
    drop(dir);
    let io = io.after_kill();
    let (dir, log, _) = open(&io, big());
    assert!(!dir.was_clean());
    assert_eq!(log.durable_end(), offset(3));
    check_durable(&io, &log);
    log.close().unwrap();
    dir.close_clean().unwrap();
    assert!(open_dir(&io.after_kill()).was_clean());
}

#[test]
fn a_log_that_no_start_since_a_kill_has_opened_keeps_the_next_stop_from_being_clean() {
    let io = killed(3, 4, big());
    // The only batch above the durable point is damaged meanwhile: readers may have seen it.
    flip(&io, &segment_file(0, "log"), 3 * BATCH + 20);
    // A start at which the partition cannot be opened.
    let dir = open_dir(&io);
    assert!(!dir.was_clean());
    dir.close_clean().unwrap();
    drop(dir);
    let io = io.after_kill();
    let (dir, log, report) = open(&io, big());
    assert!(!dir.was_clean());
    assert_eq!(report.corruption.len(), 1, "it is damage, and is not cut");
    assert!(log.end() > offset(3), "its offset is not given out again");
}

#[test]
fn a_log_that_was_never_opened_since_a_clean_stop_is_still_closed() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..3);
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    let dir = open_dir(&io);
    dir.close_clean().unwrap();
    drop(dir);
    assert!(open_dir(&io).was_clean());
}

#[test]
fn a_deleted_log_need_not_be_closed() {
    for io in [RecordingIo::new(), killed(3, 4, big())] {
        let (dir, log, _) = open(&io, big());
        drop(log);
        dir.delete_log(&partition(), TOPIC_ID).unwrap();
        dir.close_clean().unwrap();
        drop(dir);
        assert!(open_dir(&io).was_clean());
    }
}

#[test]
fn what_was_written_since_the_start_is_never_taken_for_bytes_put_behind_a_clean_end() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..3);
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    let (dir, mut log, _) = open(&io, big());
    assert!(dir.was_clean());
    append_numbers(&mut log, 3..4);
    drop(log);
    flip(&io, &segment_file(0, "log"), 3 * BATCH + 20);
    let (log, report) = open_log(&dir, big());
    assert_eq!(report.torn, None);
    assert_eq!(report.corruption.len(), 1);
    assert!(log.end() > offset(3), "its offset is not given out again");
}
