//! Requests and batches: frames, envelopes and arguments, validation, regrouping, codecs, answers.

use std::hint::black_box;

use broker_client::model::{Offset, PartitionId, Timestamp};
use broker_client::protocol::api::fetch::{FetchAnswer, FetchData, FetchPartition, FetchRequest};
use broker_client::protocol::api::produce::{OpaqueBody, Payload, ProduceRequest};
use broker_client::protocol::{Decoded, Envelope, FrameDecoder, Request, request_frame};
use broker_record::{
    BatchBuilder, Codec, OpaqueClaims, ProducedBatch, RoutableRecords, StoredBatch, Validation,
    compression,
};
use bytes::{Bytes, BytesMut};

use crate::cases::Case;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Records with keys and values of 100 bytes that repeat about as much as log lines do.
pub(crate) fn built(records: u32, codec: Codec) -> (Bytes, OpaqueClaims) {
    let mut builder = BatchBuilder::new();
    for index in 0..records {
        let key = format!("user-{}", index % 977);
        let line = format!(
            "{{\"user\":{},\"page\":\"/item/{:x}\"}} ",
            index % 97,
            index * 7919
        );
        let value: Vec<u8> = line.bytes().cycle().take(100).collect();
        let pushed = builder.push(Some(key.as_bytes()), Some(&value), NOW, []);
        pushed.expect("far below every limit");
    }
    builder.build(codec).expect("it has records")
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = requests();
    cases.extend(batches());
    for codec in Codec::ALL {
        cases.extend(of_codec(codec));
    }
    cases
}

fn plain(records: u32) -> Bytes {
    let payload = Payload::Plain(built(records, Codec::None).0);
    produce(payload)
}

fn opaque(records: u32) -> Bytes {
    let (body, claims) = built(records, Codec::None);
    produce(Payload::Opaque(OpaqueBody {
        body,
        codec: claims.codec.name().to_owned(),
        record_count: claims.record_count,
        base_timestamp_ms: claims.base_timestamp,
        max_timestamp_ms: claims.max_timestamp,
        crc: claims.body_crc,
        producer: None,
    }))
}

fn produce(payload: Payload) -> Bytes {
    let mut request = ProduceRequest::new("orders", payload);
    request.partition = Some(PartitionId::new(0));
    request_frame(1, &request).expect("a small frame")
}

fn fetch() -> Bytes {
    let request = FetchRequest::new(vec![FetchPartition {
        topic: "orders".to_owned(),
        topic_id: None,
        partition: PartitionId::new(0),
        offset: Offset::new(1_000_000),
        max_bytes: Some(1 << 20),
    }]);
    request_frame(1, &request).expect("a small frame")
}

/// From the bytes of a frame to the arguments of its method.
fn decoded<R: Request>(name: &str, frame: fn() -> Bytes) -> Case {
    Case::new(name, move || {
        let (frame, decoder) = (frame(), FrameDecoder::after_hello());
        Box::new(move || {
            let mut buffer = BytesMut::from(&frame[..]);
            let Ok(Decoded::Frame(body)) = decoder.decode(&mut buffer) else {
                panic!("a whole frame");
            };
            let Ok(Envelope::Request { args, .. }) = Envelope::parse(&body) else {
                panic!("a request");
            };
            assert!(black_box(R::decode(&body.slice_ref(args))).is_ok());
        })
    })
}

fn requests() -> Vec<Case> {
    vec![
        decoded::<ProduceRequest>("request/produce-encoded-1", || opaque(1)),
        decoded::<ProduceRequest>("request/produce-encoded-1000", || opaque(1000)),
        decoded::<ProduceRequest>("request/produce-plain-1", || plain(1)),
        decoded::<ProduceRequest>("request/produce-plain-1000", || plain(1000)),
        decoded::<FetchRequest>("request/fetch", fetch),
        Case::new("answer/fetch", || {
            Box::new(|| {
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
                assert!(FetchAnswer::response_frame(black_box(7), vec![answer]).is_ok());
            })
        }),
    ]
}

fn batches() -> Vec<Case> {
    let mut cases = Vec::new();
    for records in [1, 100, 1000] {
        cases.push(Case::new(format!("validate/plain-{records}"), move || {
            let (body, _) = built(records, Codec::None);
            Box::new(move || {
                assert!(ProducedBatch::plain(black_box(body.clone()), NOW).is_ok());
            })
        }));
    }
    cases.push(Case::new("route/walk-and-regroup-1000", || {
        let (body, _) = built(1000, Codec::None);
        let partitions: Vec<_> = (0..1000)
            .map(|index| Some(PartitionId::new(index * 7 % 12)))
            .collect();
        Box::new(move || {
            let routable = RoutableRecords::walk(body.clone()).expect("valid records");
            assert!(black_box(routable.regroup(&partitions, NOW)).is_ok());
        })
    }));
    cases.push(Case::new("answer/records-1000", || {
        let (body, claims) = built(1000, Codec::None);
        let batch = ProducedBatch::opaque(body, claims, Validation::Full).expect("valid");
        let stored = Bytes::from([&batch.header.encode()[..], &batch.body].concat());
        let mut out = Vec::new();
        Box::new(move || {
            out.clear();
            let (batch, _) = StoredBatch::parse(black_box(&stored)).expect("valid");
            for record in &batch.records().expect("valid") {
                record.expect("valid").encode_fetched(&mut out);
            }
        })
    }));
    cases
}

fn of_codec(codec: Codec) -> Vec<Case> {
    let mut cases = vec![Case::new(
        format!("validate/encoded-{codec}-1000"),
        move || {
            let (body, claims) = built(1000, codec);
            Box::new(move || {
                let checked = ProducedBatch::opaque(body.clone(), claims, Validation::Full);
                assert!(black_box(checked).is_ok());
            })
        },
    )];
    if codec != Codec::None {
        cases.push(Case::new(format!("compress/{codec}-1000"), move || {
            let (body, _) = built(1000, Codec::None);
            Box::new(move || assert!(compression::compress(codec, black_box(&body)).is_ok()))
        }));
        cases.push(Case::new(format!("decompress/{codec}-1000"), move || {
            let (packed, _) = built(1000, codec);
            let mut out = Vec::new();
            Box::new(move || {
                out.clear();
                compression::decompress(codec, black_box(&packed), &mut out)
                    .expect("it was packed");
            })
        }));
    }
    cases
}
