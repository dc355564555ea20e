//! A limit on file sizes below `segment.bytes` (`ulimit -f`): segments end before it, as with a smaller
//! `segment.bytes`; only a batch that is larger than the limit is refused.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::sync::Arc;

use broker_model::LeaderEpoch;
use broker_storage::AppendError;
use broker_storage::io::recording::{Fault, Operation, RecordingIo};
use support::{
    BATCH, append, append_numbers, at, batch_of, big, numbers, offset, open, sync, values,
};

/// No file takes bytes above so many.
fn limit(io: &Arc<RecordingIo>, bytes: u64) {
    io.set_faults(move |_, operation| match operation {
        Operation::Write { position, len, .. } => {
            let room = bytes.saturating_sub(*position);
            match room {
                0 => Some(Fault::Error(27)),
                room if room < *len as u64 => Some(Fault::Short(room as usize)),
                _ => None,
            }
        }
        _ => None,
    });
}

#[test]
fn segments_end_at_a_limit_on_file_sizes() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    limit(&io, 5 * BATCH + 20);
    append_numbers(&mut log, 0..7);
    // More at once than a segment takes, and behind some.
    let mut run: Vec<_> = (7..20)
        .map(|number: u32| batch_of(&number.to_string(), 100))
        .collect();
    log.append(&mut run, LeaderEpoch::new(1), at(5)).unwrap();
    sync(&dir, &mut log);
    assert_eq!(values(&log), numbers(20));
    assert!(log.segments().len() >= 4);
    assert!(!dir.space().is_low, "the disk is not full");
    drop((dir, log));
    let io = io.after_kill();
    let (_dir, mut log, report) = open(&io, big());
    assert_eq!(report.corruption, []);
    assert_eq!(values(&log), numbers(20));
    assert_eq!(append(&mut log, batch_of("20", 100)).first, offset(20));
}

#[test]
fn a_batch_above_the_limit_is_refused_and_smaller_ones_are_not() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..1);
    limit(&io, 3 * BATCH);
    let mut run = [batch_of("1", 100), batch_of("large", 1_000)];
    let refused = log
        .append(&mut run, LeaderEpoch::new(1), at(5))
        .unwrap_err();
    assert!(
        matches!(refused, AppendError::FileLimit { .. }),
        "{refused}"
    );
    assert!(refused.is_definite());
    assert_eq!(dir.is_failed(), None);
    append_numbers(&mut log, 1..4);
    sync(&dir, &mut log);
    assert_eq!(values(&log), numbers(4));
    assert!(!dir.space().is_low);
}
