//! Indexes make lookups quick and are never believed: missing, damaged, torn or stale ones cost time,
//! not answers, and are made anew.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;
mod told;

use std::path::Path;
use std::sync::Arc;

use broker_model::{LeaderEpoch, Offset};
use broker_storage::inspect::Verifier;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::io::{Io, OpenMode};
use broker_storage::{Log, LogConfig, ReadLimit};
use support::{
    Record, append, at, batch, edit, file_bytes, offset, open, partition_dir, segment_file,
    set_file_bytes, sync,
};

const RECORDS: u64 = 60;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 3_000,
        index_interval_bytes: 250,
        ..LogConfig::default()
    }
}

/// Batches of one to three records of different lengths; timestamps go up and down.
fn filled() -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, config());
    let mut next = 0;
    while next < RECORDS {
        let count = 1 + next % 3;
        let records: Vec<Record> = (next..next + count).map(record).collect();
        append(&mut log, batch(&records));
        next += count;
    }
    assert!(log.segments().len() > 2);
    log.close().unwrap();
    dir.close_clean().unwrap();
    io
}

fn record(offset: u64) -> Record {
    let mut value = format!("value {offset}");
    while value.len() < 20 + (offset as usize * 13) % 90 {
        value.push('.');
    }
    let wobble = if offset.is_multiple_of(4) { -35 } else { 0 };
    Record::new(&value, 1_000 + 10 * offset as i64 + wobble)
}

/// Every offset and every time is found.
fn check(log: &Log) {
    assert_eq!((log.start(), log.end()), (Offset::ZERO, offset(RECORDS)));
    let all: Vec<(u64, Record)> = (0..RECORDS)
        .map(|offset| (offset, record(offset)))
        .collect();
    assert_eq!(support::try_read_from(log, Offset::ZERO).unwrap(), all);
    for from in 0..RECORDS {
        let slice = log.read(offset(from), log.end(), ReadLimit::OneBatchOr(1));
        let slice = slice.unwrap().verified().unwrap();
        let held = slice.first_offset().get()..slice.next_offset().get();
        assert!(held.contains(&from), "from {from}: {held:?}");
    }
    for millis in (900..1_000 + 10 * RECORDS as i64 + 50).step_by(5) {
        let wanted = (0..RECORDS)
            .map(|offset| (offset, record(offset).timestamp))
            .find(|(_, timestamp)| *timestamp >= millis);
        let found = log.offset_for_timestamp(at(millis), log.end()).unwrap();
        let found = found.map(|(offset, timestamp)| (offset.get(), timestamp.as_millis()));
        assert_eq!(found, wanted, "time {millis}");
    }
}

fn bases(io: &Arc<RecordingIo>) -> Vec<u64> {
    let (_dir, log, _) = open(&io.after_kill(), config());
    log.segments()
        .iter()
        .map(|segment| segment.base.get())
        .collect()
}

#[test]
fn lookups_by_offset_and_time_are_exact() {
    let io = filled();
    let (_dir, log, _) = open(&io, config());
    check(&log);
}

#[test]
fn missing_indexes_are_made_again_as_they_were() {
    let io = filled();
    let bases = bases(&io);
    for base in &bases[..bases.len() - 1] {
        for extension in ["index", "timeindex"] {
            let io = io.after_kill();
            let file = segment_file(*base, extension);
            let before = file_bytes(&io, &file);
            io.remove_file(&file).unwrap();
            let (_dir, log, report) = open(&io, config());
            assert_eq!(report.corruption, []);
            // All but the header, which says when the segment began.
            assert_eq!(
                file_bytes(&io, &file)[32..],
                before[32..],
                "{}",
                file.display()
            );
            check(&log);
        }
    }
}

#[test]
fn without_any_index_the_log_is_the_same() {
    let io = filled();
    for base in bases(&io) {
        for extension in ["index", "timeindex"] {
            io.remove_file(&segment_file(base, extension)).unwrap();
        }
    }
    let (_dir, log, _) = open(&io, config());
    check(&log);
}

