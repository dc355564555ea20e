//! The consumer when things go wrong: what it gets over by itself, and what it reports.

use std::time::Duration;

use broker_client::model::{BrokerId, Offset};
use broker_client::protocol::api::fetch::{FetchResponse, FetchedData, FetchedPartition};
use broker_client::protocol::{ErrorCode, ErrorData, Method, Response, WireError};
use broker_client::{ClientError, Codec, Consumer, ConsumerBuilder, ResetPolicy, StartAt};

use crate::consumer::{next, numbers, rest, values};
use crate::fake::{Act, FakeCluster, fill, partition};

/// One broker, one partition, a hundred records in batches of ten.
async fn hundred(brokers: u32) -> (FakeCluster, ConsumerBuilder) {
    let cluster = FakeCluster::start(brokers).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 0..100, Codec::None).await;
    let builder = Consumer::builder(&client).topic("orders").stop_at_end();
    // About one batch an answer.
    (cluster, builder.max_bytes(400))
}

fn fetch_hook(cluster: &FakeCluster, mut fetch: impl FnMut(usize) -> Act + Send + 'static) {
    cluster.hook(move |seen| match seen.method {
        Method::Fetch => fetch(seen.nth),
        _ => Act::Normal,
    });
}

#[tokio::test]
async fn lost_connections_busy_brokers_and_late_answers_never_show() {
    let (cluster, builder) = hundred(1).await;
    fetch_hook(&cluster, |nth| match nth % 5 {
        0 => Act::Lose,
        1 => Act::LoseAnswer,
        2 => Act::Refuse(WireError::new(ErrorCode::Busy, "full")),
        3 => Act::Slow(Duration::from_millis(5)),
        _ => Act::Normal,
    });
    let mut consumer = builder.build().await.unwrap();
    assert_eq!(rest(&mut consumer).await, numbers(0..100));
}

#[tokio::test]
async fn a_leader_that_moves_and_dies_never_shows() {
    let (mut cluster, builder) = hundred(3).await;
    let mut consumer = builder.prefetch_bytes(1).build().await.unwrap();
    assert_eq!(values(&mut consumer, 20).await, numbers(0..20));
    cluster.lead("orders", 0, 2);
    assert_eq!(values(&mut consumer, 40).await, numbers(20..60));
    cluster.kill(2);
    cluster.lead("orders", 0, 3);
    assert_eq!(rest(&mut consumer).await, numbers(60..100));
}

#[tokio::test]
async fn a_leaderless_partition_is_waited_for() {
    let (cluster, builder) = hundred(2).await;
    let mut consumer = builder.prefetch_bytes(1).build().await.unwrap();
    assert_eq!(values(&mut consumer, 10).await, numbers(0..10));
    // The old leader refuses, and metadata names a broker that is not there yet.
    cluster.lead("orders", 0, 2);
    let nobody = (partition("orders", 0), BrokerId::new(9));
    cluster.world().claimed_leaders.extend([nobody]);
    fetch_hook(&cluster, |_| {
        Act::Refuse(WireError::new(ErrorCode::LeaderNotAvailable, "soon"))
    });
    let waited = tokio::time::timeout(Duration::from_millis(150), values(&mut consumer, 90)).await;
    assert!(waited.is_err(), "there was nobody to ask");
    cluster.unhook();
    cluster.world().claimed_leaders.clear();
    let left = rest(&mut consumer).await;
    assert_eq!(left.last().unwrap(), "99");
}

