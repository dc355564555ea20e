//! Values that the broker encodes and decodes, and records that it refuses: what the client asks for
//! and what it makes of the answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_client::model::{Offset, PartitionId};
use broker_client::protocol::api::fetch::{
    FetchRequest, FetchResponse, FetchedData, FetchedPartition, FetchedRecords, RecordsWriter,
};
use broker_client::protocol::api::produce::{
    Appended, Payload, ProduceRequest, ProduceResponse, Routed,
};
use broker_client::protocol::{
    ErrorCode, Method, RefusedRecord, Request, Response, WireError, feature,
};
use broker_client::{ClientError, Codec, Consumer, Partial, Producer, ProducerRecord, StartAt};
use bytes::Bytes;
use futures::future::join_all;

use crate::fake::{Act, FakeCluster};

async fn cluster() -> FakeCluster {
    let cluster = FakeCluster::start(1).await;
    cluster.world().features = vec![feature::SERIALIZERS.to_owned()];
    cluster.topic("orders", 1);
    cluster
}

fn encoded<R: Response>(response: &R) -> Act {
    let mut out = Vec::new();
    response.encode(&mut out);
    Act::Answer(out)
}

/// Answers every produce with this, and notes what was asked.
fn answer_produce(
    cluster: &FakeCluster,
    answer: ProduceResponse,
) -> Arc<Mutex<Vec<ProduceRequest>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    cluster.hook(move |request| match request.method {
        Method::Produce => {
            let request = ProduceRequest::decode(request.args).unwrap();
            noted.lock().unwrap().push(request);
            encoded(&answer)
        }
        _ => Act::Normal,
    });
    seen
}

fn refused(index: u32, field: &str) -> RefusedRecord {
    RefusedRecord {
        index,
        field: field.to_owned(),
        code: ErrorCode::PluginRejected.name().to_owned(),
        reason: "no total".to_owned(),
        plugin: Some("invoice".to_owned()),
        dead_letter: None,
    }
}

/// One record whose key and value are the MessagePack integer `number`.
fn record(number: u8) -> ProducerRecord {
    let value = Bytes::copy_from_slice(&[number]);
    ProducerRecord::new("orders")
        .key(value.clone())
        .value(value)
}

async fn send_four(
    cluster: &FakeCluster,
    partition: Option<u32>,
) -> Vec<Result<Option<Offset>, ClientError>> {
    let client = cluster.client().await;
    let linger = Duration::from_millis(50);
    let producer = Producer::builder(&client).linger(linger).encode_values();
    let producer = producer.build().unwrap();
    let sent: Vec<_> = (0..4)
        .map(|number| {
            let mut record = record(number);
            record.partition = partition.map(PartitionId::new);
            producer.send(record)
        })
        .collect();
    let stored = join_all(sent).await.into_iter();
    stored
        .map(|stored| stored.map(|stored| stored.offset))
        .collect()
}

fn assert_refused(stored: &Result<Option<Offset>, ClientError>) {
    let error = stored.as_ref().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::PluginRejected));
    assert!(error.is_definite() && !error.is_retriable());
    assert!(error.to_string().contains("no total"), "{error}");
}

#[tokio::test]
async fn each_record_of_a_batch_has_its_own_fate() {
    let cluster = cluster().await;
    let appended = ProduceResponse::Appended(Appended {
        partition: PartitionId::new(0),
        base_offset: Some(Offset::new(70)),
        record_count: 2,
        log_append_time_ms: None,
        log_start: None,
        refused: vec![refused(1, "key"), refused(1, "value"), refused(2, "value")],
    });
    let seen = answer_produce(&cluster, appended);
    let stored = send_four(&cluster, Some(0)).await;
    assert_eq!(*stored[0].as_ref().unwrap(), Some(Offset::new(70)));
    assert_refused(&stored[1]);
    assert_refused(&stored[2]);
    assert_eq!(*stored[3].as_ref().unwrap(), Some(Offset::new(71)));

    let seen = seen.lock().unwrap();
    let [request] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert!(request.encode);
    assert_eq!(request.partial, Partial::Accept);
    let Payload::Plain(records) = &request.payload else {
        panic!("values are never encoded by the client");
    };
    // An array of four; the first record is `[0, 0, timestamp, []]`.
    assert_eq!(&records[..4], b"\x94\x94\x00\x00");
}

#[tokio::test]
async fn records_without_a_partition_have_their_own_fate_too() {
    let cluster = cluster().await;
    let here = Some(PartitionId::new(0));
    let routed = ProduceResponse::Routed(Routed {
        partitions: vec![here, None, here, here],
        offsets: vec![Some(Offset::new(70)), None, Some(Offset::new(71)), None],
        errors: Vec::new(),
        refused: vec![refused(1, "value")],
    });
    let seen = answer_produce(&cluster, routed);
    let stored = send_four(&cluster, None).await;
    assert_eq!(*stored[0].as_ref().unwrap(), Some(Offset::new(70)));
    assert_refused(&stored[1]);
    assert_eq!(*stored[2].as_ref().unwrap(), Some(Offset::new(71)));
    assert_eq!(seen.lock().unwrap().len(), 1, "nothing is sent again");
}

