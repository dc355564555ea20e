//! Whose data it is: directories and segments that have changed places are noticed before anything of them
//! is served or changed, and told apart from what belongs there.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use broker_model::{PartitionId, TopicId, TopicPartition};
use broker_record::Batches;
use broker_storage::inspect::{DirNotes, Verifier, partitions};
use broker_storage::io::Io;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::{Log, LogDir, OpenLogError, ReadError, ReadLimit, SyncDone};
use support::{
    DIR, TOPIC_ID, append, append_numbers, batch_of, edit, file_bytes, numbers, open_dir,
    partition, set_file_bytes, small, sync, values,
};

fn numbered(number: u32) -> TopicPartition {
    TopicPartition::new(partition().topic, PartitionId::new(number))
}

fn dir_of(number: u32) -> PathBuf {
    Path::new(DIR).join(numbered(number).to_string())
}

/// Two partitions of one topic, each with 25 records in three segments, after a clean stop.
fn filled() -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    for number in [0, 1] {
        let opened = dir.open_or_create_log(&numbered(number), TOPIC_ID, small());
        let mut log = opened.unwrap().0;
        append_numbers(&mut log, 0..25);
        sync(&dir, &mut log);
        log.close().unwrap();
    }
    dir.store_siblings(&BTreeMap::new()).unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    io.after_kill()
}

fn refusals(io: &Arc<RecordingIo>) -> Vec<Option<OpenLogError>> {
    let changes = io.operations();
    let dir = open_dir(io);
    let open = |number| dir.open_or_create_log(&numbered(number), TOPIC_ID, small());
    let refused = [0, 1].map(|number| open(number).err());
    let changed = io.operations().split_off(changes.len());
    for (number, refused) in [0, 1].into_iter().zip(&refused) {
        let inside =
            |operation: &_| format!("{operation:?}").contains(&numbered(number).to_string());
        let touched: Vec<_> = changed
            .iter()
            .filter(|operation| inside(operation))
            .collect();
        assert!(refused.is_none() || touched.is_empty(), "{touched:?}");
    }
    refused.into()
}

fn findings(io: &Arc<RecordingIo>) -> String {
    let mut found = String::new();
    let mut report = |finding: broker_storage::inspect::Finding| {
        found.push_str(&format!("{finding}\n"));
    };
    let notes = DirNotes::read(&**io, Path::new(DIR), &mut report).unwrap();
    for partition in partitions(&**io, Path::new(DIR)).unwrap() {
        let verifier = Verifier::new(&**io).with_notes(&notes);
        verifier.partition(&partition.path, &mut report).unwrap();
    }
    found
}

fn swap(io: &Arc<RecordingIo>, a: &Path, b: &Path) {
    let aside = Path::new(DIR).join("aside");
    for (from, to) in [(a, &*aside), (b, a), (&*aside, b)] {
        io.rename(from, to).unwrap();
    }
}

