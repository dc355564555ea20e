//! A file system that has lost what was written to it, although the machine was up: its volume was away for a while, or
//! was set back. Zeros at the end of a log tell of it, for no process leaves them.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use broker_storage::io::recording::{RecordingIo, Survival};
use broker_storage::{FlushMode, LastStop, LogConfig, LogPurpose, OpenLogError};
use support::{
    BATCH, TOPIC_ID, append, append_numbers, batch_of, big, edit, inspected, killed, numbers,
    offset, open, open_dir, open_log, partition, segment_file, sync, values,
};

/// What is done to the end of a file.
type End = Box<dyn Fn(&mut Vec<u8>)>;

/// Two records that are durable and four that are not, then a kill and a change of the file.
fn killed_and(config: LogConfig, change: impl FnOnce(&mut Vec<u8>)) -> Arc<RecordingIo> {
    let io = killed(2, 6, config);
    edit(&io, &segment_file(0, "log"), change);
    io
}

fn zero_from(position: u64) -> impl Fn(&mut Vec<u8>) {
    move |bytes| bytes[position as usize..].fill(0)
}

#[test]
fn zeros_at_the_end_of_a_log_are_writes_that_were_lost() {
    let appended = |bytes: &mut Vec<u8>| bytes.extend([0; 300]);
    let (all, three, two) = (6, 3, 2);
    let ends: [(End, usize); 3] = [
        (Box::new(appended), all),
        (Box::new(zero_from(3 * BATCH)), three),
        // A sector that begins in the middle of the third batch is the first that was lost.
        (Box::new(zero_from(512)), two),
    ];
    for (number, (end, left)) in ends.into_iter().enumerate() {
        let io = killed_and(big(), end);
        let found = inspected::damage(&io, &|_| false).unwrap();
        assert_eq!(found, None, "end {number}");
        let (dir, mut log, report) = open(&io, big());
        assert_eq!(report.corruption, [], "end {number}");
        assert_eq!(report.last_stop, LastStop::OtherBoot, "end {number}");
        assert_eq!(values(&log), numbers(left), "end {number}");
        append(&mut log, batch_of(&left.to_string(), 100));
        sync(&dir, &mut log);
        drop((dir, log));
        let (_dir, log, report) = open(&io.after_kill(), big());
        assert_eq!((report.torn, report.corruption), (None, vec![]));
        assert_eq!(values(&log), numbers(left + 1), "end {number}");
    }
}

#[test]
fn other_bytes_at_the_end_of_a_log_are_damage() {
    let ends: [End; 4] = [
        Box::new(|bytes| bytes.extend([0xa5; 300])),
        // No sector begins in these zeros.
        Box::new(zero_from(6 * BATCH - 50)),
        Box::new(|bytes| bytes[5 * BATCH as usize + 80] ^= 1),
        // Something was written behind them.
        Box::new(|bytes| bytes[512..5 * BATCH as usize].fill(0)),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let io = killed_and(big(), end);
        let found = inspected::damage(&io, &|_| false).unwrap();
        assert!(found.is_some(), "end {number}");
        let (_dir, _log, report) = open(&io, big());
        assert_eq!(report.last_stop, LastStop::SameBoot, "end {number}");
        assert!(!report.corruption.is_empty(), "end {number}");
    }
}

#[test]
fn what_was_acknowledged_and_lost_with_them_is_told() {
    let asynchronous = LogConfig {
        flush: FlushMode::Async {
            every: Duration::from_secs(1),
        },
        ..big()
    };
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, asynchronous);
    append_numbers(&mut log, 0..2);
    sync(&dir, &mut log);
    append_numbers(&mut log, 2..6);
    dir.record_high_watermark(&partition(), offset(5));
    dir.write_checkpoints().unwrap();
    drop((dir, log));
    let io = io.after_kill();
    edit(&io, &segment_file(0, "log"), zero_from(3 * BATCH));
    assert_eq!(inspected::damage(&io, &|_| false).unwrap(), None);
    let (_dir, log, report) = open(&io, asynchronous);
    assert_eq!((report.corruption, log.end()), (Vec::new(), offset(3)));
    let lost = report.power_loss.and_then(|loss| loss.known_lost);
    assert_eq!(lost, Some(offset(3)..offset(5)));
}

/// A log without which nothing is served is left for the next start as it was found.
#[test]
fn a_damaged_log_of_the_brokers_own_is_refused_and_not_changed() {
    let own = LogConfig {
        purpose: LogPurpose::Internal,
        ..big()
    };
    let io = killed_and(own, |bytes| bytes.extend([0xa5; 300]));
    let dir = open_dir(&io);
    let before = io.fingerprint();
    for _ in 0..2 {
        let refused = dir.open_or_create_log(&partition(), TOPIC_ID, own);
        let Err(OpenLogError::Damaged(damage)) = refused else {
            panic!("it was opened");
        };
        assert_eq!(damage.position, 6 * BATCH);
        assert_eq!(io.fingerprint(), before);
    }
    drop(dir);
    // The next start comes after one of the machine: then that is a torn end.
    let io = io.after_power_loss(Survival::Everything);
    let (log, _) = open_log(&open_dir(&io), own);
    assert_eq!(values(&log), numbers(6));
}
