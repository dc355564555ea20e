//! The consumer when nothing goes wrong: starts, ends, seeks, prefetch, new partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_client::model::{Offset, Timestamp};
use broker_client::protocol::Method;
use broker_client::{Client, ClientError, Codec, Consumer, ConsumerRecord, StartAt};
use futures::StreamExt;

use crate::fake::{FakeCluster, fill, partition};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn next(consumer: &mut Consumer) -> Result<ConsumerRecord, ClientError> {
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await;
    next.expect("no record came").expect("the stream ended")
}

pub(crate) async fn values(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(text(&next(consumer).await.unwrap()));
    }
    values
}

pub(crate) async fn rest(consumer: &mut Consumer) -> Vec<String> {
    let mut values = Vec::new();
    while let Some(record) = tokio::time::timeout(PATIENCE, consumer.next())
        .await
        .unwrap()
    {
        values.push(text(&record.unwrap()));
    }
    values
}

fn text(record: &ConsumerRecord) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn from(client: &Client, start: StartAt) -> Consumer {
    let builder = Consumer::builder(client).topic("orders").start(start);
    builder.stop_at_end().build().await.unwrap()
}

#[tokio::test]
async fn all_partitions_of_all_brokers_are_read_in_order() {
    let cluster = FakeCluster::start(3).await;
    cluster.topic("orders", 5);
    let client = cluster.client().await;
    for number in 0..5 {
        fill(&client, &cluster, ("orders", number), 0..200, Codec::None).await;
    }
    let mut consumer = from(&client, StartAt::Earliest).await;
    let mut seen: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    while let Some(record) = consumer.next().await {
        let record = record.unwrap();
        assert_eq!(text(&record), record.offset.to_string());
        let offsets = seen.entry(record.partition.get()).or_default();
        offsets.push(record.offset.get());
    }
    assert_eq!(seen.len(), 5);
    for offsets in seen.values() {
        assert_eq!(*offsets, (0..200).collect::<Vec<u64>>());
    }
    assert!(consumer.next().await.is_none(), "the end stays the end");
}

#[tokio::test]
async fn every_codec_is_unfolded() {
    for codec in Codec::ALL {
        let cluster = FakeCluster::start(1).await;
        cluster.topic("orders", 1);
        let client = cluster.client().await;
        fill(&client, &cluster, ("orders", 0), 0..300, codec).await;
        let mut consumer = from(&client, StartAt::Earliest).await;
        assert_eq!(rest(&mut consumer).await, numbers(0..300), "{codec}");
    }
}

#[tokio::test]
async fn a_start_within_a_batch_skips_what_is_before_it() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 0..100, Codec::None).await;
    assert_eq!(cluster.batches("orders", 0), 10, "ten records a batch");
    for start in [0, 1, 55, 99, 100] {
        let mut consumer = from(&client, StartAt::Offset(Offset::new(start as u64))).await;
        assert_eq!(rest(&mut consumer).await, numbers(start..100));
    }
    // `fill` gives record n the timestamp n.
    let at = StartAt::Timestamp(Timestamp::from_millis(20));
    let mut consumer = from(&client, at).await;
    assert_eq!(rest(&mut consumer).await, numbers(20..100));
    let late = StartAt::Timestamp(Timestamp::from_millis(1_000));
    assert!(rest(&mut from(&client, late).await).await.is_empty());
}

#[tokio::test]
async fn latest_sees_only_what_comes() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 0..10, Codec::None).await;
    let builder = Consumer::builder(&client).partition("orders", 0);
    let mut consumer = builder.start(StartAt::Latest).build().await.unwrap();
    assert_eq!(
        consumer.position(&partition("orders", 0)),
        Some(Offset::new(10))
    );
    fill(&client, &cluster, ("orders", 0), 10..15, Codec::None).await;
    assert_eq!(values(&mut consumer, 5).await, numbers(10..15));
}

#[tokio::test]
async fn the_end_is_the_one_seen_at_the_start() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 2);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 0..25, Codec::None).await;
    let mut consumer = from(&client, StartAt::Earliest).await;
    fill(&client, &cluster, ("orders", 0), 25..60, Codec::None).await;
    assert_eq!(rest(&mut consumer).await, numbers(0..25));
    assert_eq!(
        consumer.position(&partition("orders", 0)),
        Some(Offset::new(25))
    );
}

#[tokio::test]
async fn positions_follow_what_was_handed_out() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 0..30, Codec::None).await;
    let orders = partition("orders", 0);
    let builder = Consumer::builder(&client).topic("orders");
    let mut consumer = builder
        .start(StartAt::Offset(Offset::new(3)))
        .build()
        .await
        .unwrap();
    assert_eq!(consumer.position(&orders), Some(Offset::new(3)));
    for read in 1..=20 {
        next(&mut consumer).await.unwrap();
        assert_eq!(consumer.position(&orders), Some(Offset::new(3 + read)));
    }
    assert_eq!(consumer.high_watermark(&orders), Some(Offset::new(30)));
    assert_eq!(consumer.position(&partition("orders", 7)), None);
    assert_eq!(consumer.partitions(), [orders]);
}

