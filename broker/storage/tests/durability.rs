//! When a sync is reported, what it covers is on the disk, directory entries included; producers
//! share syncs; a failed sync ends the directory's service.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use broker_model::{LeaderEpoch, Offset, PartitionId, TopicName, TopicPartition};
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::{AppendError, Log, LogDir, PlantedBugs, ReadLimit, SyncOutcome};
use support::{TOPIC_ID, append, at, batch_of, offset, small, try_open_dir};

fn topic_partition(number: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new("orders").unwrap(), PartitionId::new(number))
}

fn open_log(dir: &LogDir, number: u32) -> Log {
    let opened = dir.open_or_create_log(&topic_partition(number), TOPIC_ID, small());
    opened.unwrap().0
}

fn is_data(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

fn is_record(path: &std::path::Path) -> bool {
    path.ends_with("durable-positions")
}

fn data_syncs(io: &RecordingIo) -> usize {
    let operations = io.operations();
    let syncs = operations
        .iter()
        .filter(|operation| matches!(operation, Operation::SyncData { path } if is_data(path)));
    syncs.count()
}

/// What was promised, and the disk as it would be after a power loss at that moment.
struct Promise {
    partition: u32,
    end: Offset,
    disk: Arc<RecordingIo>,
}

/// Appends to three partitions through many rolls; every completion is checked against the disk.
fn break_every_promise(bugs: PlantedBugs) -> Result<usize, String> {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, bugs).unwrap();
    let mut logs: Vec<Log> = (0..3).map(|number| open_log(&dir, number)).collect();
    let promises = Arc::new(Mutex::new(Vec::new()));
    for round in 0..40_usize {
        let (done, outcomes) = mpsc::channel();
        for (number, log) in (0_u32..).zip(&mut logs) {
            let epoch = LeaderEpoch::new(u32::try_from(round / 10).unwrap());
            let mut batches = vec![batch_of(&format!("{round}"), 100 + round * 37 % 500); 3];
            log.append(&mut batches, epoch, at(5)).unwrap();
            let (io, done) = (Arc::clone(&io), done.clone());
            let promises = Arc::clone(&promises);
            let completion = move |outcome: SyncOutcome| {
                promises.lock().unwrap().push(Promise {
                    partition: number,
                    end: outcome.result().unwrap(),
                    disk: io.after_power_loss(Survival::Synced),
                });
                done.send((number, outcome)).unwrap();
            };
            dir.sync(log.sync_request().unwrap(), Box::new(completion));
        }
        for (number, outcome) in outcomes.iter().take(3) {
            logs[number as usize].on_synced(&outcome).unwrap();
        }
    }
    let promises = std::mem::take(&mut *promises.lock().unwrap());
    for promise in &promises {
        let dir = try_open_dir(&promise.disk, PlantedBugs::default()).unwrap();
        let (log, report) = dir
            .open_or_create_log(&topic_partition(promise.partition), TOPIC_ID, small())
            .unwrap();
        if log.end() < promise.end {
            return Err(format!("promised {}, found {}", promise.end, log.end()));
        }
        if !report.corruption.is_empty() {
            return Err(format!("damaged: {:?}", report.corruption));
        }
        let found =
            support::try_read_from(&log, Offset::ZERO).map_err(|error| error.to_string())?;
        assert!(found.len() as u64 >= promise.end.get());
        let epochs = log.leader_epochs().entries().len() as u64;
        assert_eq!(
            epochs,
            (promise.end.get() - 1) / 30 + 1,
            "leader epochs are durable too"
        );
    }
    Ok(promises.len())
}

#[test]
fn no_completion_leaves_before_a_sync_that_covers_it() {
    assert_eq!(break_every_promise(PlantedBugs::default()), Ok(120));
}

#[test]
fn a_completion_before_the_sync_is_noticed() {
    let bugs = PlantedBugs {
        ack_before_sync: true,
        ..PlantedBugs::default()
    };
    assert!(break_every_promise(bugs).is_err());
}