#[test]
fn directories_that_changed_places_are_offline_until_they_are_changed_back() {
    let io = filled();
    assert_eq!(findings(&io), "");
    swap(&io, &dir_of(0), &dir_of(1));
    let found = findings(&io);
    assert!(found.contains("holds the data of partition 1"), "{found}");
    assert!(found.contains("holds the data of partition 0"), "{found}");
    for (refused, of) in refusals(&io).into_iter().zip([1, 0]) {
        let refused = refused.unwrap();
        let OpenLogError::OtherPartition { found, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!(found, PartitionId::new(of));
    }
    let io = io.after_kill();
    swap(&io, &dir_of(0), &dir_of(1));
    assert!(refusals(&io).iter().all(Option::is_none));
}

#[test]
fn a_copy_of_another_directory_is_noticed_and_the_other_is_served() {
    let io = filled();
    for entry in io.list(&dir_of(0)).unwrap() {
        io.remove_file(&dir_of(0).join(entry.name)).unwrap();
    }
    for entry in io.list(&dir_of(1)).unwrap() {
        let bytes = file_bytes(&io, &dir_of(1).join(&entry.name));
        set_file_bytes(&io, &dir_of(0).join(&entry.name), &bytes);
    }
    let refused = refusals(&io);
    assert!(matches!(
        refused[0],
        Some(OpenLogError::OtherPartition { .. })
    ));
    assert!(refused[1].is_none());
}

#[test]
fn segments_that_changed_places_are_noticed_and_nothing_of_them_is_served() {
    for base in [0, 10, 20] {
        let io = filled();
        for extension in ["log", "index", "timeindex"] {
            let name = format!("{base:020}.{extension}");
            swap(&io, &dir_of(0).join(&name), &dir_of(1).join(&name));
        }
        let found = findings(&io);
        assert_eq!(found.matches("another partition's").count(), 2, "{found}");
        for refused in refusals(&io) {
            let refused = refused.unwrap();
            let OpenLogError::OtherSegment { file } = &refused else {
                panic!("{refused}");
            };
            assert!(file.ends_with(format!("{base:020}.log")), "{refused}");
        }
    }
}

#[test]
fn an_index_of_another_partition_alone_is_made_anew() {
    for extension in ["index", "timeindex"] {
        let io = filled();
        let name = format!("{:020}.{extension}", 10);
        swap(&io, &dir_of(0).join(&name), &dir_of(1).join(&name));
        assert!(refusals(&io).iter().all(Option::is_none));
        let dir = open_dir(&io);
        let opened = dir.open_or_create_log(&numbered(0), TOPIC_ID, small());
        assert_eq!(values(&opened.unwrap().0), numbers(25));
    }
}

#[test]
fn directories_of_version_1_are_taken_as_they_are_and_say_their_number_from_then_on() {
    let io = filled();
    let file = dir_of(0).join("partition.metadata");
    edit(&io, &file, |bytes| {
        let text = format!("version=1\ntopic_id={TOPIC_ID}\n");
        *bytes = format!("{text}crc32={:08x}\n", crc32fast::hash(text.as_bytes())).into_bytes();
    });
    assert!(refusals(&io)[0].is_none());
    let text = String::from_utf8(file_bytes(&io, &file)).unwrap();
    assert!(
        text.contains("version=2\n") && text.contains("partition=0\n"),
        "{text}"
    );
}

/// Partition 0 has records 0 to 24, and partition 1 others, up to 59, in batches of another size.
fn with_strangers(is_clean: bool) -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    let mut logs = [0, 1].map(|number| {
        let opened = dir.open_or_create_log(&numbered(number), TOPIC_ID, small());
        opened.unwrap().0
    });
    append_numbers(&mut logs[0], 0..25);
    for number in 0..60 {
        append(&mut logs[1], batch_of(&format!("stranger {number}"), 40));
    }
    for log in &mut logs {
        sync(&dir, log);
    }
    if is_clean {
        logs.into_iter().for_each(|log| log.close().unwrap());
        dir.store_siblings(&BTreeMap::new()).unwrap();
        dir.close_clean().unwrap();
    }
    drop(dir);
    io.after_kill()
}

/// Everything in a log that can be read, and how often something could not.
fn readable(log: &Log) -> (Vec<String>, usize) {
    let (mut found, mut refused, mut next) = (Vec::new(), 0, log.start());
    while next < log.end() {
        let limit = ReadLimit::OneBatchOr(1);
        let read = log.read(next, log.end(), limit);
        match read.and_then(|slice| slice.verified()) {
            Ok(slice) => {
                for batch in Batches::new(slice.read().unwrap()) {
                    for record in &batch.unwrap().records().unwrap() {
                        let value = record.unwrap().value.unwrap_or_default().to_vec();
                        found.push(String::from_utf8(value).unwrap());
                    }
                }
                next = slice.next_offset();
            }
            Err(ReadError::Corrupt(damage)) => {
                refused += 1;
                next = damage.next_good.unwrap_or(log.end());
            }
            Err(error) => panic!("{error}"),
        }
    }
    (found, refused)
}

