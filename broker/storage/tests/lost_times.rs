//! Searches for a time in a log of which something is lost: what may have been the answer is never passed over in
//! silence, and what follows is found again as soon as the lost records are older by all that is known.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::sync::Arc;

use broker_storage::io::Io;
use broker_storage::io::recording::{RecordingIo, Survival};
use broker_storage::{Log, LogConfig, ReadError};
use support::{
    Record, append, at, batch, big, edit, flip, offset, open, read_at, segment_file, small, sync,
};

/// Bytes of a batch of one of these records.
const BATCH: u64 = support::BATCH;

fn append_at(log: &mut Log, millis: u64) {
    let value = ".".repeat(100);
    append(log, batch(&[Record::new(&value, millis as i64)]));
}

/// A killed log of 30 records, of the times 0, 100, 200 and so on; ten to a segment where they are small.
fn filled(config: LogConfig) -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, config);
    for number in 0..30 {
        append_at(&mut log, number * 100);
    }
    sync(&dir, &mut log);
    drop((dir, log));
    io.after_kill()
}

/// The records `lost` are gone: times up to the record before are found, times up to the record behind are refused
/// with the place, later ones are found.
fn is_never_passed_over(log: &Log, lost: std::ops::Range<u64>) {
    assert!(read_at(log, lost.start).is_err());
    for millis in (0..=2_900_i64).step_by(50) {
        let wanted = millis.cast_unsigned().div_ceil(100);
        let found = log.offset_for_timestamp(at(millis), log.end());
        match found {
            Ok(found) => {
                assert_eq!(found, Some((offset(wanted), at(wanted as i64 * 100))));
                assert!(!(lost.start..=lost.end).contains(&wanted), "at {millis}");
            }
            Err(ReadError::Corrupt(damage)) => {
                assert!((lost.start..=lost.end).contains(&wanted), "at {millis}");
                assert_eq!(damage.offset, offset(lost.start), "at {millis}");
                assert_eq!(damage.next_good, Some(offset(lost.end)), "at {millis}");
            }
            Err(other) => panic!("at {millis}: {other}"),
        }
        let below = log.offset_for_timestamp(at(millis), offset(lost.start));
        let expected = offset(wanted);
        assert_eq!(
            below.unwrap().map(|(offset, _)| offset),
            Some(expected).filter(|wanted| *wanted < offset(lost.start))
        );
    }
    assert_eq!(
        log.offset_for_timestamp(at(2_901), log.end()).unwrap(),
        None
    );
}

#[test]
fn segments_that_are_gone_are_not_passed_over() {
    for (gone, lost) in [(&[10][..], 10..20), (&[0], 0..10), (&[0, 10], 0..20)] {
        let io = filled(small());
        for base in gone {
            for extension in ["log", "index", "timeindex"] {
                io.remove_file(&segment_file(*base, extension)).unwrap();
            }
        }
        for _ in 0..2 {
            let (_dir, log, _) = open(&io, small());
            is_never_passed_over(&log, lost.clone());
        }
    }
}

#[test]
fn a_segment_without_its_end_is_not_passed_over() {
    for kept in [0, 1, 9] {
        let io = filled(small());
        edit(&io, &segment_file(10, "log"), |bytes| {
            bytes.truncate((kept * BATCH) as usize + 5);
        });
        for _ in 0..2 {
            let (_dir, log, _) = open(&io, small());
            is_never_passed_over(&log, 10 + kept..20);
        }
    }
}

#[test]
fn damage_that_an_index_was_made_around_is_not_passed_over() {
    for (config, base) in [(small(), 10), (big(), 0)] {
        for number in [12, 15, 18] {
            let io = filled(config);
            flip(&io, &segment_file(base, "log"), (number - base) * BATCH + 5);
            for extension in ["index", "timeindex"] {
                // A log that was never rolled has none yet.
                let _ = io.remove_file(&segment_file(base, extension));
            }
            for _ in 0..2 {
                let (_dir, log, _) = open(&io, config);
                is_never_passed_over(&log, number..number + 1);
            }
        }
    }
}