#[tokio::test]
async fn a_seek_voids_what_was_fetched_ahead() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 0..100, Codec::None).await;
    let orders = partition("orders", 0);
    let mut consumer = Consumer::builder(&client)
        .topic("orders")
        .build()
        .await
        .unwrap();
    assert_eq!(values(&mut consumer, 5).await, numbers(0..5));
    for target in [50, 97, 0, 12] {
        consumer.seek(&orders, Offset::new(target as u64)).unwrap();
        assert_eq!(consumer.position(&orders), Some(Offset::new(target as u64)));
        assert_eq!(values(&mut consumer, 3).await, numbers(target..target + 3));
    }
    assert!(
        consumer
            .seek(&partition("orders", 1), Offset::ZERO)
            .is_err()
    );
}

#[tokio::test]
async fn a_seek_back_works_after_the_end() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 0..20, Codec::None).await;
    let mut consumer = from(&client, StartAt::Earliest).await;
    assert_eq!(rest(&mut consumer).await.len(), 20);
    consumer
        .seek(&partition("orders", 0), Offset::new(18))
        .unwrap();
    assert_eq!(rest(&mut consumer).await, numbers(18..20));
}

#[tokio::test]
async fn what_is_fetched_ahead_is_bounded() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 0..2_000, Codec::None).await;
    let builder = Consumer::builder(&client).topic("orders");
    let builder = builder.max_bytes(1_000).prefetch_bytes(3_000).stop_at_end();
    let mut consumer = builder.build().await.unwrap();
    next(&mut consumer).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let fetches = cluster.count(Method::Fetch);
    assert!(fetches <= 8, "{fetches} fetches while nobody reads");
    assert_eq!(rest(&mut consumer).await, numbers(1..2_000));
    assert!(cluster.count(Method::Fetch) > 20);
}

#[tokio::test]
async fn an_idle_partition_does_not_hold_up_a_busy_one() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 2);
    let client = cluster.client().await;
    let wait = Duration::from_secs(60);
    let builder = Consumer::builder(&client).topic("orders").max_wait(wait);
    let mut consumer = builder.build().await.unwrap();
    for round in 0..5 {
        // Both partitions are in a long poll by now, or only the idle one is.
        tokio::time::sleep(Duration::from_millis(20)).await;
        fill(
            &client,
            &cluster,
            ("orders", 1),
            round..round + 1,
            Codec::None,
        )
        .await;
        assert_eq!(values(&mut consumer, 1).await, numbers(round..round + 1));
    }
}

#[tokio::test]
async fn partitions_that_a_topic_grows_are_found_and_read_from_their_start() {
    let cluster = FakeCluster::start(2).await;
    cluster.topic("orders", 1);
    let mut options = cluster.options();
    options.metadata_max_age = Duration::from_millis(50);
    let client = Client::with_options(options).await.unwrap();
    let builder = Consumer::builder(&client)
        .topic("orders")
        .start(StartAt::Latest);
    let builder = builder.max_wait(Duration::from_millis(20));
    let mut consumer = builder.build().await.unwrap();
    cluster.grow("orders", 3);
    tokio::time::sleep(Duration::from_millis(80)).await;
    fill(&client, &cluster, ("orders", 2), 0..3, Codec::None).await;
    assert_eq!(values(&mut consumer, 3).await, numbers(0..3));
    assert_eq!(consumer.partitions().len(), 3);
}

#[tokio::test]
async fn several_topics_and_chosen_partitions_go_together() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 2);
    cluster.topic("users", 2);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 0..10, Codec::None).await;
    fill(&client, &cluster, ("users", 0), 0..10, Codec::None).await;
    fill(&client, &cluster, ("users", 1), 0..10, Codec::None).await;
    let start = StartAt::Offset(Offset::new(8));
    let builder = Consumer::builder(&client).topic("orders");
    let builder = builder.partition_from("users", 1, start).stop_at_end();
    let consumer = builder.build().await.unwrap();
    let records: Vec<_> = consumer.map(Result::unwrap).collect().await;
    let of = |topic: &str| {
        records
            .iter()
            .filter(|found| found.topic.as_str() == topic)
            .count()
    };
    assert_eq!((of("orders"), of("users")), (10, 2));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_name() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    let error = Consumer::builder(&client).build().await.unwrap_err();
    assert!(error.to_string().contains("topic"), "{error}");
    let error = Consumer::builder(&client)
        .topic("nowhere")
        .build()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    let builder = Consumer::builder(&client).partition("orders", 4);
    let error = builder.build().await.unwrap_err();
    assert!(error.to_string().contains("orders-4"), "{error}");
}

#[tokio::test]
async fn detached_records_say_the_same() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 0..1, Codec::None).await;
    let mut consumer = from(&client, StartAt::Earliest).await;
    let record = next(&mut consumer).await.unwrap();
    assert_eq!(record.headers[0].name, "number");
    assert_eq!(record.clone().detached(), record);
}
