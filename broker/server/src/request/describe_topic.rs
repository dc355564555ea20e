//! `describe_topic`: everything about one topic: configuration, partitions, what its plugin slots run and
//! ever ran, and how far it is compacted.

use std::sync::Arc;

use broker_cluster::{BoundPlugin, PartitionState, PluginSlot, Topic};
use broker_model::PartitionId;
use broker_protocol::WireError;
use broker_protocol::api::describe_topic::{
    CleaningDescription, DamageDescription, DescribeTopicRequest, DescribeTopicResponse,
    FieldFormat, PartitionCount, PartitionDescription, PluginBinding, SlotBinding, TopicFormat,
};
use broker_storage::Corruption;

use super::{describe_configs, lookup, wire};
use crate::context::Context;
use crate::partition::PartitionHandle;
use crate::plugins::bound_plugin;
use crate::topics::HostedTopic;

/// Describes a topic.
pub(super) async fn handle(
    context: Arc<Context>,
    request: DescribeTopicRequest,
) -> Result<DescribeTopicResponse, WireError> {
    let metadata = context.metadata.load_full();
    let topic = metadata
        .topic(&request.name)
        .ok_or_else(|| lookup::unknown_topic(&request.name))?;
    let hosted = lookup::topic(&context, &request.name, Some(topic.id))?;
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for (number, state) in topic.numbered() {
        partitions.push(describe_partition(&hosted, number, state).await);
    }
    let counts = topic.partition_counts.iter();
    Ok(DescribeTopicResponse {
        name: topic.name.to_string(),
        topic_id: topic.id,
        internal: topic.name.is_reserved(),
        replication_factor: topic.replication_factor(),
        partition_counts: counts
            .map(|entry| PartitionCount {
                partitions: entry.count,
                since_ms: entry.since,
            })
            .collect(),
        config: describe_configs::of_topic(&context, topic),
        plugins: running(&hosted),
        bindings: history(topic),
        format: format(&hosted),
        partitions,
    })
}

/// What the topic's slots run on this broker.
fn running(hosted: &HostedTopic) -> Vec<PluginBinding> {
    let bound = hosted
        .plugins
        .slots()
        .filter_map(|(_, slot)| slot.as_ref().ok());
    bound
        .map(|slot| {
            let plugin = bound_plugin(&slot.plugin, &slot.options);
            plugin_binding(&plugin)
        })
        .collect()
}

/// What they have run, as far as it is kept.
fn history(topic: &Topic) -> Vec<SlotBinding> {
    let bindings = topic.bindings.iter();
    bindings
        .map(|binding| SlotBinding {
            slot: binding.slot.to_string(),
            plugin: binding.bound.as_ref().map(plugin_binding),
            since_ms: binding.since,
            offsets: binding.offsets.clone(),
        })
        .collect()
}

fn plugin_binding(bound: &BoundPlugin) -> PluginBinding {
    PluginBinding {
        kind: bound.kind.clone(),
        name: bound.plugin.clone(),
        version: bound.version.clone(),
        digest: bound.digest.clone(),
        options: bound.options.clone(),
    }
}

fn format(hosted: &HostedTopic) -> TopicFormat {
    let of = |slot| {
        let bound = hosted.plugins.slot(slot).ok().flatten()?;
        Some(FieldFormat {
            serializer: bound.plugin.name().to_owned(),
            version: bound.plugin.version().to_owned(),
        })
    };
    TopicFormat {
        key: of(PluginSlot::KeySerializer),
        value: of(PluginSlot::ValueSerializer),
    }
}

/// How compaction stands, for a topic that is compacted.
async fn cleaning(hosted: &HostedTopic, handle: &PartitionHandle) -> Option<CleaningDescription> {
    if !hosted.config.cleanup_policy.compact {
        return None;
    }
    let state = handle.cleaning_state().await.ok()?;
    Some(CleaningDescription {
        first_dirty: state.first_dirty,
        dirty_bytes: state.dirty_bytes,
        clean_bytes: state.clean_bytes,
        dirty_ratio: state.ratio,
        last_cleaned_ms: state.last_cleaned,
        cleanings: state.cleanings,
    })
}

fn damage(known: &Corruption) -> DamageDescription {
    DamageDescription {
        file: known.file.display().to_string(),
        position: known.position,
        offset: known.offset,
        next_offset: known.next_good,
        problem: known.damage.to_string(),
    }
}

async fn describe_partition(
    hosted: &HostedTopic,
    number: PartitionId,
    state: &PartitionState,
) -> PartitionDescription {
    let mut described = PartitionDescription {
        partition: number,
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        replicas: state.replicas.clone(),
        isr: state.isr.clone(),
        ..PartitionDescription::default()
    };
    let handle = match lookup::partition(hosted, number) {
        Ok(handle) => handle,
        Err(error) => {
            described.error = Some(error);
            return described;
        }
    };
    match handle.summarize().await {
        Ok(summary) => {
            let offsets = handle.offsets();
            described.log_start = Some(offsets.start);
            described.log_end = Some(offsets.end);
            described.high_watermark = Some(offsets.high_watermark);
            described.size_bytes = summary.size_bytes;
            described.cleaning = cleaning(hosted, handle).await;
            described.damage = summary.damage.iter().map(damage).collect();
            described.segments = u32::try_from(summary.segments.len()).unwrap_or(u32::MAX);
        }
        Err(error) => {
            let error = wire::partition_error(hosted.name.as_str(), number, error);
            described.error = Some(error);
        }
    }
    described
}
