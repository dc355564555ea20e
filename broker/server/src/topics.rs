//! `Topics`: what this broker hosts, as requests see it. Written by the broker actor alone, read by every
//! connection without a lock; a reader keeps the version it looked up.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use broker_cluster::{Topic, TopicConfig};
use broker_model::{PartitionId, TopicId, TopicName};

use crate::partition::PartitionHandle;
use crate::plugins::TopicPlugins;
use crate::policy_faults::PolicyFaults;
use crate::topic_settings::TopicSettings;

/// One topic of this broker.
#[derive(Clone)]
pub(crate) struct HostedTopic {
    pub(crate) name: TopicName,
    pub(crate) id: TopicId,
    /// As the metadata had it when the rest was taken from there.
    pub(crate) metadata: Arc<Topic>,
    pub(crate) config: Arc<TopicConfig>,
    pub(crate) plugins: Arc<TopicPlugins>,
    pub(crate) faults: Arc<PolicyFaults>,
    /// The partition counts the topic has had, newest last; never empty.
    pub(crate) partition_counts: Arc<[u32]>,
    /// By partition number.
    pub(crate) partitions: Arc<[HostedPartition]>,
    pub(crate) routed: Arc<RouteCounters>,
}

/// One partition of this broker: reachable, or out of service for a reason.
#[derive(Clone)]
pub(crate) enum HostedPartition {
    Online(PartitionHandle),
    Offline { reason: String, outlook: Outlook },
}

/// Whether a partition that is out of service comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It is tried again by itself.
    Passing,
    /// It takes an operator and a restart.
    Lasting,
}

impl HostedTopic {
    /// What its partitions go by.
    pub(crate) fn settings(&self) -> Arc<TopicSettings> {
        Arc::new(TopicSettings {
            id: self.id,
            name: self.name.clone(),
            config: self.config.clone(),
            plugins: self.plugins.clone(),
            faults: self.faults.clone(),
        })
    }

    /// The partition of that number, if the topic has one.
    pub(crate) fn partition(&self, partition: PartitionId) -> Option<&HostedPartition> {
        self.partitions.get(usize::try_from(partition.get()).ok()?)
    }
}

/// How much this broker has routed for a topic; what a round-robin partitioner goes by.
#[derive(Debug, Default)]
pub(crate) struct RouteCounters {
    records: AtomicU64,
    batches: AtomicU64,
}

impl RouteCounters {
    /// Counts a batch of `records` and answers how many records and batches came before it.
    pub(crate) fn next_batch(&self, records: u64) -> (u64, u64) {
        (
            self.records.fetch_add(records, Ordering::Relaxed),
            self.batches.fetch_add(1, Ordering::Relaxed),
        )
    }
}

type TopicMap = HashMap<TopicName, Arc<HostedTopic>>;

/// All topics of this broker.
#[derive(Default)]
pub(crate) struct Topics(ArcSwap<TopicMap>);

impl Topics {
    /// The topic of that name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<HostedTopic>> {
        self.0.load().get(name).cloned()
    }

    /// Every topic, in no order.
    pub(crate) fn all(&self) -> Guard<Arc<TopicMap>> {
        self.0.load()
    }

    /// Adds or replaces topics. Only the broker actor calls it.
    pub(crate) fn put(&self, topics: impl IntoIterator<Item = HostedTopic>) {
        let mut next = TopicMap::clone(&self.0.load());
        next.extend(
            topics
                .into_iter()
                .map(|topic| (topic.name.clone(), Arc::new(topic))),
        );
        self.0.store(Arc::new(next));
    }

    /// Takes a topic out. Only the broker actor calls it.
    pub(crate) fn remove(&self, name: &TopicName) -> Option<Arc<HostedTopic>> {
        let mut next = TopicMap::clone(&self.0.load());
        let removed = next.remove(name);
        self.0.store(Arc::new(next));
        removed
    }
}
