//! A small log on a disk in memory, to be damaged: thirty records in three segments, twenty of them
//! durable, then a kill. What is served of it afterwards has to be what was written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use broker_model::{
    BrokerId, LeaderEpoch, ManualClock, Offset, PartitionId, Timestamp, TopicId, TopicName,
    TopicPartition,
};
use broker_record::{BatchBuilder, Batches, Codec, ProducedBatch, Validation};
use broker_storage::inspect::{self, DirNotes, Finding, Verifier};
use broker_storage::io::recording::{RecordingIo, Survival};
use broker_storage::io::{Io, OpenMode};
use broker_storage::{DirTrace, Log, LogConfig, LogDir, LogDirOptions, Pace, ReadError, ReadLimit};

/// Where the log directory is.
pub const DIR: &str = "/data";
const TOPIC: TopicId = TopicId::from_bytes(*b"a topic for fuzz");
const RECORDS: u64 = 30;
const DURABLE: u64 = 20;
/// Most reads before a log is believed to be sparse.
const READS_MAX: usize = 200;
/// Some of the image's records at a time.
const PIECE: ReadLimit = ReadLimit::OneBatchOr(700);

/// The machine's way between the last process and the next.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// The process was killed, the page cache is still there.
    Kill,
    /// The machine lost power after everything had been written back.
    PowerLoss,
}

/// What a log that was opened serves.
#[derive(Debug, PartialEq)]
pub struct Served {
    start: Offset,
    end: Offset,
    /// Values by offset.
    records: BTreeMap<u64, Vec<u8>>,
}

/// The disk as the next process finds it; changes to it are nobody else's.
pub fn image(stop: Stop) -> Arc<RecordingIo> {
    static IMAGE: LazyLock<Arc<RecordingIo>> = LazyLock::new(|| {
        let disk = RecordingIo::new();
        let dir = open_dir(&disk).expect("the directory is new");
        let mut log = open_log(&dir).expect("the log is new");
        for number in 0..RECORDS {
            append(&mut log, number);
            if number + 1 == DURABLE {
                let request = log.sync_request().expect("something was written");
                let synced = log.on_synced(&dir.sync_now(request));
                synced.expect("nothing fails here");
            }
        }
        disk.after_kill()
    });
    match stop {
        Stop::Kill => IMAGE.after_kill(),
        Stop::PowerLoss => IMAGE.after_power_loss(Survival::Everything),
    }
}

/// The partition's directory.
pub fn partition_dir() -> PathBuf {
    Path::new(DIR).join("orders-0")
}

/// The whole of a file, empty when it is not there.
pub fn read(disk: &Arc<RecordingIo>, path: &Path) -> Vec<u8> {
    let disk: Arc<dyn Io> = disk.clone();
    let found = disk.read_small(path).expect("a disk in memory reads");
    found.unwrap_or_default()
}

/// Puts bytes in place of a file.
pub fn write(disk: &Arc<RecordingIo>, path: &Path, bytes: &[u8]) {
    let disk: Arc<dyn Io> = disk.clone();
    let file = disk.open(path, OpenMode::Truncate).expect("it can be made");
    file.write_all_at(bytes, 0)
        .expect("a disk in memory writes");
}

/// Looks at the disk without a broker, then starts on it twice: whatever the first start makes of it, the
/// second makes the same. Then goes on with the log.
pub fn recover(disk: &Arc<RecordingIo>) -> Option<Served> {
    verify(disk);
    let first = start(disk);
    let again = disk.after_kill();
    let second = start(&again);
    assert_eq!(first, second, "a second start finds what the first did");
    if let Some(served) = &second {
        go_on(&again.after_kill(), served);
    }
    second
}

/// The same, and nothing is served that was not written there.
pub fn recover_unforged(disk: &Arc<RecordingIo>) {
    for (offset, found) in recover(disk).iter().flat_map(|served| &served.records) {
        assert_eq!(
            *found,
            value(*offset),
            "offset {offset} is served as it was written"
        );
    }
}

/// What `broker log verify` reads, whatever it finds, stays as it is.
fn verify(disk: &Arc<RecordingIo>) {
    let (changes, dir) = (disk.operation_count(), Path::new(DIR));
    // What is missing or of another version is an answer, too.
    let _ = DirTrace::of(&**disk, dir);
    let mut report = |finding: Finding| assert!(!finding.what.is_empty());
    if let Ok(notes) = DirNotes::read(&**disk, dir, &mut report) {
        let partitions = inspect::partitions(&**disk, dir).expect("a disk in memory lists");
        for found in &partitions {
            let verifier = Verifier::new(&**disk).with_notes(&notes);
            let _ = verifier.partition(&found.path, &mut report);
        }
        let _ = notes.check_directories(&**disk, &mut report);
    }
    assert_eq!(disk.operation_count(), changes, "nothing is changed");
}

