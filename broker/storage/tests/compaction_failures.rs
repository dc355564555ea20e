//! Cleanings that come to nothing: policies that fail, damaged data, a full disk, failed syncs. The log
//! is what it was before, nothing is left over, and the next cleaning does it all.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod cleaning;
mod support;

use std::sync::Arc;

use broker_model::{LeaderEpoch, Offset};
use broker_record::{BatchHeader, OpaqueClaims, ProducedBatch, StoredBatch, Validation};
use broker_storage::io::Io;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::{
    CleaningFailed, CompactionPolicy, Damage, Log, LogDir, OpenLogError, PolicyFailed,
};
use cleaning::{LatestByKey, NOW, append_batch, begin, clean, put, records, run, settings, settle};
use support::{
    at, edit, file_bytes, flip, offset, open, open_dir, open_log, partition, partition_dir,
    segment_file, small,
};

fn filled() -> (Arc<RecordingIo>, LogDir, Log) {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    for number in 0..40 {
        put(&mut log, ["a", "b", "c"][number % 3], &number.to_string());
    }
    settle(&dir, &mut log);
    (io, dir, log)
}

fn leftovers(io: &RecordingIo) -> Vec<String> {
    let entries = io.list(&partition_dir()).unwrap();
    let names = entries.into_iter().map(|entry| entry.name);
    names
        .filter(|name| name.contains(".cleaned") || name.contains("cleaning-swap"))
        .collect()
}

/// How a policy can go wrong.
#[derive(Clone, Copy)]
enum Wrong {
    Observe,
    Retain,
    TooManyTaken,
    NoBits,
    FewBits,
}

impl CompactionPolicy for Wrong {
    fn observe(&mut self, run: &[StoredBatch]) -> Result<u64, PolicyFailed> {
        let records: u64 = run
            .iter()
            .map(|batch| u64::from(batch.header.record_count))
            .sum();
        match self {
            Self::Observe => Err(PolicyFailed::new("out of memory")),
            Self::TooManyTaken => Ok(records + 1),
            _ => Ok(records),
        }
    }

