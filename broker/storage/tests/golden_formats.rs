//! The formats that `golden.rs` leaves out, byte for byte: every codec and form of a batch, what a cleaning
//! leaves behind and what an interrupted one does, blobs, a log like the metadata's. Commands in that
//! log have their own vectors in `broker/cluster`.
//!
//! `BROKER_WRITE_FIXTURES=1 cargo test -p broker-storage --test golden_formats` writes the fixture again.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cleaning;
mod fixture;
mod support;

use std::path::Path;
use std::sync::Arc;

use broker_model::{BrokerId, LeaderEpoch, PartitionId, TopicId, TopicName, TopicPartition};
use broker_record::{
    BatchBuilder, BatchHeader, Batches, Codec, OpaqueClaims, ProducedBatch, ProducerState,
    TimestampType, Validation,
};
use broker_storage::io::Io;
use broker_storage::io::recording::{Fault, Operation, RecordingIo};
use broker_storage::{FlushMode, Log, LogConfig, LogDir, LogDirOptions, ReadLimit};
use bytes::Bytes;
use cleaning::{LatestByKey, begin, clean, delete, put, run, settle};
use fixture::{Files, assert_same, disk_of, files_of, fixture};
use support::{DIR, Record, at, small};

const FIXTURE: &str = "tests/fixtures/formats_v4.txt";
const FIXTURE_V3: &str = "tests/fixtures/formats_v3.txt";
const FIXTURE_V2: &str = "tests/fixtures/formats_v2.txt";
const FIXTURE_V1: &str = "tests/fixtures/formats_v1.txt";
const DIRECTORY_ID: &str = "00000000-0000-4000-8000-0000000000d2";
const BLOB: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn open_dir(io: &Arc<RecordingIo>) -> LogDir {
    let mut options = LogDirOptions::new(DIR, BrokerId::new(1));
    options.cluster_id = Some(uuid::Uuid::from_u128(0xc2));
    options.io = Arc::clone(io) as Arc<dyn Io>;
    options.clock = Arc::new(broker_model::ManualClock::at(at(1_000_000)));
    LogDir::open(options).unwrap()
}

fn open(dir: &LogDir, topic: &str, config: LogConfig) -> Log {
    let mut id = [b'.'; 16];
    id[..6].copy_from_slice(&topic.as_bytes()[..6]);
    let topic = TopicPartition::new(TopicName::new(topic).unwrap(), PartitionId::new(0));
    let opened = dir.open_or_create_log(&topic, TopicId::from_bytes(id), config);
    let (log, report) = opened.unwrap();
    assert_eq!(report.corruption, []);
    log
}

/// Bodies are the producers': what a codec makes of them may change with its library. So the bodies
/// that are stored here are the fixture's own, where it has them.
fn batches(golden: &Files) -> Vec<ProducedBatch> {
    let mut stored = Vec::new();
    for (path, bytes) in golden {
        if path.starts_with("/data/codecs-0") && path.extension().is_some_and(|e| e == "log") {
            for batch in Batches::new(Bytes::from(bytes.clone())) {
                let batch = batch.unwrap();
                stored.push((batch.header.codec, batch.body.clone()));
            }
        }
    }
    let mut produced = vec![support::batch(&[Record::new("plain", 1_001)])];
    for (number, codec) in Codec::ALL.into_iter().enumerate() {
        let (body, claims) = built(codec, number);
        let golden = stored.get(number + 1).filter(|(of, _)| *of == codec);
        let body = golden.map_or(body, |(_, body)| body.clone());
        let claims = OpaqueClaims {
            body_crc: crc32fast::hash(&body),
            ..claims
        };
        produced.push(ProducedBatch::opaque(body, claims, Validation::Full).unwrap());
    }
    produced
}

