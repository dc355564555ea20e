//! One request and one answer, or more, for every method: what the page prints as vectors. The
//! administrative methods are in `samples_admin`.

use broker_model::{BrokerId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};
use broker_protocol::api::delete_records::{
    DeleteBefore, DeleteRecordsRequest, DeleteRecordsResponse,
};
use broker_protocol::api::fetch::{
    FetchForm, FetchPartition, FetchRequest, FetchResponse, FetchedData, FetchedPartition,
    FetchedRecords, RecordsWriter,
};
use broker_protocol::api::hello::{AnnouncedLimits, HelloRequest, HelloResponse};
use broker_protocol::api::list_offsets::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetAnswer, OffsetAt, OffsetQuery,
};
use broker_protocol::api::partition_for::{PartitionForRequest, PartitionForResponse};
use broker_protocol::api::ping::{PingRequest, PingResponse};
use broker_protocol::api::produce::{
    Acks, Appended, OpaqueBody, Payload, ProduceRequest, ProduceResponse, ProducerFields,
    RecordErrors, Routed,
};
use broker_protocol::{ErrorCode, ErrorData, LeaderHint, WireError, feature};
use broker_record::{Codec, LogMark, ProducedBatch};
use bytes::Bytes;

use crate::msgpack::{self, Value};
use crate::vectors::Vector;
use crate::{samples_admin, samples_plugins, samples_typed};

/// The time in the samples: 2026-01-01T00:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// The cluster in the samples.
pub(crate) const CLUSTER: &str = "8f14e45f-ceea-467f-9575-d6b5f4a1c5e0";
/// The topic in the samples.
pub(crate) const TOPIC: &str = "orders";

/// The id of that topic.
pub(crate) fn topic_id() -> TopicId {
    "3d9c5b1e-6a1f-4a57-9d0c-2f6b7e8a9b10".parse().unwrap()
}

/// Every vector of the page but those of bad frames.
pub(crate) fn all() -> Vec<Vector> {
    let mut vectors = Vec::new();
    vectors.extend(connection());
    vectors.extend(samples_admin::all());
    vectors.extend(samples_plugins::all());
    vectors.extend(produce());
    vectors.extend(samples_typed::produce());
    vectors.extend(fetch());
    vectors.extend(samples_typed::fetch());
    vectors.extend(offsets());
    vectors.extend(samples_typed::partition_for());
    vectors
}

fn connection() -> Vec<Vector> {
    let hello = HelloRequest::new("orders-importer/1.4");
    let welcome = HelloResponse {
        protocol: 1,
        broker_version: "0.1.0".to_owned(),
        cluster_id: CLUSTER.to_owned(),
        broker_id: BrokerId::new(1),
        features: [
            feature::ROUTED_PRODUCE,
            feature::PARTITION_FOR,
            feature::FETCH_BATCH,
        ]
        .map(str::to_owned)
        .to_vec(),
        codecs: Codec::ALL
            .iter()
            .map(|codec| codec.name().to_owned())
            .collect(),
        limits: AnnouncedLimits::default(),
    };
    vec![
        Vector::request(1, "", &hello),
        Vector::response::<HelloRequest>(1, "", &welcome),
        Vector::request(2, "", &PingRequest {}),
        Vector::response::<PingRequest>(2, "", &PingResponse { time_ms: NOW }),
    ]
}

/// Two records: key, value, time and headers; then no key and just a value.
pub(crate) fn records() -> Bytes {
    let bytes = b"\x92\x94\xC4\x07user-17\xC4\x05hello\xCF\0\0\x01\x9B\x76\xDA\xA8\0\x91\x92\xA5trace\xC4\x02\xAB\xCD\x92\xC0\xC4\x05again";
    Bytes::from_static(bytes)
}

