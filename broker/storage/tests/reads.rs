//! Reads by offset and by time: whole batches, within their bounds.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use broker_model::{BrokerId, LeaderEpoch, Offset};
use broker_record::{Batches, TimestampType};
use broker_storage::io::recording::RecordingIo;
use broker_storage::{Log, LogConfig, LogDir, LogDirOptions, ReadError, ReadLimit};
use support::{BATCH, Record, append, append_numbers, at, batch, big, offset, open, small};

#[test]
fn a_read_outside_of_the_log_says_what_there_is() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..10);
    log.advance_start(offset(4)).unwrap();
    for asked in [3, 11] {
        match log.read(offset(asked), log.end(), ReadLimit::OneBatchOr(100)) {
            Err(ReadError::OffsetOutOfRange {
                asked: a,
                start,
                end,
            }) => {
                assert_eq!((a, start, end), (offset(asked), offset(4), offset(10)));
            }
            other => panic!("{other:?}"),
        }
    }
    let slice = log
        .read(offset(10), offset(99), ReadLimit::OneBatchOr(100))
        .unwrap();
    assert!(slice.is_empty());
    assert_eq!(
        (slice.first_offset(), slice.next_offset()),
        (offset(10), offset(10))
    );
}

#[test]
fn limits_of_a_read_are_kept_by_whole_batches() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..10);
    let read = |limit| log.read(offset(2), log.end(), limit).unwrap();
    assert_eq!(read(ReadLimit::OneBatchOr(0)).next_offset(), offset(3));
    assert_eq!(
        read(ReadLimit::OneBatchOr(BATCH - 1)).next_offset(),
        offset(3)
    );
    assert!(read(ReadLimit::Strict(BATCH - 1)).is_empty());
    assert_eq!(read(ReadLimit::Strict(BATCH)).next_offset(), offset(3));
    assert_eq!(
        read(ReadLimit::Strict(3 * BATCH + 1)).next_offset(),
        offset(5)
    );
    assert_eq!(
        read(ReadLimit::OneBatchOr(u64::MAX)).next_offset(),
        offset(10)
    );
    let below = log
        .read(offset(2), offset(5), ReadLimit::OneBatchOr(u64::MAX))
        .unwrap();
    assert_eq!((below.next_offset(), below.len()), (offset(5), 3 * BATCH));
}

#[test]
fn a_read_never_shows_a_batch_that_is_not_wholly_below_the_high_watermark() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, big());
    append(&mut log, batch(&vec![Record::new("a", 1); 4]));
    append(&mut log, batch(&vec![Record::new("b", 1); 4]));
    let read = |from, below| {
        let slice = log.read(offset(from), offset(below), ReadLimit::OneBatchOr(u64::MAX));
        slice.unwrap().next_offset().get()
    };
    assert_eq!((read(0, 4), read(0, 7), read(0, 8)), (4, 4, 8));
    assert_eq!((read(5, 7), read(5, 8), read(2, 3)), (5, 8, 2));
}

#[test]
fn log_append_time_is_the_brokers_and_wins() {
    let io = RecordingIo::new();
    let config = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..big()
    };
    let (_dir, mut log, _) = open(&io, config);
    for time in [100, 300] {
        let mut batches = [batch(&[Record::new("a", 123), Record::new("b", 9_999)])];
        log.append(&mut batches, LeaderEpoch::new(1), at(time))
            .unwrap();
    }
    let slice = log
        .read(Offset::ZERO, log.end(), ReadLimit::OneBatchOr(u64::MAX))
        .unwrap();
    let batches: Vec<_> = Batches::new(slice.read().unwrap())
        .map(Result::unwrap)
        .collect();
    for (stored, time) in batches.iter().zip([100, 300]) {
        assert_eq!(stored.header.timestamp_type, TimestampType::LogAppendTime);
        for record in &stored.records().unwrap() {
            assert_eq!(record.unwrap().timestamp, at(time));
        }
    }
    let find = |time| log.offset_for_timestamp(at(time), log.end()).unwrap();
    assert_eq!(find(123), Some((offset(2), at(300))));
    assert_eq!(find(100), Some((offset(0), at(100))));
    assert_eq!(find(301), None);
}

#[test]
fn a_time_is_looked_up_between_the_log_start_and_the_high_watermark() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, small());
    for number in 0..40 {
        append(
            &mut log,
            batch(&[Record::new("a", number), Record::new("b", number)]),
        );
    }
    let find = |log: &Log, time, below| {
        let found = log.offset_for_timestamp(at(time), offset(below)).unwrap();
        found.map(|(offset, _)| offset.get())
    };
    assert_eq!(find(&log, 0, 80), Some(0));
    assert_eq!(find(&log, 20, 80), Some(40));
    assert_eq!(find(&log, 20, 41), Some(40));
    assert_eq!(find(&log, 20, 40), None);
    log.advance_start(offset(41)).unwrap();
    assert_eq!(find(&log, 0, 80), Some(41));
    assert_eq!(find(&log, i64::MIN, 80), Some(41));
    assert_eq!(find(&log, i64::MAX, 80), None);
}

#[test]
fn a_slice_goes_to_a_socket_without_passing_through() {
    let temp = tempfile::tempdir().unwrap();
    let dir = LogDir::open(LogDirOptions::new(temp.path(), BrokerId::new(1))).unwrap();
    let (mut log, _) = support::open_log(&dir, big());
    append_numbers(&mut log, 0..20);
    let slice = log
        .read(offset(3), log.end(), ReadLimit::OneBatchOr(u64::MAX))
        .unwrap();
    assert!(slice.is_cached(0, slice.len()).unwrap());
    let (sender, mut receiver) = UnixStream::pair().unwrap();
    let mut at = 0;
    while at < slice.len() {
        at += slice.send_to(sender.as_fd(), at, 1_000).unwrap() as u64;
    }
    assert_eq!(slice.send_to(sender.as_fd(), at, 1_000).unwrap(), 0);
    drop(sender);
    let mut received = Vec::new();
    receiver.read_to_end(&mut received).unwrap();
    assert_eq!(received, slice.read().unwrap());
}
