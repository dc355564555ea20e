//! `describe_topic`: everything about one topic.

use std::sync::Arc;

use broker_cluster::PartitionState;
use broker_model::PartitionId;
use broker_protocol::WireError;
use broker_protocol::api::describe_topic::{
    DescribeTopicRequest, DescribeTopicResponse, PartitionCount, PartitionDescription,
    PluginBinding, TopicFormat,
};

use super::{describe_configs, lookup, wire};
use crate::context::Context;
use crate::plugins::Plugins;
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
        plugins: bindings(&context, &hosted),
        bindings: Vec::new(),
        format: TopicFormat::default(),
        partitions,
    })
}

fn bindings(context: &Context, hosted: &HostedTopic) -> Vec<PluginBinding> {
    let config = &hosted.config;
    let binding = context
        .plugins
        .partitioner(&config.partitioner)
        .map(|plugin| PluginBinding {
            kind: plugin.kind().to_string(),
            name: plugin.name().to_owned(),
            version: plugin.version().to_owned(),
            digest: plugin.module().digest().to_owned(),
            options: Plugins::effective_options(plugin, config),
        });
    binding.into_iter().collect()
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
            described.segments = u32::try_from(summary.segments.len()).unwrap_or(u32::MAX);
        }
        Err(error) => {
            let error = wire::partition_error(hosted.name.as_str(), number, error);
            described.error = Some(error);
        }
    }
    described
}
