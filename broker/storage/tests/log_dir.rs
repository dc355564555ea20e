//! A log directory: taken by one process, of one broker, readable by its version; partitions are
//! found, deleted and created again without ever mixing their data.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use broker_model::{BrokerId, TopicId};
use broker_storage::io::Io;
use broker_storage::io::recording::{Fault, Operation, RecordingIo};
use broker_storage::{DirTrace, LogDir, LogDirError, LogDirOptions, OpenLogError};
use support::{
    DIR, TOPIC_ID, append, batch_of, edit, file_bytes, offset, open, open_dir, partition,
    partition_dir, segment_file, set_file_bytes, small, sync, values,
};

fn options(io: &Arc<RecordingIo>) -> LogDirOptions {
    let mut options = LogDirOptions::new(DIR, BrokerId::new(1));
    options.io = Arc::clone(io) as Arc<dyn Io>;
    options
}

fn checksummed(text: &str) -> Vec<u8> {
    format!("{text}crc32={:08x}\n", crc32fast::hash(text.as_bytes())).into_bytes()
}

#[test]
fn a_second_process_is_refused_by_name() {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    let error = LogDir::open(options(&io)).unwrap_err();
    assert!(matches!(error, LogDirError::Locked { .. }));
    assert!(error.to_string().contains(DIR), "{error}");
    let log = support::open_log(&dir, small()).0;
    drop(dir);
    assert!(
        LogDir::open(options(&io)).is_err(),
        "a log of it is still open"
    );
    drop(log);
    assert!(LogDir::open(options(&io)).is_ok());
}

#[test]
fn who_asks_what_was_there_does_not_wait_for_a_disk_that_is_being_told_it() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append(&mut log, batch_of("a", 100));
    let (begun, is_writing) = mpsc::channel();
    let (go_on, waits) = mpsc::channel::<()>();
    io.set_faults(move |_, operation| {
        if let Operation::Write { path, .. } = operation
            && path.ends_with("durable-positions")
        {
            let _ = begun.send(());
            let _ = waits.recv();
        }
        None
    });
    let request = log.sync_request().unwrap();
    let syncing = dir.clone();
    let syncing = thread::spawn(move || syncing.sync_now(request));
    is_writing.recv().unwrap();
    let (asked, answer) = mpsc::channel();
    let asking = dir.clone();
    thread::spawn(move || asked.send(asking.remembers(&partition(), TOPIC_ID)));
    let remembered = answer.recv_timeout(Duration::from_secs(30));
    drop(go_on);
    assert_eq!(remembered, Ok(true));
    log.on_synced(&syncing.join().unwrap()).unwrap();
}

#[test]
fn a_real_directory_is_locked_too() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a/b");
    let dir = LogDir::open(LogDirOptions::new(&path, BrokerId::new(1))).unwrap();
    let error = LogDir::open(LogDirOptions::new(&path, BrokerId::new(1))).unwrap_err();
    assert!(matches!(error, LogDirError::Locked { .. }), "{error}");
    drop(dir);
    assert!(LogDir::open(LogDirOptions::new(&path, BrokerId::new(1))).is_ok());
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_by_name() {
    const EACCES: Fault = Fault::Error(13);
    let io = RecordingIo::new();
    io.set_faults(|_, operation| {
        matches!(operation, Operation::CreateDir { .. }).then_some(EACCES)
    });
    let error = LogDir::open(options(&io)).unwrap_err();
    assert!(matches!(error, LogDirError::NotWritable { .. }));
    assert!(
        error.to_string().contains("/data is not writable"),
        "{error}"
    );
    io.set_faults(|_, operation| {
        matches!(operation, Operation::CreateFile { .. }).then_some(EACCES)
    });
    let error = LogDir::open(options(&io)).unwrap_err();
    assert!(matches!(error, LogDirError::NotWritable { .. }));
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("data");
    std::fs::write(&path, b"no directory").unwrap();
    let error = LogDir::open(LogDirOptions::new(&path, BrokerId::new(1))).unwrap_err();
    assert!(matches!(error, LogDirError::NotWritable { .. }), "{error}");
}

