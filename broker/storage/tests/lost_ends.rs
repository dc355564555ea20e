//! A log whose end is lost to damage, not with the machine's power: what was acknowledged above the last note of its
//! end is not given out again. Where nothing is damaged, or a clean stop has noted the very end, no offset is skipped.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_storage::io::Io;
use broker_storage::io::recording::{RecordingIo, Survival};
use broker_storage::{Damage, FlushMode, Log, LogConfig, LogDir};
use support::{
    BATCH, DIR, append, append_numbers, batch_of, big, clocked, corruption_at, edit, flip, killed,
    numbers, offset, open, partition, read_at, segment_file, small, sync, values,
};

fn cut(io: &Arc<RecordingIo>, to: u64) {
    edit(io, &segment_file(0, "log"), |bytes| {
        bytes.truncate(to as usize);
    });
}

fn asynchronous() -> LogConfig {
    LogConfig {
        flush: FlushMode::Async {
            every: Duration::from_secs(1),
        },
        index_interval_bytes: 200,
        ..big()
    }
}

/// Opens a log that had ten records and less than that of them now: none of their offsets is given out again, and
/// the readers of what is gone are told, by the next start, too.
fn goes_on_behind_all(io: &Arc<RecordingIo>, config: LogConfig, kept: u64) {
    let (dir, mut log, report) = open(io, config);
    assert!(!report.corruption.is_empty());
    let run = append(&mut log, batch_of("after", 100));
    assert!(run.first >= offset(10), "kept {kept}: {run:?}");
    sync(&dir, &mut log);
    drop((dir, log));
    for io in [io.after_kill(), io.after_power_loss(Survival::Synced)] {
        let (_dir, log, _) = open(&io, config);
        assert_eq!(log.end(), run.end);
        assert_eq!(corruption_at(&log, kept).next_good, Some(run.first));
        assert_eq!(read_at(&log, run.first.get()).unwrap(), run.end);
        for at in 0..kept {
            assert_eq!(read_at(&log, at).unwrap(), offset(at + 1));
        }
    }
}

#[test]
fn what_was_acknowledged_above_a_noted_point_is_not_given_out_again_when_the_file_ends_below_it() {
    for config in [big(), asynchronous()] {
        for kept in 0..6 {
            for torn in [0, 1, BATCH - 1] {
                let io = killed(6, 10, config);
                cut(&io, kept * BATCH + torn);
                goes_on_behind_all(&io, config, kept);
            }
        }
    }
}

#[test]
fn what_was_acknowledged_above_a_noted_high_watermark_is_not_given_out_again() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, asynchronous());
    append_numbers(&mut log, 0..6);
    dir.record_high_watermark(&partition(), log.end());
    dir.write_checkpoints().unwrap();
    append_numbers(&mut log, 6..10);
    // Without a part of a batch it would be what a file system has lost.
    for kept in 0..6 {
        let io = io.after_kill();
        cut(&io, kept * BATCH + BATCH / 2);
        goes_on_behind_all(&io, asynchronous(), kept);
    }
}

#[test]
fn an_index_that_speaks_of_more_tells_after_a_kill_that_the_end_is_lost() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, asynchronous());
    append_numbers(&mut log, 0..10);
    // Its sync has not ended when the process is killed.
    assert!(log.sync_request().is_some());
    for kept in 0..7 {
        let killed = io.after_kill();
        cut(&killed, kept * BATCH);
        let (_dir, _, report) = open(&killed.after_kill(), asynchronous());
        let told = report.corruption.iter().map(|told| told.damage.clone());
        assert_eq!(told.collect::<Vec<_>>(), [Damage::BelowIndex]);
        goes_on_behind_all(&killed, asynchronous(), kept);
    }
    // After a power loss an index may well be ahead of the data.
    let lost = io.after_power_loss(Survival::Everything);
    cut(&lost, 3 * BATCH);
    let (_dir, log, report) = open(&lost, asynchronous());
    assert_eq!((report.corruption, log.end()), (vec![], offset(3)));
}

#[test]
fn where_nothing_is_damaged_no_offset_is_skipped() {
    for reboot in [false, true] {
        for torn in [0, 1, BATCH - 1] {
            let io = killed(6, 10, big());
            cut(&io, 9 * BATCH + torn);
            let io = match reboot {
                true => io.after_power_loss(Survival::Everything),
                false => io.after_kill(),
            };
            let (_dir, mut log, report) = open(&io, big());
            assert_eq!(report.corruption, []);
            assert_eq!(append(&mut log, batch_of("9", 100)).first, offset(9));
            assert_eq!(values(&log), numbers(10));
        }
    }
}

#[test]
fn a_clean_stop_has_noted_the_very_end_and_no_offset_is_skipped() {
    for kept in [0, 3 * BATCH, 9 * BATCH + 20] {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, big());
        append_numbers(&mut log, 0..10);
        log.close().unwrap();
        dir.close_clean().unwrap();
        drop(dir);
        cut(&io, kept);
        let (_dir, mut log, report) = open(&io.after_kill(), big());
        assert_eq!(report.corruption.len(), 1);
        assert_eq!(append(&mut log, batch_of("10", 100)).first, offset(10));
    }
}

#[test]
fn a_kill_amid_a_truncation_leaves_no_sign_of_damage() {
    for sealed in [false, true] {
        let io = RecordingIo::new();
        let config = match sealed {
            true => small(),
            false => asynchronous(),
        };
        let (_dir, mut log, _) = open(&io, config);
        append_numbers(&mut log, 0..15);
        assert!(log.sync_request().is_some());
        io.keep_moments();
        log.truncate_to(offset(4)).unwrap();
        for moment in io.moments() {
            let (_dir, log, report) = open(&moment.after_kill(), config);
            assert_eq!(report.corruption, [], "{}", log.end());
            assert!(log.end() <= offset(15));
        }
    }
}

