//! A file system that has lost what was written to it, although the machine was up: its volume was away for a while, or
//! was set back. Zeros at the end of a log tell of it, for no process leaves them.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker_storage::io::Io as _;
use broker_storage::io::recording::{Operation, RecordingIo, SetBackNames, Survival};
use broker_storage::{FlushMode, LastStop, LogConfig, LogPurpose, OpenLogError};
use support::{
    BATCH, TOPIC_ID, append, append_numbers, batch_of, big, edit, inspected, killed, numbers,
    offset, open, open_dir, open_log, partition, partition_dir, segment_file, small, sync, values,
};

/// What is done to the end of a file.
type End = Box<dyn Fn(&mut Vec<u8>)>;

/// Two records that are durable and four that are not, then a kill and a change of the file.
fn killed_and(config: LogConfig, change: impl FnOnce(&mut Vec<u8>)) -> Arc<RecordingIo> {
    let io = killed(2, 6, config);
    edit(&io, &segment_file(0, "log"), change);
    io
}

fn zero_from(position: u64) -> impl Fn(&mut Vec<u8>) {
    move |bytes| bytes[position as usize..].fill(0)
}

/// Indexes are made anew, so they may be lost.
fn is_index(file: &Path) -> bool {
    file.extension()
        .is_some_and(|e| e == "index" || e == "timeindex")
}

#[test]
fn zeros_at_the_end_of_a_log_are_writes_that_were_lost() {
    let appended = |bytes: &mut Vec<u8>| bytes.extend([0; 300]);
    let (all, three, two) = (6, 3, 2);
    let ends: [(End, usize); 3] = [
        (Box::new(appended), all),
        (Box::new(zero_from(3 * BATCH)), three),
        // A sector that begins in the middle of the third batch is the first that was lost.
        (Box::new(zero_from(512)), two),
    ];
    for (number, (end, left)) in ends.into_iter().enumerate() {
        let io = killed_and(big(), end);
        let found = inspected::damage(&io, &|_| false).unwrap();
        assert_eq!(found, None, "end {number}");
        let (dir, mut log, report) = open(&io, big());
        assert_eq!(report.corruption, [], "end {number}");
        assert_eq!(report.last_stop, LastStop::OtherBoot, "end {number}");
        assert_eq!(values(&log), numbers(left), "end {number}");
        append(&mut log, batch_of(&left.to_string(), 100));
        sync(&dir, &mut log);
        drop((dir, log));
        let (_dir, log, report) = open(&io.after_kill(), big());
        assert_eq!((report.torn, report.corruption), (None, vec![]));
        assert_eq!(values(&log), numbers(left + 1), "end {number}");
    }
}

#[test]
fn other_bytes_at_the_end_of_a_log_are_damage() {
    let ends: [End; 4] = [
        Box::new(|bytes| bytes.extend([0xa5; 300])),
        // No sector begins in these zeros.
        Box::new(zero_from(6 * BATCH - 50)),
        Box::new(|bytes| bytes[5 * BATCH as usize + 80] ^= 1),
        // Something was written behind them.
        Box::new(|bytes| bytes[512..5 * BATCH as usize].fill(0)),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let io = killed_and(big(), end);
        let found = inspected::damage(&io, &|_| false).unwrap();
        assert!(found.is_some(), "end {number}");
        let (_dir, _log, report) = open(&io, big());
        assert_eq!(report.last_stop, LastStop::SameBoot, "end {number}");
        assert!(!report.corruption.is_empty(), "end {number}");
    }
}

fn asynchronous(config: LogConfig) -> LogConfig {
    let every = Duration::from_secs(1);
    LogConfig {
        flush: FlushMode::Async { every },
        ..config
    }
}

/// Two records that are durable and four that are acknowledged as well, five of them as was noted, then a kill.
fn acknowledged_and_killed() -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, asynchronous(big()));
    append_numbers(&mut log, 0..2);
    sync(&dir, &mut log);
    append_numbers(&mut log, 2..6);
    dir.record_high_watermark(&partition(), offset(5));
    dir.write_checkpoints().unwrap();
    drop((dir, log));
    io.after_kill()
}

/// Opens it, and finds that offsets from `end` on were lost.
fn assert_lost_from(end: u64, io: &Arc<RecordingIo>) {
    assert_eq!(inspected::damage(io, &|_| false).unwrap(), None);
    let (_dir, log, report) = open(io, asynchronous(big()));
    assert_eq!((report.corruption, log.end()), (Vec::new(), offset(end)));
    let lost = report.power_loss.and_then(|loss| loss.known_lost);
    assert_eq!(lost, Some(offset(end)..offset(5)));
}

