//! The producer when nothing goes wrong: batches, lanes, codecs, bounds.

use std::sync::Arc;
use std::time::Duration;

use broker_client::model::{ManualClock, Offset, Timestamp};
use broker_client::protocol::{ErrorCode, Method};
use broker_client::{Acks, ClientError, Codec, Producer, ProducerRecord};
use futures::FutureExt;
use futures::future::join_all;

use crate::fake::{Act, FakeCluster, all_stored};

fn record(number: usize) -> ProducerRecord {
    ProducerRecord::new("orders")
        .key(format!("key-{}", number % 7))
        .value(number.to_string())
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn records_of_a_partition_get_rising_offsets_in_few_requests() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 2);
    let producer = Producer::builder(&cluster.client().await).build().unwrap();
    let sent = (0..10_000).map(|number| producer.send(record(number).partition(1)));
    for (number, stored) in join_all(sent).await.into_iter().enumerate() {
        let stored = stored.unwrap();
        assert_eq!(stored.partition.get(), 1);
        assert_eq!(stored.offset, Some(Offset::new(number as u64)));
    }
    assert_eq!(cluster.values("orders", 1), numbers(10_000));
    let requests = cluster.count(Method::Produce);
    assert!(requests <= 20, "{requests} requests for 10,000 records");
}

#[tokio::test]
async fn records_without_a_partition_are_routed_by_the_broker() {
    let cluster = FakeCluster::start(2).await;
    cluster.topic("orders", 3);
    let producer = Producer::builder(&cluster.client().await).build().unwrap();
    let sent = (0..1_000).map(|number| producer.send(record(number)));
    let stored = join_all(sent).await;
    let values: Vec<Vec<String>> = (0..3)
        .map(|number| cluster.values("orders", number))
        .collect();
    for (number, stored) in stored.into_iter().enumerate() {
        let stored = stored.unwrap();
        let partition = &values[stored.partition.get() as usize];
        let offset = usize::try_from(stored.offset.unwrap().get()).unwrap();
        assert_eq!(partition[offset], number.to_string());
    }
    assert_eq!(cluster.count(Method::PartitionFor), 0);
    assert!(cluster.count(Method::Produce) <= 5);
}

#[tokio::test]
async fn every_codec_goes_with_and_without_a_partition() {
    for codec in Codec::ALL {
        let cluster = FakeCluster::start(2).await;
        cluster.topic("orders", 3);
        let client = cluster.client().await;
        let producer = Producer::builder(&client)
            .compression(codec)
            .build()
            .unwrap();
        let chosen = (0..500).map(|number| producer.send(record(number).partition(0)));
        let chosen: Vec<_> = chosen.collect();
        all_stored(chosen).await;
        assert_eq!(cluster.values("orders", 0), numbers(500), "{codec}");

        cluster.topic("orders", 3);
        let routed = (0..500).map(|number| producer.send(record(number)));
        let routed = join_all(routed).await;
        let values: Vec<_> = (0..3)
            .map(|number| cluster.values("orders", number))
            .collect();
        for (number, stored) in routed.into_iter().enumerate() {
            let stored = stored.unwrap();
            let offset = usize::try_from(stored.offset.unwrap().get()).unwrap();
            let partition = &values[stored.partition.get() as usize];
            assert_eq!(partition[offset], number.to_string(), "{codec}");
        }
        let batches = cluster.world().topics["orders"].partitions[0].batches.len();
        assert!(batches <= 3, "{codec}: {batches} batches");
    }
}

