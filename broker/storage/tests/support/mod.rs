//! What the tests of this crate share: a partition on a recorded disk, and batches with known values.
#![allow(dead_code, clippy::unwrap_used, clippy::cast_possible_truncation)]

pub(crate) mod inspected;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker_model::{
    BrokerId, Clock, LeaderEpoch, ManualClock, Offset, PartitionId, Timestamp, TopicId, TopicName,
    TopicPartition,
};
use broker_record::{BatchBuilder, Batches, Codec, ProducedBatch, Validation};
use broker_storage::io::recording::{RecordingIo, Survival};
use broker_storage::{
    AppendedRun, Corruption, Log, LogConfig, LogDir, LogDirError, LogDirOptions, PlantedBugs,
    PolicyFailed, ReadError, ReadLimit, RecoveryReport, RetentionPolicy, RetentionView,
};
use bytes::Bytes;

/// Where the log directory of the tests is.
pub(crate) const DIR: &str = "/data";

/// The topic id of the tests.
pub(crate) const TOPIC_ID: TopicId = TopicId::from_bytes(*b"a topic for test");

/// The partition of the tests.
pub(crate) fn partition() -> TopicPartition {
    TopicPartition::new(TopicName::new("orders").unwrap(), PartitionId::new(0))
}

/// The partition's directory.
pub(crate) fn partition_dir() -> PathBuf {
    Path::new(DIR).join("orders-0")
}

/// The file of a segment.
pub(crate) fn segment_file(base: u64, extension: &str) -> PathBuf {
    partition_dir().join(format!("{base:020}.{extension}"))
}

/// A time, as in `at(5)`.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// An offset.
pub(crate) fn offset(raw: u64) -> Offset {
    Offset::new(raw)
}

/// A record of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp: i64,
}

impl Record {
    pub(crate) fn new(value: &str, timestamp: i64) -> Self {
        Self {
            value: value.as_bytes().to_vec(),
            timestamp,
        }
    }
}

/// A plain batch of these records: MessagePack `[[nil, bin, int], …]`.
pub(crate) fn batch(records: &[Record]) -> ProducedBatch {
    let mut body = vec![0xdc];
    body.extend((records.len() as u16).to_be_bytes());
    for record in records {
        body.extend([0x93, 0xc0, 0xc5]);
        body.extend((record.value.len() as u16).to_be_bytes());
        body.extend(&record.value);
        body.push(0xd3);
        body.extend(record.timestamp.to_be_bytes());
    }
    ProducedBatch::plain(Bytes::from(body), at(0)).unwrap()
}

/// The same, built and compressed by the producer when the codec is another than number 0.
pub(crate) fn batch_in(records: &[Record], codec: u8) -> ProducedBatch {
    let codec = Codec::from_id(codec).unwrap();
    if codec == Codec::None {
        return batch(records);
    }
    let mut builder = BatchBuilder::new();
    for record in records {
        let value = Some(record.value.as_slice());
        builder.push(None, value, at(record.timestamp), []).unwrap();
    }
    let (body, claims) = builder.build(codec).unwrap();
    ProducedBatch::opaque(body, claims, Validation::Full).unwrap()
}

/// A batch of one record of so many bytes.
pub(crate) fn batch_of(value: &str, len: usize) -> ProducedBatch {
    let mut padded = value.to_owned();
    while padded.len() < len {
        padded.push('.');
    }
    batch(&[Record::new(&padded, 1_000)])
}

/// A retention policy for tests: by the age of a segment's newest record, and by the log's size.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AgeOrSize {
    pub(crate) age_max: Option<Duration>,
    pub(crate) bytes_min: Option<u64>,
}

impl RetentionPolicy for AgeOrSize {
    fn expired(&mut self, view: &RetentionView<'_>) -> Result<usize, PolicyFailed> {
        let mut left = view.log_bytes;
        let gone = view.segments.iter().take_while(|segment| {
            let age = view.now.since(segment.max_timestamp);
            let old = self.age_max.is_some_and(|max| age > max);
            let beyond = self
                .bytes_min
                .is_some_and(|min| left - segment.bytes >= min);
            left -= segment.bytes;
            old || beyond
        });
        Ok(gone.count())
    }
}

/// A small-segment configuration.
pub(crate) fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 2_000,
        index_interval_bytes: 200,
        ..LogConfig::default()
    }
}

/// Opens the directory of the tests.
pub(crate) fn open_dir(io: &Arc<RecordingIo>) -> LogDir {
    try_open_dir(io, PlantedBugs::default()).unwrap()
}

/// The same, with a broken rule.
pub(crate) fn try_open_dir(
    io: &Arc<RecordingIo>,
    bugs: PlantedBugs,
) -> Result<LogDir, LogDirError> {
    open_dir_at(io, bugs, Arc::new(ManualClock::at(at(1_000_000))))
}

/// The same, by a given clock.
pub(crate) fn open_dir_at(
    io: &Arc<RecordingIo>,
    bugs: PlantedBugs,
    clock: Arc<dyn Clock>,
) -> Result<LogDir, LogDirError> {
    let mut options = LogDirOptions::new(DIR, BrokerId::new(1)).with_planted_bugs(bugs);
    options.io = Arc::clone(io) as Arc<dyn broker_storage::io::Io>;
    options.clock = clock;
    LogDir::open(options)
}

/// The log of the tests.
pub(crate) fn open_log(dir: &LogDir, config: LogConfig) -> (Log, RecoveryReport) {
    dir.open_or_create_log(&partition(), TOPIC_ID, config)
        .unwrap()
}