#[test]
fn sixteen_producers_share_syncs() {
    const PRODUCERS: u32 = 16;
    const ROUNDS: usize = 20;
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    let before = data_syncs(&io);
    for round in 0..ROUNDS {
        // While the first sync runs, the other producers append and ask.
        io.hold_syncs();
        let (done, outcomes) = mpsc::channel();
        for producer in 0..PRODUCERS {
            append(&mut log, batch_of(&format!("{round}/{producer}"), 20));
            let done = done.clone();
            let request = log.sync_request().unwrap();
            dir.sync(
                request,
                Box::new(move |outcome| done.send(outcome).unwrap()),
            );
            if producer == 0 {
                io.wait_for_held_syncs(1);
            }
        }
        io.release_syncs();
        for outcome in outcomes.iter().take(PRODUCERS as usize) {
            log.on_synced(&outcome).unwrap();
        }
        assert_eq!(log.durable_end(), log.end());
    }
    let syncs = data_syncs(&io) - before;
    let batches = PRODUCERS as usize * ROUNDS;
    // Two a round: the first producer's, and one for the fifteen others; rolls add a few.
    assert!(syncs <= batches / 4, "{syncs} syncs for {batches} batches");
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_nothing_is_retried() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    append(&mut log, batch_of("kept", 50));
    support::sync(&dir, &mut log);
    append(&mut log, batch_of("lost", 50));
    io.set_faults(|_, operation| {
        let fails = matches!(operation, Operation::SyncData { path } if is_data(path));
        fails.then_some(Fault::EIO)
    });
    let request = log.sync_request().unwrap();
    let failure = log.on_synced(&dir.sync_now(request)).unwrap_err();
    assert_eq!(failure.dir, std::path::Path::new(support::DIR));
    assert_eq!(log.durable_end(), offset(1));
    assert_eq!(dir.is_failed(), Some(failure));

    io.clear_faults();
    let syncs = data_syncs(&io);
    let refused = log.append(&mut [batch_of("more", 50)], LeaderEpoch::new(1), at(5));
    assert!(matches!(refused, Err(AppendError::DirFailed(_))));
    // Another log of the directory is no better off.
    let other = dir.open_or_create_log(&topic_partition(1), TOPIC_ID, small());
    assert!(other.is_err());
    assert!(log.close().is_err());
    assert!(dir.close_clean().is_err());
    assert_eq!(data_syncs(&io), syncs, "a failed sync is never retried");
}

#[test]
fn reads_go_on_after_a_failed_sync() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    append(&mut log, batch_of("kept", 50));
    support::sync(&dir, &mut log);
    append(&mut log, batch_of("lost", 50));
    io.set_faults(|_, operation| operation.is_sync().then_some(Fault::EIO));
    let request = log.sync_request().unwrap();
    assert!(log.on_synced(&dir.sync_now(request)).is_err());
    let slice = log
        .read(
            Offset::ZERO,
            log.durable_end(),
            ReadLimit::OneBatchOr(1 << 20),
        )
        .unwrap();
    assert_eq!(slice.next_offset(), offset(1));
}

#[test]
fn a_failed_sync_of_a_directory_counts_like_one_of_data() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    while log.segments().len() < 2 {
        append(&mut log, batch_of("x", 500));
    }
    io.set_faults(|_, operation| {
        matches!(operation, Operation::SyncDir { .. }).then_some(Fault::EIO)
    });
    let request = log.sync_request().unwrap();
    assert!(dir.sync_now(request).result().is_err());
    assert!(dir.is_failed().is_some());
}

#[test]
fn a_disk_error_on_a_read_takes_the_directory_out_of_service() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    append(&mut log, batch_of("x", 50));
    append(&mut log, batch_of("y", 50));
    drop(log);
    let log = open_log(&dir, 0);
    io.fail_reads(Some(5));
    assert!(
        log.read(offset(1), offset(2), ReadLimit::OneBatchOr(100))
            .is_err()
    );
    assert!(dir.is_failed().is_some());
}

#[test]
fn a_request_that_is_dropped_loses_nothing() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    append(&mut log, batch_of("first", 50));
    drop(log.sync_request().unwrap());
    assert!(log.sync_request().is_none(), "there is nothing new");
    append(&mut log, batch_of("second", 50));
    let request = log.sync_request().unwrap();
    log.on_synced(&dir.sync_now(request)).unwrap();
    assert_eq!(log.durable_end(), offset(2));
    let disk = io.after_power_loss(Survival::Synced);
    let (_dir, log, _) = support::open(&disk, small());
    assert_eq!(support::values(&log), ["first", "second"]);
}

#[test]
fn a_sync_from_before_a_truncation_says_nothing_about_what_came_after() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    append(&mut log, batch_of("first", 50));
    append(&mut log, batch_of("old", 50));
    let stale = log.sync_request().unwrap();
    log.truncate_to(offset(1)).unwrap();
    append(&mut log, batch_of("new", 50));
    let outcome = dir.sync_now(stale);
    assert_eq!(log.on_synced(&outcome).unwrap(), Offset::ZERO);
    support::sync(&dir, &mut log);
    assert_eq!(log.durable_end(), offset(2));
    let disk = io.after_power_loss(Survival::Synced);
    let (_dir, log, report) = support::open(&disk, small());
    assert_eq!(report.corruption, []);
    assert_eq!(support::values(&log), ["first", "new"]);
}

