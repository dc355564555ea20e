//! Small files that cannot be read, and directories that somebody else has named: they cost what they are about,
//! never the whole directory.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use broker_storage::io::recording::{Fault, Operation, RecordingIo};
use broker_storage::io::{Io, RealIo};
use broker_storage::{DirTrace, OpenLogError};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::{
    DIR, TOPIC_ID, append_numbers, batch_of, big, open, open_dir, partition, partition_dir,
};

#[test]
fn a_name_of_a_partition_that_cannot_be_read_costs_its_partition_alone() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..3);
    drop((dir, log));
    let dir = open_dir(&io.after_kill());
    let metadata = partition_dir().join("partition.metadata");
    assert_eq!(dir.partitions().unwrap()[0].topic_id, Some(TOPIC_ID));
    drop(dir);
    let io = io.after_kill();
    let dir = open_dir(&io);
    io.fail_reads(Some(13));
    let found = dir.partitions().unwrap();
    assert_eq!(
        (&found[0].partition, found[0].topic_id),
        (&partition(), None)
    );
    let opened = dir.open_or_create_log(&partition(), TOPIC_ID, big());
    assert!(
        matches!(opened, Err(OpenLogError::SmallFile(_))),
        "{opened:?}"
    );
    io.fail_reads(None);
    assert!(
        io.list(&partition_dir())
            .unwrap()
            .iter()
            .any(|entry| metadata.ends_with(&entry.name))
    );
    assert!(
        dir.open_or_create_log(&partition(), TOPIC_ID, big())
            .is_ok()
    );
}

#[test]
fn notes_at_the_top_that_cannot_be_read_keep_nobody_from_looking_at_the_rest() {
    let temp = tempfile::tempdir().unwrap();
    for name in ["log-directories", "clock-doubt"] {
        std::fs::create_dir(temp.path().join(name)).unwrap();
    }
    let trace = DirTrace::of(&*RealIo::new(), temp.path()).unwrap();
    assert!(trace.siblings.is_empty() && trace.doubted_clock.is_some());
}

#[test]
fn only_what_a_deletion_leaves_is_removed() {
    let io = RecordingIo::new();
    drop(open_dir(&io));
    let ours = format!("{TOPIC_ID}-0.delete");
    let others = [
        "photos.delete".to_owned(),
        "orders-0.delete".to_owned(),
        format!("{TOPIC_ID}-00.delete"),
        format!("{}-0.delete", TOPIC_ID.to_string().to_uppercase()),
    ];
    let made: Vec<PathBuf> = others
        .iter()
        .map(|name| Path::new(DIR).join(name))
        .collect();
    for dir in made.iter().chain([&Path::new(DIR).join(&ours)]) {
        io.create_dir_all(dir).unwrap();
    }
    assert_eq!(open_dir(&io).partitions().unwrap(), []);
    let left = io.list(Path::new(DIR)).unwrap();
    let is_left = |name: &String| left.iter().any(|entry| entry.name == *name);
    assert!(others.iter().all(is_left) && !is_left(&ours), "{left:?}");
}

#[test]
fn a_file_system_that_is_damaged_or_no_longer_written_is_out_of_service() {
    for (error, is_of_disk) in [(5, true), (30, true), (117, true), (13, false), (28, false)] {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, big());
        append_numbers(&mut log, 0..3);
        io.set_faults(move |_, operation| {
            let is_write = matches!(operation, Operation::Write { .. });
            is_write.then_some(Fault::Error(error))
        });
        let epoch = broker_model::LeaderEpoch::new(1);
        let refused = log.append(&mut [batch_of("3", 100)], epoch, support::at(5));
        assert!(refused.unwrap_err().is_definite());
        assert_eq!(dir.is_failed().is_some(), is_of_disk, "error {error}");
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("meta.properties");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (done, is_done) = mpsc::channel();
    let dir = temp.path().to_owned();
    std::thread::spawn(move || {
        let io = RealIo::new();
        let locked = io.lock(&dir.join("meta.properties")).err();
        done.send((DirTrace::of(&*io, &dir).is_err(), locked))
            .unwrap();
    });
    let waited = is_done.recv_timeout(Duration::from_secs(30));
    let (is_refused, locked) = waited.expect("it hangs");
    assert!(is_refused && locked.is_some());
}
