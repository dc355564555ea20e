//! `Topic`: what the metadata knows about one topic, its partitions and the history of their number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker_model::limits::{BINDINGS_KEPT_BYTES_MAX, BINDINGS_KEPT_MAX};
use broker_model::{BrokerId, LeaderEpoch, PartitionId, Timestamp, TopicId, TopicName};

use crate::{Binding, PluginSlot};

/// A topic of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its identity; a topic created again under the same name has another.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its partitions; the position is the partition number. Shared with what the topic was before.
    pub partitions: Arc<Vec<PartitionState>>,
    /// How many partitions it has had since when, oldest first; the last is the present.
    pub partition_counts: Vec<PartitionCount>,
    /// Overrides of its configuration, in base units.
    pub config: BTreeMap<String, String>,
    /// The bindings that its plugin slots have had, oldest first: what they run now, and the newest of the others.
    pub bindings: Vec<Arc<Binding>>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A number of partitions and since when it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionCount {
    /// The number.
    pub count: u32,
    /// Since when.
    pub since: Timestamp,
}

/// Where a partition lives and who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The in-sync replicas, the leader included.
    pub isr: Vec<BrokerId>,
    /// The leader, if there is one.
    pub leader: Option<BrokerId>,
    /// How often the leadership has changed.
    pub leader_epoch: LeaderEpoch,
}

impl PartitionState {
    /// A partition that was just created: its first replica leads and all are in sync.
    pub(crate) fn created(replicas: Vec<BrokerId>) -> Self {
        Self {
            isr: replicas.clone(),
            leader: replicas.first().copied(),
            replicas,
            leader_epoch: LeaderEpoch::new(0),
        }
    }
}

impl Topic {
    /// How many partitions it has.
    pub fn partition_count(&self) -> u32 {
        // The number is bounded by `PARTITIONS_PER_TOPIC_MAX` when it is planned.
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    /// Replicas of each partition.
    pub fn replication_factor(&self) -> u32 {
        let first = self.partitions.first();
        first.map_or(0, |state| {
            u32::try_from(state.replicas.len()).unwrap_or(u32::MAX)
        })
    }

    /// One of its partitions.
    pub fn partition(&self, partition: PartitionId) -> Option<&PartitionState> {
        let position = usize::try_from(partition.get()).ok()?;
        self.partitions.get(position)
    }

    /// Its partitions with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (PartitionId, &PartitionState)> {
        (0..).map(PartitionId::new).zip(self.partitions.iter())
    }

    /// What a slot runs now; none for a slot that never held a plugin. The plugin is none when the
    /// slot was emptied.
    pub fn binding(&self, slot: PluginSlot) -> Option<&Binding> {
        let mut newest_first = self.bindings.iter().rev();
        newest_first
            .find(|binding| binding.slot == slot)
            .map(Arc::as_ref)
    }

    /// Has a slot run something else from now on. Of what slots ran before, the oldest is forgotten if it is too much.
    pub(crate) fn bind(&mut self, binding: Binding) {
        self.bindings.push(Arc::new(binding));
        let (mut present, mut count, mut bytes) = (BTreeSet::new(), 0, 0);
        let mut keeps = |binding: &Arc<Binding>| {
            count += 1;
            bytes += binding.bytes();
            let fits = count <= BINDINGS_KEPT_MAX && bytes <= BINDINGS_KEPT_BYTES_MAX;
            present.insert(binding.slot) || fits
        };
        let newest_first = self.bindings.iter().rev();
        let mut kept: Vec<_> = newest_first.filter(|one| keeps(one)).cloned().collect();
        kept.reverse();
        self.bindings = kept;
    }

    /// Whether its slot runs just this already.
    pub(crate) fn runs(&self, binding: &Binding) -> bool {
        let present = self.binding(binding.slot);
        present.is_some_and(|present| present.bound == binding.bound)
    }

    /// Whether a slot runs the plugin of this name, or comes from before bindings were kept.
    pub(crate) fn runs_or_never_said(&self, slot: PluginSlot, plugin: &str) -> bool {
        self.binding(slot)
            .is_none_or(|binding| binding.holds(plugin))
    }

    /// The partition counts alone, newest last, as a partitioner plugin gets them.
    pub fn counts(&self) -> Vec<u32> {
        self.partition_counts
            .iter()
            .map(|entry| entry.count)
            .collect()
    }
}
