//! The partitioner instances of one arbiter: one long-lived instance for each topic that is routed here,
//! made again when the topic's configuration changes. Their number is bounded; the one that was used
//! longest ago goes first.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use broker_cluster::TopicConfig;
use broker_model::limits::PARTITIONERS_PER_ARBITER_MAX;
use broker_model::{PartitionId, TopicId};
use broker_wasm::{Columns as Needs, Layout, Partitioner};

use super::columns::Columns;
use super::{Plugins, RoutingError, options};
use crate::topics::HostedTopic;

thread_local! {
    static ARBITER: RefCell<Partitioners> = RefCell::default();
}

#[derive(Default)]
struct Partitioners {
    bound: HashMap<TopicId, Bound>,
    columns: Columns,
    uses: u64,
}

/// A partitioner bound to a topic under one configuration.
struct Bound {
    config: Arc<TopicConfig>,
    partitioner: Partitioner,
    last_use: u64,
}

/// Asks the topic's partitioner where `records` records go; `gather` fills the columns it needs.
pub(super) fn assign(
    plugins: &Plugins,
    topic: &HostedTopic,
    records: u32,
    gather: impl FnOnce(Needs, &mut Columns),
) -> Result<Vec<PartitionId>, RoutingError> {
    ARBITER.with_borrow_mut(|arbiter| {
        arbiter.bind(plugins, topic)?;
        let Partitioners { bound, columns, .. } = arbiter;
        let bound = bound.get_mut(&topic.id).expect("it was just bound");
        let needs = bound.partitioner.needs();
        columns.clear();
        gather(needs, columns);
        let (sequence, batches) = topic.routed.next_batch(u64::from(records));
        let layout = Layout {
            partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
            counts: &topic.partition_counts,
            sequence,
            batches,
        };
        let assigned = bound
            .partitioner
            .assign(&columns.batch(records, needs), &layout)?;
        Ok(assigned.into_iter().map(PartitionId::new).collect())
    })
}

impl Partitioners {
    fn bind(&mut self, plugins: &Plugins, topic: &HostedTopic) -> Result<(), RoutingError> {
        self.uses += 1;
        if let Some(bound) = self.bound.get_mut(&topic.id)
            && Arc::ptr_eq(&bound.config, &topic.config)
        {
            bound.last_use = self.uses;
            return Ok(());
        }
        let plugin = plugins.partitioner(&topic.config.partitioner)?;
        let options = options(&topic.config);
        let partitioner = Partitioner::new(&plugins.engine, plugin, topic.name.as_str(), &options)?;
        let config = topic.config.clone();
        self.bound.insert(
            topic.id,
            Bound {
                config,
                partitioner,
                last_use: self.uses,
            },
        );
        if self.bound.len() > PARTITIONERS_PER_ARBITER_MAX {
            self.evict();
        }
        Ok(())
    }

    fn evict(&mut self) {
        let oldest = self.bound.iter().min_by_key(|(_, bound)| bound.last_use);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.bound.remove(&id);
        }
    }
}
