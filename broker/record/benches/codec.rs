//! What a batch costs on its way in and out: the walk over plain records, the checks of an opaque
//! batch, cutting records apart and regrouping them, building, reading, and each codec.
//!
//! `cargo bench -p broker-record`. The elements of a throughput are records.

use std::hint::black_box;

use broker_model::{PartitionId, Timestamp};
use broker_record::{
    BatchBuilder, BatchHeader, Codec, OpaqueClaims, ProducedBatch, RoutableRecords, StoredBatch,
    Validation, compression,
};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const RECORD_COUNTS: [u32; 2] = [100, 1_000];
const VALUE_BYTES: usize = 100;

/// Text that repeats about as much as log lines do.
fn value(index: u32) -> Vec<u8> {
    let line = format!(
        "{{\"user\":{},\"page\":\"/item/{:x}\",\"took_ms\":{},\"agent\":\"curl/8.5\",\"ok\":true}} ",
        index % 977,
        index.wrapping_mul(2_654_435_761),
        index % 61
    );
    line.bytes().cycle().take(VALUE_BYTES).collect()
}

fn builder(records: u32, headers: &[(&str, Option<&[u8]>)]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for index in 0..records {
        let key = format!("user-{}", index % 977);
        builder
            .push(
                Some(key.as_bytes()),
                Some(&value(index)),
                NOW,
                headers.iter().copied(),
            )
            .expect("the batch is far below every limit");
    }
    builder
}

fn built(records: u32, codec: Codec) -> (Bytes, OpaqueClaims) {
    builder(records, &[])
        .build(codec)
        .expect("the batch has records")
}

fn plain_walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("plain");
    for records in RECORD_COUNTS {
        let (body, _) = built(records, Codec::None);
        group.throughput(Throughput::Elements(u64::from(records)));
        group.bench_function(format!("walk_and_checksum/{records}"), |b| {
            b.iter(|| ProducedBatch::plain(black_box(body.clone()), NOW));
        });
        group.bench_function(format!("checksum_alone/{records}"), |b| {
            b.iter(|| crc32fast::hash(black_box(&body)));
        });
        let two = [("trace", Some(&b"4bf92f35"[..])), ("span", Some(&b"7"[..]))];
        let (body, _) = builder(records, &two).build(Codec::None).expect("records");
        group.bench_function(format!("walk_two_headers/{records}"), |b| {
            b.iter(|| ProducedBatch::plain(black_box(body.clone()), NOW));
        });
    }
    group.finish();
}

fn opaque_check(c: &mut Criterion) {
    let mut group = c.benchmark_group("opaque");
    for records in RECORD_COUNTS {
        group.throughput(Throughput::Elements(u64::from(records)));
        for codec in Codec::ALL {
            let (body, claims) = built(records, codec);
            group.bench_function(format!("full/{codec}/{records}"), |b| {
                b.iter(|| ProducedBatch::opaque(black_box(body.clone()), claims, Validation::Full));
            });
        }
        let (body, claims) = built(records, Codec::None);
        group.bench_function(format!("trust/none/{records}"), |b| {
            b.iter(|| ProducedBatch::opaque(black_box(body.clone()), claims, Validation::Trust));
        });
    }
    group.finish();
}

fn routing(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    for records in RECORD_COUNTS {
        let (body, _) = built(records, Codec::None);
        let routable = RoutableRecords::walk(body.clone()).expect("the records are valid");
        let partitions: Vec<_> = (0..records)
            .map(|index| Some(PartitionId::new(index * 7 % 12)))
            .collect();
        group.throughput(Throughput::Elements(u64::from(records)));
        group.bench_function(format!("walk/{records}"), |b| {
            b.iter(|| RoutableRecords::walk(black_box(body.clone())));
        });
        group.bench_function(format!("regroup_to_12/{records}"), |b| {
            b.iter(|| routable.regroup(black_box(&partitions), NOW));
        });
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    for records in RECORD_COUNTS {
        let values: Vec<_> = (0..records).map(value).collect();
        group.throughput(Throughput::Elements(u64::from(records)));
        group.bench_function(format!("none/{records}"), |b| {
            b.iter(|| {
                let mut builder = BatchBuilder::new();
                for value in &values {
                    let pushed = builder.push(Some(b"user-7"), Some(value), NOW, []);
                    black_box(pushed).expect("far below every limit");
                }
                builder.build(Codec::None)
            });
        });
    }
    group.finish();
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    for records in RECORD_COUNTS {
        let (body, claims) = built(records, Codec::None);
        let batch = ProducedBatch::opaque(body, claims, Validation::Full).expect("valid");
        let stored = Bytes::from([&batch.header.encode()[..], &batch.body].concat());
        group.throughput(Throughput::Elements(u64::from(records)));
        group.bench_function(format!("encode_fetched/{records}"), |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                let (batch, _) = StoredBatch::parse(black_box(&stored)).expect("valid");
                let records = batch.records().expect("valid");
                for record in &records {
                    record.expect("valid").encode_fetched(&mut out);
                }
                out.len()
            });
        });
        group.bench_function(format!("decode_header/{records}"), |b| {
            b.iter(|| BatchHeader::decode(black_box(&stored)));
        });
    }
    group.finish();
}

fn codecs(c: &mut Criterion) {
    for records in RECORD_COUNTS {
        let (body, _) = built(records, Codec::None);
        let mut group = c.benchmark_group(format!("codec_{}_bytes", body.len()));
        group.throughput(Throughput::Bytes(body.len() as u64));
        for codec in Codec::ALL.into_iter().filter(|codec| *codec != Codec::None) {
            let packed = compression::compress(codec, &body).expect("compresses");
            let percent = packed.len() * 100 / body.len();
            group.bench_function(format!("compress/{codec}/to_{percent}_percent"), |b| {
                b.iter(|| compression::compress(codec, black_box(&body)));
            });
            group.bench_function(format!("decompress/{codec}"), |b| {
                let mut out = Vec::new();
                b.iter(|| compression::decompress(codec, black_box(&packed), &mut out));
            });
        }
        group.finish();
    }
}

criterion_group!(
    benches,
    plain_walk,
    opaque_check,
    routing,
    build,
    read,
    codecs
);
criterion_main!(benches);