/// What a scrub finds is refused to readers from then on.
fn scrub(log: &mut Log) {
    for target in log.scrub_targets() {
        let scrubbed = target.run(&Pace::unthrottled());
        log.on_scrubbed(scrubbed.expect("a disk in memory reads"));
    }
}

fn start(disk: &Arc<RecordingIo>) -> Option<Served> {
    let dir = open_dir(disk)?;
    let mut log = open_log(&dir)?;
    scrub(&mut log);
    let mut records = BTreeMap::new();
    let mut next = log.start();
    for _ in 0..READS_MAX {
        if next >= log.end() {
            break;
        }
        let read = log.read(next, log.end(), PIECE);
        let slice = match read.and_then(|slice| slice.verified()) {
            Ok(slice) => slice,
            Err(ReadError::Corrupt(damage)) => {
                let after = damage.next_good.unwrap_or(log.end());
                assert!(after > next, "damage at {next} ends behind it: {damage}");
                next = after;
                continue;
            }
            Err(error) => panic!("a disk in memory reads: {error}"),
        };
        let after = slice.next_offset();
        assert!(
            after > next,
            "a read at {next} of {} to {} goes on",
            log.start(),
            log.end()
        );
        for batch in Batches::new(slice.read().expect("a disk in memory reads")) {
            let batch = batch.expect("both checksums were verified");
            let Ok(decoded) = batch.records() else {
                continue;
            };
            for record in decoded
                .iter()
                .flatten()
                .filter(|record| record.offset >= next)
            {
                let value = record.value.unwrap_or_default().to_vec();
                let twice = records.insert(record.offset.get(), value);
                assert_eq!(twice, None, "an offset is served once");
            }
        }
        next = after;
    }
    for at in [i64::MIN, 0, 1_010, 5_000, i64::MAX] {
        // Damage is an answer here as well.
        let _ = log.offset_for_timestamp(Timestamp::from_millis(at), log.end());
    }
    Some(Served {
        start: log.start(),
        end: log.end(),
        records,
    })
}

/// An append goes behind everything that there is, and is served after a sync and a power loss.
fn go_on(disk: &Arc<RecordingIo>, served: &Served) {
    let appended = {
        let Some(dir) = open_dir(disk) else { return };
        let Some(mut log) = open_log(&dir) else {
            return;
        };
        let mut batch = [batch(7_777)];
        let Ok(run) = log.append(&mut batch, LeaderEpoch::new(u32::MAX), at(7_777)) else {
            return;
        };
        assert!(run.first >= served.end, "an offset is given out once");
        let Some(request) = log.sync_request() else {
            panic!("something was written")
        };
        if log.on_synced(&dir.sync_now(request)).is_err() {
            return;
        }
        run
    };
    let found = start(&disk.after_power_loss(Survival::Synced));
    let found = found.expect("the log could be opened before");
    let kept = found.records.get(&appended.first.get());
    assert_eq!(kept, Some(&value(7_777)), "what was acknowledged is kept");
}

fn open_dir(disk: &Arc<RecordingIo>) -> Option<LogDir> {
    let mut options = LogDirOptions::new(DIR, BrokerId::new(1));
    options.io = disk.clone();
    options.clock = Arc::new(ManualClock::at(at(100_000)));
    LogDir::open(options)
        .map_err(|error| error.to_string())
        .ok()
}

fn open_log(dir: &LogDir) -> Option<Log> {
    let name = TopicName::new("orders").expect("a good name");
    let partition = TopicPartition::new(name, PartitionId::new(0));
    let config = LogConfig {
        segment_bytes: 2_000,
        index_interval_bytes: 200,
        ..LogConfig::default()
    };
    let opened = dir.open_or_create_log(&partition, TOPIC, config);
    let (log, _) = opened.map_err(|error| error.to_string()).ok()?;
    Some(log)
}

fn append(log: &mut Log, number: u64) {
    let appended = log.append(&mut [batch(number)], LeaderEpoch::new(1), at(5));
    appended.expect("a disk in memory writes");
}

fn batch(number: u64) -> ProducedBatch {
    let mut builder = BatchBuilder::new();
    let time = Timestamp::from_millis(i64::try_from(1_000 + number).unwrap_or(i64::MAX));
    let pushed = builder.push(None, Some(&value(number)), time, []);
    pushed.expect("one small record");
    let (body, claims) = builder.build(Codec::None).expect("one small record");
    ProducedBatch::opaque(body, claims, Validation::Full).expect("one small record")
}

fn value(number: u64) -> Vec<u8> {
    format!("record {number:.<100}").into_bytes()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
