//! Tests of where logs are placed and which are opened there, when topics are deleted and made again
//! meanwhile, and when the disk of one directory is broken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_model::{BrokerId, PartitionId, TopicName};
use broker_storage::io::recording::{Fault, RecordingIo};
use broker_storage::{LogConfig, LogDirOptions, OpenLogError};
use tempfile::TempDir;

use super::*;

#[test]
fn an_opening_that_begins_late_does_not_take_the_place_of_a_later_topic_of_its_name() {
    let folder = TempDir::new().expect("a folder");
    let paths = [folder.path().join("first")];
    let clock = crate::clock::start();
    let options = |path: &Path| LogDirOptions::new(path, BrokerId::new(1));
    let dirs = LogDirs::open(&paths, (&clock, Duration::ZERO), &options).expect("they open");
    let name = TopicName::new("t").expect("a name");
    let partition = TopicPartition::new(name, PartitionId::new(0));
    let (old, new) = (TopicId::random(), TopicId::random());
    let given_up = dirs.place(&partition, old);
    dirs.begin_deletion(&partition, old)
        .expect("it has a place");
    dirs.delete_log(&partition, old).expect("it is deleted");
    let dir = dirs.place(&partition, new);

    let late = dirs.open_log(&given_up, &partition, old, LogConfig::default());
    let is_refused = matches!(
        late,
        Err(NotOpened::Log(OpenLogError::OtherTopic { found, asked, .. })) if (found, asked) == (new, old)
    );
    assert!(is_refused, "{:?}", late.err());
    let opened = dirs.open_log(&dir, &partition, new, LogConfig::default());
    assert!(opened.is_ok(), "{:?}", opened.err());
}

/// Two directories, on a disk each.
struct Disks([(PathBuf, Arc<RecordingIo>); 2]);

impl Disks {
    fn new() -> Self {
        Self(["/first", "/second"].map(|path| (path.into(), RecordingIo::new())))
    }

    fn open(&self) -> Result<LogDirs, LogDirError> {
        let paths = self.0.each_ref().map(|(path, _)| path.clone());
        let options = |of: &Path| {
            let mut options = LogDirOptions::new(of, BrokerId::new(1));
            let found = self.0.iter().find(|(path, _)| path == of);
            options.io = found.expect("one of the two").1.clone();
            options
        };
        let clock = crate::clock::start();
        LogDirs::open(&paths, (&clock, Duration::ZERO), &options)
    }

    /// Every read of the disk fails.
    fn fail_reads(&self, disk: usize, error: Option<i32>) {
        self.0[disk].1.fail_reads(error);
    }
}

const EIO: Option<i32> = Some(5);
const EACCES: Option<i32> = Some(13);

fn partitions() -> impl Iterator<Item = TopicPartition> {
    let name = TopicName::new("t").expect("a name");
    (0..4).map(move |number| TopicPartition::new(name.clone(), PartitionId::new(number)))
}

/// The directories of the four partitions of a topic, or why one has none.
fn opened(dirs: &LogDirs, topic_id: TopicId) -> Vec<Result<PathBuf, NotOpened>> {
    dirs.expect(partitions().map(|partition| (partition, topic_id)));
    let places = partitions().map(|partition| {
        let dir = dirs.place(&partition, topic_id);
        let opened = dirs.open_log(&dir, &partition, topic_id, LogConfig::default());
        opened.map(|_| dir.path().to_owned())
    });
    places.collect()
}

#[test]
fn a_directory_whose_disk_is_broken_is_left_out_at_every_start_until_it_is_not() {
    let (disks, topic_id) = (Disks::new(), TopicId::random());
    let all = |opened: &[Result<PathBuf, NotOpened>]| -> Vec<Option<PathBuf>> {
        opened
            .iter()
            .map(|one| one.as_ref().ok().cloned())
            .collect()
    };
    let placed = all(&opened(&disks.open().expect("they open"), topic_id));
    assert!(placed.iter().all(Option::is_some), "{placed:?}");
    for _ in 0..2 {
        disks.fail_reads(1, EIO);
        let dirs = disks.open().expect("without the second");
        assert_eq!(dirs.all().len(), 1);
        let opened = opened(&dirs, topic_id);
        for (opened, placed) in opened.iter().zip(placed.iter().flatten()) {
            match opened {
                Ok(dir) => assert_eq!((dir, placed), (placed, &PathBuf::from("/first"))),
                Err(error) => {
                    assert_eq!(placed, Path::new("/second"));
                    let said = error.to_string();
                    assert!(said.contains("/second cannot be used"), "{said}");
                }
            }
        }
        assert_eq!(opened.iter().filter(|one| one.is_ok()).count(), 2);
        drop(dirs);
        disks.fail_reads(1, None);
        let again = all(&super::tests::opened(
            &disks.open().expect("both"),
            topic_id,
        ));
        assert_eq!(again, placed);
    }
}

#[test]
fn one_that_held_nothing_is_not_forgotten_while_it_is_named() {
    let disks = Disks::new();
    drop(disks.open().expect("they open"));
    disks.fail_reads(1, EIO);
    for _ in 0..2 {
        let dirs = disks.open().expect("without the second");
        dirs.expect(std::iter::empty());
    }
}

#[test]
fn what_is_new_or_forbidden_or_the_only_one_is_not_left_out() {
    let refused = |disks: &Disks| disks.open().err().expect("refused").to_string();
    let disks = Disks::new();
    let second = &disks.0[1].1;
    second.set_faults(|_, _| EIO.map(Fault::Error));
    let said = refused(&disks);
    assert!(said.contains("leave /second out"), "not known: {said}");
    second.clear_faults();
    drop(disks.open().expect("they open"));
    disks.fail_reads(1, EACCES);
    let said = refused(&disks);
    assert!(said.contains("leave /second out"), "{said}");
    disks.fail_reads(0, EIO);
    disks.fail_reads(1, EIO);
    let said = refused(&disks);
    assert!(said.contains("Input/output error"), "{said}");
}
