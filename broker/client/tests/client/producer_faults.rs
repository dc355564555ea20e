//! The producer when things go wrong: order over retries, what is sent again and what is not.

use std::time::Duration;

use broker_client::model::{BrokerId, Offset, PartitionId};
use broker_client::protocol::api::produce::{ProduceRequest, RecordErrors, Routed};
use broker_client::protocol::{ErrorCode, Method, Request, Response, WireError};
use broker_client::{ClientError, Codec, Producer, ProducerBuilder, ProducerRecord, Retries};
use futures::future::join_all;

use crate::fake::{Act, FakeCluster, all_stored, partition};

fn record(number: usize) -> ProducerRecord {
    ProducerRecord::new("orders")
        .partition(0)
        .value(number.to_string())
}

async fn builder(cluster: &FakeCluster) -> ProducerBuilder {
    cluster.topic("orders", 1);
    // One record a batch, so that there is something to get out of order.
    Producer::builder(&cluster.client().await).batch_records(1)
}

fn busy() -> Act {
    Act::Refuse(WireError::new(ErrorCode::Busy, "full"))
}

/// Hands produce requests to `produce`, numbered from 0, and leaves others alone.
fn produce_hook(cluster: &FakeCluster, mut produce: impl FnMut(usize) -> Act + Send + 'static) {
    cluster.hook(move |seen| match seen.method {
        Method::Produce => produce(seen.nth),
        _ => Act::Normal,
    });
}

#[tokio::test]
async fn order_is_kept_when_batches_are_refused() {
    for (in_flight, seed) in [(1, 3), (1, 7), (1, 11)] {
        let cluster = FakeCluster::start(1).await;
        produce_hook(&cluster, move |nth| match nth % seed {
            0 | 2 => busy(),
            _ => Act::Normal,
        });
        let builder = builder(&cluster).await.max_in_flight(in_flight);
        let producer = builder.build().unwrap();
        let sent = (0..60).map(|number| producer.send(record(number)));
        let sent: Vec<_> = sent.collect();
        for (number, stored) in join_all(sent).await.into_iter().enumerate() {
            let offset = stored.unwrap().offset.unwrap();
            assert_eq!(offset.get(), number as u64, "seed {seed}");
        }
    }
}

#[tokio::test]
async fn with_many_under_way_a_record_fails_rather_than_overtaking() {
    for seed in [3, 5, 7] {
        let cluster = FakeCluster::start(1).await;
        produce_hook(
            &cluster,
            move |nth| if nth % seed == 0 { busy() } else { Act::Normal },
        );
        let producer = builder(&cluster).await.max_in_flight(4).build().unwrap();
        let sent: Vec<_> = (0..60)
            .map(|number| producer.send(record(number)))
            .collect();
        let stored = join_all(sent).await;
        let in_log = cluster.values("orders", 0);
        let mut acknowledged = Vec::new();
        for (number, stored) in stored.into_iter().enumerate() {
            match stored {
                Ok(_) => acknowledged.push(number.to_string()),
                Err(error) => {
                    assert!(matches!(error, ClientError::WouldReorder { .. }), "{error}");
                    assert!(error.is_definite(), "it was refused: {error}");
                }
            }
        }
        assert_eq!(in_log, acknowledged, "seed {seed}");
        assert!(acknowledged.len() < 60, "the fault never struck");
    }
}

#[tokio::test]
async fn all_that_are_refused_together_go_again_in_order() {
    let cluster = FakeCluster::start(1).await;
    produce_hook(&cluster, |nth| if nth < 4 { busy() } else { Act::Normal });
    let producer = builder(&cluster).await.max_in_flight(4).build().unwrap();
    let sent: Vec<_> = (0..8).map(|number| producer.send(record(number))).collect();
    all_stored(sent).await;
    let expected: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    assert_eq!(cluster.values("orders", 0), expected);
}

#[tokio::test]
async fn a_lost_answer_is_sent_again_only_when_duplicates_are_accepted() {
    for retries in [Retries::AtLeastOnce, Retries::OnlyDefinite] {
        let cluster = FakeCluster::start(1).await;
        produce_hook(&cluster, |nth| {
            if nth == 1 {
                Act::LoseAnswer
            } else {
                Act::Normal
            }
        });
        let producer = builder(&cluster).await.retries(retries).build().unwrap();
        let sent: Vec<_> = (0..3).map(|number| producer.send(record(number))).collect();
        let stored = join_all(sent).await;
        if retries == Retries::AtLeastOnce {
            assert!(stored.iter().all(Result::is_ok));
            assert_eq!(cluster.values("orders", 0), ["0", "1", "1", "2"]);
        } else {
            let error = stored[1].as_ref().unwrap_err();
            assert!(
                matches!(error, ClientError::ConnectionLost { .. }),
                "{error}"
            );
            assert!(!error.is_definite());
            assert_eq!(cluster.values("orders", 0), ["0", "1", "2"]);
        }
    }
}