/// Directory and log at once.
pub(crate) fn open(io: &Arc<RecordingIo>, config: LogConfig) -> (LogDir, Log, RecoveryReport) {
    let dir = open_dir(io);
    let (log, report) = open_log(&dir, config);
    (dir, log, report)
}

/// Appends one batch.
pub(crate) fn append(log: &mut Log, batch: ProducedBatch) -> AppendedRun {
    log.append(&mut [batch], LeaderEpoch::new(1), at(5))
        .unwrap()
}

/// Syncs what is written.
pub(crate) fn sync(dir: &LogDir, log: &mut Log) {
    if let Some(request) = log.sync_request() {
        log.on_synced(&dir.sync_now(request)).unwrap();
    }
}

/// The values of a log from an offset on, with their offsets, every slice verified.
pub(crate) fn try_read_from(log: &Log, from: Offset) -> Result<Vec<(u64, Record)>, ReadError> {
    let mut found = Vec::new();
    let mut next = from;
    while next < log.end() {
        let (records, behind) = try_read_slice(log, next, 700)?;
        assert!(behind > next, "a read goes on");
        found.extend(records);
        next = behind;
    }
    Ok(found)
}

/// The values of one slice of a log, with their offsets, verified; and where the next begins.
pub(crate) fn try_read_slice(
    log: &Log,
    from: Offset,
    bytes: u64,
) -> Result<(Vec<(u64, Record)>, Offset), ReadError> {
    let slice = log.read(from, log.end(), ReadLimit::OneBatchOr(bytes))?;
    let slice = slice.verified()?;
    let mut found = Vec::new();
    for batch in Batches::new(slice.read().unwrap()) {
        for record in &batch.unwrap().records().unwrap() {
            let record = record.unwrap();
            if record.offset >= from {
                let value = record.value.unwrap_or_default().to_vec();
                let timestamp = record.timestamp.as_millis();
                found.push((record.offset.get(), Record { value, timestamp }));
            }
        }
    }
    Ok((found, slice.next_offset()))
}

/// All values of a log, as text without padding.
pub(crate) fn values(log: &Log) -> Vec<String> {
    let records = try_read_from(log, log.start()).unwrap();
    records
        .into_iter()
        .map(|(_, record)| {
            let text = String::from_utf8(record.value).unwrap();
            text.trim_end_matches('.').to_owned()
        })
        .collect()
}

/// The bytes of a file of a recorded disk.
pub(crate) fn file_bytes(io: &Arc<RecordingIo>, path: &Path) -> Vec<u8> {
    let io: Arc<dyn broker_storage::io::Io> = Arc::clone(io) as _;
    io.read_small(path).unwrap().unwrap()
}

/// Puts other bytes in place of a file.
pub(crate) fn set_file_bytes(io: &Arc<RecordingIo>, path: &Path, bytes: &[u8]) {
    let io: Arc<dyn broker_storage::io::Io> = Arc::clone(io) as _;
    io.replace_small(path, bytes).unwrap();
}

/// Header and record framing of a batch of one record with 100 bytes: where the next one begins.
pub(crate) const BATCH: u64 = 68 + 3 + 5 + 100 + 9;

pub(crate) fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

pub(crate) fn append_numbers(log: &mut Log, range: std::ops::Range<usize>) {
    for number in range {
        append(log, batch_of(&number.to_string(), 100));
    }
}

/// A disk with `synced` durable batches and `written` in all, after a kill.
pub(crate) fn killed(synced: usize, written: usize, config: LogConfig) -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, config);
    append_numbers(&mut log, 0..synced);
    sync(&dir, &mut log);
    append_numbers(&mut log, synced..written);
    io.after_kill()
}

/// The same, and the machine was restarted; the page cache had been written back.
pub(crate) fn rebooted(synced: usize, written: usize, config: LogConfig) -> Arc<RecordingIo> {
    killed(synced, written, config).after_power_loss(Survival::Everything)
}

pub(crate) fn edit(io: &Arc<RecordingIo>, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = file_bytes(io, path);
    change(&mut bytes);
    set_file_bytes(io, path, &bytes);
}

pub(crate) fn flip(io: &Arc<RecordingIo>, path: &Path, position: u64) {
    edit(io, path, |bytes| bytes[position as usize] ^= 0x10);
}

pub(crate) fn log_bytes_read(io: &RecordingIo) -> u64 {
    io.bytes_read(|path| path.extension().is_some_and(|extension| extension == "log"))
}

pub(crate) fn read_at(log: &Log, from: u64) -> Result<Offset, ReadError> {
    let slice = log.read(offset(from), log.end(), ReadLimit::OneBatchOr(1))?;
    Ok(slice.verified()?.next_offset())
}

pub(crate) fn corruption_at(log: &Log, from: u64) -> Corruption {
    match read_at(log, from) {
        Err(ReadError::Corrupt(corruption)) => corruption,
        other => panic!("offset {from} can be read: {other:?}"),
    }
}

pub(crate) fn big() -> LogConfig {
    LogConfig::default()
}

/// A log whose time the test moves.
pub(crate) fn clocked(config: LogConfig) -> (Arc<RecordingIo>, Arc<ManualClock>, LogDir, Log) {
    let io = RecordingIo::new();
    let clock = Arc::new(ManualClock::at(at(1_000_000)));
    let dir = open_dir_at(
        &io,
        Default::default(),
        Arc::clone(&clock) as Arc<dyn Clock>,
    )
    .unwrap();
    let (log, _) = open_log(&dir, config);
    (io, clock, dir, log)
}