fn produce() -> Vec<Vector> {
    let to_partition = ProduceRequest {
        partition: Some(PartitionId::new(2)),
        acks: Acks::Leader,
        timestamp_ms: Some(NOW),
        topic_id: Some(topic_id()),
        ..ProduceRequest::new(TOPIC, Payload::Plain(records()))
    };
    let appended = ProduceResponse::Appended(Appended {
        partition: PartitionId::new(2),
        base_offset: Some(Offset::new(1000)),
        record_count: 2,
        log_append_time_ms: None,
        log_start: Some(Offset::ZERO),
        refused: Vec::new(),
    });
    let routed = ProduceRequest::new(TOPIC, Payload::Plain(records()));
    let offline = WireError::new(
        ErrorCode::PartitionOffline,
        "partition orders-0 is offline: its log directory failed",
    );
    let offline = offline.with_data(ErrorData {
        topic: Some(TOPIC.to_owned()),
        partition: Some(PartitionId::new(0)),
        ..ErrorData::default()
    });
    let spread = ProduceResponse::Routed(Routed {
        partitions: vec![Some(PartitionId::new(2)), Some(PartitionId::new(0))],
        offsets: vec![Some(Offset::new(1002)), None],
        errors: vec![RecordErrors {
            indexes: vec![1],
            error: offline,
        }],
        refused: Vec::new(),
    });
    let batch = ProducedBatch::plain(records(), NOW).unwrap();
    let encoded = ProduceRequest {
        partition: Some(PartitionId::new(2)),
        ..ProduceRequest::new(TOPIC, Payload::Opaque(opaque(&batch)))
    };
    let stamped = ProduceResponse::Appended(Appended {
        partition: PartitionId::new(2),
        base_offset: Some(Offset::new(1003)),
        record_count: 2,
        log_append_time_ms: Some(NOW),
        log_start: Some(Offset::new(17)),
        refused: Vec::new(),
    });
    let forget = ProduceRequest {
        acks: Acks::None,
        ..routed.clone()
    };
    vec![
        Vector::request(10, "to a partition", &to_partition),
        Vector::response::<ProduceRequest>(10, "to a partition", &appended),
        Vector::request(11, "routed by the partitioner", &routed),
        Vector::response::<ProduceRequest>(11, "routed by the partitioner", &spread),
        Vector::request(12, "with an encoded body", &encoded),
        Vector::response::<ProduceRequest>(12, "with an encoded body", &stamped),
        Vector::notification("fire and forget", &forget),
        Vector::error::<ProduceRequest>(13, "not the leader", &not_leader()),
    ]
}

/// The batch as a client that encodes it itself would send it.
pub(crate) fn opaque(batch: &ProducedBatch) -> OpaqueBody {
    OpaqueBody {
        body: batch.body.clone(),
        codec: batch.header.codec.name().to_owned(),
        record_count: batch.header.record_count,
        base_timestamp_ms: batch.header.base_timestamp,
        max_timestamp_ms: batch.header.max_timestamp,
        crc: batch.header.body_crc,
        producer: None,
    }
}

fn not_leader() -> WireError {
    let data = ErrorData {
        topic: Some(TOPIC.to_owned()),
        partition: Some(PartitionId::new(2)),
        leader: Some(LeaderHint {
            broker_id: BrokerId::new(3),
            host: "10.0.0.3".to_owned(),
            port: 7420,
        }),
        leader_epoch: Some(LeaderEpoch::new(5)),
        ..ErrorData::default()
    };
    WireError::new(
        ErrorCode::NotLeader,
        "broker 3 leads orders-2, not broker 1",
    )
    .with_data(data)
}

/// A partition to be read.
pub(crate) fn wanted(offset: u64) -> FetchPartition {
    FetchPartition {
        topic: TOPIC.to_owned(),
        topic_id: Some(topic_id()),
        partition: PartitionId::new(2),
        offset: Offset::new(offset),
        max_bytes: Some(1_048_576),
    }
}

/// What was read of it.
pub(crate) fn fetched(data: FetchedData) -> FetchedPartition {
    FetchedPartition {
        topic: TOPIC.to_owned(),
        partition: PartitionId::new(2),
        error: None,
        log_start: Offset::ZERO,
        high_watermark: Offset::new(1002),
        log_end: Offset::new(1002),
        next_offset: Offset::new(1002),
        data,
    }
}

/// The sample records as they are stored, at offset 1000.
pub(crate) fn stored_batch() -> Bytes {
    let mut batch = ProducedBatch::plain(records(), NOW).unwrap();
    batch.header.base_offset = Offset::new(1000);
    batch.header.leader_epoch = LeaderEpoch::new(5);
    batch.header.log_mark = LogMark::of_hash(0x2a17);
    [&batch.header.encode()[..], &batch.body].concat().into()
}

fn fetch() -> Vec<Vector> {
    let as_records = FetchRequest::new(vec![wanted(1000)]);
    let mut writer = RecordsWriter::new();
    let headers: [(&str, Option<&[u8]>); 1] = [("trace", Some(b"\xAB\xCD"))];
    let (key, value) = (Some(&b"user-17"[..]), Some(&b"hello"[..]));
    writer.push(Offset::new(1000), NOW, key, value, headers.into_iter());
    writer.push(
        Offset::new(1001),
        NOW,
        None,
        Some(b"again"),
        std::iter::empty(),
    );
    let records = FetchedRecords::new(writer.finish()).unwrap();
    let as_batch = FetchRequest {
        form: FetchForm::Batch,
        max_wait_ms: 0,
        min_bytes: 0,
        ..FetchRequest::new(vec![wanted(1001)])
    };
    let out_of_range = FetchedPartition {
        error: Some(out_of_range()),
        next_offset: Offset::new(5000),
        ..fetched(FetchedData::Records(FetchedRecords::empty()))
    };
    let answer = |partition| FetchResponse {
        partitions: vec![partition],
    };
    vec![
        Vector::request(20, "records", &as_records),
        Vector::response::<FetchRequest>(
            20,
            "records",
            &answer(fetched(FetchedData::Records(records))),
        ),
        Vector::request(21, "stored batches", &as_batch),
        Vector::response::<FetchRequest>(
            21,
            "stored batches",
            &answer(fetched(FetchedData::Batch(stored_batch()))),
        ),
        Vector::response::<FetchRequest>(22, "offset out of range", &answer(out_of_range)),
    ]
}

