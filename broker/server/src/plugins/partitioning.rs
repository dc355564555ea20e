//! Routing: one call of the topic's partitioner for all records of a request.

use broker_cluster::PluginSlot;
use broker_model::PartitionId;
use broker_record::RoutableRecords;
use broker_wasm::{Columns as Needs, Layout, Partitioner};
use bytes::Bytes;

use super::columns::Columns;
use super::{Plugins, SlotError, instances};
use crate::topics::HostedTopic;

impl Plugins {
    /// Where each record goes; one call of the plugin.
    pub(crate) fn partition_records(
        &self,
        topic: &HostedTopic,
        records: &RoutableRecords,
    ) -> Result<Vec<PartitionId>, SlotError> {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        self.assign(topic, count, |needs, columns| {
            Columns::gather_records(columns, needs, records);
        })
    }

    /// Where records with these keys go; one call of the plugin.
    pub(crate) fn partition_keys(
        &self,
        topic: &HostedTopic,
        keys: &[Option<Bytes>],
    ) -> Result<Vec<PartitionId>, SlotError> {
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        self.assign(topic, count, |needs, columns| {
            Columns::gather_keys(columns, needs, keys);
        })
    }

    fn assign(
        &self,
        topic: &HostedTopic,
        records: u32,
        gather: impl FnOnce(Needs, &mut Columns),
    ) -> Result<Vec<PartitionId>, SlotError> {
        let slot = topic.plugins.required(PluginSlot::Partitioner)?;
        instances::with(|instances| {
            let partitioner = instances.partitioners.get(topic.id, slot, || {
                let name = topic.name.as_str();
                Partitioner::new(&self.engine, &slot.plugin, name, &slot.options)
            })?;
            let needs = partitioner.needs();
            let columns = &mut instances.columns;
            columns.clear();
            gather(needs, columns);
            let (sequence, batches) = topic.routed.next_batch(u64::from(records));
            let layout = Layout {
                partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
                counts: &topic.partition_counts,
                sequence,
                batches,
            };
            let assigned = partitioner.assign(&columns.batch(records, needs), &layout)?;
            Ok(assigned.into_iter().map(PartitionId::new).collect())
        })
    }
}
