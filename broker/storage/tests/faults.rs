//! A script of everything a log does, run once for each of its changes of the disk with that change
//! failing: as an error of the disk, for want of room, cut short, without a file descriptor. Whatever
//! fails, nothing acknowledged is lost, nothing refused comes back, and what passes is no reason to
//! take the directory out of service.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use broker_model::{BrokerId, LeaderEpoch, PartitionId, TopicName, TopicPartition};
use broker_record::ProducedBatch;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::{
    AppendError, Log, LogDir, LogDirError, LogDirOptions, ReserveRoom, SyncOutcome,
};
use support::{
    AgeOrSize, DIR, TOPIC_ID, at, batch_of, offset, open, partition, small, try_open_dir,
    try_read_from, values,
};

const EMFILE: Fault = Fault::Error(24);
const EINTR: Fault = Fault::Error(4);

/// What a script has done to its log, as its owner was told.
#[derive(Default)]
struct Told {
    /// Values by offset that appends have answered with.
    written: BTreeMap<u64, String>,
    /// Below this, what is in `written` was acknowledged as durable.
    durable: u64,
    /// The log start that was acknowledged, and the highest that was asked for.
    start: u64,
    start_asked: u64,
    /// Values that were refused for certain.
    refused: Vec<String>,
    /// Below it nothing is ever cut.
    high_watermark: u64,
    /// Segments that retention has deleted.
    retired: usize,
    next: usize,
}

impl Told {
    fn append(&mut self, dir: &LogDir, log: &mut Log, count: usize) {
        for _ in 0..count {
            self.next += 1;
            let value = format!("value {}", self.next);
            let was_failed = dir.is_failed().is_some();
            let batch = batch_of(&value, 100 + self.next * 37 % 300);
            match log.append(&mut [batch], LeaderEpoch::new(1), at(5)) {
                Ok(run) => {
                    assert!(
                        !was_failed,
                        "{value} was taken by a directory out of service"
                    );
                    let old = self.written.insert(run.first.get(), value);
                    assert_eq!(old, None, "an offset was given out twice");
                }
                Err(AppendError::Uncertain { .. }) => {}
                Err(_) => self.refused.push(value),
            }
            self.sync(dir, log);
        }
    }

    fn sync(&mut self, dir: &LogDir, log: &mut Log) {
        let Some(request) = log.sync_request() else {
            return;
        };
        let was_failed = dir.is_failed().is_some();
        let outcome: SyncOutcome = dir.sync_now(request);
        if let Ok(end) = log.on_synced(&outcome) {
            assert!(!was_failed, "a directory out of service has acknowledged");
            self.durable = self.durable.max(end.get());
        }
    }

    fn truncate(&mut self, log: &mut Log, back: u64) {
        let lowest = log.start().get().max(self.high_watermark);
        let to = log.end().get().saturating_sub(back).max(lowest);
        // Whatever becomes of it: what lies above is acknowledged to nobody any more.
        self.durable = self.durable.min(to);
        if log.truncate_to(offset(to)).is_ok() {
            self.written.split_off(&to);
        } else {
            // It may have happened or not; nobody goes on writing above it.
            let _ = self.written.split_off(&to);
        }
    }

    fn advance(&mut self, log: &mut Log, by: u64) {
        let to = (log.start().get() + by).min(log.end().get());
        self.start_asked = self.start_asked.max(to);
        if let Ok(start) = log.advance_start(offset(to)) {
            self.start = start.get();
        }
    }

    /// Keeps the newest segments.
    fn retain(&mut self, log: &mut Log) {
        let active = log.segments().last().map(|segment| segment.base.get());
        self.start_asked = self.start_asked.max(active.unwrap());
        let mut policy = AgeOrSize {
            bytes_min: Some(1_000),
            ..AgeOrSize::default()
        };
        if let Ok(kept) = log.apply_retention(&mut policy, log.durable_end(), at(5)) {
            self.start = kept.start.get();
            self.retired += kept.segments;
        }
    }

    /// Compares what is found with what was told.
    fn check(&self, log: &Log) {
        let start = log.start().get();
        assert!(
            (self.start..=self.start_asked).contains(&start),
            "the log starts at {start}"
        );
        assert!(
            log.end().get() >= self.durable,
            "acknowledged records are missing"
        );
        let found: BTreeMap<u64, String> = (start..).zip(values(log)).collect();
        for (at, value) in self.written.range(start..self.durable) {
            assert_eq!(found.get(at), Some(value), "at offset {at}");
        }
        for refused in &self.refused {
            assert!(
                !found.values().any(|value| value == refused),
                "{refused} was refused"
            );
        }
    }
}

fn doomed() -> TopicPartition {
    TopicPartition::new(TopicName::new("doomed").unwrap(), PartitionId::new(3))
}