#[test]
fn identity_is_kept_and_another_brokers_directory_is_refused() {
    let io = RecordingIo::new();
    let first = *open_dir(&io).identity();
    assert!(first.is_new);
    let again = *open_dir(&io).identity();
    assert!(!again.is_new);
    assert_eq!(
        (first.cluster_id, first.directory_id, first.broker_id),
        (again.cluster_id, again.directory_id, again.broker_id)
    );
    let mut other = options(&io);
    other.broker_id = BrokerId::new(2);
    let error = LogDir::open(other).unwrap_err();
    assert!(matches!(error, LogDirError::OtherBroker { .. }));
    assert!(
        error
            .to_string()
            .contains("belongs to broker 1, this is broker 2"),
        "{error}"
    );
    let mut other = options(&io);
    other.cluster_id = Some(uuid::Uuid::from_u128(7));
    assert!(matches!(
        LogDir::open(other),
        Err(LogDirError::OtherCluster { .. })
    ));
}

#[test]
fn files_of_a_newer_version_are_refused_and_left_alone() {
    let io = RecordingIo::new();
    drop(open(&io, small()));
    for name in [
        "meta.properties",
        "recovery-point-checkpoint",
        "replication-offset-checkpoint",
    ] {
        let io = io.after_kill();
        let path = Path::new(DIR).join(name);
        let newer = checksummed("version=2\nwhatever\n");
        set_file_bytes(&io, &path, &newer);
        let error = LogDir::open(options(&io)).unwrap_err();
        assert!(error.to_string().contains("format version 2"), "{error}");
        assert_eq!(file_bytes(&io, &path), newer);
    }
    let io = io.after_kill();
    edit(&io, &Path::new(DIR).join("durable-positions"), |bytes| {
        bytes[7] = 3;
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_be_bytes());
    });
    let error = LogDir::open(options(&io)).unwrap_err();
    assert!(error.to_string().contains("format version 3"), "{error}");
}

#[test]
fn a_damaged_identity_is_refused_and_damaged_checkpoints_are_not() {
    let io = RecordingIo::new();
    drop(open(&io, small()));
    for name in ["recovery-point-checkpoint", "replication-offset-checkpoint"] {
        let io = io.after_kill();
        set_file_bytes(&io, &Path::new(DIR).join(name), b"nonsense");
        assert!(LogDir::open(options(&io)).is_ok(), "{name}");
    }
    set_file_bytes(&io, &Path::new(DIR).join("meta.properties"), b"nonsense");
    let error = LogDir::open(options(&io)).unwrap_err();
    assert!(
        error.to_string().contains("meta.properties is damaged"),
        "{error}"
    );
}

#[test]
fn partitions_are_found_with_their_topics() {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    assert_eq!(dir.partitions().unwrap(), []);
    let (log, _) = support::open_log(&dir, small());
    drop(log);
    io.create_dir_all(&Path::new(DIR).join("lost+found"))
        .unwrap();
    let found = dir.partitions().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0].partition, found[0].topic_id),
        (&partition(), Some(TOPIC_ID))
    );
}

#[test]
fn a_log_is_opened_once_at_a_time() {
    let io = RecordingIo::new();
    let (dir, log, _) = open(&io, small());
    let second = dir.open_or_create_log(&partition(), TOPIC_ID, small());
    assert!(matches!(second, Err(OpenLogError::AlreadyOpen { .. })));
    drop(log);
    assert!(
        dir.open_or_create_log(&partition(), TOPIC_ID, small())
            .is_ok()
    );
}

#[test]
fn a_topic_created_again_has_none_of_the_old_data() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append(&mut log, batch_of("old", 50));
    sync(&dir, &mut log);
    drop(log);
    let other = TopicId::from_bytes(*b"another topic id");
    let refused = dir.open_or_create_log(&partition(), other, small());
    assert!(matches!(refused, Err(OpenLogError::OtherTopic { .. })));
    assert!(dir.delete_log(&partition(), other).is_err());
    dir.delete_log(&partition(), TOPIC_ID).unwrap();
    dir.delete_log(&partition(), TOPIC_ID).unwrap();
    for topic_id in [other, TOPIC_ID] {
        let (log, report) = dir
            .open_or_create_log(&partition(), topic_id, small())
            .unwrap();
        assert_eq!((log.end(), report.corruption), (offset(0), vec![]));
        drop(log);
        dir.delete_log(&partition(), topic_id).unwrap();
    }
    assert_eq!(dir.partitions().unwrap(), []);
}