#[tokio::test]
async fn values_that_go_again_are_cut_out_of_their_batch() {
    let cluster = cluster().await;
    let here = Some(PartitionId::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    cluster.hook(move |request| match request.method {
        Method::Produce => {
            let request = ProduceRequest::decode(request.args).unwrap();
            noted.lock().unwrap().push(request.payload);
            let first = noted.lock().unwrap().len() == 1;
            let busy = broker_client::protocol::api::produce::RecordErrors {
                indexes: vec![1, 3],
                error: WireError::new(ErrorCode::Busy, "full"),
            };
            encoded(&ProduceResponse::Routed(Routed {
                partitions: vec![here; if first { 4 } else { 2 }],
                offsets: vec![Some(Offset::new(7)); if first { 4 } else { 2 }],
                errors: if first { vec![busy] } else { Vec::new() },
                refused: Vec::new(),
            }))
        }
        _ => Act::Normal,
    });
    let stored = send_four(&cluster, None).await;
    assert!(stored.iter().all(Result::is_ok), "{stored:?}");
    let seen = seen.lock().unwrap();
    let Payload::Plain(again) = &seen[1] else {
        panic!("values are never encoded by the client");
    };
    let records = broker_client::protocol::api::produce::split_records(again).unwrap();
    let keys: Vec<u8> = records.iter().map(|record| record[1]).collect();
    assert_eq!(keys, [1, 3]);
}

#[tokio::test]
async fn what_is_no_value_or_cannot_be_encoded_is_refused_before_it_is_sent() {
    let cluster = cluster().await;
    let client = cluster.client().await;
    let builder = || Producer::builder(&client).encode_values();
    let compressed = builder().compression(Codec::Zstd).build();
    assert!(matches!(compressed, Err(ClientError::Invalid(_))));

    let producer = builder().build().unwrap();
    let two = ProducerRecord::new("orders").value(Bytes::from_static(b"\x01\x01"));
    let error = producer.send(two).await.unwrap_err();
    assert!(error.to_string().contains("follow the value"), "{error}");
    assert_eq!(cluster.count(Method::Produce), 0);

    cluster.world().features.clear();
    let client = cluster.client().await;
    let producer = Producer::builder(&client).encode_values();
    let error = producer.build().unwrap().send(record(1)).await.unwrap_err();
    assert!(error.to_string().contains("\"serializers\""), "{error}");
    assert_eq!(
        cluster.count(Method::Produce),
        0,
        "it would be stored wrongly"
    );
}

#[tokio::test]
async fn a_consumer_that_decodes_gets_values_and_goes_on_behind_bad_ones() {
    let cluster = cluster().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    cluster.hook(move |request| match request.method {
        Method::Fetch => {
            let request = FetchRequest::decode(request.args).unwrap();
            let at = request.partitions[0].offset;
            noted.lock().unwrap().push(request);
            let mut writer = RecordsWriter::new();
            if at == Offset::ZERO {
                writer.push_encoded(|out| {
                    out.extend_from_slice(b"\x95\x00\x01\xC0\x81\xA1a\x05\x90")
                });
                let bad = b"\x96\x04\x01\xC0\xC4\x01{\x90\x81\xA5value\x81\xA6reason\xA1x";
                writer.push_encoded(|out| out.extend_from_slice(bad));
            }
            let end = Offset::new(9);
            encoded(&FetchResponse {
                partitions: vec![FetchedPartition {
                    topic: "orders".to_owned(),
                    high_watermark: end,
                    log_end: end,
                    next_offset: if at == Offset::ZERO {
                        Offset::new(5)
                    } else {
                        end
                    },
                    data: FetchedData::Records(FetchedRecords::new(writer.finish()).unwrap()),
                    ..FetchedPartition::default()
                }],
            })
        }
        _ => Act::Normal,
    });
    let client = cluster.client().await;
    let mut consumer = Consumer::builder(&client)
        .partition_from("orders", 0, StartAt::Offset(Offset::ZERO))
        .decode()
        .build()
        .await
        .unwrap();
    let first = consumer.next().await.unwrap().unwrap();
    assert_eq!(first.value.as_deref(), Some(&b"\x81\xA1a\x05"[..]));
    assert_eq!(first.undecoded, None);
    let second = consumer.next().await.unwrap().unwrap();
    assert_eq!(second.value.as_deref(), Some(&b"{"[..]));
    assert!(second.undecoded.unwrap().value.is_some());
    let request = seen.lock().unwrap()[0].clone();
    assert!(request.decode);
}