#[tokio::test]
async fn a_connection_that_keeps_breaking_loses_nothing() {
    let cluster = FakeCluster::start(1).await;
    produce_hook(&cluster, |nth| match nth % 4 {
        0 => Act::Lose,
        2 => Act::LoseAnswer,
        _ => Act::Normal,
    });
    let producer = builder(&cluster).await.max_in_flight(1).build().unwrap();
    let sent: Vec<_> = (0..40)
        .map(|number| producer.send(record(number)))
        .collect();
    all_stored(sent).await;
    let mut values = cluster.values("orders", 0);
    assert!(values.len() > 40, "no answer was lost");
    values.dedup();
    let expected: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    assert_eq!(values, expected);
}

#[tokio::test]
async fn a_moved_leader_costs_one_error_and_one_refresh() {
    let cluster = FakeCluster::start(2).await;
    let producer = builder(&cluster).await.build().unwrap();
    producer.send(record(0)).await.unwrap();
    let (produced, asked) = (
        cluster.count(Method::Produce),
        cluster.count(Method::Metadata),
    );
    cluster.lead("orders", 0, 2);
    producer.send(record(1)).await.unwrap();
    assert_eq!(
        cluster.count(Method::Produce),
        produced + 2,
        "one was refused"
    );
    assert_eq!(cluster.count(Method::Metadata), asked + 1);
    assert_eq!(cluster.values("orders", 0), ["0", "1"]);
}

#[tokio::test]
async fn a_hint_helps_where_metadata_is_behind() {
    let cluster = FakeCluster::start(2).await;
    let producer = builder(&cluster).await.build().unwrap();
    cluster.lead("orders", 0, 2);
    let claimed = (partition("orders", 0), BrokerId::new(1));
    cluster.world().claimed_leaders.extend([claimed]);
    producer.send(record(0)).await.unwrap();
    assert_eq!(cluster.values("orders", 0), ["0"]);
}

#[tokio::test]
async fn a_dead_leader_is_waited_for() {
    let mut cluster = FakeCluster::start(2).await;
    let builder = builder(&cluster).await;
    cluster.lead("orders", 0, 2);
    let producer = builder.build().unwrap();
    producer.send(record(0)).await.unwrap();
    cluster.kill(2);
    let waiting = producer.send(record(1));
    tokio::time::sleep(Duration::from_millis(100)).await;
    cluster.lead("orders", 0, 1);
    waiting.await.unwrap();
    assert_eq!(cluster.values("orders", 0), ["0", "1"]);
}