#[tokio::test]
async fn headers_timestamps_and_nulls_arrive_as_they_were() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let clock = ManualClock::at(Timestamp::from_millis(42));
    let client = cluster.client().await;
    let producer = Producer::builder(&client)
        .clock(Arc::new(clock))
        .build()
        .unwrap();
    let record = || ProducerRecord::new("orders").partition(0);
    let unset = producer.send(record().header("a", "1").header("a", "2"));
    let set = producer.send(record().key("").timestamp(Timestamp::from_millis(7)));
    assert_eq!(unset.await.unwrap().timestamp.as_millis(), 42);
    assert_eq!(set.await.unwrap().timestamp.as_millis(), 7);

    let world = cluster.world();
    let batch = bytes::Bytes::from(
        world.topics["orders"].partitions[0].batches[0]
            .bytes
            .clone(),
    );
    let (batch, _) = broker_record::StoredBatch::parse(&batch).unwrap();
    let records = batch.records().unwrap();
    let records: Vec<_> = records.iter().map(Result::unwrap).collect();
    let headers: Vec<_> = records[0].headers().collect();
    assert_eq!(headers, [("a", Some(&b"1"[..])), ("a", Some(&b"2"[..]))]);
    assert_eq!((records[0].key, records[0].value), (None, None));
    assert_eq!(records[1].key, Some(&b""[..]));
}

#[tokio::test]
async fn lingering_joins_records_that_come_one_by_one() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    let linger = Duration::from_secs(5);
    let producer = Producer::builder(&client).linger(linger).build().unwrap();
    let mut sent = Vec::new();
    for number in 0..5 {
        sent.push(producer.send(record(number).partition(0)));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(cluster.count(Method::Produce), 0, "it did not wait");
    all_stored(sent).await;
    assert_eq!(cluster.count(Method::Produce), 1);

    // A flush does not linger, and neither does a full batch.
    drop(producer.enqueue(record(5).partition(0)).await.unwrap());
    let flushed = tokio::time::timeout(linger / 2, producer.flush()).await;
    flushed.expect("the flush lingered").unwrap();
    assert_eq!(cluster.values("orders", 0), numbers(6));
}

#[tokio::test]
async fn a_full_batch_is_sent_without_lingering() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    let linger = Duration::from_secs(60);
    let builder = Producer::builder(&client).linger(linger);
    let producer = builder.batch_records(10).build().unwrap();
    let sent = join_all((0..20).map(|number| producer.send(record(number).partition(0))));
    let sent = tokio::time::timeout(Duration::from_secs(20), sent).await;
    assert!(sent.expect("full batches linger").iter().all(Result::is_ok));
    assert_eq!(cluster.count(Method::Produce), 2);
}

#[tokio::test]
async fn a_full_buffer_makes_senders_wait_for_room() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let (held, gate) = tokio::sync::watch::channel(());
    cluster.hook(move |seen| match seen.method {
        Method::Produce => Act::Held(gate.clone()),
        _ => Act::Normal,
    });
    let client = cluster.client().await;
    let producer = Producer::builder(&client)
        .buffer_bytes(4_096)
        .build()
        .unwrap();
    let large = |number: usize| {
        let value = format!("{number:01000}");
        ProducerRecord::new("orders").partition(0).value(value)
    };
    for number in 0..4 {
        drop(producer.enqueue(large(number)).await.unwrap());
    }
    let fifth = producer.enqueue(large(4));
    tokio::pin!(fifth);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut fifth).await;
    assert!(early.is_err(), "there was no room for it");
    drop(held);
    drop(fifth.await.unwrap());
    producer.flush().await.unwrap();
    assert_eq!(cluster.values("orders", 0).len(), 5);

    let error = producer
        .enqueue(ProducerRecord::new("orders").value(vec![0; 5_000]))
        .await;
    assert!(matches!(
        error,
        Err(ClientError::RecordTooLarge { limit: 4_096, .. })
    ));
    let all_room_is_back = producer.enqueue(large(5)).await.is_ok();
    assert!(all_room_is_back);
}

#[tokio::test]
async fn without_acks_there_is_no_offset() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    let producer = Producer::builder(&client).acks(Acks::None).build().unwrap();
    let stored = producer.send(record(0).partition(0)).await.unwrap();
    assert_eq!((stored.partition.get(), stored.offset), (0, None));
    assert_eq!(cluster.values("orders", 0), ["0"]);
}

#[tokio::test]
async fn a_dropped_delivery_does_not_take_its_record_back() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let producer = Producer::builder(&cluster.client().await).build().unwrap();
    drop(producer.send(record(0).partition(0)));
    drop(producer.enqueue(record(1).partition(0)).await.unwrap());
    producer.close().await.unwrap();
    assert_eq!(cluster.values("orders", 0), numbers(2));
}

