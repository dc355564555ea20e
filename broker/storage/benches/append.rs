//! What an append costs: into the page cache, one batch or many at once, and with the sync that an
//! acknowledgement under `flush.mode = sync` waits for.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use broker_model::{
    BrokerId, LeaderEpoch, PartitionId, Timestamp, TopicId, TopicName, TopicPartition,
};
use broker_record::ProducedBatch;
use broker_storage::{Log, LogConfig, LogDir, LogDirOptions};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// What is kept on the disk while a bench runs.
const KEPT_BYTES: u64 = 512 << 20;

fn open(path: &std::path::Path) -> (LogDir, Log) {
    let dir = LogDir::open(LogDirOptions::new(path, BrokerId::new(1))).unwrap();
    let partition = TopicPartition::new(TopicName::new("bench").unwrap(), PartitionId::new(0));
    let config = LogConfig {
        segment_bytes: 128 << 20,
        ..LogConfig::default()
    };
    let opened = dir.open_or_create_log(&partition, TopicId::random(), config);
    (dir, opened.unwrap().0)
}

/// A batch of one record with a value of so many bytes.
fn batch(len: usize) -> ProducedBatch {
    let mut body = vec![0x91, 0x92, 0xc0, 0xc6];
    body.extend(u32::try_from(len).unwrap().to_be_bytes());
    body.resize(body.len() + len, 7);
    ProducedBatch::plain(Bytes::from(body), Timestamp::from_millis(1)).unwrap()
}

fn append(log: &mut Log, batches: &mut [ProducedBatch]) {
    let now = Timestamp::from_millis(1);
    black_box(log.append(batches, LeaderEpoch::new(0), now).unwrap());
    if log.size_bytes() > KEPT_BYTES {
        log.advance_start(log.end()).unwrap();
    }
}

fn page_cache(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for (count, len) in [
        (1, 100),
        (1, 1 << 10),
        (1, 100 << 10),
        (16, 1 << 10),
        (16, 100 << 10),
    ] {
        let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (dir, mut log) = open(temp.path());
        let mut batches = vec![batch(len); count];
        group.throughput(Throughput::Bytes((count * len) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{count}x{len}")), |b| {
            b.iter(|| append(&mut log, &mut batches));
        });
        // What is dirty goes to the disk before the next one is measured.
        let request = log.sync_request().unwrap();
        log.on_synced(&dir.sync_inline(request)).unwrap();
    }
    group.finish();
}

fn with_sync(c: &mut Criterion) {
    let mut group = c.benchmark_group("append_and_sync");
    group.measurement_time(Duration::from_secs(5));
    for len in [1 << 10, 100 << 10, 1_000 << 10] {
        let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (dir, mut log) = open(temp.path());
        let mut batches = vec![batch(len)];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("inline", len), |b| {
            b.iter(|| {
                append(&mut log, &mut batches);
                let request = log.sync_request().unwrap();
                log.on_synced(&dir.sync_inline(request)).unwrap();
            });
        });
        group.bench_function(BenchmarkId::new("sync_thread", len), |b| {
            b.iter_custom(|rounds| {
                let started = Instant::now();
                for _ in 0..rounds {
                    append(&mut log, &mut batches);
                    let (done, outcome) = std::sync::mpsc::channel();
                    let request = log.sync_request().unwrap();
                    dir.sync(
                        request,
                        Box::new(move |outcome| done.send(outcome).unwrap()),
                    );
                    log.on_synced(&outcome.recv().unwrap()).unwrap();
                }
                started.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, page_cache, with_sync);
criterion_main!(benches);
