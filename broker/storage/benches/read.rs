//! What a read costs: finding the batches, reading them, sending them to a socket, verifying them, and
//! finding a time.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use broker_model::{
    BrokerId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName, TopicPartition,
};
use broker_record::ProducedBatch;
use broker_storage::{Log, LogConfig, LogDir, LogDirOptions, ReadLimit};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LOG_BYTES: u64 = 256 << 20;
const FETCH_BYTES: u64 = 1 << 20;

fn filled(path: &std::path::Path, len: usize) -> (LogDir, Log) {
    let dir = LogDir::open(LogDirOptions::new(path, BrokerId::new(1))).unwrap();
    let partition = TopicPartition::new(TopicName::new("bench").unwrap(), PartitionId::new(0));
    let config = LogConfig {
        segment_bytes: 64 << 20,
        ..LogConfig::default()
    };
    let topic_id = TopicId::random();
    let (mut log, _) = dir
        .open_or_create_log(&partition, topic_id, config)
        .unwrap();
    let mut body = vec![0x91, 0x92, 0xc0, 0xc6];
    body.extend(u32::try_from(len).unwrap().to_be_bytes());
    body.resize(body.len() + len, 7);
    let body = Bytes::from(body);
    let mut time = 0;
    while log.size_bytes() < LOG_BYTES {
        let mut batches: Vec<ProducedBatch> = (0..64)
            .map(|step| ProducedBatch::plain(body.clone(), Timestamp::from_millis(time + step)))
            .map(Result::unwrap)
            .collect();
        time += 64;
        log.append(
            &mut batches,
            LeaderEpoch::new(0),
            Timestamp::from_millis(time),
        )
        .unwrap();
    }
    (dir, log)
}

/// Goes through the log in fetches of 1 MiB and begins again at its end.
struct CatchUp(Offset);

impl CatchUp {
    fn next(&mut self, log: &Log) -> broker_storage::FileSlice {
        if self.0 >= log.end() {
            self.0 = log.start();
        }
        let slice = log
            .read(self.0, log.end(), ReadLimit::OneBatchOr(FETCH_BYTES))
            .unwrap();
        self.0 = slice.next_offset();
        slice
    }
}

fn reads(c: &mut Criterion) {
    for len in [100, 100 << 10] {
        let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (_dir, log) = filled(temp.path(), len);
        let mut group = c.benchmark_group(format!("read_batches_of_{len}"));
        group.bench_function("find_1_mib", |b| {
            let mut reader = CatchUp(Offset::ZERO);
            b.iter(|| black_box(reader.next(&log)));
        });
        group.bench_function("find_tail", |b| {
            let last = Offset::new(log.end().get() - 1);
            b.iter(|| black_box(log.read(last, log.end(), ReadLimit::OneBatchOr(FETCH_BYTES))));
        });
        group.bench_function("find_time", |b| {
            let mut time = 0;
            b.iter(|| {
                time = (time + 7_919) % i64::try_from(log.end().get()).unwrap();
                black_box(log.offset_for_timestamp(Timestamp::from_millis(time), log.end()))
            });
        });
        group.throughput(Throughput::Bytes(FETCH_BYTES));
        group.bench_function("pread_1_mib", |b| {
            let mut reader = CatchUp(Offset::ZERO);
            b.iter(|| black_box(reader.next(&log).read().unwrap()));
        });
        group.bench_function(BenchmarkId::from_parameter("sendfile_1_mib"), |b| {
            let (sender, mut receiver) = UnixStream::pair().unwrap();
            let sink = std::thread::spawn(move || {
                let mut buffer = vec![0; 256 << 10];
                while receiver.read(&mut buffer).unwrap() > 0 {}
            });
            let mut reader = CatchUp(Offset::ZERO);
            b.iter(|| {
                let slice = reader.next(&log);
                let mut at = 0;
                while at < slice.len() {
                    at += slice.send_to(sender.as_fd(), at, 1 << 20).unwrap() as u64;
                }
            });
            drop(sender);
            sink.join().unwrap();
        });
        group.finish();
    }
}

fn verification(c: &mut Criterion) {
    let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let partition = TopicPartition::new(TopicName::new("bench").unwrap(), PartitionId::new(0));
    let (dir, log) = filled(temp.path(), 100 << 10);
    let topic_id = log.topic_id();
    log.close().unwrap();
    let mut group = c.benchmark_group("first_read_after_a_start");
    group.throughput(Throughput::Bytes(FETCH_BYTES));
    group.bench_function("verify_1_mib", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            let mut done = 0;
            while done < rounds {
                // A log that was just opened has nothing verified.
                let opened = dir.open_or_create_log(&partition, topic_id, LogConfig::default());
                let log = opened.unwrap().0;
                let mut reader = CatchUp(Offset::ZERO);
                while done < rounds && reader.0 < log.end() {
                    let slice = reader.next(&log);
                    let started = Instant::now();
                    black_box(slice.verified().unwrap());
                    spent += started.elapsed();
                    done += 1;
                }
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, reads, verification);
criterion_main!(benches);
