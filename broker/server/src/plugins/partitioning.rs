//! Routing: one call of the topic's partitioner for all records of a request, and of all plugins' calls the one that
//! most requests wait for. A batch without keys need not be taken apart for it if the partitioner knows where such a
//! batch goes as a whole.

use broker_cluster::PluginSlot;
use broker_model::PartitionId;
use broker_record::RoutableRecords;
use broker_wasm::{Columns as Needs, Layout, Partitioner};
use bytes::Bytes;

use super::columns::Columns;
use super::{Plugins, SlotError, instances};
use crate::topics::HostedTopic;

/// What a partitioner may go by besides the records: how much was routed for the topic before them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    records: u32,
    sequence: u64,
    batches: u64,
}

impl Turn {
    /// That of the next batch, which has so many records.
    pub(crate) fn next(topic: &HostedTopic, records: u32) -> Self {
        let (sequence, batches) = topic.routed.next_batch(u64::from(records));
        Self {
            records,
            sequence,
            batches,
        }
    }

    fn layout(self, topic: &HostedTopic) -> Layout<'_> {
        Layout {
            partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
            counts: &topic.partition_counts,
            sequence: self.sequence,
            batches: self.batches,
        }
    }
}

impl Plugins {
    /// Whether the topic's partitioner may know where a batch without keys goes as a whole.
    pub(crate) fn knows_keyless(&self, topic: &HostedTopic) -> Result<bool, SlotError> {
        self.with_partitioner(topic, |partitioner, _| Ok(partitioner.knows_keyless()))
    }

    /// Where that is, if it does know; one call of the plugin.
    pub(crate) fn partition_keyless(
        &self,
        topic: &HostedTopic,
        turn: Turn,
    ) -> Result<Option<PartitionId>, SlotError> {
        self.with_partitioner(topic, |partitioner, _| {
            let partition = partitioner.keyless(turn.records, &turn.layout(topic))?;
            Ok(partition.map(PartitionId::new))
        })
    }

    /// Where each record goes; one call of the plugin.
    pub(crate) fn partition_records(
        &self,
        topic: &HostedTopic,
        records: &RoutableRecords,
        turn: Option<Turn>,
    ) -> Result<Vec<PartitionId>, SlotError> {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let turn = turn.unwrap_or_else(|| Turn::next(topic, count));
        self.assign(topic, turn, |needs, columns| {
            Columns::gather_records(columns, needs, records);
        })
    }

    /// Where records with these keys go, asked as on produce; one call of the plugin.
    pub(crate) fn partition_keys(
        &self,
        topic: &HostedTopic,
        keys: &[Option<Bytes>],
    ) -> Result<Vec<PartitionId>, SlotError> {
        let turn = Turn::next(topic, u32::try_from(keys.len()).unwrap_or(u32::MAX));
        let is_keyless = !keys.is_empty() && keys.iter().all(Option::is_none);
        if is_keyless && let Some(partition) = self.partition_keyless(topic, turn)? {
            return Ok(vec![partition; keys.len()]);
        }
        self.assign(topic, turn, |needs, columns| {
            Columns::gather_keys(columns, needs, keys);
        })
    }

    fn assign(
        &self,
        topic: &HostedTopic,
        turn: Turn,
        gather: impl FnOnce(Needs, &mut Columns),
    ) -> Result<Vec<PartitionId>, SlotError> {
        self.with_partitioner(topic, |partitioner, columns| {
            let needs = partitioner.needs();
            columns.clear();
            gather(needs, columns);
            let batch = columns.batch(turn.records, needs);
            let assigned = partitioner.assign(&batch, &turn.layout(topic))?;
            Ok(assigned.into_iter().map(PartitionId::new).collect())
        })
    }

    /// Works with the partitioner that serves the topic on this thread, and with its columns.
    fn with_partitioner<R>(
        &self,
        topic: &HostedTopic,
        work: impl FnOnce(&mut Partitioner, &mut Columns) -> Result<R, SlotError>,
    ) -> Result<R, SlotError> {
        let slot = topic.plugins.required(PluginSlot::Partitioner)?;
        instances::with(|instances| {
            let partitioner = instances.partitioners.get(topic.id, slot, || {
                let name = topic.name.as_str();
                Partitioner::new(&self.engine, &slot.plugin, name, &slot.options)
            })?;
            slot.pace.of(|| work(partitioner, &mut instances.columns))
        })
    }
}
