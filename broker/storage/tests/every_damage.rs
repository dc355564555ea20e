//! Every kind of file × every kind of damage: opening never panics, a record that is served is the record
//! that was written, what is missing is told, the other partition is not touched, and the log can be
//! written and opened again with no offset given out twice.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_model::{Offset, PartitionId, TopicId, TopicName, TopicPartition};
use broker_record::Batches;
use broker_storage::inspect::{DirNotes, Verifier, partitions};
use broker_storage::io::Io;
use broker_storage::io::recording::{RecordingIo, Survival};
use broker_storage::{Log, LogDir, ReadError, ReadLimit, RecoveryReport};
use support::{
    TOPIC_ID, append, append_numbers, batch_of, edit, file_bytes, offset, open_log, partition,
    partition_dir, segment_file, set_file_bytes, small, sync, try_open_dir,
};

const OTHER_ID: TopicId = TopicId::from_bytes([7; 16]);
const RECORDS: u64 = 25;

fn other() -> TopicPartition {
    TopicPartition::new(TopicName::new("other").unwrap(), PartitionId::new(0))
}

/// How the broker that wrote the files had stopped.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Clean,
    Killed,
    PowerLost,
}

/// 25 records in three segments, with everything that can lie beside them; the same in another partition.
fn filled(stop: Stop) -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let dir = support::open_dir(&io);
    let (mut log, _) = open_log(&dir, small());
    let (mut beside, _) = dir.open_or_create_log(&other(), OTHER_ID, small()).unwrap();
    for log in [&mut log, &mut beside] {
        append_numbers(log, 0..RECORDS as usize);
        sync(&dir, log);
        log.advance_start(offset(2)).unwrap();
        dir.record_high_watermark(log.partition(), offset(RECORDS));
    }
    dir.write_checkpoints().unwrap();
    dir.store_siblings(&BTreeMap::new()).unwrap();
    for (file, lines) in [
        (partition_dir().join("known-losses"), "2 4 2 1000\n"),
        (
            Path::new(support::DIR).join("clock-doubt"),
            "last.alive=5\nheld.ms=7\n",
        ),
    ] {
        let text = format!("version=1\n{lines}");
        let crc = crc32fast::hash(text.as_bytes());
        set_file_bytes(&io, &file, format!("{text}crc32={crc:08x}\n").as_bytes());
    }
    assert_eq!(
        verified(&io),
        0,
        "nothing is wrong before something is damaged"
    );
    match stop {
        Stop::Clean => {
            log.close().unwrap();
            beside.close().unwrap();
            dir.close_clean().unwrap();
            drop(dir);
            io.after_kill()
        }
        Stop::Killed => io.after_kill(),
        Stop::PowerLost => io.after_power_loss(Survival::Everything),
    }
}

/// What is served: every record that can be read, by offset; the places that cannot be are skipped as
/// the errors say.
fn served(log: &Log) -> Result<BTreeMap<u64, String>, String> {
    let mut found = BTreeMap::new();
    let mut next = log.start();
    while next < log.end() {
        let slice = log
            .read(next, log.end(), ReadLimit::OneBatchOr(700))
            .and_then(|slice| slice.verified());
        let slice = match slice {
            Ok(slice) => slice,
            Err(ReadError::Corrupt(corruption)) => {
                let Some(good) = corruption.next_good.filter(|good| *good > next) else {
                    return Err(format!("reading ends at {next}: {corruption}"));
                };
                next = good;
                continue;
            }
            Err(error) => return Err(error.to_string()),
        };
        for batch in Batches::new(slice.read().unwrap()) {
            for record in &batch.unwrap().records().unwrap() {
                let record = record.unwrap();
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                let value = value.trim_end_matches('.').to_owned();
                if record.offset >= next {
                    found.insert(record.offset.get(), value);
                }
            }
        }
        next = slice.next_offset();
    }
    Ok(found)
}

/// Whether the loss of an acknowledged record was told by opening the log.
fn is_told(report: &RecoveryReport, log: &Log, lost: u64) -> bool {
    let covers = |from: Offset, to: Option<Offset>| {
        from.get() <= lost && to.is_none_or(|to| to.get() > lost)
    };
    let known = log.damage();
    let mut places = report.corruption.iter().chain(&known);
    places.any(|place| covers(place.offset, place.next_good))
        || report
            .power_loss
            .as_ref()
            .and_then(|loss| loss.known_lost.as_ref())
            .is_some_and(|range| range.contains(&offset(lost)))
        || matches!(
            log.read(offset(lost), log.end(), ReadLimit::OneBatchOr(1))
                .and_then(|slice| slice.verified()),
            Err(ReadError::Corrupt(_))
        )
}

struct Tried {
    opened: u64,
    refused: u64,
}