/// Appends, rolls, deletes records and segments, truncates, checkpoints, stores a blob, creates and deletes another
/// log, closes. Goes on after every error, as a broker does.
fn script(dir: &LogDir, told: &mut Told) {
    let Ok((mut log, _)) = dir.open_or_create_log(&partition(), TOPIC_ID, small()) else {
        return;
    };
    told.append(dir, &mut log, 8);
    told.high_watermark = log.durable_end().get();
    dir.record_high_watermark(&partition(), log.durable_end());
    let _ = dir.write_checkpoints();
    told.advance(&mut log, 5);
    let other = dir.open_or_create_log(&doomed(), TOPIC_ID, small());
    if let Ok((mut other, _)) = other {
        let _ = other.append(
            &mut [batch_of("gone soon", 100)],
            LeaderEpoch::new(1),
            at(5),
        );
        if let Some(request) = other.sync_request() {
            let _ = other.on_synced(&dir.sync_now(request));
        }
        drop(other);
        let _ = dir.delete_log(&doomed(), TOPIC_ID);
    }
    let _ = dir.blobs().put(&"ab".repeat(32), b"a blob");
    told.append(dir, &mut log, 5);
    told.truncate(&mut log, 3);
    told.append(dir, &mut log, 6);
    told.retain(&mut log);
    told.advance(&mut log, 8);
    told.sync(dir, &mut log);
    if log.close().is_ok() {
        let _ = dir.write_checkpoints();
        let _ = dir.close_clean();
    }
}

/// Runs the script with the change of this number failing; what failed, if there was such a change.
fn run_with(number: u64, fault: Fault) -> Option<Operation> {
    let io = RecordingIo::new();
    let hit = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&hit);
    io.set_faults(move |at, operation| {
        let fits = match fault {
            // Not of a directory to be synced: the recorded disk takes what any failed sync covered for lost.
            EMFILE => matches!(operation, Operation::CreateFile { .. }),
            EINTR => operation.is_sync(),
            Fault::Short(_) => matches!(operation, Operation::Write { .. }),
            _ => true,
        };
        (at == number && fits).then(|| {
            *noted.lock().unwrap() = Some(operation.clone());
            fault
        })
    });
    let mut told = Told::default();
    let mut failed = None;
    match try_open_dir(&io, Default::default()) {
        Ok(dir) => {
            script(&dir, &mut told);
            failed = dir.is_failed();
        }
        Err(LogDirError::Locked { .. }) => panic!("nobody else has it"),
        Err(_) => {}
    }
    let operation = hit.lock().unwrap().clone();
    let what = format!("change {number}, {operation:?}, {fault:?}");
    let passes = match fault {
        Fault::Short(_) => true,
        Fault::ENOSPC => operation
            .as_ref()
            .is_some_and(|operation| !operation.is_sync()),
        EMFILE => true,
        _ => false,
    };
    if passes {
        assert_eq!(failed, None, "{what} has passed");
    }
    let is_of_a_log = |operation: &Operation| {
        let folders = [support::partition_dir(), Path::new(DIR).join("doomed-3")];
        operation.is_sync() && folders.iter().any(|dir| operation.path().starts_with(dir))
    };
    if matches!(fault, Fault::EIO | EINTR) && operation.as_ref().is_some_and(is_of_a_log) {
        assert!(failed.is_some(), "{what} is a failed sync");
    }
    let disks = [
        ("a kill", io.after_kill()),
        ("a power loss", io.after_power_loss(Survival::Synced)),
        (
            "a power loss",
            io.after_power_loss(Survival::Random(number)),
        ),
    ];
    for (stop, disk) in disks {
        let (dir, mut log, report) = open(&disk, small());
        assert_eq!(report.corruption, [], "{what}, {stop}");
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| told.check(&log)));
        assert!(checked.is_ok(), "{what}, after {stop}");
        support::append(&mut log, batch_of("goes on", 100));
        support::sync(&dir, &mut log);
        assert!(try_read_from(&log, log.start()).is_ok());
    }
    operation
}

/// Every change of the script in turn. The script has more of them after some faults than without one.
fn run_all(fault: Fault) -> usize {
    let io = RecordingIo::new();
    let mut told = Told::default();
    script(&try_open_dir(&io, Default::default()).unwrap(), &mut told);
    assert!(told.retired > 0, "retention has nothing to delete");
    let count = io.operation_count();
    (0..count)
        .filter(|number| run_with(*number, fault).is_some())
        .count()
}

#[test]
fn an_error_of_the_disk_at_any_change_loses_nothing_acknowledged() {
    assert!(run_all(Fault::EIO) > 100);
}

#[test]
fn a_full_disk_at_any_change_loses_nothing_and_passes() {
    assert!(run_all(Fault::ENOSPC) > 100);
}

#[test]
fn a_write_cut_short_anywhere_loses_nothing_and_passes() {
    assert!(run_all(Fault::Short(7)) > 40);
}

