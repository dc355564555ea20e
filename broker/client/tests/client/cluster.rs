//! The view of the cluster: bootstrap, metadata and its age, leaders, reconnecting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use broker_client::model::BrokerId;
use broker_client::protocol::api::list_offsets::OffsetAt;
use broker_client::protocol::{ErrorCode, Method};
use broker_client::{Client, ClientError, ClientOptions, Producer, ProducerRecord};
use futures::future::join_all;

use crate::fake::{FakeCluster, partition};

#[tokio::test]
async fn a_dead_first_address_is_passed_over() {
    let cluster = FakeCluster::start(1).await;
    let bootstrap = format!("127.0.0.1:1,{}", cluster.address(1));
    let client = Client::connect(&bootstrap).await.unwrap();
    assert_eq!(client.brokers().len(), 1);
}

#[tokio::test]
async fn with_no_broker_there_is_no_client_and_the_error_names_them_all() {
    let error = Client::connect("127.0.0.1:1,127.0.0.1:2")
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::NoBroker(_)));
    let text = error.to_string();
    assert!(
        text.contains("127.0.0.1:1") && text.contains("127.0.0.1:2"),
        "{text}"
    );
}

#[tokio::test]
async fn the_bootstrap_broker_may_die_once_the_others_are_known() {
    let mut cluster = FakeCluster::start(2).await;
    cluster.topic("orders", 1);
    cluster.lead("orders", 0, 2);
    let client = cluster.client().await;
    cluster.kill(1);
    let producer = Producer::builder(&client).build().unwrap();
    let record = ProducerRecord::new("orders").partition(0).value("x");
    assert_eq!(
        producer.send(record).await.unwrap().offset.unwrap().get(),
        0
    );
}

#[tokio::test]
async fn metadata_is_asked_for_once_and_again_when_it_is_too_old() {
    let cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 3);
    let mut options = cluster.options();
    options.metadata_max_age = Duration::from_secs(3);
    let client = Client::with_options(options).await.unwrap();
    let before = cluster.count(Method::Metadata);
    for _ in 0..10 {
        client.leader(&partition("orders", 2)).await.unwrap();
    }
    assert_eq!(cluster.count(Method::Metadata), before + 1);
    tokio::time::sleep(Duration::from_millis(3_050)).await;
    client.leader(&partition("orders", 2)).await.unwrap();
    assert_eq!(cluster.count(Method::Metadata), before + 2);
}

#[tokio::test]
async fn defaults_are_kafkas() {
    let options = ClientOptions::new("a").unwrap();
    assert_eq!(options.metadata_max_age.as_millis(), 300_000);
    assert_eq!(options.metadata_max_idle.as_millis(), 300_000);
}

#[tokio::test]
async fn concurrent_callers_share_one_refresh_and_one_connection() {
    let cluster = FakeCluster::start(2).await;
    cluster.topic("orders", 2);
    let client = cluster.client().await;
    let before = cluster.count(Method::Metadata);
    let wanted = partition("orders", 1);
    let leaders = join_all((0..50).map(|_| client.leader(&wanted))).await;
    for leader in leaders {
        assert_eq!(leader.unwrap().broker, BrokerId::new(2));
    }
    assert_eq!(cluster.count(Method::Metadata), before + 1);
    assert_eq!(cluster.connections(), 2, "one to each broker");
}

#[tokio::test]
async fn a_broker_that_comes_back_is_connected_to_again() {
    let mut cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let client = cluster.client().await;
    client.leader(&partition("orders", 0)).await.unwrap();
    cluster.kill(1);
    let gone = async {
        while client.leader(&partition("orders", 0)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .unwrap();
    cluster.restart(1).await;
    let (admin, wanted) = (client.admin(), partition("orders", 0));
    let latest = admin.list_offset(&wanted, OffsetAt::Latest).await;
    assert_eq!(latest.unwrap().offset.unwrap().get(), 0);
}

#[tokio::test]
async fn attempts_to_reach_a_dead_broker_are_spaced() {
    let mut cluster = FakeCluster::start(1).await;
    cluster.topic("orders", 1);
    let mut options = cluster.options();
    options.backoff.min = Duration::from_millis(100);
    options.backoff.max = Duration::from_millis(100);
    let client = Client::with_options(options).await.unwrap();
    client.leader(&partition("orders", 0)).await.unwrap();
    cluster.kill(1);
    let address = cluster.address(1);
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    tokio::spawn(async move {
        // Takes connections and says nothing that a broker would.
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let started = Instant::now();
    let mut failures = 0;
    let is_tried = || attempts.load(Ordering::SeqCst) > 0;
    while started.elapsed() < Duration::from_millis(450) || failures <= 10 || !is_tried() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "it is not tried"
        );
        failures += u32::from(client.broker(BrokerId::new(1)).await.is_err());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // In a pause callers are answered at once.
    let attempts = attempts.load(Ordering::SeqCst);
    let pauses = started.elapsed().as_millis() / 100;
    let attempts_max = usize::try_from(pauses).unwrap() + 1;
    assert!(
        attempts <= attempts_max,
        "{attempts} attempts in {pauses} pauses"
    );
}

#[tokio::test]
async fn an_unknown_topic_is_named_and_asked_for_no_more_than_needed() {
    let cluster = FakeCluster::start(1).await;
    let client = cluster.client().await;
    let error = client.topic("nowhere").await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert!(!error.is_retriable());
}