fn out_of_range() -> WireError {
    let data = ErrorData {
        topic: Some(TOPIC.to_owned()),
        partition: Some(PartitionId::new(2)),
        offset: Some(Offset::new(5000)),
        earliest: Some(Offset::ZERO),
        latest: Some(Offset::new(1002)),
        ..ErrorData::default()
    };
    let message = "offset 5000 of orders-2 is out of range: it holds 0 to 1002";
    WireError::new(ErrorCode::OffsetOutOfRange, message).with_data(data)
}

fn offsets() -> Vec<Vector> {
    let query = |partition, at| OffsetQuery {
        topic: TOPIC.to_owned(),
        topic_id: Some(topic_id()),
        partition: PartitionId::new(partition),
        at,
    };
    let list = ListOffsetsRequest {
        partitions: vec![
            query(2, OffsetAt::Timestamp(NOW)),
            query(9, OffsetAt::Earliest),
        ],
    };
    let found = OffsetAnswer {
        topic: TOPIC.to_owned(),
        partition: PartitionId::new(2),
        offset: Some(Offset::new(1000)),
        timestamp: Some(NOW),
        leader_epoch: Some(LeaderEpoch::new(5)),
        error: None,
    };
    let unknown = WireError::new(
        ErrorCode::UnknownTopicOrPartition,
        "topic orders has partitions 0 to 2, not 9",
    );
    let missing = OffsetAnswer {
        topic: TOPIC.to_owned(),
        partition: PartitionId::new(9),
        error: Some(unknown),
        ..OffsetAnswer::default()
    };
    let delete = DeleteRecordsRequest {
        topic: TOPIC.to_owned(),
        topic_id: Some(topic_id()),
        partition: PartitionId::new(2),
        before_offset: DeleteBefore::HighWatermark,
    };
    let keys = PartitionForRequest {
        topic: TOPIC.to_owned(),
        topic_id: Some(topic_id()),
        encode: false,
        keys: vec![Some(Bytes::from_static(b"user-17")), None],
    };
    let partitions = vec![PartitionId::new(2), PartitionId::new(0)];
    let log_start = Offset::new(1002);
    vec![
        Vector::request(30, "", &list),
        Vector::response::<ListOffsetsRequest>(
            30,
            "",
            &ListOffsetsResponse {
                partitions: vec![found, missing],
            },
        ),
        Vector::request(31, "", &delete),
        Vector::response::<DeleteRecordsRequest>(31, "", &DeleteRecordsResponse { log_start }),
        Vector::request(32, "", &keys),
        Vector::response::<PartitionForRequest>(32, "", &PartitionForResponse { partitions }),
    ]
}

/// Samples that only show further fields; the page does not print them.
pub(crate) fn hidden() -> Vec<Vector> {
    let batch = ProducedBatch::plain(records(), NOW).unwrap();
    let producer = Some(ProducerFields {
        id: 7,
        epoch: 0,
        base_sequence: 41,
    });
    let body = OpaqueBody {
        producer,
        ..opaque(&batch)
    };
    let idempotent = ProduceRequest::new(TOPIC, Payload::Opaque(body));
    let mut vectors = vec![Vector::request(1, "hidden", &idempotent)];
    vectors.extend(samples_admin::hidden());
    vectors.extend(samples_plugins::hidden());
    vectors.extend(samples_typed::hidden());
    vectors
}

/// An error's data with every fact there is.
pub(crate) fn every_fact() -> Value {
    let text = || Some("x".to_owned());
    let data = ErrorData {
        topic: text(),
        partition: Some(PartitionId::new(0)),
        topic_id: Some(topic_id()),
        leader: not_leader().data.and_then(|data| data.leader),
        leader_epoch: Some(LeaderEpoch::new(0)),
        earliest: Some(Offset::ZERO),
        latest: Some(Offset::ZERO),
        offset: Some(Offset::ZERO),
        next_offset: Some(Offset::ZERO),
        plugin: text(),
        plugin_version: text(),
        plugin_kind: text(),
        record: Some(0),
        refused: samples_typed::every_refusal(),
        refused_count: Some(2),
        topics: vec![TOPIC.to_owned()],
        file: text(),
        position: Some(0),
        expected: Some(0),
        actual: Some(0),
        limit: Some(0),
        protocol_min: Some(0),
        protocol_max: Some(0),
        key: text(),
        suggestion: text(),
        first_bytes: Some(Bytes::new()),
        looks_like: text(),
    };
    let error = WireError::new(ErrorCode::Unknown, "").with_data(data);
    let frame = broker_protocol::error_frame(None, &error);
    let Some(Value::Array(envelope)) = msgpack::decode(&frame[5..], 32) else {
        panic!("an error is an array");
    };
    envelope[2].get("data").unwrap().clone()
}