/// Disks whose indexes speak of records that are gone, after a kill, by name.
fn disks_with_indexes_ahead() -> Vec<(String, Arc<RecordingIo>, LogConfig)> {
    let mut all = Vec::new();
    for config in [asynchronous(), small()] {
        let mut disks = Vec::new();
        let io = RecordingIo::new();
        let (_dir, mut log, _) = open(&io, config);
        append_numbers(&mut log, 0..10);
        assert!(log.sync_request().is_some());
        for (kept, torn) in [(0, 0), (0, 1), (1, 0), (4, 20), (5, 0)] {
            let left = io.after_kill();
            cut(&left, kept * BATCH + torn);
            let name = format!("{kept} of 10 records and {torn} bytes are left");
            disks.push((name, left, config));
        }
        let damaged = io.after_kill();
        cut(&damaged, 5 * BATCH);
        flip(&damaged, &segment_file(0, "log"), 3 * BATCH + 100);
        disks.push(("a batch is damaged, too".to_owned(), damaged, config));
        let no_points = |name: &str, io: &Arc<RecordingIo>| {
            let left = io.after_kill();
            edit(&left, &Path::new(DIR).join("durable-positions"), |bytes| {
                bytes.fill(0x5a);
            });
            (format!("{name}, durable points are lost"), left, config)
        };
        let gone = io.after_kill();
        gone.remove_file(&segment_file(0, "log")).unwrap();
        let mut without = vec![no_points("nothing is left but an index", &gone)];
        without.extend(disks.iter().map(|(name, io, _)| no_points(name, io)));
        disks.append(&mut without);
        all.append(&mut disks);
    }
    all
}

/// The next offset that a log gives out.
fn next_of(io: &Arc<RecordingIo>, config: LogConfig) -> u64 {
    let (_dir, mut log, _) = open(io, config);
    append(&mut log, batch_of("after", 100)).first.get()
}

#[test]
fn a_recovery_that_is_killed_anywhere_keeps_the_word_of_an_index_on_what_is_lost() {
    let mut forgotten = Vec::new();
    for (name, disk, config) in disks_with_indexes_ahead() {
        let whole = next_of(&disk.after_kill(), config);
        if whole < 10 {
            forgotten.push(format!("{name}: not told at all"));
            continue;
        }
        let io = disk.after_kill();
        io.keep_moments();
        drop(open(&io, config));
        for moment in io.moments() {
            let next = next_of(&moment.after_kill(), config);
            if next < 10 {
                let before = moment.next();
                forgotten.push(format!("{name}: killed before {before:?}, on at {next}"));
            }
        }
    }
    assert_eq!(forgotten, Vec::<String>::new());
}

fn rolling() -> LogConfig {
    LogConfig {
        roll_after: Duration::from_secs(60),
        ..small()
    }
}

/// Records 0 to 25 in three segments, durable with so many more in the next one, which none has as yet when that is
/// none.
fn rolled(more: usize) -> (Arc<RecordingIo>, LogDir, Log) {
    let (io, clock, dir, mut log) = clocked(rolling());
    append_numbers(&mut log, 0..25);
    clock.advance(rolling().roll_after * 2);
    assert!(log.roll_if_due().unwrap());
    append_numbers(&mut log, 25..25 + more);
    sync(&dir, &mut log);
    (io, dir, log)
}

/// The same, left by a kill, by a kill after checkpoints, and by a clean stop.
fn left_rolled(more: usize) -> [Arc<RecordingIo>; 3] {
    let (killed, ..) = rolled(more);
    let (noted, dir, log) = rolled(more);
    dir.record_high_watermark(&partition(), log.end());
    dir.write_checkpoints().unwrap();
    let (stopped, dir, log) = rolled(more);
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    [killed, noted, stopped]
}

/// Opens a log that lost everything from an offset on: that is told at once, and whenever it is read, and nothing of
/// it is given out again.
fn misses_all_from(io: &Arc<RecordingIo>, kept: u64, end: u64, name: &str) {
    let (dir, mut log, report) = open(io, rolling());
    let told = report
        .corruption
        .iter()
        .find(|told| told.offset == offset(kept));
    let next_good = told.and_then(|told| told.next_good);
    let first = append(&mut log, batch_of("after", 100)).first;
    assert!(first >= offset(end), "{name}: {first}");
    assert_eq!(next_good, Some(first), "{name}: {:?}", report.corruption);
    sync(&dir, &mut log);
    drop((dir, log));
    let (_dir, log, report) = open(&io.after_kill(), rolling());
    assert!(!report.corruption.is_empty(), "{name}");
    for at in [kept, end - 1] {
        assert_eq!(corruption_at(&log, at).next_good, Some(first), "{name}");
    }
}

#[test]
fn segments_that_are_gone_with_the_one_behind_them_that_was_written_on_are_missed() {
    for more in [0, 3] {
        for (how, left) in left_rolled(more).iter().enumerate() {
            for gone in [&[20, 25][..], &[10, 20, 25], &[0, 10, 20, 25]] {
                for io in [
                    left.after_kill(),
                    left.after_power_loss(Survival::Everything),
                ] {
                    for base in gone {
                        for extension in ["log", "index", "timeindex"] {
                            // The one behind them has no index as yet.
                            let _ = io.remove_file(&segment_file(*base, extension));
                        }
                    }
                    let name = format!("{more} more, stop {how}, without {gone:?}");
                    misses_all_from(&io, gone[0], 25 + more as u64, &name);
                }
            }
        }
    }
}