#[test]
fn what_was_acknowledged_and_lost_with_them_is_told() {
    let io = acknowledged_and_killed();
    edit(&io, &segment_file(0, "log"), zero_from(3 * BATCH));
    assert_lost_from(3, &io);
}

#[test]
fn a_log_that_ends_with_a_batch_that_was_not_known_to_be_synced_was_set_back_to_that() {
    let cut = |bytes: u64| {
        let io = acknowledged_and_killed();
        edit(&io, &segment_file(0, "log"), |log| {
            log.truncate(bytes as usize)
        });
        io
    };
    for kept in 2..5 {
        assert_lost_from(kept, &cut(kept * BATCH));
    }
    // What was synced is not lost, and who sets a file system back leaves no half of a batch.
    for bytes in [0, BATCH, 3 * BATCH - 1] {
        let io = cut(bytes);
        assert!(
            inspected::damage(&io, &|_| false).unwrap().is_some(),
            "{bytes}"
        );
        let (_dir, log, report) = open(&io, asynchronous(big()));
        assert!(
            !report.corruption.is_empty() && log.end() >= offset(5),
            "{bytes}"
        );
    }
}

/// Records in four segments, high watermarks that are noted between syncs and during them.
fn life_of_an_asynchronous_log() -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    io.keep_moments();
    let (dir, mut log, _) = open(&io, asynchronous(small()));
    let note = |log: &broker_storage::Log| {
        dir.record_high_watermark(&partition(), log.end());
        dir.write_checkpoints().unwrap();
    };
    for from in [0, 12, 24, 36] {
        append_numbers(&mut log, from..from + 5);
        note(&log);
        append_numbers(&mut log, from + 5..from + 9);
        let request = log.sync_request().unwrap();
        append_numbers(&mut log, from + 9..from + 12);
        note(&log);
        log.on_synced(&dir.sync_now(request)).unwrap();
    }
    drop((dir, log));
    io
}

#[test]
fn an_asynchronous_log_that_is_set_back_at_any_moment_has_lost_writes_and_no_more() {
    let life = life_of_an_asynchronous_log();
    let mut told = 0;
    for (number, moment) in life.moments().iter().enumerate() {
        for names in SetBackNames::EACH {
            let io = moment.after_set_back(names);
            let place = format!("before change {number}, {names:?}");
            let found = inspected::damage(&io, &is_index).unwrap();
            assert_eq!(found, None, "{place}");
            let (dir, mut log, report) = open(&io, asynchronous(small()));
            assert_eq!(report.corruption, [], "{place}");
            told += u32::from(
                report
                    .power_loss
                    .is_some_and(|loss| loss.known_lost.is_some()),
            );
            let end = log.end().get() as usize;
            assert_eq!(values(&log), numbers(end), "{place}");
            append_numbers(&mut log, end..end + 1);
            sync(&dir, &mut log);
        }
    }
    assert!(told > 20, "{told}");
}

/// Five acknowledged records of which none is durable, in a file that is removed after a kill.
fn removed(is_missed: bool) -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, asynchronous(big()));
    append_numbers(&mut log, 0..5);
    if is_missed {
        log.note_reach();
    }
    dir.record_high_watermark(&partition(), offset(5));
    dir.write_checkpoints().unwrap();
    drop((dir, log));
    let io = io.after_kill();
    io.remove_file(&segment_file(0, "log")).unwrap();
    io
}

#[test]
fn a_file_that_never_had_a_durable_byte_may_be_gone_unless_it_was_missed_before() {
    assert_lost_from(0, &removed(false));
    let io = removed(true);
    assert!(inspected::damage(&io, &|_| false).unwrap().is_some());
    let (_dir, log, report) = open(&io, asynchronous(big()));
    assert!(!report.corruption.is_empty() && log.end() >= offset(5));
}