/// How often two records were tried that are always refused in this way.
async fn tries_within(timeout: Duration, code: ErrorCode, definite: bool) -> usize {
    let cluster = FakeCluster::start(1).await;
    produce_hook(&cluster, move |_| {
        Act::Refuse(WireError::new(code, "not now"))
    });
    let builder = builder(&cluster).await;
    let producer = builder.delivery_timeout(timeout).build().unwrap();
    let sent = [producer.send(record(0)), producer.send(record(1))];
    for failed in join_all(sent).await {
        let error = failed.unwrap_err();
        assert!(
            matches!(error, ClientError::DeliveryTimedOut { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("orders-0"), "{error}");
    }
    let error = producer.flush().await.unwrap_err();
    assert_eq!(error.is_definite(), definite, "{error}");
    assert!(cluster.values("orders", 0).is_empty());
    cluster.count(Method::Produce)
}

#[tokio::test]
async fn what_cannot_be_delivered_in_time_says_so_and_why() {
    for (code, definite) in [(ErrorCode::Busy, true), (ErrorCode::TimedOut, false)] {
        // On a machine that stands still for a while there may be no time for another attempt.
        let mut tries = 0;
        for timeout in [1_500, 5_000, 20_000].map(Duration::from_millis) {
            tries = tries_within(timeout, code, definite).await;
            if tries > 2 {
                break;
            }
        }
        assert!(tries > 2, "it was tried more than once");
    }
}

#[tokio::test]
async fn an_error_that_is_final_fails_its_batch_and_no_other() {
    let cluster = FakeCluster::start(1).await;
    produce_hook(&cluster, |nth| match nth {
        1 => Act::Refuse(WireError::new(ErrorCode::InvalidRecord, "bad")),
        _ => Act::Normal,
    });
    let producer = builder(&cluster).await.build().unwrap();
    let sent: Vec<_> = (0..3).map(|number| producer.send(record(number))).collect();
    let stored = join_all(sent).await;
    assert_eq!(
        stored[1].as_ref().unwrap_err().code(),
        Some(ErrorCode::InvalidRecord)
    );
    assert_eq!(cluster.values("orders", 0), ["0", "2"]);
    assert_eq!(
        cluster.count(Method::Produce),
        3,
        "what is final is not retried"
    );
    assert_eq!(
        producer.flush().await.unwrap_err().code(),
        Some(ErrorCode::InvalidRecord)
    );
    producer.flush().await.expect("a failure is told once");
}

#[tokio::test]
async fn of_routed_records_only_the_failed_ones_go_again() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 2);
    let client = cluster.client().await;
    let linger = Duration::from_millis(50);
    let producer = Producer::builder(&client).linger(linger).build().unwrap();
    produce_hook(&cluster, |nth| {
        if nth > 0 {
            return Act::Normal;
        }
        let answer = Routed {
            partitions: vec![Some(PartitionId::new(1)); 4],
            offsets: vec![Some(Offset::new(70)), None, None, Some(Offset::new(71))],
            errors: vec![
                RecordErrors {
                    indexes: vec![1],
                    error: WireError::new(ErrorCode::Busy, "full"),
                },
                RecordErrors {
                    indexes: vec![2],
                    error: WireError::new(ErrorCode::InvalidRecord, "bad"),
                },
            ],
            ..Routed::default()
        };
        let mut encoded = Vec::new();
        broker_client::protocol::api::produce::ProduceResponse::Routed(answer).encode(&mut encoded);
        Act::Answer(encoded)
    });
    let unrouted = |number: usize| ProducerRecord::new("orders").value(number.to_string());
    let sent: Vec<_> = (0..4)
        .map(|number| producer.send(unrouted(number)))
        .collect();
    let stored = join_all(sent).await;
    assert_eq!(stored[0].as_ref().unwrap().offset, Some(Offset::new(70)));
    assert_eq!(stored[3].as_ref().unwrap().offset, Some(Offset::new(71)));
    assert_eq!(
        stored[2].as_ref().unwrap_err().code(),
        Some(ErrorCode::InvalidRecord)
    );
    assert_eq!(stored[1].as_ref().unwrap().offset, Some(Offset::ZERO));
    assert_eq!(
        cluster.values("orders", 0),
        ["1"],
        "exactly the one that was busy"
    );
    assert_eq!(cluster.count(Method::Produce), 2);
}

#[tokio::test]
async fn compressed_records_wait_for_a_partitioner_that_is_not_ready() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 2);
    let client = cluster.client().await;
    let producer = Producer::builder(&client)
        .compression(Codec::Zstd)
        .build()
        .unwrap();
    cluster.hook(|seen| match (seen.method, seen.nth) {
        (Method::PartitionFor, 0) => {
            Act::Refuse(WireError::new(ErrorCode::PluginSuspended, "resting"))
        }
        (Method::PartitionFor, 1) => Act::Lose,
        (Method::Produce, 0) => busy(),
        _ => Act::Normal,
    });
    let unrouted = |number: usize| {
        let key = if number.is_multiple_of(2) { "a" } else { "b" };
        ProducerRecord::new("orders")
            .key(key)
            .value(number.to_string())
    };
    let sent: Vec<_> = (0..10)
        .map(|number| producer.send(unrouted(number)))
        .collect();
    all_stored(sent).await;
    assert_eq!(cluster.values("orders", 1), ["0", "2", "4", "6", "8"]);
    assert_eq!(cluster.values("orders", 0), ["1", "3", "5", "7", "9"]);

    cluster.hook(|seen| match seen.method {
        Method::PartitionFor => Act::Refuse(WireError::new(ErrorCode::PluginTrapped, "oops")),
        _ => Act::Normal,
    });
    let error = producer.send(unrouted(10)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::PluginTrapped));
}

#[tokio::test]
async fn the_broker_is_told_how_long_the_client_will_wait() {
    let cluster = FakeCluster::start(1).await;
    let (sender, mut seen_timeouts) = tokio::sync::mpsc::unbounded_channel();
    cluster.hook(move |seen| {
        if seen.method == Method::Produce {
            let request = ProduceRequest::decode(seen.args).unwrap();
            sender.send(request.timeout_ms).unwrap();
        }
        Act::Normal
    });
    let builder = builder(&cluster).await;
    let timeout = Duration::from_secs(20);
    let producer = builder.delivery_timeout(timeout).build().unwrap();
    producer.send(record(0)).await.unwrap();
    let told = seen_timeouts.recv().await.unwrap();
    assert!((1..=20_000).contains(&told), "{told}");
}
