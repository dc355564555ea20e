//! `MetadataCache`: what is known of brokers, topics and leaders, and how long it may be believed.
//! Pure: time comes in as an argument. A topic is forgotten when it is too old, when nobody has
//! used it for a while, and when a broker's answer shows that it is wrong.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use broker_model::{BrokerId, LeaderEpoch, PartitionId, TopicId, limits};
use broker_protocol::LeaderHint;
use broker_protocol::api::metadata::{MetadataResponse, TopicMetadata};

const PARTITIONS_MAX: usize = limits::PARTITIONS_PER_TOPIC_MAX as usize;

/// What the client knows of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// Its id; a topic that is deleted and created again gets another.
    pub topic_id: Option<TopicId>,
    /// Its partitions, by number from 0.
    pub partitions: Vec<PartitionView>,
}

/// Who leads a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionView {
    /// The broker, unless there is none at the moment.
    pub leader: Option<BrokerId>,
    /// How often that has changed.
    pub leader_epoch: LeaderEpoch,
}

impl TopicView {
    /// Who leads `partition`; `None` when the topic has no such partition.
    pub fn partition(&self, partition: PartitionId) -> Option<PartitionView> {
        let index = usize::try_from(partition.get()).ok()?;
        self.partitions.get(index).copied()
    }
}

#[derive(Debug)]
struct CachedTopic {
    view: Arc<TopicView>,
    fetched_at: Duration,
    used_at: Duration,
    /// Which refresh it came with.
    generation: u64,
    stale: bool,
}

#[derive(Debug)]
pub(crate) struct MetadataCache {
    max_age: Duration,
    max_idle: Duration,
    brokers: BTreeMap<BrokerId, Arc<str>>,
    controller: Option<BrokerId>,
    topics: HashMap<String, CachedTopic>,
    generation: u64,
}

impl MetadataCache {
    pub(crate) fn new(max_age: Duration, max_idle: Duration) -> Self {
        Self {
            max_age,
            max_idle,
            brokers: BTreeMap::new(),
            controller: None,
            topics: HashMap::new(),
            generation: 0,
        }
    }

    /// What is known of a topic, if that may still be believed.
    pub(crate) fn topic(&mut self, name: &str, now: Duration) -> Option<Arc<TopicView>> {
        let topic = self.topics.get_mut(name)?;
        let too_old = now.saturating_sub(topic.fetched_at) >= self.max_age;
        let idle = now.saturating_sub(topic.used_at) >= self.max_idle;
        topic.used_at = now;
        (!topic.stale && !too_old && !idle).then(|| topic.view.clone())
    }

    /// Which refresh the present knowledge of a topic came with; 0 when there is none.
    pub(crate) fn generation_of(&self, name: &str) -> u64 {
        self.topics.get(name).map_or(0, |topic| topic.generation)
    }

    /// A broker's answer did not fit what was known: the next use asks again.
    pub(crate) fn mark_stale(&mut self, name: &str) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.stale = true;
        }
    }

    /// A broker that refused to lead knows who does. Metadata that is older than that is not
    /// believed later.
    pub(crate) fn follow_hint(
        &mut self,
        topic: &str,
        partition: PartitionId,
        hint: (&LeaderHint, LeaderEpoch),
    ) {
        let (leader, epoch) = hint;
        let Some(cached) = self.topics.get_mut(topic) else {
            return;
        };
        let index = usize::try_from(partition.get()).unwrap_or(usize::MAX);
        let view = Arc::make_mut(&mut cached.view);
        let Some(known) = view.partitions.get_mut(index) else {
            return;
        };
        if epoch >= known.leader_epoch {
            known.leader = Some(leader.broker_id);
            known.leader_epoch = epoch;
            let address = address(&leader.host, leader.port);
            self.brokers.insert(leader.broker_id, address);
        }
    }

    /// Takes in an answer. Topics that it has errors for are forgotten.
    pub(crate) fn absorb(&mut self, response: &MetadataResponse, now: Duration) {
        self.generation += 1;
        self.controller = response.controller_id;
        // An empty list is an answer from a broker that knows nothing yet, not an order to forget.
        if !response.brokers.is_empty() {
            self.brokers = response
                .brokers
                .iter()
                .map(|broker| (broker.broker_id, address(&broker.host, broker.port)))
                .collect();
        }
        for topic in &response.topics {
            if topic.error.is_some() {
                self.topics.remove(&topic.name);
            } else {
                self.absorb_topic(topic, now);
            }
        }
    }

    fn absorb_topic(&mut self, topic: &TopicMetadata, now: Duration) {
        let mut view = TopicView::from(topic);
        let before = self.topics.get(&topic.name);
        let used_at = before.map_or(now, |before| before.used_at.max(now));
        if let Some(before) = before.filter(|before| before.view.topic_id == view.topic_id) {
            view.keep_newer_leaders(&before.view);
        }
        let cached = CachedTopic {
            view: Arc::new(view),
            fetched_at: now,
            used_at,
            generation: self.generation,
            stale: false,
        };
        self.topics.insert(topic.name.clone(), cached);
    }

    /// Where a broker listens.
    pub(crate) fn address_of(&self, broker: BrokerId) -> Option<Arc<str>> {
        self.brokers.get(&broker).cloned()
    }

    /// All known brokers.
    pub(crate) fn brokers(&self) -> impl Iterator<Item = (BrokerId, &Arc<str>)> {
        self.brokers.iter().map(|(id, address)| (*id, address))
    }

    /// The active controller, as last heard.
    pub(crate) fn controller(&self) -> Option<BrokerId> {
        self.controller
    }
}

impl TopicView {
    /// Leaders heard of with a later epoch win over those of a broker that is behind.
    fn keep_newer_leaders(&mut self, before: &Self) {
        for (now, before) in self.partitions.iter_mut().zip(&before.partitions) {
            if before.leader_epoch > now.leader_epoch {
                *now = *before;
            }
        }
    }
}

impl From<&TopicMetadata> for TopicView {
    fn from(topic: &TopicMetadata) -> Self {
        let mut listed: Vec<_> = topic.partitions.iter().collect();
        listed.sort_by_key(|partition| partition.partition);
        let mut partitions = Vec::with_capacity(listed.len());
        for found in listed {
            // Numbers are dense from 0; one that is missing has no leader anyone knows of.
            let index = usize::try_from(found.partition.get()).unwrap_or(usize::MAX);
            while partitions.len() < index.min(PARTITIONS_MAX) {
                partitions.push(PartitionView::default());
            }
            if partitions.len() == index {
                partitions.push(PartitionView {
                    leader: found.leader,
                    leader_epoch: found.leader_epoch,
                });
            }
        }
        Self {
            topic_id: topic.topic_id,
            partitions,
        }
    }
}

fn address(host: &str, port: u16) -> Arc<str> {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}").into()
    } else {
        format!("{host}:{port}").into()
    }
}

#[cfg(test)]
#[path = "metadata_cache_tests.rs"]
mod tests;