/// Opens a damaged directory and checks everything; `what` is named when something does not hold.
fn check(io: &Arc<RecordingIo>, file: &Path, what: &str, tried: &mut Tried) {
    let found = verified(io);
    let dir = match try_open_dir(io, Default::default()) {
        Ok(dir) => dir,
        Err(error) => {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(error.to_string().contains(name), "{what}: {error}");
            assert!(name == "meta.properties", "{what}: {error}");
            tried.refused += 1;
            return;
        }
    };
    dir.partitions().unwrap();
    let (beside, _) = dir.open_or_create_log(&other(), OTHER_ID, small()).unwrap();
    let all =
        served(&beside).unwrap_or_else(|error| panic!("{what}: the other partition: {error}"));
    assert_eq!(all.len() as u64, RECORDS - 2, "{what}: the other partition");
    let (mut log, report) = match dir.open_or_create_log(&partition(), TOPIC_ID, small()) {
        Ok(opened) => opened,
        Err(error) => {
            let dir = partition_dir().display().to_string();
            assert!(error.to_string().contains(&dir), "{what}: {error}");
            tried.refused += 1;
            return;
        }
    };
    tried.opened += 1;
    let before = checked_records(&log, &report, what);
    let lost = (2..RECORDS)
        .filter(|number| !before.contains_key(number))
        .count();
    assert!(
        lost == 0 || found > 0,
        "{what}: a verification does not see that {lost} are lost"
    );
    go_on(io, dir, &mut log, what);
}

fn verified(io: &Arc<RecordingIo>) -> usize {
    let changes = io.operation_count();
    let mut findings = Vec::new();
    let mut report = |finding| findings.push(finding);
    let root = Path::new(support::DIR);
    let notes = DirNotes::read(&**io, root, &mut report).unwrap();
    notes.check_directories(&**io, &mut report).unwrap();
    for partition in partitions(&**io, root).unwrap() {
        let verifier = Verifier::new(&**io).with_notes(&notes);
        verifier.partition(&partition.path, &mut report).unwrap();
    }
    assert_eq!(io.operation_count(), changes, "verifying changes nothing");
    findings.len()
}

/// No record is another than the one written, and none is missing untold.
fn checked_records(log: &Log, report: &RecoveryReport, what: &str) -> BTreeMap<u64, String> {
    let records = served(log).unwrap_or_else(|error| panic!("{what}: {error}"));
    for (number, value) in &records {
        assert_eq!(
            &number.to_string(),
            value,
            "{what}: another record is served"
        );
    }
    for number in (2..RECORDS).filter(|number| !records.contains_key(number)) {
        assert!(
            is_told(report, log, number),
            "{what}: record {number} is lost and nothing says so"
        );
    }
    assert!(
        log.end() >= offset(RECORDS),
        "{what}: offsets from {} on are given out twice",
        log.end()
    );
    records
}

fn go_on(io: &Arc<RecordingIo>, dir: LogDir, log: &mut Log, what: &str) {
    let run = append(log, batch_of("after", 100));
    sync(&dir, log);
    let end = log.end();
    drop(dir);
    let io = io.after_kill();
    let dir = try_open_dir(&io, Default::default()).unwrap();
    let (log, _) = dir
        .open_or_create_log(&partition(), TOPIC_ID, small())
        .unwrap();
    assert_eq!(log.end(), end, "{what}: after another start");
    let slice = log.read(run.first, end, ReadLimit::OneBatchOr(1)).unwrap();
    assert_eq!(slice.verified().unwrap().next_offset(), end, "{what}");
}

fn targets() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for base in [0, 10, 20] {
        for extension in ["log", "index", "timeindex"] {
            files.push(segment_file(base, extension));
        }
    }
    for name in [
        "partition.metadata",
        "leader-epoch-checkpoint",
        "log-start-offset-checkpoint",
        "known-losses",
    ] {
        files.push(partition_dir().join(name));
    }
    for name in [
        "meta.properties",
        "recovery-point-checkpoint",
        "replication-offset-checkpoint",
        "durable-positions",
        "log-directories",
        "clock-doubt",
    ] {
        files.push(Path::new(support::DIR).join(name));
    }
    files
}

/// Tries one damage on every kind of file, after every kind of stop.
fn on_every_file(damages: impl Fn(&[u8], u64) -> Vec<(String, Vec<u8>)>) {
    let mut tried = Tried {
        opened: 0,
        refused: 0,
    };
    for (seed, stop) in (0..).zip([Stop::Clean, Stop::Killed, Stop::PowerLost]) {
        let disk = filled(stop);
        for file in targets() {
            let exists: Arc<dyn Io> = Arc::clone(&disk) as _;
            if exists.read_small(&file).unwrap().is_none() {
                continue;
            }
            for (damage, bytes) in damages(&file_bytes(&disk, &file), seed) {
                let io = disk.after_kill();
                set_file_bytes(&io, &file, &bytes);
                let what = format!("{} {damage}, {stop:?}", file.display());
                check(&io, &file, &what, &mut tried);
            }
        }
    }
    assert!(
        tried.opened > 3 * tried.refused,
        "most damage costs no service"
    );
}