#[test]
fn a_partition_deleted_while_its_sync_is_queued_harms_nobody() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    while log.segments().len() < 2 {
        append(&mut log, batch_of("x", 500));
    }
    let request = log.sync_request().unwrap();
    dir.delete_log(&topic_partition(0), TOPIC_ID).unwrap();
    assert!(dir.sync_now(request).result().is_ok());
    assert_eq!(dir.is_failed(), None);
}

#[test]
fn the_last_handle_of_a_directory_may_be_dropped_in_a_completion() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    append(&mut log, batch_of("x", 50));
    let request = log.sync_request().unwrap();
    let (done, outcomes) = mpsc::channel();
    let last = dir.clone();
    io.hold_syncs();
    dir.sync(
        request,
        Box::new(move |outcome| {
            drop(last);
            done.send(outcome).unwrap();
        }),
    );
    io.wait_for_held_syncs(1);
    drop(dir);
    io.release_syncs();
    assert_eq!(outcomes.recv().unwrap().result().unwrap(), offset(1));
}

/// What a sync was told, and the disk as it would be after a power loss at that moment.
type Told = (SyncOutcome, Arc<RecordingIo>);

fn sync_and_tell(io: &Arc<RecordingIo>, dir: &LogDir, log: &mut Log, told: mpsc::Sender<Told>) {
    let (io, request) = (Arc::clone(io), log.sync_request().unwrap());
    let tell = move |outcome| {
        let disk = io.after_power_loss(Survival::Synced);
        // Nobody listens any more to what comes too late.
        let _ = told.send((outcome, disk));
    };
    dir.sync(request, Box::new(tell));
}

/// Holds the syncs of `durable-positions` until it is dropped, by a test that fails, too.
struct HeldRecord<'a>(&'a RecordingIo);

impl<'a> HeldRecord<'a> {
    fn new(io: &'a RecordingIo) -> Self {
        io.hold_syncs_of(is_record);
        Self(io)
    }
}

impl Drop for HeldRecord<'_> {
    fn drop(&mut self) {
        self.0.release_syncs();
    }
}

/// Syncs a batch and then another: the data of the second is on the disk beside the record of the first, which
/// is held, and nobody is told yet.
fn sync_beside_a_held_record<'a>(
    io: &'a Arc<RecordingIo>,
    dir: &LogDir,
    log: &mut Log,
) -> (HeldRecord<'a>, mpsc::Receiver<Told>) {
    let held = HeldRecord::new(io);
    let (told, outcomes) = mpsc::channel();
    append(log, batch_of("x", 100));
    sync_and_tell(io, dir, log, told.clone());
    let (first, _) = outcomes.recv().unwrap();
    assert_eq!(log.on_synced(&first).unwrap(), offset(1));
    io.wait_for_held_syncs(1);
    append(log, batch_of("y", 100));
    let (before, asked) = (data_syncs(io), Instant::now());
    sync_and_tell(io, dir, log, told);
    while data_syncs(io) == before {
        let is_late = asked.elapsed() > Duration::from_secs(20);
        assert!(!is_late, "the data is not synced beside the record");
        thread::sleep(Duration::from_millis(1));
    }
    // Long enough to tell somebody who should not be told.
    let early = outcomes.recv_timeout(Duration::from_millis(300));
    assert!(early.is_err(), "nobody is told before the record");
    (held, outcomes)
}

#[test]
fn a_sync_does_not_wait_for_the_record_of_the_last_one_but_nobody_is_told_before_it() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    let (held, outcomes) = sync_beside_a_held_record(&io, &dir, &mut log);
    drop(held);
    let (second, disk) = outcomes.recv().unwrap();
    assert_eq!(log.on_synced(&second).unwrap(), offset(2));
    let (_dir, found, report) = support::open(&disk, small());
    assert_eq!(found.end(), offset(2));
    assert_eq!(
        report.scanned_bytes,
        support::BATCH,
        "it lags by one sync at most"
    );
}