#[test]
fn what_was_durable_is_missed_also_where_nothing_but_empty_segments_follow() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..30);
    sync(&dir, &mut log);
    drop((dir, log));
    for gone in [[10, 20].as_slice(), &[0, 10, 20]] {
        let io = io.after_kill();
        for base in gone {
            for extension in ["log", "index", "timeindex"] {
                io.remove_file(&segment_file(*base, extension)).unwrap();
            }
        }
        // The first start names it and goes on in a segment that is empty still when it is killed.
        for start in 0..3 {
            let found = inspected::damage(&io, &|_| false).unwrap();
            assert!(found.is_some(), "before start {start}, {gone:?}");
            let (_dir, log, report) = open(&io, small());
            assert!(!report.corruption.is_empty() && log.end() >= offset(30));
        }
    }
}

#[test]
fn segments_without_a_byte_behind_a_gap_were_made_for_what_was_lost() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..12);
    sync(&dir, &mut log);
    append_numbers(&mut log, 12..45);
    drop((dir, log));
    let cut = |base: u64, batches: u64| {
        move |io: &Arc<RecordingIo>| {
            edit(io, &segment_file(base, "log"), |bytes| {
                bytes.truncate((batches * BATCH) as usize)
            });
        }
    };
    let set_back = io.after_kill();
    for cut in [cut(10, 5), cut(20, 0), cut(30, 0), cut(40, 0)] {
        cut(&set_back);
    }
    assert_eq!(inspected::damage(&set_back, &is_index).unwrap(), None);
    let (dir, mut log, report) = open(&set_back, small());
    assert_eq!(report.corruption, []);
    assert_eq!(values(&log), numbers(15));
    append_numbers(&mut log, 15..16);
    sync(&dir, &mut log);
    assert_eq!(values(&log), numbers(16));
    // Where one of them has bytes, those before it are missing.
    let damaged = io.after_kill();
    for cut in [cut(10, 5), cut(20, 0), cut(30, 0)] {
        cut(&damaged);
    }
    assert!(inspected::damage(&damaged, &is_index).unwrap().is_some());
    let (_dir, log, report) = open(&damaged, small());
    assert!(!report.corruption.is_empty() && log.end() >= offset(45));
}

#[test]
fn of_one_log_what_was_written_first_is_durable_first_and_indexes_after_all_data() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..35);
    sync(&dir, &mut log);
    let synced = io
        .operations()
        .into_iter()
        .filter_map(|operation| match operation {
            Operation::SyncData { path } if path.starts_with(partition_dir()) => Some(path),
            _ => None,
        });
    let of_data = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let synced: Vec<PathBuf> = synced.collect();
    let data: Vec<&PathBuf> = synced.iter().filter(|path| of_data(path)).collect();
    let expected = [0, 10, 20, 30].map(|base| segment_file(base, "log"));
    assert_eq!(data, expected.each_ref(), "{synced:?}");
    let first_index = synced.iter().position(|path| is_index(path)).unwrap();
    assert!(
        synced[first_index..].iter().all(|path| !of_data(path)),
        "{synced:?}"
    );
}

#[test]
fn a_log_never_begins_behind_what_is_durable() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, asynchronous(small()));
    append_numbers(&mut log, 0..25);
    log.advance_start(offset(23)).unwrap();
    append_numbers(&mut log, 25..28);
    dir.record_high_watermark(&partition(), offset(28));
    dir.write_checkpoints().unwrap();
    for io in [
        io.after_set_back(SetBackNames::Synced),
        io.after_power_loss(Survival::Synced),
    ] {
        let (_dir, log, report) = open(&io, asynchronous(small()));
        assert_eq!((report.corruption, log.start()), (Vec::new(), offset(23)));
        assert_eq!(log.end(), offset(25));
    }
}

/// A log without which nothing is served is left for the next start as it was found.
#[test]
fn a_damaged_log_of_the_brokers_own_is_refused_and_not_changed() {
    let own = LogConfig {
        purpose: LogPurpose::Internal,
        ..big()
    };
    let io = killed_and(own, |bytes| bytes.extend([0xa5; 300]));
    let dir = open_dir(&io);
    let before = io.fingerprint();
    for _ in 0..2 {
        let refused = dir.open_or_create_log(&partition(), TOPIC_ID, own);
        let Err(OpenLogError::Damaged(damage)) = refused else {
            panic!("it was opened");
        };
        assert_eq!(damage.position, 6 * BATCH);
        assert_eq!(io.fingerprint(), before);
    }
    drop(dir);
    // The next start comes after one of the machine: then that is a torn end.
    let io = io.after_power_loss(Survival::Everything);
    let (log, _) = open_log(&open_dir(&io), own);
    assert_eq!(values(&log), numbers(6));
}