#[test]
fn an_index_cut_anywhere_costs_no_answer() {
    let io = filled();
    let bases = bases(&io);
    for base in [bases[0], *bases.last().unwrap()] {
        for extension in ["index", "timeindex"] {
            let file = segment_file(base, extension);
            let len = file_bytes(&io, &file).len();
            for kept in (0..len).step_by(3) {
                let io = io.after_kill();
                edit(&io, &file, |bytes| bytes.truncate(kept));
                let (_dir, log, report) = open(&io, config());
                assert_eq!(report.corruption, [], "{} {kept}", file.display());
                check(&log);
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_an_index_costs_no_answer() {
    let io = filled();
    let bases = bases(&io);
    for base in [bases[0], *bases.last().unwrap()] {
        for extension in ["index", "timeindex"] {
            let file = segment_file(base, extension);
            let len = file_bytes(&io, &file).len();
            for position in 0..len {
                let io = io.after_kill();
                edit(&io, &file, |bytes| bytes[position] ^= 1 << (position % 8));
                let (_dir, log, report) = open(&io, config());
                assert_eq!(report.corruption, [], "{} {position}", file.display());
                check(&log);
            }
        }
    }
}

#[test]
fn an_index_damaged_while_the_broker_runs_is_made_anew_when_it_is_used() {
    let io = filled();
    let file = segment_file(0, "index");
    let good = file_bytes(&io, &file);
    let (_dir, log, _) = open(&io, config());
    edit(&io, &file, |bytes| {
        for byte in &mut bytes[32..] {
            *byte ^= 0xff;
        }
    });
    check(&log);
    assert_eq!(file_bytes(&io, &file)[32..], good[32..]);
}

/// Two logs whose first segments have the same base, length and number of entries, but other batches.
#[test]
fn a_stale_index_with_good_checksums_is_noticed_by_the_batches() {
    let config = || LogConfig {
        index_interval_bytes: 1,
        ..config()
    };
    let build = |sizes: [usize; 2]| {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, config());
        for number in 0..40_usize {
            let len = sizes[number % 2];
            let text = format!("{number}{}", ".".repeat(len));
            append(&mut log, batch(&[Record::new(&text[..len], number as i64)]));
        }
        log.close().unwrap();
        dir.close_clean().unwrap();
        io
    };
    let (io, other) = (build([200, 120]), build([120, 200]));
    let file = segment_file(0, "index");
    let stale = file_bytes(&other, &file);
    assert_eq!(file_bytes(&io, &file).len(), stale.len());
    assert_ne!(file_bytes(&io, &file), stale);
    set_file_bytes(&io, &file, &stale);
    let (_dir, log, _) = open(&io, config());
    for from in 0..40 {
        let slice = log
            .read(offset(from), log.end(), ReadLimit::OneBatchOr(1))
            .unwrap();
        assert_eq!(slice.first_offset(), offset(from));
        assert_eq!(slice.verified().unwrap().next_offset(), offset(from + 1));
        let found = log
            .offset_for_timestamp(at(from as i64), log.end())
            .unwrap();
        assert_eq!(found.map(|(offset, _)| offset.get()), Some(from));
    }
}

#[test]
fn entries_behind_a_cut_are_never_taken_for_later_ones() {
    let io = filled();
    let (dir, mut log, _) = open(&io, config());
    let active = *log.segments().last().unwrap();
    log.truncate_to(active.base.next()).unwrap();
    let end = log.end();
    for number in 0..8 {
        append(
            &mut log,
            batch(&[Record::new(&"n".repeat(60 + number), 5_000)]),
        );
    }
    sync(&dir, &mut log);
    let wanted = support::try_read_from(&log, Offset::ZERO).unwrap();
    drop((log, dir));
    for seed in 0..40 {
        let io = io.after_power_loss(Survival::Random(seed));
        let (_dir, log, report) = open(&io, config());
        assert_eq!(report.corruption, []);
        for from in 0..log.end().get() {
            let found = support::try_read_from(&log, offset(from)).unwrap();
            assert_eq!(found, wanted[from as usize..], "seed {seed}, end {end}");
        }
    }
}

#[test]
fn tail_readers_need_no_file_to_find_their_batch() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, LogConfig::default());
    let read = |io: &RecordingIo| io.bytes_read(|_| true);
    for number in 0..100 {
        append(&mut log, batch(&[Record::new("tail", number)]));
        let before = read(&io);
        let last = log.end().get() - 1;
        let slice = log
            .read(offset(last), log.end(), ReadLimit::OneBatchOr(1 << 20))
            .unwrap();
        assert_eq!(slice.first_offset(), offset(last));
        let slice = log
            .read(
                offset(last / 2),
                offset(last),
                ReadLimit::OneBatchOr(1 << 20),
            )
            .unwrap();
        assert!(last == 0 || slice.next_offset() == offset(last));
        assert_eq!(read(&io), before, "nothing was read");
    }
}

#[test]
fn a_catch_up_read_costs_a_few_headers_however_much_it_answers() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, LogConfig::default());
    for number in 0..3_000 {
        append(&mut log, batch(&[Record::new(&"x".repeat(80), number)]));
    }
    let before = io.bytes_read(|_| true);
    let slice = log
        .read(offset(200), log.end(), ReadLimit::OneBatchOr(300_000))
        .unwrap();
    assert!(slice.len() > 290_000, "{}", slice.len());
    assert!(io.bytes_read(|_| true) - before < 10_000);
}