#[test]
fn a_missing_file_descriptor_at_any_change_loses_nothing_and_passes() {
    assert!(run_all(EMFILE) > 10);
}

#[test]
fn an_interrupted_sync_is_a_failed_sync() {
    assert!(run_all(EINTR) > 40);
}

/// A run of two batches the second of which begins a new segment.
fn two_segments(log: &Log) -> [ProducedBatch; 2] {
    let room = small().segment_bytes - log.segments().last().unwrap().bytes;
    let first = batch_of("refused", usize::try_from(room).unwrap() - 100);
    [first, batch_of("refused", 300)]
}

#[test]
fn an_append_that_cannot_be_undone_for_now_is_taken_back_before_the_next_one() {
    // What is written is cut off and its directory not synced, or not even the first is done.
    for (is_made, is_cut) in [(false, true), (true, true), (false, false), (true, false)] {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, small());
        support::append_numbers(&mut log, 0..3);
        support::sync(&dir, &mut log);
        let first = support::segment_file(0, "log");
        io.set_faults(move |_, operation| match operation {
            Operation::CreateFile { .. } if !is_made => Some(EMFILE),
            Operation::Write { path, .. } if *path != first => Some(Fault::ENOSPC),
            Operation::SyncDir { .. } => Some(EMFILE),
            Operation::SetLen { .. } if !is_cut => Some(EMFILE),
            _ => None,
        });
        let mut run = two_segments(&log);
        let error = log.append(&mut run, LeaderEpoch::new(1), at(5));
        assert!(
            matches!(error, Err(AppendError::Uncertain { .. })),
            "{error:?}"
        );
        let again = log.append(&mut [batch_of("refused", 100)], LeaderEpoch::new(1), at(5));
        assert!(
            matches!(again, Err(AppendError::NoDescriptor { .. })),
            "{again:?}"
        );
        assert!(log.roll_if_due().is_err());
        // Nobody reads what may not stay, and nothing of it is ever acknowledged.
        assert_eq!((log.end(), values(&log)), (offset(3), support::numbers(3)));
        assert_eq!((dir.is_failed(), log.check_present()), (None, Ok(())));
        let request = log.sync_request().unwrap();
        io.clear_faults();
        assert_eq!(log.on_synced(&dir.sync_now(request)), Ok(offset(3)));

        support::append_numbers(&mut log, 3..20);
        support::sync(&dir, &mut log);
        assert_eq!(values(&log), support::numbers(20));
        assert_eq!(log.durable_end(), offset(20));
        drop((log, dir));
        for disk in [io.after_kill(), io.after_power_loss(Survival::Everything)] {
            let (_dir, log, report) = open(&disk, small());
            assert_eq!(
                (report.corruption, values(&log)),
                (vec![], support::numbers(20))
            );
        }
    }
}

fn open_with_reserve(io: &Arc<RecordingIo>) -> Result<LogDir, LogDirError> {
    let mut options = LogDirOptions::new(DIR, BrokerId::new(1));
    options.io = Arc::clone(io) as Arc<dyn broker_storage::io::Io>;
    options.reserve = ReserveRoom::Keep;
    LogDir::open(options)
}

#[test]
fn from_whatever_write_on_the_disk_is_full_it_is_lived_with() {
    const ROOM: u64 = 400_000;
    for room in (0..6_000).step_by(313) {
        let io = RecordingIo::new();
        // A file system of that size, whose reserve has its least size.
        io.set_capacity(Some(ROOM));
        let dir = open_with_reserve(&io).unwrap();
        let used = ROOM - dir.look_at_space().unwrap().free;
        io.set_capacity(Some(used + room));
        let mut told = Told::default();
        script(&dir, &mut told);
        assert_eq!(dir.is_failed(), None, "with room for {room} bytes");
        drop(dir);
        for _ in 0..2 {
            let disk = io.after_kill();
            disk.set_capacity(Some(used + room));
            let dir = open_with_reserve(&disk).unwrap();
            let (mut log, _) = dir
                .open_or_create_log(&partition(), TOPIC_ID, small())
                .unwrap();
            told.check(&log);
            let sealed = log.segments().len() - 1;
            let mut nothing = AgeOrSize {
                bytes_min: Some(0),
                ..AgeOrSize::default()
            };
            let kept = log.apply_retention(&mut nothing, log.end(), at(5));
            assert_eq!(kept.unwrap().segments, sealed, "with room for {room} bytes");
            let to = log.end();
            assert_eq!(
                log.advance_start(to).unwrap(),
                to,
                "with room for {room} bytes"
            );
            disk.set_capacity(None);
            support::append(&mut log, batch_of("goes on", 100));
            support::sync(&dir, &mut log);
            assert_eq!(values(&log), ["goes on"]);
        }
    }
}