#[test]
fn a_deletion_that_is_killed_anywhere_is_ended_later_or_did_not_happen() {
    for number in 0.. {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, small());
        append(&mut log, batch_of("old", 50));
        sync(&dir, &mut log);
        drop(log);
        io.fail_at(io.operation_count() + number, Fault::Killed(0));
        let done = dir.delete_log(&partition(), TOPIC_ID).is_ok();
        drop(dir);
        let io = io.after_kill();
        let dir = open_dir(&io);
        let found = dir.partitions().unwrap();
        let (log, report) = support::open_log(&dir, small());
        assert_eq!(report.corruption, [], "killed at change {number}");
        match found.is_empty() {
            true => assert_eq!(log.end(), offset(0)),
            false => assert_eq!(values(&log), ["old"]),
        }
        let left = io.list(Path::new(DIR)).unwrap();
        assert!(!left.iter().any(|entry| entry.name.ends_with(".delete")));
        if done {
            assert!(found.is_empty());
            break;
        }
    }
}

#[test]
fn what_is_known_of_a_deleted_topic_whose_directory_is_gone_is_forgotten() {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    let mut log = support::open_log(&dir, small()).0;
    append(&mut log, batch_of("a", 50));
    sync(&dir, &mut log);
    drop((log, dir));
    let io = io.after_kill();
    for entry in io.list(&partition_dir()).unwrap() {
        io.remove_file(&partition_dir().join(entry.name)).unwrap();
    }
    io.remove_dir(&partition_dir()).unwrap();
    for (forgotten, is_clean) in [(TopicId::random(), false), (TOPIC_ID, true)] {
        let dir = open_dir(&io);
        assert!(dir.partitions().unwrap().is_empty());
        dir.forget(&[forgotten]).unwrap();
        assert_eq!(dir.remembers(&partition(), TOPIC_ID), !is_clean);
        dir.close_clean().unwrap();
        drop(dir);
        assert_eq!(open_dir(&io.after_kill()).was_clean(), is_clean);
    }
}

#[test]
fn a_creation_that_is_killed_anywhere_is_repeated() {
    for number in 0.. {
        let io = RecordingIo::new();
        let dir = open_dir(&io);
        io.fail_at(io.operation_count() + number, Fault::Killed(0));
        let done = dir
            .open_or_create_log(&partition(), TOPIC_ID, small())
            .is_ok();
        drop(dir);
        let io = io.after_kill();
        let dir = open_dir(&io);
        dir.partitions().unwrap();
        let (mut log, report) = support::open_log(&dir, small());
        assert_eq!((log.end(), report.corruption), (offset(0), vec![]));
        append(&mut log, batch_of("new", 50));
        assert_eq!(values(&log), ["new"]);
        if done {
            break;
        }
    }
}

#[test]
fn data_without_a_name_is_nobodys_unless_a_recovery_point_tells() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append(&mut log, batch_of("mine", 50));
    sync(&dir, &mut log);
    drop((log, dir));
    io.remove_file(&partition_dir().join("partition.metadata"))
        .unwrap();
    let dir = open_dir(&io);
    assert_eq!(dir.partitions().unwrap()[0].topic_id, None);
    let other = TopicId::from_bytes(*b"another topic id");
    let refused = dir.open_or_create_log(&partition(), other, small());
    assert!(matches!(refused, Err(OpenLogError::UnknownTopic { .. })));
    let (log, _) = dir
        .open_or_create_log(&partition(), TOPIC_ID, small())
        .unwrap();
    assert_eq!(values(&log), ["mine"]);
    assert_eq!(dir.partitions().unwrap()[0].topic_id, Some(TOPIC_ID));
}

