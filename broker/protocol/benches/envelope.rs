//! What a request costs between the socket and its handler: frame, envelope, arguments. The produce
//! requests have to stay far below a microsecond plus a few nanoseconds a record.

use std::hint::black_box;

use broker_model::{Offset, PartitionId, Timestamp};
use broker_protocol::api::fetch::{FetchAnswer, FetchData, FetchPartition, FetchRequest};
use broker_protocol::api::produce::{OpaqueBody, Payload, ProduceRequest};
use broker_protocol::{
    Decoded, Envelope, FRAME_HEADER_LEN, FrameDecoder, Request, request_frame, shape,
};
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// `count` records with a key of 16 bytes and a value of `value_len`.
fn records(count: u16, value_len: u16) -> Bytes {
    let mut out = vec![0xDC];
    out.extend_from_slice(&count.to_be_bytes());
    for number in 0..count {
        out.extend_from_slice(&[0x92, 0xC4, 16]);
        out.extend_from_slice(&[number.to_be_bytes()[1]; 16]);
        out.push(0xC5);
        out.extend_from_slice(&value_len.to_be_bytes());
        out.resize(out.len() + usize::from(value_len), 0x2A);
    }
    out.into()
}

fn plain(count: u16, value_len: u16) -> ProduceRequest {
    ProduceRequest {
        partition: Some(PartitionId::new(0)),
        ..ProduceRequest::new("orders", Payload::Plain(records(count, value_len)))
    }
}

fn opaque(body_len: usize) -> ProduceRequest {
    let body = OpaqueBody {
        body: vec![0x2A; body_len].into(),
        codec: "zstd".to_owned(),
        record_count: 1000,
        base_timestamp_ms: Timestamp::from_millis(1_767_225_600_000),
        max_timestamp_ms: Timestamp::from_millis(1_767_225_600_999),
        crc: 0x1234_5678,
        producer: None,
    };
    ProduceRequest {
        partition: Some(PartitionId::new(0)),
        ..ProduceRequest::new("orders", Payload::Opaque(body))
    }
}

fn fetch() -> FetchRequest {
    FetchRequest::new(vec![FetchPartition {
        topic: "orders".to_owned(),
        topic_id: None,
        partition: PartitionId::new(0),
        offset: Offset::new(1_000_000),
        max_bytes: Some(1 << 20),
    }])
}

fn arguments(body: &Bytes) -> Bytes {
    match Envelope::parse(body) {
        Ok(Envelope::Request { args, .. }) => body.slice_ref(args),
        other => panic!("not a request: {other:?}"),
    }
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let requests = [
        ("produce 1 x 100 B", request_frame(1, &plain(1, 100))),
        ("produce 100 x 100 B", request_frame(1, &plain(100, 100))),
        ("produce 1000 x 100 B", request_frame(1, &plain(1000, 100))),
        (
            "produce opaque 100 KiB",
            request_frame(1, &opaque(100 * 1024)),
        ),
    ];
    for (name, frame) in requests {
        let body = frame.expect("a small frame").slice(FRAME_HEADER_LEN..);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| ProduceRequest::decode(&arguments(black_box(&body))));
        });
    }
    let frame = request_frame(1, &fetch()).expect("a small frame");
    let body = frame.slice(FRAME_HEADER_LEN..);
    group.bench_function("fetch 1 partition", |bencher| {
        bencher.iter(|| FetchRequest::decode(&arguments(black_box(&body))));
    });
    group.finish();
}

fn walking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("walk");
    let body = records(1000, 100);
    group.throughput(Throughput::Elements(1000));
    group.bench_function("shape of 1000 records", |bencher| {
        bencher.iter(|| shape::check(black_box(&body)));
    });
    group.finish();
}

fn framing(criterion: &mut Criterion) {
    let frame = request_frame(1, &plain(1, 100)).expect("a small frame");
    let decoder = FrameDecoder::after_hello();
    criterion.bench_function("cut a frame out of a buffer", |bencher| {
        bencher.iter_batched(
            || BytesMut::from(&frame[..]),
            |mut buffer| match decoder.decode(&mut buffer) {
                Ok(Decoded::Frame(body)) => body,
                other => panic!("not a frame: {other:?}"),
            },
            criterion::BatchSize::SmallInput,
        );
    });
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let request = opaque(100 * 1024);
    group.bench_function("produce in two parts", |bencher| {
        bencher.iter(|| black_box(&request).request_frame_parts(7));
    });
    group.bench_function("fetch answer in pieces", |bencher| {
        bencher.iter(|| {
            let answer = FetchAnswer {
                topic: "orders".to_owned(),
                partition: PartitionId::new(0),
                error: None,
                log_start: Offset::ZERO,
                high_watermark: Offset::new(2_000_000),
                log_end: Offset::new(2_000_000),
                next_offset: Offset::new(1_000_100),
                data: FetchData::Batch(vec![(1 << 20, ())]),
            };
            FetchAnswer::response_frame(black_box(7), vec![answer])
        });
    });
    group.finish();
}

criterion_group!(benches, decoding, walking, framing, encoding);
criterion_main!(benches);