    fn retain(&mut self, run: &[StoredBatch], keep: &mut Vec<u8>) -> Result<(), PolicyFailed> {
        match self {
            Self::Retain => Err(PolicyFailed::new("trapped")),
            Self::FewBits => {
                keep.resize(run.len().div_ceil(8) - 1, 0);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[test]
fn a_policy_that_fails_or_answers_nonsense_changes_nothing() {
    let (io, dir, mut log) = filled();
    let before = (records(&log), log.segments());
    for (mut wrong, words) in [
        (Wrong::Observe, "out of memory"),
        (Wrong::Retain, "trapped"),
        (Wrong::TooManyTaken, "records of"),
        (Wrong::NoBits, "0 bytes of bits"),
        (Wrong::FewBits, "bytes of bits"),
    ] {
        let failed = run(begin(&mut log), &mut wrong).unwrap_err();
        assert!(matches!(failed, CleaningFailed::Policy(_)), "{failed}");
        assert!(failed.to_string().contains(words), "{failed}");
        assert_eq!((records(&log), log.segments()), before);
        assert_eq!(leftovers(&io), Vec::<String>::new());
        assert_eq!(dir.is_failed(), None);
    }
    clean(&mut log);
}

#[test]
fn a_damaged_batch_in_the_way_is_named_and_nothing_is_changed() {
    let (io, dir, mut log) = filled();
    clean(&mut log);
    for number in 40..80 {
        put(&mut log, "d", &number.to_string());
    }
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    // One in a segment that was cleaned before, and one in one that was not.
    for (base, position, damaged) in [(0, 10, 0), (0, 100, 30), (44, 200, 45), (44, 184 + 75, 45)] {
        let io = io.after_kill();
        flip(&io, &segment_file(base, "log"), position);
        let (dir, mut log, _) = open(&io, small());
        let segments = log.segments();
        let failed = run(begin(&mut log), &mut LatestByKey::default());
        let Err(CleaningFailed::Corrupt(corruption)) = failed else {
            panic!("byte {position} of {base}: {failed:?}");
        };
        assert_eq!(corruption.file, segment_file(base, "log"));
        assert_eq!(corruption.offset, offset(damaged), "{corruption}");
        assert_eq!((log.segments(), leftovers(&io)), (segments, Vec::new()));
        assert_eq!(dir.is_failed(), None);
    }
}

/// Where the batch with an offset stands in a data file.
fn place_of(bytes: &[u8], wanted: u64) -> std::ops::Range<usize> {
    let mut at = 0;
    loop {
        let header = BatchHeader::decode(&bytes[at..at + BatchHeader::LEN]).unwrap();
        let place = at..at + header.batch_len();
        if header.base_offset == offset(wanted) {
            return place;
        }
        at = place.end;
    }
}

#[test]
fn a_stale_copy_from_a_later_segment_does_not_say_where_the_good_batches_go_on() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    for number in 0..40 {
        put(&mut log, "a", &format!("{number:02}"));
    }
    settle(&dir, &mut log);
    let base = log.segments()[1].base.get();
    drop((log, dir));
    let io = io.after_kill();
    let later = file_bytes(&io, &segment_file(base, "log"));
    let stale = later[place_of(&later, base)].to_vec();
    edit(&io, &segment_file(0, "log"), |bytes| {
        let place = place_of(bytes, 5);
        bytes[place].copy_from_slice(&stale);
    });
    let (_dir, mut log, _) = open(&io, small());
    let failed = run(begin(&mut log), &mut LatestByKey::default());
    let Err(CleaningFailed::Corrupt(corruption)) = failed else {
        panic!("{failed:?}");
    };
    let told = (corruption.offset, corruption.next_good);
    assert_eq!(told, (offset(5), Some(offset(6))));
}

#[test]
fn every_flipped_bit_of_a_segment_stops_a_cleaning() {
    let (io, dir, mut log) = filled();
    log.truncate_to(offset(25)).unwrap();
    settle(&dir, &mut log);
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    let file = segment_file(0, "log");
    for position in (0..file_bytes(&io, &file).len() as u64).step_by(3) {
        let io = io.after_kill();
        flip(&io, &file, position);
        let (_dir, mut log, _) = open(&io, small());
        let failed = run(begin(&mut log), &mut LatestByKey::default());
        assert!(
            matches!(failed, Err(CleaningFailed::Corrupt(_))),
            "byte {position}: {failed:?}"
        );
    }
}

#[test]
fn a_missing_segment_is_no_gap_of_compaction() {
    let (io, dir, log) = filled();
    let second = log.segments()[1];
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    io.remove_file(&segment_file(second.base.get(), "log"))
        .unwrap();
    let (_dir, mut log, report) = open(&io, small());
    assert_eq!(report.corruption.len(), 1);
    let failed = run(begin(&mut log), &mut LatestByKey::default());
    let Err(CleaningFailed::Corrupt(corruption)) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(
        (corruption.offset, corruption.damage),
        (second.base, Damage::Hole)
    );
    assert_eq!(corruption.next_good, Some(second.next));
}

#[test]
fn records_that_nobody_checked_are_no_longer_taken_on_trust() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    put(&mut log, "a", "1");
    let position = log.size_bytes();
    let body = bytes::Bytes::from_static(b"\x92\x92\xc4\x01a\xc0no record");
    let claims = OpaqueClaims {
        codec: broker_record::Codec::None,
        record_count: 2,
        base_timestamp: at(1),
        max_timestamp: at(1),
        body_crc: crc32fast::hash(&body),
        producer: None,
    };
    append_batch(
        &mut log,
        ProducedBatch::opaque(body, claims, Validation::Trust).unwrap(),
    );
    for number in 0..20 {
        put(&mut log, "a", &number.to_string());
    }
    settle(&dir, &mut log);
    struct Half;
    impl CompactionPolicy for Half {
        fn observe(&mut self, run: &[StoredBatch]) -> Result<u64, PolicyFailed> {
            Ok(run
                .iter()
                .map(|batch| u64::from(batch.header.record_count))
                .sum())
        }
        fn retain(&mut self, run: &[StoredBatch], keep: &mut Vec<u8>) -> Result<(), PolicyFailed> {
            keep.resize(run.len(), 0b0101_0101);
            Ok(())
        }
    }
    let failed = run(begin(&mut log), &mut Half);
    let Err(CleaningFailed::Corrupt(corruption)) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(
        (corruption.offset, corruption.position),
        (offset(1), position)
    );
    assert!(matches!(corruption.damage, Damage::Records { .. }));
}

#[test]
fn wherever_the_disk_is_full_the_log_goes_on() {
    for number in 0.. {
        let (io, dir, mut log) = filled();
        let before = records(&log);
        let (mut left, short) = (number, number as usize % 3 * 20);
        let mut full = false;
        io.set_faults(move |_, operation| {
            let grows = matches!(
                operation,
                Operation::Write { .. } | Operation::CreateFile { .. }
            );
            if !grows {
                return None;
            }
            if full {
                return Some(Fault::ENOSPC);
            }
            left -= 1;
            full = left < 0;
            let part = matches!(operation, Operation::Write { .. }) && short > 0;
            full.then_some(if part {
                Fault::Short(short)
            } else {
                Fault::ENOSPC
            })
        });
        let cleaned = run(begin(&mut log), &mut LatestByKey::default());
        if let Err(failed) = &cleaned {
            assert!(
                matches!(failed, CleaningFailed::NoSpace { .. }),
                "at {number}: {failed}"
            );
        }
        let done = cleaned
            .ok()
            .is_some_and(|cleaned| log.finish_cleaning(cleaned).is_ok());
        io.clear_faults();
        assert_eq!(dir.is_failed(), None, "at {number}");
        assert_eq!(leftovers(&io), Vec::<String>::new(), "at {number}");
        if done {
            assert!(number > 5);
            return;
        }
        assert_eq!(records(&log), before, "at {number}");
        put(&mut log, "z", "1");
        settle(&dir, &mut log);
        clean(&mut log);
        assert!(records(&log).len() < before.len());
    }
}

#[test]
fn a_failed_sync_takes_the_directory_out_of_service_and_a_restart_brings_it_back() {
    for number in 0.. {
        let (io, dir, mut log) = filled();
        let before = records(&log);
        let mut left = number;
        io.set_faults(move |_, operation| {
            left -= i32::from(operation.is_sync());
            (operation.is_sync() && left == -1).then_some(Fault::EIO)
        });
        let cleaned = run(begin(&mut log), &mut LatestByKey::default());
        let done = cleaned.is_ok_and(|cleaned| log.finish_cleaning(cleaned).is_ok());
        io.clear_faults();
        if done {
            assert_eq!(dir.is_failed(), None);
            assert!(number > 5);
            return;
        }
        assert!(dir.is_failed().is_some(), "at {number}");
        let batch = cleaning::keyed_batch(&[(Some("z"), None)], 1, broker_record::Codec::None);
        assert!(
            log.append(&mut [batch], LeaderEpoch::new(1), at(5))
                .is_err()
        );
        assert!(log.force_cleaning(&settings(), Offset::MAX, NOW).is_none());
        drop((log, dir));
        let mut after = before.clone();
        after.drain(..33 - 3);
        for survival in [Survival::Synced, Survival::Everything, Survival::Random(3)] {
            let io = io.after_power_loss(survival);
            let (_dir, log, report) = open(&io, small());
            assert_eq!(report.corruption, [], "at {number}, {survival:?}");
            let found = records(&log);
            assert!(
                found == before || found == after,
                "at {number}, {survival:?}"
            );
            assert_eq!(leftovers(&io), Vec::<String>::new());
        }
    }
}

#[test]
fn a_damaged_journal_is_named_and_a_damaged_checkpoint_costs_another_cleaning() {
    let (io, dir, mut log) = filled();
    clean(&mut log);
    let state = |log: &Log| log.cleaning_state(&settings(), log.end(), NOW);
    assert!(state(&log).first_dirty > offset(0));
    let cleaned = records(&log);
    drop((log, dir));
    let file = partition_dir().join("cleaner-checkpoint");
    edit(&io, &file, |bytes| bytes[3] ^= 1);
    let (dir, mut log, _) = open(&io.after_kill(), small());
    assert_eq!(
        (state(&log).first_dirty, state(&log).cleanings),
        (offset(0), 0)
    );
    assert_eq!(records(&log), cleaned);
    clean(&mut log);
    assert_eq!(records(&log), cleaned);
    drop((log, dir));
    let file = partition_dir().join("cleaning-swap");
    support::set_file_bytes(&io, &file, b"version=1\nid 1\ncrc32=00000000\n");
    let dir = open_dir(&io);
    let refused = dir.open_or_create_log(&partition(), support::TOPIC_ID, small());
    let Err(OpenLogError::SmallFile(error)) = refused else {
        panic!("a damaged journal was passed over");
    };
    assert!(
        error.to_string().contains("cleaning-swap is damaged"),
        "{error}"
    );
}

#[test]
fn a_durable_point_from_before_a_cleaning_does_no_harm() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    for number in 0..15 {
        put(&mut log, "a", &number.to_string());
    }
    settle(&dir, &mut log);
    dir.write_checkpoints().unwrap();
    let old = file_bytes(
        &io,
        &std::path::Path::new(support::DIR).join("recovery-point-checkpoint"),
    );
    for number in 15..60 {
        put(&mut log, "a", &number.to_string());
    }
    settle(&dir, &mut log);
    clean(&mut log);
    let wanted = records(&log);
    drop((log, dir));
    for survival in [None, Some(Survival::Synced)] {
        let io = match survival {
            None => io.after_kill(),
            Some(survival) => io.after_power_loss(survival),
        };
        // The newest points are lost with their file; what is left points into a segment that is gone.
        let top = std::path::Path::new(support::DIR);
        io.remove_file(&top.join("durable-positions")).unwrap();
        support::set_file_bytes(&io, &top.join("recovery-point-checkpoint"), &old);
        let dir = open_dir(&io);
        let (log, report) = open_log(&dir, small());
        assert_eq!(report.corruption, [], "{survival:?}");
        assert_eq!(records(&log), wanted);
    }
}
