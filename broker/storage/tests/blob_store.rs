//! Blobs named by digest: stored in one durable step, listed, removed, and never taken for a partition.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::thread;

use broker_storage::BlobError;
use broker_storage::io::Io;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use support::{open, open_dir, small};

const FIRST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const SECOND: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

#[test]
fn what_was_stored_survives_a_power_loss_and_is_removed_when_asked() {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    let blobs = dir.blobs();
    assert_eq!(blobs.list().unwrap(), Vec::<String>::new());
    assert_eq!(blobs.get(FIRST).unwrap(), None);
    blobs.put(SECOND, b"\0asm two").unwrap();
    blobs.put(FIRST, b"").unwrap();
    drop((blobs, dir));
    let io = io.after_power_loss(Survival::Synced);
    let dir = open_dir(&io);
    let blobs = dir.blobs();
    assert_eq!(blobs.list().unwrap(), [FIRST, SECOND]);
    assert_eq!(blobs.get(SECOND).unwrap().unwrap(), &b"\0asm two"[..]);
    assert_eq!(blobs.get(FIRST).unwrap().unwrap(), &b""[..]);
    blobs.remove(SECOND).unwrap();
    blobs.remove(SECOND).unwrap();
    assert_eq!(blobs.list().unwrap(), [FIRST]);
}

#[test]
fn the_same_blob_is_written_once_and_a_damaged_one_again() {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    let blobs = dir.blobs();
    blobs.put(FIRST, b"module").unwrap();
    let operations = io.operation_count();
    blobs.put(FIRST, b"module").unwrap();
    assert_eq!(io.operation_count(), operations);
    let file = Path::new(support::DIR).join("plugin-modules").join(FIRST);
    support::set_file_bytes(&io, &file, b"modulf");
    blobs.put(FIRST, b"module").unwrap();
    assert_eq!(blobs.get(FIRST).unwrap().unwrap(), &b"module"[..]);
}

#[test]
fn a_blob_is_there_as_a_whole_or_not_at_all_wherever_it_stops() {
    for number in 0.. {
        let io = RecordingIo::new();
        let dir = open_dir(&io);
        io.fail_at(io.operation_count() + number, Fault::Killed(2));
        let done = dir.blobs().put(FIRST, b"module").is_ok();
        drop(dir);
        for seed in 0..6 {
            let io = io.after_power_loss(Survival::Random(seed));
            let dir = open_dir(&io);
            let found = dir.blobs().get(FIRST).unwrap();
            assert!(
                found.is_none() || found.as_deref() == Some(b"module"),
                "at {number}"
            );
            assert!(found.is_some() || !done, "at {number}");
        }
        if done {
            assert!(number > 4);
            return;
        }
    }
}

#[test]
fn names_that_are_no_digests_are_refused() {
    let dir = open_dir(&RecordingIo::new());
    let blobs = dir.blobs();
    let upper = FIRST.to_uppercase();
    for name in [
        "",
        "../../etc/passwd",
        &FIRST[1..],
        &upper,
        "meta.properties",
    ] {
        for refused in [
            blobs.put(name, b"x").err(),
            blobs.get(name).err(),
            blobs.remove(name).err(),
        ] {
            assert!(
                matches!(refused, Some(BlobError::NotADigest { .. })),
                "{name}"
            );
        }
    }
}

#[test]
fn blobs_are_no_partition_and_outlive_a_full_disk() {
    let io = RecordingIo::new();
    let (dir, log, _) = open(&io, small());
    let blobs = dir.blobs();
    blobs.put(FIRST, b"module").unwrap();
    assert_eq!(dir.partitions().unwrap().len(), 1);
    assert_eq!(blobs.list().unwrap(), [FIRST]);
    io.set_faults(|_, operation| {
        matches!(operation, Operation::Write { .. }).then_some(Fault::ENOSPC)
    });
    assert!(matches!(blobs.put(SECOND, b"x"), Err(BlobError::Io { .. })));
    io.clear_faults();
    assert_eq!(dir.is_failed(), None);
    assert_eq!(blobs.list().unwrap(), [FIRST]);
    io.set_faults(|_, operation| operation.is_sync().then_some(Fault::EIO));
    assert!(blobs.put(SECOND, b"x").is_err());
    assert!(dir.is_failed().is_some());
    io.clear_faults();
    assert!(matches!(
        blobs.put(SECOND, b"x"),
        Err(BlobError::DirFailed(_))
    ));
    assert_eq!(blobs.get(FIRST).unwrap().unwrap(), &b"module"[..]);
    drop(log);
    assert!(io.list(Path::new("/data/plugin-modules")).is_ok());
}

#[test]
fn two_threads_that_store_the_same_blob_do_not_get_in_each_others_way() {
    let temp = tempfile::tempdir().unwrap();
    let options = broker_storage::LogDirOptions::new(temp.path(), broker_model::BrokerId::new(1));
    let dir = broker_storage::LogDir::open(options).unwrap();
    let module = vec![7; 100_000];
    thread::scope(|scope| {
        for _ in 0..4 {
            let (blobs, module) = (dir.blobs(), &module);
            scope.spawn(move || {
                for _ in 0..5 {
                    blobs.put(FIRST, module).unwrap();
                    assert_eq!(blobs.get(FIRST).unwrap().unwrap().len(), module.len());
                }
            });
        }
    });
    assert_eq!(dir.blobs().list().unwrap(), [FIRST]);
}