#[tokio::test]
async fn a_dropped_producer_still_sends_what_it_holds() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 2);
    let client = cluster.client().await;
    let codec = Codec::Lz4;
    let linger = Duration::from_secs(60);
    let builder = Producer::builder(&client).linger(linger).compression(codec);
    let producer = builder.build().unwrap();
    let deliveries: Vec<_> = (0..100)
        .map(|number| producer.send(record(number)))
        .collect();
    drop(producer);
    let stored = tokio::time::timeout(Duration::from_secs(20), join_all(deliveries)).await;
    assert!(stored.expect("nobody sent them").iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_closed_producer_takes_nothing_more() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let producer = Producer::builder(&cluster.client().await).build().unwrap();
    let other = producer.clone();
    drop(producer.send(record(0)));
    producer.close().await.unwrap();
    let error = other.send(record(1)).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed("producer")), "{error}");
    assert_eq!(cluster.values("orders", 0), numbers(1));
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_by_name() {
    let cluster = FakeCluster::start(1).await;
    let client = cluster.client().await;
    let producer = Producer::builder(&client).build().unwrap();
    let error = producer.send(ProducerRecord::new("a b")).await.unwrap_err();
    assert!(error.to_string().contains("\"a b\""), "{error}");
    for partition in [None, Some(0)] {
        let mut record = ProducerRecord::new("nowhere");
        record.partition = partition.map(broker_client::model::PartitionId::new);
        let error = producer.send(record).await.unwrap_err();
        assert_eq!(
            error.code(),
            Some(ErrorCode::UnknownTopicOrPartition),
            "{error}"
        );
        assert!(producer.flush().await.is_err(), "the flush tells as well");
    }
    cluster.topic("orders", 1);
    let error = producer.send(record(0).partition(9)).await.unwrap_err();
    assert!(error.to_string().contains("orders-9"), "{error}");
    assert!(Producer::builder(&client).batch_bytes(0).build().is_err());
}

#[test]
fn it_runs_on_many_threads() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(3).enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = FakeCluster::start(1).await;
        cluster.topic("orders", 4);
        let producer = Producer::builder(&cluster.client().await).build().unwrap();
        let tasks = (0..4).map(|partition| {
            let producer = producer.clone();
            tokio::spawn(async move {
                let sent =
                    (0..2_000).map(|number| producer.send(record(number).partition(partition)));
                let sent: Vec<_> = sent.collect();
                all_stored(sent).await;
            })
        });
        join_all(tasks)
            .await
            .into_iter()
            .for_each(|done| done.unwrap());
        for partition in 0..4 {
            assert_eq!(cluster.values("orders", partition), numbers(2_000));
        }
    });
}

#[tokio::test]
async fn a_flush_follows_records_from_lane_to_lane() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 2);
    cluster.hook(|seen| match seen.method {
        Method::Produce => Act::Slow(Duration::from_millis(100)),
        _ => Act::Normal,
    });
    let client = cluster.client().await;
    let builder = Producer::builder(&client).compression(Codec::Gzip);
    let producer = builder.linger(Duration::from_secs(60)).build().unwrap();
    let delivery = producer.enqueue(record(0)).await.unwrap();
    producer.flush().await.unwrap();
    let stored = delivery
        .now_or_never()
        .expect("the flush did not wait for the answer");
    assert_eq!(stored.unwrap().offset, Some(Offset::ZERO));
}

#[tokio::test]
async fn a_record_that_no_batch_can_carry_leaves_nothing_behind() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let producer = Producer::builder(&cluster.client().await).build().unwrap();
    let mut overloaded = record(0).partition(0);
    for _ in 0..10_001 {
        overloaded = overloaded.header("h", "");
    }
    let error = producer.enqueue(overloaded).await.unwrap_err();
    assert!(error.to_string().contains("10001"), "{error}");
    producer.flush().await.expect("nothing was handed over");
    producer.send(record(0).partition(0)).await.unwrap();
    assert_eq!(cluster.count(Method::Produce), 1);
}