fn built(codec: Codec, number: usize) -> (Bytes, OpaqueClaims) {
    let mut builder = BatchBuilder::new();
    let trace = [("trace", Some(&b"42"[..])), ("empty", None)];
    builder
        .push(Some(b"key"), Some(&[b'v'; 90]), at(2_000), trace)
        .unwrap();
    builder.push(None, Some(b""), at(1_990), []).unwrap();
    builder.push(Some(b"gone"), None, at(2_010), []).unwrap();
    let (body, mut claims) = builder.build(codec).unwrap();
    if number % 2 == 1 {
        claims.producer = Some(ProducerState {
            id: 77,
            epoch: 3,
            base_sequence: number as i32 * 3,
        });
    }
    (body, claims)
}

/// A disk with all of it, as a kill in the middle of a swap has left it.
fn written(golden: &Files) -> Files {
    let io = RecordingIo::new();
    let dir = open_dir(&io);
    dir.blobs().put(BLOB, b"\0asm of a plugin").unwrap();
    let mut codecs = open(&dir, "codecs", small());
    let mut produced = batches(golden);
    codecs
        .append(&mut produced, LeaderEpoch::new(4), at(5_000))
        .unwrap();
    codecs.set_config(LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..small()
    });
    let mut stamped = [support::batch(&[Record::new("stamped", 1)])];
    codecs
        .append(&mut stamped, LeaderEpoch::new(5), at(6_000))
        .unwrap();
    settle(&dir, &mut codecs);
    let mut metadata = open(&dir, "__cluster_metadata", small());
    for command in ["one command", "another"] {
        let mut batch = [support::batch(&[Record::new(command, 1)])];
        metadata
            .append(&mut batch, LeaderEpoch::new(1), at(1))
            .unwrap();
        settle(&dir, &mut metadata);
    }
    let every = std::time::Duration::from_secs(1);
    let flush = FlushMode::Async { every };
    let mut at_once = open(&dir, "asynchronous", LogConfig { flush, ..small() });
    let mut batch = [support::batch(&[Record::new("at once", 1)])];
    at_once
        .append(&mut batch, LeaderEpoch::new(1), at(1))
        .unwrap();
    settle(&dir, &mut at_once);
    dir.write_checkpoints().unwrap();
    let mut compacted = open(&dir, "compacted", small());
    fill(&mut compacted, 0..9);
    settle(&dir, &mut compacted);
    clean(&mut compacted);
    fill(&mut compacted, 9..15);
    settle(&dir, &mut compacted);
    // The process dies when the journal is durable and nothing was renamed yet.
    io.set_faults(|_, operation| {
        let Operation::Rename { from, .. } = operation else {
            return None;
        };
        let is_cleaned = from
            .extension()
            .is_some_and(|extension| extension == "cleaned");
        is_cleaned.then_some(Fault::Killed(0))
    });
    let cleaned = run(begin(&mut compacted), &mut LatestByKey::default()).unwrap();
    assert!(compacted.finish_cleaning(cleaned).is_err() && io.is_killed());
    let own_id = dir.identity().directory_id.to_string();
    files_of(&io.after_kill(), &own_id, DIRECTORY_ID)
}

fn fill(log: &mut Log, rounds: std::ops::Range<u32>) {
    for round in rounds {
        for key in ["a", "b"] {
            put(log, key, &round.to_string());
        }
        put(log, &format!("k{round}"), "once");
    }
    delete(log, "b");
}

#[test]
fn what_is_written_is_version_4_byte_for_byte() {
    let golden = fixture(FIXTURE, None);
    let files = written(&golden);
    assert_same(&files, &fixture(FIXTURE, Some(&files)));
}

#[test]
fn a_directory_of_every_version_opens() {
    for version in [FIXTURE_V1, FIXTURE_V2, FIXTURE_V3, FIXTURE] {
        opens(&disk_of(&fixture(version, None)));
    }
}

