//! Files of many partitions under a small bound: closed and opened again beside writers and readers.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use broker_model::{BrokerId, LeaderEpoch, PartitionId, TopicId, TopicName, TopicPartition};
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::{FileSlice, Log, LogDir, LogDirOptions, ReadLimit};
use support::{append_numbers, at, batch_of, numbers, offset, small, sync, values};

const PARTITIONS: u32 = 12;

fn open_all(io: &Arc<RecordingIo>, open_files_max: usize) -> (LogDir, Vec<Log>) {
    let mut options = LogDirOptions::new("/data", BrokerId::new(1));
    options.io = io.clone();
    options.open_files_max = open_files_max;
    let dir = LogDir::open(options).unwrap();
    let topic_id = TopicId::from_bytes([7; 16]);
    let open = |number| {
        let name = TopicName::new("many").unwrap();
        let partition = TopicPartition::new(name, PartitionId::new(number));
        dir.open_or_create_log(&partition, topic_id, small())
            .unwrap()
            .0
    };
    let logs = (0..PARTITIONS).map(open).collect();
    (dir, logs)
}

fn sync_all(dir: &LogDir, logs: &mut [Log]) {
    logs.iter_mut().for_each(|log| sync(dir, log));
}

fn whole(log: &Log) -> FileSlice {
    let limit = ReadLimit::OneBatchOr(1 << 20);
    log.read(offset(0), log.end(), limit).unwrap()
}

#[test]
fn partitions_that_take_turns_lose_nothing_under_a_bound_of_a_few_files() {
    let io = RecordingIo::new();
    let (dir, mut logs) = open_all(&io, 3);
    for round in 0..4 {
        for log in &mut logs {
            append_numbers(log, round * 10..round * 10 + 10);
        }
        if round % 2 == 0 {
            sync_all(&dir, &mut logs);
        }
        for log in &logs {
            assert_eq!(values(log), numbers(round * 10 + 10));
        }
    }
    sync_all(&dir, &mut logs);
    drop((dir, logs));
    let (_dir, logs) = open_all(&io.after_power_loss(Survival::Synced), 3);
    for log in &logs {
        assert_eq!(values(log), numbers(40));
    }
}

#[test]
fn a_slice_reads_on_when_its_file_was_closed_grown_and_deleted() {
    let io = RecordingIo::new();
    let (dir, mut logs) = open_all(&io, 1);
    for log in &mut logs {
        append_numbers(log, 0..5);
    }
    sync_all(&dir, &mut logs);
    let slice = whole(&logs[0]);
    let expected = slice.read().unwrap();
    for log in &mut logs {
        append_numbers(log, 5..30);
    }
    sync_all(&dir, &mut logs);
    assert_eq!(slice.read().unwrap(), expected, "closed and grown");
    logs[0].advance_start(offset(30)).unwrap();
    logs[1..].iter().for_each(|log| drop(values(log)));
    assert_eq!(slice.read().unwrap(), expected, "unlinked by retention");
    let last = whole(&logs[1]);
    let expected = last.read().unwrap();
    let (partition, topic_id) = (logs[1].partition().clone(), logs[1].topic_id());
    logs.remove(1).close().unwrap();
    dir.delete_log(&partition, topic_id).unwrap();
    logs[1..].iter().for_each(|log| drop(values(log)));
    assert_eq!(last.read().unwrap(), expected, "the partition was deleted");
}

#[test]
fn a_write_that_cannot_be_made_durable_is_never_forgotten_with_its_file() {
    let io = RecordingIo::new();
    let (dir, mut logs) = open_all(&io, 1);
    append_numbers(&mut logs[0], 0..1);
    let data_of_0 = |operation: &Operation| matches!(operation, Operation::SyncData { path } if path.starts_with("/data/many-0"));
    io.set_faults(move |_, operation| data_of_0(operation).then_some(Fault::EIO));
    // Others need room: the file is synced to be closed, which fails.
    for _ in 0..3 {
        for log in &mut logs[1..] {
            let _ = log.append(&mut [batch_of("1", 100)], LeaderEpoch::new(1), at(5));
        }
    }
    io.clear_faults();
    assert!(dir.is_failed().is_some());
    let outcome = dir.sync_now(logs[0].sync_request().unwrap());
    assert!(logs[0].on_synced(&outcome).is_err());
    assert_eq!(logs[0].durable_end(), offset(0));
}

#[test]
fn a_write_that_a_sync_has_overtaken_is_synced_before_it_is_acknowledged() {
    let io = RecordingIo::new();
    let (dir, mut logs) = open_all(&io, 1);
    sync_all(&dir, &mut logs);
    append_numbers(&mut logs[0], 0..1);
    // The sync of the first batch comes when the second is about to be written, and misses it.
    let first = logs[0].sync_request().unwrap();
    let (done, outcomes) = std::sync::mpsc::channel();
    let dir = Arc::new(dir);
    let syncing = Arc::clone(&dir);
    io.before_next_write(move || done.send(syncing.sync_now(first)).unwrap());
    append_numbers(&mut logs[0], 1..2);
    logs[0].on_synced(&outcomes.recv().unwrap()).unwrap();
    let second = logs[0].sync_request().unwrap();
    // Others need room meanwhile.
    append_numbers(&mut logs[1], 0..1);
    append_numbers(&mut logs[2], 0..1);
    assert_eq!(logs[0].on_synced(&dir.sync_now(second)).unwrap(), offset(2));
    let disk = io.after_power_loss(Survival::Synced);
    drop((dir, logs));
    let (_dir, logs) = open_all(&disk, 1);
    assert_eq!(values(&logs[0]), numbers(2));
}
