//! Samples of records that go through serializers, and of batches that compaction has touched.

use broker_model::{LeaderEpoch, Offset, PartitionId};
use broker_protocol::api::fetch::{
    FetchRequest, FetchResponse, FetchedData, FetchedPartition, FetchedRecords, FieldError,
    FieldErrors, RecordsWriter,
};
use broker_protocol::api::partition_for::PartitionForRequest;
use broker_protocol::api::produce::{
    Appended, Partial, Payload, ProduceRequest, ProduceResponse, Routed,
};
use broker_protocol::{DeadLetter, ErrorCode, ErrorData, RefusedRecord, WireError};
use broker_record::StoredBatch;
use bytes::Bytes;

use crate::samples::{NOW, TOPIC, fetched, stored_batch, wanted};
use crate::vectors::Vector;

/// Vectors of `produce`.
pub(crate) fn produce() -> Vec<Vector> {
    // `[[17, {"total": 12.5}], [18, {"total": nil}]]`
    let values = b"\x92\x92\x11\x81\xA5total\xCB\x40\x29\0\0\0\0\0\0\x92\x12\x81\xA5total\xC0";
    let encode = ProduceRequest {
        partition: Some(PartitionId::new(2)),
        encode: true,
        partial: Partial::Accept,
        ..ProduceRequest::new(TOPIC, Payload::Plain(Bytes::from_static(values)))
    };
    let appended = ProduceResponse::Appended(Appended {
        partition: PartitionId::new(2),
        base_offset: Some(Offset::new(1004)),
        record_count: 1,
        log_append_time_ms: None,
        log_start: Some(Offset::ZERO),
        refused: vec![refused(Some(dead_letter()))],
    });
    let routed = ProduceResponse::Routed(Routed {
        partitions: vec![Some(PartitionId::new(0)), None],
        offsets: vec![Some(Offset::new(310)), None],
        errors: Vec::new(),
        refused: vec![refused(None)],
    });
    let message = "1 of 2 records was refused: value of record 1: total is null";
    let error = WireError::new(ErrorCode::RecordRefused, message).with_data(ErrorData {
        refused: vec![refused(None)],
        refused_count: Some(1),
        ..ErrorData::default()
    });
    vec![
        Vector::request(14, "with values to encode", &encode),
        Vector::response::<ProduceRequest>(14, "with values to encode", &appended),
        Vector::response::<ProduceRequest>(15, "routed and in part refused", &routed),
        Vector::error::<ProduceRequest>(16, "a record refused", &error),
    ]
}

fn refused(dead_letter: Option<DeadLetter>) -> RefusedRecord {
    RefusedRecord {
        index: 1,
        field: "value".to_owned(),
        code: ErrorCode::PluginRejected.name().to_owned(),
        reason: "total is null".to_owned(),
        plugin: Some("invoice".to_owned()),
        dead_letter,
    }
}

fn dead_letter() -> DeadLetter {
    DeadLetter {
        topic: "orders.refused".to_owned(),
        partition: Some(PartitionId::new(0)),
        offset: Some(Offset::new(7)),
        error: None,
    }
}

/// A refused record with every field there is; a dead letter has a place or an error.
pub(crate) fn every_refusal() -> Vec<RefusedRecord> {
    let nowhere = DeadLetter {
        topic: "orders.refused".to_owned(),
        partition: None,
        offset: None,
        error: Some(WireError::new(ErrorCode::DiskFull, "no space")),
    };
    vec![refused(Some(dead_letter())), refused(Some(nowhere))]
}

/// A result with every field of a refused record; the page does not print it.
pub(crate) fn hidden() -> Vec<Vector> {
    let routed = ProduceResponse::Routed(Routed {
        refused: every_refusal(),
        ..Routed::default()
    });
    vec![Vector::response::<ProduceRequest>(1, "hidden", &routed)]
}

/// Vectors of `fetch`.
pub(crate) fn fetch() -> Vec<Vector> {
    let decode = FetchRequest {
        decode: true,
        ..FetchRequest::new(vec![wanted(1000)])
    };
    let mut writer = RecordsWriter::new();
    let time = NOW.as_millis().to_be_bytes();
    writer.push_encoded(|out| {
        out.extend_from_slice(b"\x95\xCD\x03\xE8\xCF");
        out.extend_from_slice(&time);
        out.extend_from_slice(b"\x11\x81\xA5total\xCB\x40\x29\0\0\0\0\0\0\x90");
    });
    writer.push_encoded(|out| {
        out.extend_from_slice(b"\x96\xCD\x03\xE9\xCF");
        out.extend_from_slice(&time);
        out.extend_from_slice(b"\x12\xC4\x01{\x90");
        let errors = FieldErrors {
            key: None,
            value: Some(FieldError {
                code: ErrorCode::PluginRejected.name().to_owned(),
                reason: "the object does not end".to_owned(),
                plugin: "json".to_owned(),
            }),
        };
        errors.encode(out);
    });
    let decoded = FetchedRecords::new(writer.finish()).unwrap();
    let answer = |data| FetchResponse {
        partitions: vec![fetched(data)],
    };
    let decoded = answer(FetchedData::Records(decoded));
    let end = Offset::new(1010);
    let compacted = FetchResponse {
        partitions: vec![FetchedPartition {
            high_watermark: end,
            log_end: end,
            next_offset: end,
            ..fetched(FetchedData::Batch(compacted_batches()))
        }],
    };
    vec![
        Vector::request(23, "decoded", &decode),
        Vector::response::<FetchRequest>(23, "decoded", &decoded),
        Vector::response::<FetchRequest>(24, "compacted batches", &compacted),
    ]
}

/// The sample batch without its first record, and one from offset 1002 to 1009 without any.
fn compacted_batches() -> Bytes {
    let stored = stored_batch();
    let batch = StoredBatch::parse(&stored).unwrap().0;
    let kept = batch.retain(|index| index == 1).unwrap().unwrap();
    let empty = StoredBatch::without_records(Offset::new(1002), 7, LeaderEpoch::new(5));
    let mut out = Vec::new();
    for batch in [kept, empty] {
        out.extend_from_slice(&batch.header.encode());
        out.extend_from_slice(&batch.body);
    }
    out.into()
}

/// Vectors of `partition_for`.
pub(crate) fn partition_for() -> Vec<Vector> {
    let keys = PartitionForRequest {
        topic: TOPIC.to_owned(),
        topic_id: None,
        encode: true,
        keys: vec![Some(Bytes::from_static(b"\x11")), None],
    };
    vec![Vector::request(33, "values to encode", &keys)]
}