fn opens(io: &Arc<RecordingIo>) {
    let dir = open_dir(io);
    assert!(!dir.was_clean());
    assert_eq!(dir.identity().directory_id.to_string(), DIRECTORY_ID);
    let blob = dir.blobs().get(BLOB).unwrap();
    assert_eq!(blob.unwrap(), &b"\0asm of a plugin"[..]);
    codecs_are_read(&open(&dir, "codecs", small()));
    let metadata = open(&dir, "__cluster_metadata", small());
    assert_eq!(support::values(&metadata), ["one command", "another"]);
    // The interrupted cleaning is put in place.
    let compacted = open(&dir, "compacted", small());
    assert_eq!(
        compacted
            .cleaning_state(&cleaning::settings(), compacted.end(), cleaning::NOW)
            .cleanings,
        2
    );
    let records = cleaning::records(&compacted);
    let keys: Vec<String> = records
        .iter()
        .map(|record| String::from_utf8(record.key.clone().unwrap()).unwrap())
        .collect();
    let once = (0..15).filter(|round| keys.contains(&format!("k{round}")));
    assert_eq!(once.count(), 15);
    assert!(
        records.len() < 15 * 3,
        "older values are gone: {}",
        records.len()
    );
    let left = io.list(&Path::new(DIR).join("compacted-0")).unwrap();
    let is_left = |name: &str| name.ends_with(".cleaned") || name.starts_with("cleaning-swap");
    assert!(!left.iter().any(|entry| is_left(&entry.name)));
}

fn codecs_are_read(log: &Log) {
    let mut headers: Vec<BatchHeader> = Vec::new();
    let mut next = log.start();
    while next < log.end() {
        let slice = log.read(next, log.end(), ReadLimit::OneBatchOr(1)).unwrap();
        let slice = slice.verified().unwrap();
        next = slice.next_offset();
        for batch in Batches::new(slice.read().unwrap()) {
            let batch = batch.unwrap();
            let records = batch.records().unwrap();
            let shown: Vec<String> = records
                .iter()
                .map(|record| format!("{:?}", record.unwrap().key.map(<[u8]>::to_vec)))
                .collect();
            let wanted = match batch.header.record_count {
                1 => vec![format!("{:?}", None::<Vec<u8>>)],
                _ => vec![
                    format!("{:?}", Some(b"key".to_vec())),
                    format!("{:?}", None::<Vec<u8>>),
                    format!("{:?}", Some(b"gone".to_vec())),
                ],
            };
            assert_eq!(shown, wanted);
            headers.push(batch.header);
        }
    }
    let codecs: Vec<Codec> = headers.iter().map(|header| header.codec).collect();
    let mut wanted = vec![Codec::None];
    wanted.extend(Codec::ALL);
    wanted.push(Codec::None);
    assert_eq!(codecs, wanted);
    let producers = headers.iter().filter(|header| header.producer.is_some());
    assert_eq!(producers.count(), 2);
    let last = headers.last().unwrap();
    assert_eq!(last.timestamp_type, TimestampType::LogAppendTime);
    assert_eq!(last.max_timestamp, at(6_000));
    let epochs: Vec<(u32, u64)> = log
        .leader_epochs()
        .entries()
        .iter()
        .map(|(epoch, start)| (epoch.get(), start.get()))
        .collect();
    assert_eq!(epochs, [(4, 0), (5, 16)]);
}

#[test]
fn the_fixture_has_one_of_every_file() {
    let files = fixture(FIXTURE, None);
    for name in [
        "cleaner-checkpoint",
        "cleaning-swap",
        "plugin-modules",
        "recovery-point-checkpoint",
        "leader-epoch-checkpoint",
        "partition.metadata",
        "meta.properties",
        "durable-positions",
        ".log",
        ".index",
        ".timeindex",
        ".cleaned",
    ] {
        let has = |path: &Path| path.display().to_string().contains(name);
        assert!(files.keys().any(|path| has(path)), "no {name}");
    }
}
