//! When the cache is believed, and when it is not.

use broker_protocol::api::metadata::{BrokerEndpoint, PartitionMetadata};
use broker_protocol::{ErrorCode, WireError};

use super::*;

const AGE: Duration = Duration::from_secs(300);
const IDLE: Duration = Duration::from_secs(200);

fn answer(leader: u32, epoch: u32) -> MetadataResponse {
    MetadataResponse {
        controller_id: Some(BrokerId::new(1)),
        brokers: (1..=2)
            .map(|id| BrokerEndpoint {
                broker_id: BrokerId::new(id),
                host: format!("b{id}"),
                port: 7420,
            })
            .collect(),
        topics: vec![TopicMetadata {
            name: "orders".to_owned(),
            topic_id: Some(TopicId::from_bytes([7; 16])),
            internal: false,
            error: None,
            partitions: vec![PartitionMetadata {
                partition: PartitionId::new(0),
                leader: Some(BrokerId::new(leader)),
                leader_epoch: LeaderEpoch::new(epoch),
                replicas: Vec::new(),
                isr: Vec::new(),
                error: None,
            }],
        }],
        ..MetadataResponse::default()
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn leader(cache: &mut MetadataCache, now: u64) -> Option<u32> {
    let view = cache.topic("orders", secs(now))?;
    Some(view.partition(PartitionId::new(0))?.leader?.get())
}

#[test]
fn a_topic_is_believed_until_it_is_too_old() {
    let mut cache = MetadataCache::new(AGE, IDLE);
    assert_eq!(leader(&mut cache, 0), None);
    cache.absorb(&answer(2, 1), secs(10));
    for now in [10, 150, 309] {
        assert_eq!(leader(&mut cache, now), Some(2));
    }
    assert_eq!(leader(&mut cache, 310), None);
}

#[test]
fn a_topic_nobody_uses_is_forgotten() {
    let mut cache = MetadataCache::new(AGE, IDLE);
    cache.absorb(&answer(2, 1), secs(0));
    assert_eq!(leader(&mut cache, 199), Some(2));
    let mut cache = MetadataCache::new(AGE, IDLE);
    cache.absorb(&answer(2, 1), secs(0));
    assert_eq!(leader(&mut cache, 200), None);
}

#[test]
fn a_stale_topic_is_asked_for_again() {
    let mut cache = MetadataCache::new(AGE, IDLE);
    cache.absorb(&answer(2, 1), secs(0));
    let seen = cache.generation_of("orders");
    cache.mark_stale("orders");
    assert_eq!(leader(&mut cache, 1), None);
    cache.absorb(&answer(1, 2), secs(2));
    assert!(cache.generation_of("orders") > seen);
    assert_eq!(leader(&mut cache, 3), Some(1));
}

#[test]
fn a_hint_wins_over_metadata_that_is_behind() {
    let mut cache = MetadataCache::new(AGE, IDLE);
    cache.absorb(&answer(1, 4), secs(0));
    let hint = LeaderHint {
        broker_id: BrokerId::new(3),
        host: "::1".to_owned(),
        port: 9,
    };
    cache.follow_hint("orders", PartitionId::new(0), (&hint, LeaderEpoch::new(3)));
    assert_eq!(leader(&mut cache, 1), Some(1), "an older epoch is no news");
    cache.follow_hint("orders", PartitionId::new(0), (&hint, LeaderEpoch::new(5)));
    assert_eq!(leader(&mut cache, 1), Some(3));
    assert_eq!(
        cache.address_of(BrokerId::new(3)).as_deref(),
        Some("[::1]:9")
    );

    cache.absorb(&answer(1, 4), secs(2));
    assert_eq!(leader(&mut cache, 3), Some(3), "the answer was behind");
    cache.absorb(&answer(2, 6), secs(4));
    assert_eq!(leader(&mut cache, 5), Some(2));
}

#[test]
fn a_topic_that_is_gone_is_forgotten() {
    let mut cache = MetadataCache::new(AGE, IDLE);
    cache.absorb(&answer(1, 0), secs(0));
    let mut gone = answer(1, 0);
    gone.topics[0].error = Some(WireError::new(ErrorCode::UnknownTopicOrPartition, "gone"));
    gone.brokers.clear();
    cache.absorb(&gone, secs(1));
    assert_eq!(leader(&mut cache, 1), None);
    assert_eq!(
        cache.brokers().count(),
        2,
        "an empty list is no order to forget"
    );
}
