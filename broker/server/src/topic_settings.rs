//! `TopicSettings`: what a topic's partitions go by, and from there to what the storage layer takes. Storage
//! knows no configuration keys and the cluster crate no storage; this is the one place where they meet.

use std::sync::Arc;
use std::time::Duration;

use broker_cluster::FlushMode;
use broker_cluster::{MessageTimestampType, TopicConfig};
use broker_model::limits::BATCH_FRAMING_BYTES;
use broker_model::{TopicId, TopicName};
use broker_record::TimestampType;
use broker_storage::{CompactionSettings, LogConfig};

use crate::partition::PartitionError;
use crate::plugins::TopicPlugins;
use crate::policy_faults::PolicyFaults;

/// A topic as its partitions know it. Replaced as a whole when the configuration or a binding changes.
#[derive(Debug)]
pub(crate) struct TopicSettings {
    pub(crate) id: TopicId,
    pub(crate) name: TopicName,
    pub(crate) config: Arc<TopicConfig>,
    pub(crate) plugins: Arc<TopicPlugins>,
    pub(crate) faults: Arc<PolicyFaults>,
}

/// How the log of a topic's partitions behaves.
pub(crate) fn log_config(topic: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: topic.segment_bytes,
        roll_after: roll_after(topic),
        index_interval_bytes: topic.index_interval_bytes,
        flush: match topic.flush_mode {
            FlushMode::Sync => broker_storage::FlushMode::Sync,
            FlushMode::Async => broker_storage::FlushMode::Async {
                every: topic.flush_every,
            },
        },
        timestamp_type: match topic.message_timestamp_type {
            MessageTimestampType::CreateTime => TimestampType::CreateTime,
            MessageTimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        batch_bytes_max: batch_bytes_max(topic),
        ..LogConfig::default()
    }
}

/// A record waits for compaction until its segment is sealed, so a bound on that wait bounds the roll too.
pub(crate) fn roll_after(topic: &TopicConfig) -> Duration {
    let bound = topic
        .max_compaction_lag
        .filter(|_| topic.cleanup_policy.compact);
    bound.map_or(topic.roll_after, |lag| topic.roll_after.min(lag))
}

/// The largest batch a topic takes, header and framing included.
pub(crate) fn batch_bytes_max(topic: &TopicConfig) -> u32 {
    topic.message_bytes_max.saturating_add(BATCH_FRAMING_BYTES)
}

/// Whether a topic takes a batch of so many bytes, with its header.
pub(crate) fn check_batch_size(topic: &TopicConfig, size: usize) -> Result<(), PartitionError> {
    if u32::try_from(size).is_ok_and(|size| size <= batch_bytes_max(topic)) {
        return Ok(());
    }
    Err(PartitionError::BatchTooLarge {
        size,
        max: topic.message_bytes_max,
    })
}

/// When a topic's partitions are compacted.
pub(crate) fn compaction_settings(topic: &TopicSettings) -> CompactionSettings {
    let config = &topic.config;
    CompactionSettings {
        min_dirty_ratio: config.min_cleanable_dirty_ratio,
        min_lag: config.min_compaction_lag,
        max_lag: config.max_compaction_lag,
        delete_retention: config.delete_retention,
        policy_since: Some(topic.plugins.policy_since()),
    }
}
