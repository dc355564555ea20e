//! A sync thread that is lost with syncs under way leaves nobody waiting: each is told that it has failed.
#![allow(clippy::unwrap_used)]

mod support;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use broker_model::{BrokerId, PartitionId, TopicName, TopicPartition};
use broker_storage::io::recording::RecordingIo;
use broker_storage::io::{DirEntry, Io, IoFile, IoLock, OpenMode, Space};
use broker_storage::{LogDir, LogDirOptions};
use support::{DIR, TOPIC_ID, append, batch_of, small};

/// A disk at which a sync of a directory panics once it is told to.
#[derive(Debug)]
struct Panicking {
    disk: Arc<RecordingIo>,
    panics: AtomicBool,
}

impl Io for Panicking {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn IoFile>> {
        self.disk.open(path, mode)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(path)
    }
    fn entries_stamp(&self, path: &Path) -> io::Result<u64> {
        self.disk.entries_stamp(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        assert!(!self.panics.load(Ordering::SeqCst), "it was told to panic");
        self.disk.sync_dir(path)
    }
    fn sync_all(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_all(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn IoLock>> {
        self.disk.lock(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
    fn boot_id(&self) -> io::Result<String> {
        self.disk.boot_id()
    }
}

#[test]
fn syncs_that_a_panic_takes_away_are_told_as_failed_and_so_is_what_follows() {
    let io = Arc::new(Panicking {
        disk: RecordingIo::new(),
        panics: AtomicBool::new(false),
    });
    let mut options = LogDirOptions::new(DIR, BrokerId::new(1));
    options.io = Arc::clone(&io) as Arc<dyn Io>;
    let dir = LogDir::open(options).unwrap();
    let mut logs: Vec<_> = (0..3)
        .map(|number| {
            let name = TopicName::new("orders").unwrap();
            let partition = TopicPartition::new(name, PartitionId::new(number));
            let opened = dir.open_or_create_log(&partition, TOPIC_ID, small());
            opened.unwrap().0
        })
        .collect();
    io.panics.store(true, Ordering::SeqCst);
    let (done, outcomes) = mpsc::channel();
    for (number, log) in logs.iter_mut().enumerate() {
        // Several segments, so that directories have to be synced.
        for _ in 0..4 {
            append(log, batch_of("x", 900));
        }
        let done = done.clone();
        let told = move |outcome| done.send((number, outcome)).unwrap();
        dir.sync(log.sync_request().unwrap(), Box::new(told));
    }
    let mut told = Vec::new();
    for _ in 0..3 {
        let (number, outcome) = outcomes.recv_timeout(Duration::from_secs(60)).unwrap();
        let reason = outcome.result().unwrap_err().to_string();
        assert!(reason.contains("given up"), "{reason}");
        assert!(logs[number].on_synced(&outcome).is_err());
        told.push(number);
    }
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2]);
    assert!(dir.is_failed().is_some());
    assert!(dir.close_clean().is_err());
}
