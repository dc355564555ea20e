//! Files that the broker may not write, for somebody has changed their owner or mode: what needs them is refused
//! in words, nothing else is, and all of it goes on once the permission is there.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::sync::Arc;

use broker_model::LeaderEpoch;
use broker_storage::io::recording::{Fault, Operation, RecordingIo};
use broker_storage::{AppendError, ChangeError};
use support::{
    DIR, TOPIC_ID, append, append_numbers, at, batch_of, numbers, offset, open, open_dir,
    partition, partition_dir, segment_file, small, sync, values,
};

const EACCES: Fault = Fault::Error(13);

/// Nobody may make files in this directory or below it.
fn deny(io: &Arc<RecordingIo>, dir: &std::path::Path) {
    let dir = dir.to_owned();
    io.set_faults(move |_, operation| {
        let is_denied =
            matches!(operation, Operation::CreateFile { path } if path.starts_with(&dir));
        is_denied.then_some(EACCES)
    });
}

fn allow(io: &Arc<RecordingIo>) {
    io.set_faults(|_, _| None);
}

#[test]
fn an_append_that_may_not_make_its_segment_says_so_and_goes_on_with_the_permission() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..10);
    sync(&dir, &mut log);
    deny(&io, &partition_dir());
    let mut batch = [batch_of("10", 100)];
    let refused = log.append(&mut batch, LeaderEpoch::new(1), at(5));
    let refused = refused.unwrap_err();
    let AppendError::NotPermitted(denied) = &refused else {
        panic!("{refused}");
    };
    assert_eq!(denied.file, segment_file(10, "log"));
    assert!(refused.is_definite());
    assert_eq!(dir.not_permitted().as_ref(), Some(denied));
    assert_eq!(dir.is_failed(), None);
    assert_eq!(values(&log), numbers(10));
    allow(&io);
    dir.look_at_space().unwrap();
    assert_eq!(dir.not_permitted(), None);
    assert_eq!(append(&mut log, batch_of("10", 100)).first, offset(10));
    sync(&dir, &mut log);
    assert_eq!(values(&log), numbers(11));
}

#[test]
fn checkpoints_and_log_starts_that_may_not_be_written_wait_for_the_permission() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..15);
    sync(&dir, &mut log);
    deny(&io, DIR.as_ref());
    dir.record_high_watermark(&partition(), log.durable_end());
    assert!(dir.write_checkpoints().is_err());
    let refused = log.advance_start(offset(12)).unwrap_err();
    assert!(matches!(refused, ChangeError::NotPermitted(_)), "{refused}");
    assert!(dir.not_permitted().is_some());
    assert_eq!(dir.is_failed(), None);
    assert_eq!(log.start(), offset(0));
    allow(&io);
    dir.write_checkpoints().unwrap();
    log.advance_start(offset(12)).unwrap();
    drop((dir, log));
    let (dir, log, _) = open(&io.after_kill(), small());
    assert_eq!((log.start(), log.end()), (offset(12), offset(15)));
    assert_eq!(dir.high_watermark(&partition()), Some(offset(15)));
}

#[test]
fn leader_epochs_that_may_not_be_written_are_found_in_the_batches() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..3);
    sync(&dir, &mut log);
    deny(&io, &partition_dir());
    let mut batch = [batch_of("3", 100)];
    log.append(&mut batch, LeaderEpoch::new(2), at(5)).unwrap();
    sync(&dir, &mut log);
    assert_eq!(dir.is_failed(), None);
    assert_eq!(log.durable_end(), offset(4));
    let epochs = log.leader_epochs().clone();
    drop((dir, log));
    let (_dir, log, _) = open(&io.after_kill(), small());
    assert_eq!(*log.leader_epochs(), epochs);
}

#[test]
fn a_log_whose_files_may_not_be_made_is_opened_with_the_permission() {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    deny(&io, &partition_dir());
    let refused = dir.open_or_create_log(&partition(), TOPIC_ID, small());
    assert!(refused.unwrap_err().is_passing());
    assert_eq!(dir.is_failed(), None);
    allow(&io);
    let (mut log, _) = support::open_log(&dir, small());
    append(&mut log, batch_of("0", 100));
}