/// About `wanted` places of a file, others with each seed.
fn sample(len: usize, wanted: usize, seed: u64) -> impl Iterator<Item = usize> {
    let step = (len / wanted).max(1);
    (0..len).skip(seed as usize % step).step_by(step)
}

#[test]
fn flipped_bits() {
    on_every_file(|bytes, seed| {
        let places = sample(bytes.len(), 8, 5 * seed);
        places
            .map(|at| {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 1 << (at % 8);
                (format!("with a flipped bit at {at}"), bytes)
            })
            .collect()
    });
}

#[test]
fn cut_files() {
    on_every_file(|bytes, seed| {
        let lens = sample(bytes.len(), 8, 7 * seed);
        lens.map(|len| (format!("cut at {len}"), bytes[..len].to_vec()))
            .collect()
    });
}

#[test]
fn zeroed_blocks_and_blocks_of_another_place() {
    on_every_file(|bytes, seed| {
        let mut damages = Vec::new();
        for at in sample(bytes.len(), 3, 11 * seed) {
            let end = (at + 512).min(bytes.len());
            let mut zeroed = bytes.to_vec();
            zeroed[at..end].fill(0);
            if zeroed != bytes {
                damages.push((format!("zero from {at} to {end}"), zeroed));
            }
            let mut stale = bytes.to_vec();
            let from = bytes.len() - at - (end - at);
            stale.copy_within(from..from + (end - at), at);
            if stale != bytes {
                damages.push((format!("with the bytes of {from} at {at}"), stale));
            }
        }
        damages
    });
}

#[test]
fn bytes_that_were_added() {
    on_every_file(|bytes, seed| {
        let garbage: Vec<u8> = (0..700_u64)
            .map(|number| (number * 131 + seed) as u8)
            .collect();
        let again = &bytes[..bytes.len().min(185)];
        [
            ("garbage", &garbage[..]),
            ("its own beginning", again),
            ("zeros", &[0; 600]),
        ]
        .map(|(name, added)| (format!("with {name} added"), [bytes, added].concat()))
        .into()
    });
}

#[test]
fn files_that_are_gone() {
    let mut tried = Tried {
        opened: 0,
        refused: 0,
    };
    for stop in [Stop::Clean, Stop::Killed, Stop::PowerLost] {
        let disk = filled(stop);
        for file in targets() {
            // A directory without its identity is a new one: that is for whoever lists directories.
            if file.ends_with("meta.properties") {
                continue;
            }
            let io = disk.after_kill();
            if io.remove_file(&file).is_ok() {
                let what = format!("{} gone, {stop:?}", file.display());
                check(&io, &file, &what, &mut tried);
            }
        }
    }
}

/// Whole batches of an older time, at the right place or at another.
#[test]
fn stale_chunks_are_never_served() {
    for chunk in [185, 512, 1024] {
        let disk = filled(Stop::Clean);
        let stale = {
            // The same partition as it might have been: other values at the same offsets.
            let io = RecordingIo::new();
            let dir = support::open_dir(&io);
            let (mut log, _) = open_log(&dir, small());
            for number in 0..RECORDS {
                let value = format!("{:#<100}", format!("old {number}"));
                append(&mut log, batch_of(&value, 100));
            }
            sync(&dir, &mut log);
            file_bytes(&io, &segment_file(10, "log"))
        };
        for at in (0..1_850 - chunk).step_by(61) {
            let io = disk.after_kill();
            edit(&io, &segment_file(10, "log"), |bytes| {
                bytes[at..at + chunk].copy_from_slice(&stale[at..at + chunk]);
            });
            let dir = support::open_dir(&io);
            let (log, _) = open_log(&dir, small());
            let found = served(&log).unwrap();
            // A whole batch, but for offset and length in front and the time at its end, which are the
            // same: it is what the file might well have, nothing can tell.
            let whole_stale = |number: u64| {
                let first = number.saturating_sub(10) as usize * 185;
                (10..20).contains(&number) && at <= first + 12 && first + 185 <= at + chunk + 9
            };
            for (number, value) in &found {
                if !whole_stale(*number) {
                    assert_eq!(&number.to_string(), value, "{chunk} bytes at {at}");
                }
            }
            let stale_ones = (10..20).filter(|number| whole_stale(*number)).count();
            let is_noticed = found.len() < 23 || stale_ones > 0;
            assert!(is_noticed, "{chunk} bytes at {at}: nothing is noticed");
        }
    }
}
