//! Looking at a directory without a broker: everything is listed, whatever is wrong is named, nothing
//! is changed.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::path::Path;
use std::sync::Arc;

use broker_model::{LeaderEpoch, TopicId, TopicName};
use broker_storage::AppendError;
use broker_storage::inspect::{
    DirNotes, Finding, FindingKind, Found, SegmentReader, Summary, Topics, Verifier, check_modules,
    partitions, segments, verify_partition,
};
use broker_storage::io::Io;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use support::{
    BATCH, DIR, TOPIC_ID, append, append_numbers, at, batch_of, edit, file_bytes, offset, open,
    partition, partition_dir, segment_file, small,
};

fn filled() -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..25);
    log.close().unwrap();
    dir.close_clean().unwrap();
    io.after_kill()
}

fn verify(io: &Arc<RecordingIo>) -> (Summary, Vec<Finding>) {
    let mut findings = Vec::new();
    let changes = io.operation_count();
    let summary = verify_partition(&**io, &partition_dir(), &mut |finding| {
        findings.push(finding)
    });
    assert_eq!(io.operation_count(), changes, "nothing is changed");
    (summary.unwrap(), findings)
}

#[test]
fn partitions_segments_and_batches_are_listed() {
    let io = filled();
    let found = partitions(&*io, Path::new(support::DIR)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0].partition, &found[0].path),
        (&partition(), &partition_dir())
    );
    let segments = segments(&*io, &partition_dir()).unwrap();
    assert_eq!(
        segments.iter().map(|s| s.base.get()).collect::<Vec<_>>(),
        [0, 10, 20]
    );
    let mut reader = SegmentReader::open(&*io, &segments[1], None).unwrap();
    let mut offsets = Vec::new();
    while let Some(found) = reader.next_found().unwrap() {
        let Found::Batch { position, header } = found else {
            panic!("{found:?}")
        };
        let batch = reader.batch(position, &header).unwrap();
        let records = batch.records().unwrap();
        let record = records.iter().next().unwrap().unwrap();
        assert!(
            record
                .value
                .unwrap()
                .starts_with(header.base_offset.to_string().as_bytes())
        );
        offsets.push(header.base_offset.get());
    }
    assert_eq!(offsets, (10..20).collect::<Vec<_>>());
}

#[test]
fn a_sound_partition_has_nothing_to_report() {
    let (summary, findings) = verify(&filled());
    assert_eq!(findings, []);
    let wanted = Summary {
        segments: 3,
        batches: 25,
        records: 25,
        bytes: 25 * BATCH,
        first: offset(0),
        next: offset(25),
    };
    assert_eq!(summary, wanted);
}

#[test]
fn every_flipped_bit_of_every_file_is_found() {
    let io = filled();
    for name in [
        "00000000000000000010.log",
        "00000000000000000010.index",
        "00000000000000000010.timeindex",
        "00000000000000000020.index",
        "leader-epoch-checkpoint",
        "partition.metadata",
    ] {
        let file = partition_dir().join(name);
        for position in 0..file_bytes(&io, &file).len() {
            let io = io.after_kill();
            edit(&io, &file, |bytes| bytes[position] ^= 1 << (position % 8));
            let (_, findings) = verify(&io);
            assert!(!findings.is_empty(), "{name} at {position}");
            let named = findings.iter().any(|finding| finding.file == file);
            assert!(named, "{name} at {position}: {findings:?}");
        }
    }
}

#[test]
fn damage_is_named_by_file_position_and_offset_and_the_rest_is_read() {
    let io = filled();
    let file = segment_file(10, "log");
    edit(&io, &file, |bytes| bytes[3 * BATCH as usize + 80] ^= 1);
    let (summary, findings) = verify(&io);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].file, file);
    assert_eq!(findings[0].position, Some(3 * BATCH));
    assert_eq!(findings[0].offset, Some(offset(13)));
    let text = findings[0].to_string();
    assert!(
        text.contains("00000000000000000010.log at byte 555 (offset 13)"),
        "{text}"
    );
    assert_eq!((summary.batches, summary.next), (24, offset(25)));
}