#[test]
fn bytes_of_another_partition_in_a_segment_are_damage_and_nothing_of_them_is_served() {
    for is_clean in [true, false] {
        for (base, len) in [(0, 1_850), (10, 1_850), (20, 925)] {
            let of_other = {
                let io = with_strangers(is_clean);
                let name = format!("{:020}.log", 0);
                let mut bytes = file_bytes(&io, &dir_of(1).join(name));
                let segments: Vec<_> = io.list(&dir_of(1)).unwrap();
                for entry in segments.iter().filter(|entry| entry.name.ends_with(".log")) {
                    bytes.extend(file_bytes(&io, &dir_of(1).join(&entry.name)));
                }
                bytes
            };
            for at in (0..len).step_by(97) {
                let io = with_strangers(is_clean);
                let file = dir_of(0).join(format!("{base:020}.log"));
                edit(&io, &file, |bytes| {
                    assert_eq!(bytes.len(), len);
                    let end = (at + 600).min(len);
                    let from = of_other.len() - 3_000 + at;
                    bytes[at..end].copy_from_slice(&of_other[from..from + end - at]);
                });
                let found = findings(&io);
                assert!(found.contains(&*file.to_string_lossy()), "{at}: {found}");
                let dir = open_dir(&io);
                let opened = dir.open_or_create_log(&numbered(0), TOPIC_ID, small());
                let (found, refused) = readable(&opened.unwrap().0);
                let strange = found.iter().find(|value| value.starts_with("stranger"));
                assert_eq!(strange, None, "segment {base}, byte {at}, clean {is_clean}");
                assert!(refused > 0 && found.len() >= 15, "{} at {at}", found.len());
            }
        }
    }
}

/// Stopped, with 12 directories of version 1.
fn of_version_1() -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    for number in 0..12 {
        drop(dir.open_or_create_log(&numbered(number), TOPIC_ID, small()));
        let file = dir_of(number).join("partition.metadata");
        edit(&io, &file, |bytes| {
            let text = format!("version=1\ntopic_id={TOPIC_ID}\n");
            *bytes = format!("{text}crc32={:08x}\n", crc32fast::hash(text.as_bytes())).into_bytes();
        });
    }
    drop(dir);
    io.after_kill()
}

#[test]
fn many_directories_of_version_1_cost_one_sync() {
    let stopped = of_version_1();
    let dir = open_dir(&stopped);
    let before = stopped.operations().len();
    assert_eq!(dir.partitions().unwrap().len(), 12);
    for number in 0..12 {
        dir.open_or_create_log(&numbered(number), TOPIC_ID, small())
            .unwrap();
    }
    let operations = stopped.operations().split_off(before);
    let of_metadata = |operation: &&broker_storage::io::recording::Operation| {
        operation.is_sync() && operation.path().ends_with("partition.metadata.tmp")
    };
    assert_eq!(operations.iter().filter(of_metadata).count(), 0);
    for left in [
        stopped.after_kill(),
        stopped.after_power_loss(Survival::Synced),
        stopped.after_power_loss(Survival::Random(4)),
    ] {
        assert_eq!(open_dir(&left).partitions().unwrap().len(), 12);
        for number in 0..12 {
            let text = file_bytes(&left, &dir_of(number).join("partition.metadata"));
            assert!(String::from_utf8(text).unwrap().contains("version=2"));
        }
    }
}