#[tokio::test]
async fn a_position_below_the_log_goes_on_at_its_start_and_tells_how_much_was_missed() {
    let (cluster, builder) = hundred(1).await;
    cluster.start_log_at("orders", 0, 40);
    let builder = builder.start(StartAt::Offset(Offset::new(5)));
    let mut consumer = builder.clone().build().await.unwrap();
    assert_eq!(rest(&mut consumer).await, numbers(40..100));
    let resets = consumer.take_resets();
    assert_eq!(resets.len(), 1);
    assert_eq!((resets[0].asked.get(), resets[0].now.get()), (5, 40));
    assert_eq!(resets[0].skipped, 35);
    assert!(consumer.take_resets().is_empty());

    let latest = builder.clone().reset_policy(ResetPolicy::Latest);
    let mut consumer = latest.build().await.unwrap();
    assert!(rest(&mut consumer).await.is_empty());
    assert_eq!(consumer.take_resets()[0].skipped, 95);

    let mut consumer = builder
        .reset_policy(ResetPolicy::Fail)
        .build()
        .await
        .unwrap();
    let error = next(&mut consumer).await.unwrap_err();
    let ClientError::OffsetOutOfRange {
        asked,
        earliest,
        latest,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((asked.get(), earliest.get(), latest.get()), (5, 40, 100));
    consumer
        .seek(&partition("orders", 0), Offset::new(98))
        .unwrap();
    assert_eq!(rest(&mut consumer).await, numbers(98..100));
}

#[tokio::test]
async fn a_damaged_batch_is_reported_with_its_place_and_read_past() {
    let (cluster, builder) = hundred(1).await;
    let builder = builder.max_bytes(1 << 20);
    cluster.flip("orders", 0, 3, 90);
    let mut consumer = builder.build().await.unwrap();
    assert_eq!(values(&mut consumer, 30).await, numbers(0..30));
    let error = next(&mut consumer).await.unwrap_err();
    let ClientError::CorruptBatch {
        offset,
        next_offset,
        position,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((offset.get(), *next_offset), (30, Some(Offset::new(40))));
    assert!(position.is_some_and(|position| position > 0));
    assert!(error.to_string().contains("orders-0"), "{error}");
    assert_eq!(
        consumer.position(&partition("orders", 0)),
        Some(Offset::new(40))
    );
    assert_eq!(rest(&mut consumer).await, numbers(40..100));
}

#[tokio::test]
async fn a_damaged_header_is_read_past_as_far_as_the_broker_says() {
    let (cluster, builder) = hundred(1).await;
    cluster.flip("orders", 0, 3, 20);
    let mut consumer = builder.max_bytes(1 << 20).build().await.unwrap();
    assert_eq!(values(&mut consumer, 30).await, numbers(0..30));
    let error = next(&mut consumer).await.unwrap_err();
    let ClientError::CorruptBatch {
        offset,
        next_offset,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((offset.get(), *next_offset), (30, Some(Offset::new(100))));
    assert!(rest(&mut consumer).await.is_empty());
}

#[tokio::test]
async fn damage_that_the_broker_finds_is_passed_on_with_file_and_position() {
    for next_offset in [Some(50), None] {
        let (cluster, builder) = hundred(1).await;
        fetch_hook(&cluster, move |nth| {
            if nth > 0 {
                return Act::Normal;
            }
            let data = ErrorData {
                file: Some("orders-0/00.log".to_owned()),
                position: Some(4_711),
                offset: Some(Offset::new(0)),
                next_offset: next_offset.map(Offset::new),
                ..ErrorData::default()
            };
            let answer = FetchedPartition {
                topic: "orders".to_owned(),
                error: Some(WireError::new(ErrorCode::CorruptLog, "bad checksum").with_data(data)),
                data: FetchedData::Batch(bytes::Bytes::new()),
                ..FetchedPartition::default()
            };
            let mut encoded = Vec::new();
            FetchResponse {
                partitions: vec![answer],
            }
            .encode(&mut encoded);
            Act::Answer(encoded)
        });
        let mut consumer = builder.build().await.unwrap();
        let error = next(&mut consumer).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("orders-0/00.log") && text.contains("4711"),
            "{text}"
        );
        // Without a next offset the partition waits for a seek, and there is no other to go on.
        let expected = if next_offset.is_some() {
            numbers(50..100)
        } else {
            Vec::new()
        };
        assert_eq!(rest(&mut consumer).await, expected);
        consumer
            .seek(&partition("orders", 0), Offset::new(90))
            .unwrap();
        assert_eq!(rest(&mut consumer).await, numbers(90..100));
    }
}

#[tokio::test]
async fn a_topic_of_the_same_name_is_not_taken_for_the_old_one() {
    let (cluster, builder) = hundred(1).await;
    let mut consumer = builder.prefetch_bytes(1).build().await.unwrap();
    assert_eq!(values(&mut consumer, 10).await, numbers(0..10));
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    fill(&client, &cluster, ("orders", 0), 1_000..1_100, Codec::None).await;
    let error = loop {
        match next(&mut consumer).await {
            Ok(record) => assert!(record.value.unwrap().len() < 4, "foreign data"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some(ErrorCode::TopicIdMismatch));
    assert!(consumer.next().await.is_none());
}

#[tokio::test]
async fn a_topic_that_is_gone_is_reported_after_a_few_attempts() {
    let (cluster, builder) = hundred(1).await;
    let mut consumer = builder.prefetch_bytes(1).build().await.unwrap();
    assert_eq!(values(&mut consumer, 10).await, numbers(0..10));
    cluster.world().topics.clear();
    cluster.world().leaders.clear();
    let error = loop {
        if let Err(error) = next(&mut consumer).await {
            break error;
        }
    };
    assert_eq!(
        error.code(),
        Some(ErrorCode::UnknownTopicOrPartition),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_about_something_else_is_not_believed() {
    let (cluster, builder) = hundred(1).await;
    fetch_hook(&cluster, |nth| {
        if nth > 0 {
            return Act::Normal;
        }
        let mut encoded = Vec::new();
        FetchResponse::default().encode(&mut encoded);
        Act::Answer(encoded)
    });
    let mut consumer = builder.build().await.unwrap();
    let error = next(&mut consumer).await.unwrap_err();
    assert!(matches!(error, ClientError::Malformed { .. }), "{error}");
}
