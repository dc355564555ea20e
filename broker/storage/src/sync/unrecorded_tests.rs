//! What a sync leaves unrecorded the next one records before it tells anybody, however late the thread is that
//! should have: here there is none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_model::{
    BrokerId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName, TopicPartition,
};
use broker_record::ProducedBatch;
use bytes::Bytes;

use super::sync_group::{record, run_group_unrecorded, sync_unrecorded};
use super::{Answer, SyncOutcome, SyncRequest};
use crate::durable_positions::DurablePositions;
use crate::io::recording::{Fault, Operation, RecordingIo, Survival};
use crate::log::{FlushMode, Log, LogConfig};
use crate::log_dir::{DirShared, LogDir, LogDirOptions};
use crate::recovery::RecoveryReport;

const TOPIC: TopicId = TopicId::from_bytes(*b"a topic for test");

/// The two ways that leave the record for later.
const WAYS: [fn(&DirShared, SyncRequest) -> SyncOutcome; 2] = [sync_unrecorded, as_a_group];

fn as_a_group(dir: &DirShared, request: SyncRequest) -> SyncOutcome {
    let told = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&told);
    let tell = Box::new(move |outcome| *slot.lock().expect("nothing panics") = Some(outcome));
    let answer = Answer::new(dir, &request, tell);
    run_group_unrecorded(dir, &[request], vec![answer]);
    let outcome = told.lock().expect("nothing panics").take();
    outcome.expect("everybody is told before it returns")
}

fn open(io: &Arc<RecordingIo>) -> (LogDir, Log, RecoveryReport) {
    let mut options = LogDirOptions::new("/data", BrokerId::new(1));
    options.io = Arc::clone(io) as _;
    let dir = LogDir::open(options).expect("the disk is well");
    let name = TopicName::new("orders").expect("a name");
    let partition = TopicPartition::new(name, PartitionId::new(0));
    let opened = dir.open_or_create_log(&partition, TOPIC, LogConfig::default());
    let (log, report) = opened.expect("the disk is well");
    (dir, log, report)
}

/// Appends a batch and syncs it; how far the log is durable then.
fn append_and_sync(
    dir: &LogDir,
    log: &mut Log,
    sync: fn(&DirShared, SyncRequest) -> SyncOutcome,
) -> Result<Offset, String> {
    let body = Bytes::from_static(b"\x91\x93\xc0\xc4\x01x\xc0");
    let batch = ProducedBatch::plain(body, Timestamp::from_millis(5)).expect("a batch");
    let appended = log.append(&mut [batch], LeaderEpoch::new(1), Timestamp::from_millis(5));
    appended.expect("the disk is well");
    sync_log(dir, log, sync)
}

fn sync_log(
    dir: &LogDir,
    log: &mut Log,
    sync: fn(&DirShared, SyncRequest) -> SyncOutcome,
) -> Result<Offset, String> {
    let request = log.sync_request().expect("there is something new");
    let outcome = sync(dir.shared(), request);
    let durable = log.on_synced(&outcome);
    durable.map_err(|failed| failed.to_string())
}

#[test]
fn what_the_last_sync_made_true_is_on_the_disk_when_the_next_one_is_told_of() {
    for sync in WAYS {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io);
        let mut lengths = Vec::new();
        for number in 1..=6 {
            let durable = append_and_sync(&dir, &mut log, sync);
            assert_eq!(durable, Ok(Offset::new(number)));
            let (_dir, found, report) = open(&io.after_power_loss(Survival::Synced));
            assert_eq!(found.end(), Offset::new(number));
            lengths.push(report.scanned_bytes);
        }
        // Each batch is as long as the first one, of which nothing is recorded yet.
        assert_eq!(lengths, vec![lengths[0]; 6], "it lags by one sync at most");
        assert!(lengths[0] > 0);
    }
}

#[test]
fn nobody_is_told_of_a_sync_if_what_the_last_one_made_true_cannot_be_recorded() {
    for sync in WAYS {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io);
        assert_eq!(append_and_sync(&dir, &mut log, sync), Ok(Offset::new(1)));
        io.set_faults(|_, operation| {
            let is_record = operation.path().ends_with(DurablePositions::FILE);
            let fails = is_record && matches!(operation, Operation::SyncData { .. });
            fails.then_some(Fault::EIO)
        });
        let refused = append_and_sync(&dir, &mut log, sync);
        let reason = refused.expect_err("the directory is out of service");
        assert!(reason.contains(DurablePositions::FILE), "{reason}");
        assert_eq!(log.durable_end(), Offset::new(1));
        assert!(dir.is_failed().is_some());
    }
}

#[test]
fn nobody_is_told_of_a_change_to_async_before_it_is_on_the_disk() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io);
    assert_eq!(
        append_and_sync(&dir, &mut log, as_a_group),
        Ok(Offset::new(1))
    );
    record(dir.shared());
    let every = Duration::from_secs(1);
    let flush = FlushMode::Async { every };
    log.set_config(LogConfig {
        flush,
        ..LogConfig::default()
    });
    assert_eq!(log.flush(), FlushMode::Sync);
    assert_eq!(sync_log(&dir, &mut log, as_a_group), Ok(Offset::new(1)));
    assert_eq!(log.flush(), flush);
    // Set to sync, the topic tells of what it may have lost before.
    let (_dir, _, report) = open(&io.after_power_loss(Survival::Synced));
    assert!(report.power_loss.is_some());
}