const OF_INDEXES: [&str; 2] = ["index", "timeindex"];

#[test]
fn an_index_that_is_removed_while_it_is_written_stops_no_append() {
    for gone in [&OF_INDEXES[..1], &OF_INDEXES[1..], &OF_INDEXES[..]] {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, config());
        for next in 0..RECORDS {
            append(&mut log, batch(&[record(next)]));
            if next == 10 {
                sync(&dir, &mut log);
                for extension in gone {
                    io.remove_file(&segment_file(0, extension)).unwrap();
                }
            }
        }
        assert!(log.segments().len() > 2);
        check(&log);
        sync(&dir, &mut log);
        let (_dir, log, report) = open(&io.after_kill(), config());
        assert_eq!(report.corruption, []);
        check(&log);
    }
}

#[test]
fn an_index_that_the_disk_cannot_write_takes_it_out_of_service() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, config());
    fail_writes_of_indexes(&io, Fault::EIO);
    let mut append = |next| {
        let mut batch = [batch(&[record(next)])];
        log.append(&mut batch, LeaderEpoch::new(1), at(5)).is_ok()
    };
    assert!((0..RECORDS).any(|next| !append(next)));
    assert!(dir.is_failed().is_some());
}

fn fail_writes_of_indexes(io: &RecordingIo, fault: Fault) {
    let is_of_index = |path: &Path| {
        OF_INDEXES
            .iter()
            .any(|extension| path.extension().is_some_and(|of| of == *extension))
    };
    io.set_faults(move |_, operation| {
        let fits = matches!(operation, Operation::Write { path, .. } if is_of_index(path));
        fits.then_some(fault)
    });
}

#[test]
fn a_disk_without_room_for_missing_indexes_keeps_no_log_from_being_opened() {
    let io = filled();
    let sealed: Vec<u64> = bases(&io);
    for (base, extension) in sealed
        .iter()
        .flat_map(|base| OF_INDEXES.map(|of| (base, of)))
    {
        let _ = io.remove_file(&segment_file(*base, extension));
    }
    let there = |extension| {
        let open = io.open(&segment_file(0, extension), OpenMode::Read);
        open.is_ok()
    };
    fail_writes_of_indexes(&io, Fault::ENOSPC);
    let (dir, log, report) = open(&io, config());
    assert_eq!(report.corruption, []);
    check(&log);
    assert_eq!(
        OF_INDEXES.map(there),
        [false; 2],
        "nothing half-made is left"
    );
    assert_eq!(dir.is_failed(), None);
    drop((dir, log));
    io.clear_faults();
    let (_dir, log, _) = open(&io, config());
    check(&log);
    assert_eq!(OF_INDEXES.map(there), [true; 2]);
}

#[test]
fn of_an_index_full_of_nonsense_not_every_entry_is_told() {
    let io = filled();
    let index = segment_file(0, "index");
    let mut bytes = file_bytes(&io, &index);
    bytes.resize(bytes.len() + 12 * 10_000, 0);
    set_file_bytes(&io, &index, &bytes);
    let mut found = Vec::new();
    let verified =
        Verifier::new(&*io).partition(&partition_dir(), &mut |finding| found.push(finding));
    verified.unwrap();
    let of_index: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
    assert!((3..200).contains(&of_index.len()), "{}", of_index.len());
    let more = "9900 more index entries are damaged or fit no batch";
    assert!(of_index.contains(&more), "{of_index:?}");
}