#[test]
fn nothing_is_acknowledged_beside_a_record_that_fails_or_after_it() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let (mut log, mut other) = (open_log(&dir, 0), open_log(&dir, 1));
    append(&mut other, batch_of("z", 100));
    let (held, outcomes) = sync_beside_a_held_record(&io, &dir, &mut log);
    io.set_faults(|_, operation| {
        let fails = matches!(operation, Operation::SyncData { path } if is_record(path));
        fails.then_some(Fault::EIO)
    });
    drop(held);
    let (beside, _) = outcomes.recv().unwrap();
    let failure = log.on_synced(&beside).unwrap_err();
    assert!(failure.reason.contains("durable-positions"), "{failure}");
    assert_eq!(log.durable_end(), offset(1));
    assert_eq!(dir.is_failed(), Some(failure.clone()));

    io.clear_faults();
    let syncs = data_syncs(&io);
    let (told, outcomes) = mpsc::channel();
    sync_and_tell(&io, &dir, &mut other, told);
    let (after, _) = outcomes.recv().unwrap();
    assert_eq!(other.on_synced(&after), Err(failure));
    assert_eq!(data_syncs(&io), syncs, "nothing is tried any more");
}

#[test]
fn a_sync_on_the_callers_thread_is_recorded_before_the_next_one() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    for number in 0..30_u64 {
        append(&mut log, batch_of("x", 100));
        let outcome = dir.sync_inline(log.sync_request().unwrap());
        assert_eq!(log.on_synced(&outcome).unwrap(), offset(number + 1));
        let disk = io.after_kill();
        let (_dir, found, report) = support::open(&disk, small());
        assert_eq!(found.end(), offset(number + 1));
        assert!(
            report.scanned_bytes <= support::BATCH,
            "it lags by one sync at most"
        );
    }
}

#[test]
fn checkpoints_and_syncs_of_one_log_may_come_from_several_threads() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut log = open_log(&dir, 0);
    for epoch in 0..50 {
        log.append(&mut [batch_of("x", 50)], LeaderEpoch::new(epoch), at(5))
            .unwrap();
        let first = log.sync_request().unwrap();
        log.append(&mut [batch_of("y", 50)], LeaderEpoch::new(epoch), at(5))
            .unwrap();
        let second = log.sync_request().unwrap();
        let outcomes = std::thread::scope(|scope| {
            let first = scope.spawn(|| dir.sync_now(first));
            let second = scope.spawn(|| dir.sync_inline(second));
            let third = scope.spawn(|| dir.write_checkpoints());
            dir.write_checkpoints().unwrap();
            third.join().unwrap().unwrap();
            [first.join().unwrap(), second.join().unwrap()]
        });
        for outcome in outcomes {
            log.on_synced(&outcome).unwrap();
        }
        assert_eq!(log.durable_end(), log.end());
    }
    assert_eq!(dir.is_failed(), None);
}

#[test]
fn a_sync_that_went_well_acknowledges_nothing_once_another_has_failed() {
    let io = RecordingIo::new();
    let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
    let mut logs = [open_log(&dir, 0), open_log(&dir, 1)];
    for log in &mut logs {
        append(log, batch_of("x", 100));
    }
    let well = dir.sync_now(logs[0].sync_request().unwrap());
    io.set_faults(|_, operation| operation.is_sync().then_some(Fault::EIO));
    let _ = dir.sync_now(logs[1].sync_request().unwrap());
    assert!(logs[0].on_synced(&well).is_err());
    assert_eq!(logs[0].durable_end(), Offset::ZERO);
}

#[test]
fn a_sync_that_speaks_of_a_full_disk_or_of_too_many_files_has_failed_like_any_other() {
    const EMFILE: Fault = Fault::Error(24);
    let whats = [(false, false), (false, true), (true, true), (true, false)];
    let faults = [Fault::ENOSPC, EMFILE].map(|fault| whats.map(|what| (what, fault)));
    for ((of_data, cuts), fault) in faults.into_iter().flatten() {
        let io = RecordingIo::new();
        let dir = try_open_dir(&io, PlantedBugs::default()).unwrap();
        let mut log = open_log(&dir, 0);
        append(&mut log, batch_of("x", 100));
        support::sync(&dir, &mut log);
        append(&mut log, batch_of("y", 100));
        let has_failed = AtomicBool::new(false);
        io.set_faults(move |_, operation| {
            let is_it = if of_data { is_data } else { is_record };
            let fits = matches!(operation, Operation::SyncData { path } if is_it(path));
            (fits && !has_failed.swap(true, Ordering::Relaxed)).then_some(fault)
        });
        match cuts {
            true => assert!(log.truncate_to(offset(1)).is_err()),
            false => drop(dir.sync_now(log.sync_request().unwrap())),
        }
        assert!(dir.is_failed().is_some(), "{of_data} {cuts} {fault:?}");
    }
}