#[test]
fn damage_at_the_end_of_a_segment_is_not_forgotten_with_the_index_of_before() {
    let io = filled(small());
    let (dir, log, _) = open(&io, small());
    // The index is looked at for the first time when something else is wrong with it, too.
    flip(&io, &segment_file(10, "log"), 9 * BATCH + 5);
    edit(&io, &segment_file(10, "index"), |bytes| {
        let last = bytes.len() - 30;
        bytes[last] ^= 1;
    });
    let is_told = |log: &Log| {
        assert!(read_at(log, 18).is_ok() && read_at(log, 19).is_err());
        let find = |millis| log.offset_for_timestamp(at(millis), log.end());
        assert_eq!(find(1_800).unwrap(), Some((offset(18), at(1_800))));
        for millis in [1_801, 1_900] {
            let refused = find(millis).unwrap_err();
            assert!(matches!(refused, ReadError::Corrupt(damage) if damage.offset == offset(19)));
        }
        // How late the segment came is known from before.
        assert_eq!(find(1_901).unwrap(), Some((offset(20), at(2_000))));
    };
    is_told(&log);
    drop((dir, log));
    let (_dir, log, _) = open(&io.after_kill(), small());
    is_told(&log);
}

#[test]
fn a_lost_end_is_not_passed_over_until_later_records_follow() {
    let io = filled(big());
    edit(&io, &segment_file(0, "log"), |bytes| {
        bytes.truncate(20 * BATCH as usize);
    });
    let (dir, mut log, _) = open(&io, big());
    let lost = |log: &Log, millis| {
        let found = log.offset_for_timestamp(at(millis), log.end());
        matches!(found, Err(ReadError::Corrupt(damage)) if damage.offset == offset(20))
    };
    assert!(!lost(&log, 1_900) && lost(&log, 1_901) && lost(&log, 9_000));
    let next = log.end();
    append_at(&mut log, 5_000);
    append_at(&mut log, 6_000);
    sync(&dir, &mut log);
    drop((dir, log));
    let (_dir, log, _) = open(&io.after_kill(), big());
    assert!(!lost(&log, 1_900) && lost(&log, 1_901) && lost(&log, 5_000));
    let found = log.offset_for_timestamp(at(5_001), log.end()).unwrap();
    assert_eq!(found, Some((next.next(), at(6_000))));
    assert_eq!(
        log.offset_for_timestamp(at(6_001), log.end()).unwrap(),
        None
    );
}

#[test]
fn an_end_that_is_damaged_in_place_is_not_passed_over() {
    for (from, lost) in [(20 * BATCH, 20), (19 * BATCH + 100, 20), (0, 0)] {
        let io = filled(big());
        edit(&io, &segment_file(0, "log"), |bytes| {
            bytes[from as usize..].fill(0);
        });
        let (dir, mut log, _) = open(&io, big());
        assert_eq!(log.end(), offset(30));
        let is_lost = |log: &Log, millis| {
            let found = log.offset_for_timestamp(at(millis), log.end());
            matches!(found, Err(ReadError::Corrupt(damage)) if damage.offset == offset(lost))
        };
        for millis in [1_901, 2_000, 2_900, 9_000] {
            assert!(is_lost(&log, millis), "{from}: {millis}");
        }
        append_at(&mut log, 5_000);
        append_at(&mut log, 6_000);
        sync(&dir, &mut log);
        drop((dir, log));
        let after = [io.after_kill(), io.after_power_loss(Survival::Synced)];
        for io in after {
            let (_dir, log, _) = open(&io, big());
            assert!(is_lost(&log, 1_901) && is_lost(&log, 5_000), "{from}");
            let found = log.offset_for_timestamp(at(5_001), log.end()).unwrap();
            assert_eq!(found, Some((offset(31), at(6_000))));
            assert!(read_at(&log, lost).is_err() && read_at(&log, 29).is_err());
            assert_eq!(read_at(&log, 30).unwrap(), offset(31));
        }
    }
}