#[test]
fn checkpoints_that_fail_leave_the_old_ones() {
    let io = RecordingIo::new();
    let (dir, _log, _) = open(&io, small());
    dir.record_high_watermark(&partition(), offset(3));
    dir.write_checkpoints().unwrap();
    let path = Path::new(DIR).join("replication-offset-checkpoint");
    let before = file_bytes(&io, &path);
    dir.record_high_watermark(&partition(), offset(4));
    io.set_faults(|_, operation| {
        matches!(operation, Operation::Write { .. }).then_some(Fault::ENOSPC)
    });
    assert!(dir.write_checkpoints().is_err());
    assert_eq!(file_bytes(&io, &path), before);
    assert_eq!(dir.is_failed(), None, "a full disk passes");
    io.clear_faults();
    dir.write_checkpoints().unwrap();
    assert_ne!(file_bytes(&io, &path), before);
}

#[test]
fn a_thousand_partitions_share_the_file_of_durable_positions() {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    let topic = broker_model::TopicName::new("many").unwrap();
    let partition = |number| {
        broker_model::TopicPartition::new(topic.clone(), broker_model::PartitionId::new(number))
    };
    for number in 0..600 {
        let opened = dir.open_or_create_log(&partition(number), TOPIC_ID, small());
        let mut log = opened.unwrap().0;
        for _ in 0..=number % 3 {
            append(&mut log, batch_of("x", 20));
        }
        sync(&dir, &mut log);
    }
    drop(dir);
    let io = io.after_kill();
    let dir = open_dir(&io);
    for number in 0..600 {
        let (log, report) = dir
            .open_or_create_log(&partition(number), TOPIC_ID, small())
            .unwrap();
        assert_eq!(log.end(), offset(u64::from(number % 3) + 1));
        assert_eq!(report.scanned_bytes, 0);
    }
}

#[test]
fn a_segment_of_four_gibibytes_is_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let open = || LogDir::open(LogDirOptions::new(temp.path(), BrokerId::new(1))).unwrap();
    drop(support::open_log(&open(), small()));
    let name = segment_file(0, "log");
    let path = temp.path().join("orders-0").join(name.file_name().unwrap());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(1 << 32).unwrap();
    let opened = open().open_or_create_log(&partition(), TOPIC_ID, small());
    assert!(matches!(opened, Err(OpenLogError::SegmentTooLarge { .. })));
}

#[test]
fn a_directory_of_somebody_else_is_left_alone_even_if_its_name_fits() {
    let temp = tempfile::tempdir().unwrap();
    let photos = temp.path().join("photos-2024");
    std::fs::create_dir_all(photos.join("sub")).unwrap();
    std::fs::write(photos.join("notes.txt"), "precious").unwrap();
    let half = temp.path().join("half-0");
    std::fs::create_dir_all(&half).unwrap();
    let dir = LogDir::open(LogDirOptions::new(temp.path(), BrokerId::new(1))).unwrap();
    assert!(dir.partitions().unwrap().is_empty());
    assert_eq!(
        std::fs::read(photos.join("notes.txt")).unwrap(),
        b"precious"
    );
    assert!(!half.exists(), "half a creation is swept away");
}

#[test]
fn a_damaged_identity_says_what_to_do_and_that_helps() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append(&mut log, batch_of("a", 100));
    sync(&dir, &mut log);
    drop((log, dir));
    let file = Path::new(DIR).join("meta.properties");
    edit(&io, &file, |bytes| bytes[12] ^= 1);
    let error = LogDir::open(options(&io)).unwrap_err();
    let traced = DirTrace::of(&*io, Path::new(DIR)).unwrap_err();
    assert_eq!(error.to_string(), traced.to_string());
    for told in [
        "meta.properties",
        "checksum",
        "remove the file",
        "broker.id",
    ] {
        assert!(error.to_string().contains(told), "{error}");
    }
    io.remove_file(&file).unwrap();
    let (_dir, log, _) = open(&io, small());
    assert_eq!(values(&log), ["a"]);
}

#[test]
fn a_disk_error_while_a_log_is_deleted_takes_the_directory_out_of_service() {
    let io = RecordingIo::new();
    let (dir, log, _) = open(&io, small());
    drop(log);
    io.fail_reads(Some(5));
    assert!(dir.delete_log(&partition(), TOPIC_ID).is_err());
    assert!(dir.is_failed().is_some());
}
