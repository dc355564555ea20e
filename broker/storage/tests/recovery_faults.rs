//! Recoveries in which a change of the disk fails: it is full, a write is cut short, there is no file
//! descriptor, the disk itself fails. The broker goes on, tries again, or is killed: whatever it does, the
//! log is the one that a recovery without a failure finds, and goes on behind it.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use broker_storage::io::Io;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::{Log, LogDir, ReadError};
use support::{
    BATCH, DIR, append_numbers, batch_of, edit, flip, killed, offset, open, open_dir, open_log,
    partition_dir, segment_file, small, sync, try_open_dir,
};

const EMFILE: Fault = Fault::Error(24);
/// Records that are durable on every disk.
const SYNCED: u64 = 25;

/// What can be read of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    start: u64,
    end: u64,
    values: BTreeMap<u64, Vec<u8>>,
    /// Where it cannot be read, and where it goes on.
    damaged: Vec<(u64, Option<u64>)>,
}

fn content(log: &Log) -> Content {
    let mut found = Content {
        start: log.start().get(),
        end: log.end().get(),
        values: BTreeMap::new(),
        damaged: Vec::new(),
    };
    let mut next = log.start();
    while next < log.end() {
        match support::try_read_slice(log, next, 1) {
            Ok((batch, after)) => {
                let batch = batch.into_iter();
                found
                    .values
                    .extend(batch.map(|(at, record)| (at, record.value)));
                next = after;
            }
            Err(ReadError::Corrupt(corruption)) => {
                let goes_on = corruption.next_good;
                found
                    .damaged
                    .push((corruption.offset.get(), goes_on.map(|next| next.get())));
                let Some(after) = goes_on.filter(|after| *after > next) else {
                    break;
                };
                next = after;
            }
            Err(other) => panic!("{other}"),
        }
    }
    found
}

/// The index of the last segment was written, and its data was cut.
fn with_an_index_ahead() -> Arc<RecordingIo> {
    let synced = SYNCED as usize;
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..synced);
    sync(&dir, &mut log);
    append_numbers(&mut log, synced..synced + 4);
    assert!(log.sync_request().is_some());
    let left = io.after_kill();
    edit(&left, &segment_file(20, "log"), |bytes| {
        bytes.truncate(6 * BATCH as usize + 20);
    });
    left
}

/// Disks as stops leave them, by name.
fn disks() -> Vec<(&'static str, Arc<RecordingIo>)> {
    let synced = SYNCED as usize;
    let left = || killed(synced, 12, small());
    let broken = |change: &dyn Fn(&Arc<RecordingIo>)| {
        let io = left();
        change(&io);
        io
    };
    let deleted = || {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, small());
        append_numbers(&mut log, 0..synced);
        sync(&dir, &mut log);
        dir.record_high_watermark(&support::partition(), log.durable_end());
        dir.write_checkpoints().unwrap();
        log.advance_start(offset(14)).unwrap();
        append_numbers(&mut log, synced..synced + 12);
        drop((dir, log));
        io
    };
    vec![
        ("killed", left()),
        ("an index ahead of the data", with_an_index_ahead()),
        ("power lost", left().after_power_loss(Survival::Everything)),
        (
            "power lost, torn",
            left().after_power_loss(Survival::Random(5)),
        ),
        ("records deleted, killed", deleted().after_kill()),
        (
            "records deleted, power lost",
            deleted().after_power_loss(Survival::Random(3)),
        ),
        (
            "indexes lost",
            broken(&|io| {
                for base in [0, 10] {
                    io.remove_file(&segment_file(base, "index")).unwrap();
                }
            }),
        ),
        (
            "a segment cut",
            broken(&|io| edit(io, &segment_file(10, "log"), |bytes| bytes.truncate(700))),
        ),
        (
            "a batch damaged",
            broken(&|io| flip(io, &segment_file(10, "log"), 400)),
        ),
        (
            "durable points lost",
            broken(&|io| {
                edit(io, &Path::new(DIR).join("durable-positions"), |bytes| {
                    bytes.fill(0x5a)
                })
            }),
        ),
        (
            "epochs and checkpoint lost",
            broken(&|io| {
                io.remove_file(&partition_dir().join("leader-epoch-checkpoint"))
                    .unwrap();
                io.remove_file(&Path::new(DIR).join("recovery-point-checkpoint"))
                    .unwrap();
            }),
        ),
    ]
}

