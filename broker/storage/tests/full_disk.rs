//! A file system that takes no further file, for want of inodes or of bytes: what is read and what is deleted goes on,
//! and deleting makes room.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_storage::ChangeError;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::io::{Io, OpenMode};
use support::{
    AgeOrSize, append_numbers, at, big, numbers, offset, open, segment_file, small, sync, values,
};

/// From here on so many files can be made, and one more for each that is removed.
fn leave_inodes(io: &Arc<RecordingIo>, inodes: u64) -> Arc<AtomicU64> {
    let left = Arc::new(AtomicU64::new(inodes));
    let rule = left.clone();
    io.set_faults(move |_, operation| match operation {
        Operation::CreateFile { .. } => {
            let taken = rule.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
            taken.is_err().then_some(Fault::ENOSPC)
        }
        Operation::RemoveFile { .. } => {
            rule.fetch_add(1, Ordering::SeqCst);
            None
        }
        _ => None,
    });
    left
}

#[test]
fn records_are_deleted_where_no_file_can_be_made() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..45);
    sync(&dir, &mut log);
    let left = leave_inodes(&io, 0);
    // There is no file yet that says where the log begins: indexes of what is deleted make room for it.
    assert_eq!(log.advance_start(offset(12)).unwrap(), offset(12));
    // Then it is written over, whether a segment goes with it or not.
    for to in [13, 15, 25] {
        left.store(0, Ordering::SeqCst);
        assert_eq!(log.advance_start(offset(to)).unwrap(), offset(to));
        for again in [io.after_kill(), io.after_power_loss(Survival::Synced)] {
            again.clear_faults();
            let (_dir, log, report) = open(&again, small());
            assert_eq!(report.corruption, []);
            assert_eq!(values(&log), numbers(45)[usize::try_from(to).unwrap()..]);
        }
    }
    assert_eq!(dir.is_failed(), None);
}

#[test]
fn retention_makes_room_where_no_file_can_be_made() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..45);
    sync(&dir, &mut log);
    leave_inodes(&io, 0);
    let mut policy = AgeOrSize {
        bytes_min: Some(1),
        ..AgeOrSize::default()
    };
    let applied = log.apply_retention(&mut policy, offset(45), at(5)).unwrap();
    assert!(applied.segments > 0, "{applied:?}");
    assert_eq!(log.start(), applied.start);
}

#[test]
fn a_log_start_that_nothing_makes_room_for_is_refused_and_can_be_asked_for_again() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..5);
    sync(&dir, &mut log);
    let left = leave_inodes(&io, 0);
    let refused = log.advance_start(offset(3)).unwrap_err();
    assert!(
        matches!(&refused, ChangeError::SmallFile(error) if error.is_no_space()),
        "{refused}"
    );
    assert_eq!(values(&log), numbers(5));
    assert_eq!(dir.is_failed(), None);
    left.store(1, Ordering::SeqCst);
    assert_eq!(log.advance_start(offset(3)).unwrap(), offset(3));
}

#[test]
fn a_log_is_read_although_its_leader_epochs_find_no_room() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..5);
    let io = io.after_kill();
    let epochs = segment_file(0, "log").with_file_name("leader-epoch-checkpoint.tmp");
    let stored = io.open(&epochs.with_extension(""), OpenMode::Read);
    assert!(stored.is_err(), "not synced so far");
    io.set_faults(move |_, operation| {
        let is_it = matches!(operation, Operation::CreateFile { path } if *path == epochs);
        is_it.then_some(Fault::ENOSPC)
    });
    for _ in 0..2 {
        let (_dir, log, _) = open(&io, small());
        assert_eq!(values(&log), numbers(5));
    }
}