#[test]
fn what_is_missing_is_found() {
    let io = filled();
    io.remove_file(&segment_file(10, "log")).unwrap();
    let (_, findings) = verify(&io);
    assert!(
        findings
            .iter()
            .any(|finding| finding.what.contains("offsets 10 to 20"))
    );
    let io = filled();
    io.remove_file(&segment_file(10, "index")).unwrap();
    let (_, findings) = verify(&io);
    assert!(
        findings
            .iter()
            .any(|finding| finding.what.contains("missing"))
    );
    let io = filled();
    edit(&io, &segment_file(20, "log"), |bytes| {
        bytes.truncate(bytes.len() - 1)
    });
    let (summary, findings) = verify(&io);
    assert!(
        findings
            .iter()
            .any(|finding| finding.what.contains("ends inside a batch"))
    );
    assert_eq!(summary.next, offset(24));
}

/// A log of which much is not durable yet, whose indexes are the work of several syncs.
fn half_durable() -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..13);
    support::sync(&dir, &mut log);
    append_numbers(&mut log, 13..27);
    // Its sync has not come to an end.
    assert!(log.sync_request().is_some());
    append_numbers(&mut log, 27..44);
    io
}

#[test]
fn what_the_power_has_taken_that_was_not_durable_is_no_damage() {
    let io = half_durable();
    let mut unfinished = 0;
    for seed in 0..300 {
        let left = io.after_power_loss(Survival::Random(seed));
        let found = look(&left);
        let damage: Vec<_> = found
            .iter()
            .filter(|found| found.kind == FindingKind::Damage)
            .collect();
        // A broker that was killed before its first checkpoint has no list of its directories.
        let of_log = damage
            .iter()
            .filter(|found| found.file.starts_with(partition_dir()));
        assert_eq!(of_log.count(), 0, "{damage:?}");
        unfinished += found.len() - damage.len();
        assert_eq!(open(&left, small()).2.corruption, []);
    }
    assert!(unfinished > 100, "{unfinished}");
    // What was durable is told all the same, and after a kill everything that is bad.
    let lost = io.after_power_loss(Survival::Everything);
    edit(&lost, &segment_file(0, "log"), |bytes| bytes[80] ^= 1);
    let killed = io.after_kill();
    edit(&killed, &segment_file(20, "log"), |bytes| bytes[80] ^= 1);
    for (left, file) in [(lost, 0), (killed, 20)] {
        let is_told = |found: &Finding| {
            found.kind == FindingKind::Damage && found.file == segment_file(file, "log")
        };
        assert!(look(&left).iter().any(is_told));
    }
}

#[test]
fn an_index_that_a_clean_stop_has_left_unsynced_is_no_damage_after_a_power_loss() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..25);
    support::sync(&dir, &mut log);
    assert!(log.leave());
    drop(log);
    dir.close_clean().unwrap();
    for seed in 0..50 {
        let left = io.after_power_loss(Survival::Random(seed));
        let found = look(&left);
        let is_damage = |found: &&Finding| {
            found.kind == FindingKind::Damage && found.file.starts_with(partition_dir())
        };
        assert_eq!(found.iter().find(is_damage), None);
    }
    let left = io.after_power_loss(Survival::Everything);
    edit(&left, &segment_file(10, "index"), |bytes| bytes[40] ^= 1);
    let found = look(&left);
    let is_told = |found: &Finding| found.kind == FindingKind::Damage;
    assert!(
        found.iter().any(is_told),
        "one that was synced is: {found:?}"
    );
}

#[test]
fn a_directory_under_way_to_be_deleted_is_not_gone() {
    let io = filled();
    let doomed = format!("{}-0.delete", support::TOPIC_ID);
    io.rename(&partition_dir(), &Path::new(DIR).join(doomed))
        .unwrap();
    let mut findings = Vec::new();
    let mut report = |finding| findings.push(finding);
    let notes = DirNotes::read(&*io, Path::new(DIR), &mut |_| {}).unwrap();
    notes.check_directories(&*io, &mut report).unwrap();
    assert_eq!(findings, []);
}

#[test]
fn files_that_cannot_be_read_are_named_and_the_others_are_looked_at() {
    let io = filled();
    io.fail_reads(Some(5));
    let (_, findings) = verify(&io);
    for base in [0, 10, 20] {
        let file = segment_file(base, "log");
        let named = findings.iter().filter(|found| found.file == file);
        assert!(
            named
                .clone()
                .any(|found| found.what.contains("cannot be read"))
        );
    }
    io.fail_reads(None);
    assert_eq!(verify(&io).1, []);
}