#[test]
fn a_file_of_another_partition_is_not_cut_after_a_power_loss() {
    let io = with_strangers(false).after_power_loss(Survival::Everything);
    let file = dir_of(0).join(format!("{:020}.log", 20));
    let own = file_bytes(&io, &file);
    let strange = file_bytes(&io, &dir_of(1).join(format!("{:020}.log", 0)));
    assert!(strange.len() > own.len());
    set_file_bytes(&io, &file, &strange);
    let open = |io: &Arc<RecordingIo>| {
        let dir = open_dir(io);
        let opened = dir.open_or_create_log(&numbered(0), TOPIC_ID, small());
        (dir, opened.unwrap())
    };
    let (dir, (log, report)) = open(&io);
    assert_eq!(report.torn, None);
    assert_eq!(file_bytes(&io, &file), strange, "it may be somebody's");
    assert_eq!(readable(&log).0.len(), 20);
    drop((log, dir));
    let io = io.after_kill();
    set_file_bytes(&io, &file, &own);
    let (_dir, (log, _)) = open(&io);
    assert_eq!(readable(&log).0.len(), 25, "everything is back");
}

#[test]
fn a_start_that_cannot_add_the_numbers_of_version_1_goes_on_and_leaves_nothing_behind() {
    let is_sync = |operation: &Operation| matches!(operation, Operation::SyncAll { .. });
    let is_rename = |operation: &Operation| {
        let what = "orders-7/partition.metadata.tmp";
        matches!(operation, Operation::Rename { from, .. } if from.ends_with(what))
    };
    let no_descriptors = Fault::Error(24);
    type Hit = fn(&Operation) -> bool;
    let all: [(Hit, Fault, bool); 4] = [
        (is_sync, Fault::ENOSPC, true),
        (is_sync, no_descriptors, true),
        (is_rename, Fault::ENOSPC, true),
        (is_sync, Fault::EIO, false),
    ];
    for (is_hit, fault, passes) in all {
        let io = of_version_1();
        let dir = open_dir(&io);
        io.set_faults(move |_, operation| is_hit(operation).then_some(fault));
        assert_eq!(dir.partitions().unwrap().len(), 12, "{fault:?}");
        io.clear_faults();
        assert_eq!(dir.is_failed().is_none(), passes, "{fault:?}");
        for number in 0..12 {
            let names = io.list(&dir_of(number)).unwrap();
            assert!(names.iter().all(|entry| !entry.name.ends_with(".tmp")));
            let opened = dir.open_or_create_log(&numbered(number), TOPIC_ID, small());
            assert_eq!(opened.is_ok(), passes);
            let text = file_bytes(&io, &dir_of(number).join("partition.metadata"));
            let is_complete = String::from_utf8(text).unwrap().contains("version=2");
            assert_eq!(is_complete, passes, "{number}, {fault:?}");
        }
    }
}

#[test]
fn a_topic_that_was_deleted_keeps_no_other_of_its_name_from_being_synced() {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    let opened_as = |dir: &LogDir, id: u8| {
        let opened = dir.open_or_create_log(&partition(), TopicId::from_bytes([id; 16]), small());
        opened.unwrap().0
    };
    let mut deleted = opened_as(&dir, 1);
    append(&mut deleted, batch_of("deleted", 7));
    let of_deleted = deleted.sync_request().unwrap();
    drop(deleted);
    dir.delete_log(&partition(), TopicId::from_bytes([1; 16]))
        .unwrap();
    let mut log = opened_as(&dir, 2);
    append(&mut log, batch_of("kept", 4));
    let (told, outcomes) = mpsc::channel();
    let work = [of_deleted, log.sync_request().unwrap()].map(|request| {
        let told = told.clone();
        let done: SyncDone = Box::new(move |outcome| told.send(outcome).unwrap());
        (request, done)
    });
    dir.sync_together(work.into());
    let outcome = outcomes.iter().nth(1).unwrap();
    assert_eq!(log.on_synced(&outcome).unwrap().get(), 1);
    drop((log, dir));
    let io = io.after_power_loss(Survival::Synced);
    assert_eq!(values(&opened_as(&open_dir(&io), 2)), ["kept"]);
}