/// Goes on as a broker does: what has passed is tried again. `None` without the directory.
fn opened(io: &Arc<RecordingIo>) -> Option<(LogDir, Option<Log>)> {
    let dir = try_open_dir(io, Default::default()).ok()?;
    let _ = dir.partitions();
    for _ in 0..2 {
        let opened = dir.open_or_create_log(&support::partition(), support::TOPIC_ID, small());
        if let Ok((log, _)) = opened {
            return Some((dir, Some(log)));
        }
    }
    Some((dir, None))
}

/// Whether the next one finds the same, and goes on.
fn check(io: &Arc<RecordingIo>, expected: &Content, what: &str) {
    let dir = open_dir(io);
    dir.partitions().unwrap();
    let mut log = open_log(&dir, small()).0;
    let found = content(&log);
    assert_eq!(&found, expected, "{what}");
    support::append(&mut log, batch_of("once more", 100));
    sync(&dir, &mut log);
    assert_eq!(
        content(&log).values.len(),
        expected.values.len() + 1,
        "{what}"
    );
}

/// What was durable of a log, below an offset.
fn durable(of: &Content) -> BTreeMap<u64, Vec<u8>> {
    let below = of.values.range(..SYNCED);
    below.map(|(at, value)| (*at, value.clone())).collect()
}

/// The change of this number of a recovery fails; whether there is such a one.
fn run_with(
    name: &str,
    disk: &Arc<RecordingIo>,
    expected: &Content,
    (number, fault): (u64, Fault),
) -> bool {
    let io = disk.after_kill();
    let hit = Arc::new(std::sync::Mutex::new(None));
    let noted = Arc::clone(&hit);
    io.set_faults(move |at, operation| {
        let fits = match fault {
            EMFILE => matches!(operation, Operation::CreateFile { .. }),
            Fault::ENOSPC => !operation.is_sync(),
            Fault::Short(_) => matches!(operation, Operation::Write { .. }),
            _ => true,
        };
        (at == number && fits).then(|| {
            *noted.lock().unwrap() = Some(operation.clone());
            fault
        })
    });
    let opened = opened(&io);
    let operation = hit.lock().unwrap().clone();
    let what = format!("{name}, change {number} of the recovery: {operation:?}, {fault:?}");
    let mut expected = expected.clone();
    let lies = fault == Fault::EIO;
    if let Some((dir, Some(mut log))) = opened {
        let found = content(&log);
        if lies {
            assert_eq!(durable(&found), durable(&expected), "{what}");
        } else {
            assert_eq!(found, expected, "{what}, at once");
        }
        if dir.is_failed().is_none() {
            let run = support::append(&mut log, batch_of("goes on", 100));
            sync(&dir, &mut log);
            expected = content(&log);
            assert!(run.first.get() >= found.end, "{what}");
        }
    } else {
        // What passes has passed when the log is tried again.
        let is_tried_again = opened.is_some();
        assert!(lies || !is_tried_again && operation.is_some(), "{what}");
    }
    let killed = io.after_kill();
    let cut = io.after_power_loss(Survival::Synced);
    if lies {
        for left in [killed, cut] {
            let (_, log, _) = open(&left, small());
            assert_eq!(
                durable(&content(&log)),
                durable(&expected),
                "{what}, then a stop"
            );
        }
    } else {
        check(&killed, &expected, &format!("{what}, then killed"));
        let (_, log, _) = open(&cut, small());
        assert_eq!(
            durable(&content(&log)),
            durable(&expected),
            "{what}, then power lost"
        );
    }
    operation.is_some()
}

fn run_all(fault: Fault) {
    for (name, disk) in disks() {
        let first = disk.after_kill();
        let (dir, log) = opened(&first).unwrap();
        let log = log.unwrap();
        let expected = content(&log);
        assert!(expected.end >= SYNCED, "{name}: {expected:?}");
        drop((dir, log));
        let count = first.operation_count();
        let before = disk.after_kill().operation_count();
        let tried =
            (before..count).filter(|number| run_with(name, &disk, &expected, (*number, fault)));
        assert!(tried.count() > 0, "{name}: {count} changes");
    }
}

#[test]
fn a_disk_that_is_full_at_any_change_of_a_recovery_loses_nothing() {
    run_all(Fault::ENOSPC);
}

#[test]
fn a_write_of_a_recovery_that_is_cut_short_loses_nothing() {
    run_all(Fault::Short(5));
}

#[test]
fn a_recovery_without_file_descriptors_loses_nothing() {
    run_all(EMFILE);
}

#[test]
fn a_disk_that_fails_at_any_change_of_a_recovery_loses_nothing_durable() {
    run_all(Fault::EIO);
}