#[test]
fn beside_a_broker_only_what_is_wrong_every_time_is_told() {
    for is_mended in [true, false] {
        let io = filled();
        let file = segment_file(10, "log");
        let good = file_bytes(&io, &file);
        edit(&io, &file, |bytes| bytes[3 * BATCH as usize + 80] ^= 1);
        let looks = std::cell::Cell::new(0);
        // The last segment has five batches, so a look has come to its end.
        let watch = |_| {
            looks.set(looks.get() + 1);
            if is_mended && looks.get() == 24 {
                support::set_file_bytes(&io, &file, &good);
            }
        };
        let verifier = Verifier::new(&*io).with_progress(&watch).beside_a_broker();
        let mut findings = Vec::new();
        verifier
            .partition(&partition_dir(), &mut |found| findings.push(found))
            .unwrap();
        assert_eq!(findings.len(), usize::from(!is_mended), "{findings:?}");
    }
}

/// What is found of the partition where these topics are known.
fn compared(io: &Arc<RecordingIo>, topics: Topics) -> Vec<Finding> {
    let mut findings = Vec::new();
    let notes = DirNotes::read(&**io, Path::new(DIR), &mut |_| {}).unwrap();
    let notes = notes.with_topics(topics);
    let verifier = Verifier::new(&**io).with_notes(&notes);
    let mut report = |finding| findings.push(finding);
    verifier.partition(&partition_dir(), &mut report).unwrap();
    notes.check_directories(&**io, &mut report).unwrap();
    findings
}

#[test]
fn directories_are_compared_with_the_topics_that_there_are() {
    let other = TopicId::from_bytes(*b"another topic id");
    let topics = |name: &str, id, deleted: &[TopicId]| Topics {
        ids: [(TopicName::new(name).unwrap(), id)].into(),
        deleted: deleted.iter().copied().collect(),
    };
    let io = filled();
    assert_eq!(compared(&io, topics("orders", TOPIC_ID, &[])), []);
    let file = partition_dir().join("partition.metadata");
    let (own, another) = (TOPIC_ID.to_string(), other.to_string());
    for (topics, kind, words) in [
        (
            topics("orders", other, &[]),
            FindingKind::Damage,
            [&*own, &*another],
        ),
        (
            topics("t", TOPIC_ID, &[]),
            FindingKind::Damage,
            ["topic t,", "no topic orders"],
        ),
        (
            topics("t", other, &[]),
            FindingKind::Note,
            [&*own, "not know"],
        ),
        (
            topics("orders", other, &[TOPIC_ID]),
            FindingKind::Unfinished,
            [&*own, "deleted"],
        ),
    ] {
        let findings = compared(&io, topics);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!((findings[0].kind, &findings[0].file), (kind, &file));
        for word in words {
            assert!(findings[0].what.contains(word), "{word}: {findings:?}");
        }
    }
}

#[test]
fn a_directory_that_somebody_has_emptied_misses_what_its_topic_had() {
    let io = filled();
    for entry in (&*io as &dyn Io).list(&partition_dir()).unwrap() {
        io.remove_file(&partition_dir().join(entry.name)).unwrap();
    }
    let ids = [(partition().topic, TOPIC_ID)].into();
    let topics = Topics {
        ids,
        ..Topics::default()
    };
    let findings = compared(&io, topics);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].offset, Some(offset(0)));
    assert!(findings[0].what.contains("that were durable are missing"));
}

fn look(io: &Arc<RecordingIo>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |finding| findings.push(finding);
    let dir = Path::new(DIR);
    let notes = DirNotes::read(&**io, dir, &mut report).unwrap();
    notes.check_directories(&**io, &mut report).unwrap();
    let digest_of = |bytes: &[u8]| format!("{:064x}", bytes.len());
    check_modules(&**io, dir, &digest_of, &mut report).unwrap();
    let verifier = Verifier::new(&**io).with_notes(&notes);
    verifier.partition(&partition_dir(), &mut report).unwrap();
    findings
}

#[test]
fn small_files_and_modules_that_are_missing_or_damaged_are_named_with_what_the_broker_does() {
    let stopped = filled();
    let dir = support::open_dir(&stopped);
    dir.store_siblings(&Default::default()).unwrap();
    let module = format!("{:064x}", 5);
    dir.blobs().put(&module, b"\0asm.").unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    let io = stopped.after_kill();
    assert_eq!(look(&io), []);
    let doubt = "version=1\nlast.alive=5\nheld.ms=7\n";
    let crc = crc32fast::hash(doubt.as_bytes());
    let noted = Path::new(DIR).join("clock-doubt");
    let text = format!("{doubt}crc32={crc:08x}\n");
    (&*io as &dyn Io)
        .replace_small(&noted, text.as_bytes())
        .unwrap();
    assert_eq!(look(&io), []);
    edit(&io, &noted, |bytes| bytes.truncate(20));
    let findings = look(&io);
    assert_eq!((findings.len(), &findings[0].file), (1, &noted));
    io.remove_file(&noted).unwrap();
    for name in [
        "log-directories",
        "replication-offset-checkpoint",
        "meta.properties",
        "recovery-point-checkpoint",
        "durable-positions",
        "orders-0/partition.metadata",
    ] {
        let file = Path::new(DIR).join(name);
        let gone = io.after_kill();
        gone.remove_file(&file).unwrap();
        let damaged = io.after_kill();
        edit(&damaged, &file, |bytes| {
            let middle = bytes.len() / 2;
            bytes.truncate(middle);
        });
        for io in [gone, damaged] {
            let findings = look(&io);
            let named: Vec<_> = findings.iter().filter(|found| found.file == file).collect();
            assert!(!named.is_empty(), "{name}: {findings:?}");
            assert!(named.iter().all(|found| found.then.len() > 20));
        }
    }
    let file = Path::new(DIR).join("plugin-modules").join(&module);
    edit(&io, &file, |bytes| bytes.push(0));
    let findings = look(&io);
    assert_eq!((findings.len(), &findings[0].file), (1, &file));
    assert!(findings[0].what.contains("digest"), "{findings:?}");
}

#[test]
fn an_index_that_a_full_disk_kept_from_being_written_looks_like_no_damage() {
    for extension in ["index", "timeindex"] {
        // The header, and the entries with less than all of them.
        for (number, fault) in [
            (0, Fault::ENOSPC),
            (1, Fault::ENOSPC),
            (1, Fault::Short(30)),
        ] {
            let io = RecordingIo::new();
            let (_dir, mut log, _) = open(&io, small());
            append_numbers(&mut log, 0..10);
            let index = segment_file(0, extension);
            let mut writes = 0;
            io.set_faults(move |_, operation| match operation {
                Operation::Write { path, .. } if *path == index => {
                    writes += 1;
                    let is_full = writes > number + 1;
                    match writes == number + 1 {
                        true => Some(fault),
                        false => is_full.then_some(Fault::ENOSPC),
                    }
                }
                _ => None,
            });
            let mut refused = [batch_of("10", 100)];
            let answer = log.append(&mut refused, LeaderEpoch::new(1), at(0));
            let is_refused = matches!(answer, Err(AppendError::NoSpace { .. }));
            assert!(is_refused, "{extension} {number}: {answer:?}");
            let (_, findings) = verify(&io);
            assert_eq!(findings, [], "{extension} {number} {fault:?}");
            io.clear_faults();
            append(&mut log, batch_of("10", 100));
            assert_eq!(log.segments().len(), 2);
            assert_eq!(verify(&io).1, [], "{extension} {number} {fault:?}");
        }
    }
}

#[test]
fn damage_in_the_log_of_the_metadata_is_told_as_what_keeps_the_broker_from_starting() {
    let io = filled();
    let metadata = Path::new(DIR).join("__cluster_metadata-0");
    io.rename(&partition_dir(), &metadata).unwrap();
    let hole = metadata.join(segment_file(10, "log").file_name().unwrap());
    let damaged = metadata.join(segment_file(0, "log").file_name().unwrap());
    io.remove_file(&hole).unwrap();
    edit(&io, &damaged, |bytes| bytes[BATCH as usize + 80] ^= 1);
    let mut findings = Vec::new();
    verify_partition(&*io, &metadata, &mut |finding| findings.push(finding)).unwrap();
    let of_data: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.offset.is_some())
        .collect();
    assert!(of_data.len() >= 2, "{findings:?}");
    for finding in of_data {
        assert!(finding.then.contains("does not start"), "{finding:?}");
    }
}
