//! From a topic's configuration to what the storage layer takes. Storage knows no configuration keys
//! and the cluster crate no storage; this is the one place where they meet.

use broker_cluster::FlushMode;
use broker_cluster::{MessageTimestampType, TopicConfig};
use broker_model::limits::BATCH_FRAMING_BYTES;
use broker_record::TimestampType;
use broker_storage::{LogConfig, TimeAndSize};

/// How the log of a topic's partitions behaves.
pub(crate) fn log_config(topic: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: topic.segment_bytes,
        roll_after: topic.roll_after,
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

/// The largest batch a topic takes, header and framing included.
pub(crate) fn batch_bytes_max(topic: &TopicConfig) -> u32 {
    topic.message_bytes_max.saturating_add(BATCH_FRAMING_BYTES)
}

/// Which sealed segments of a topic's partitions may go.
pub(crate) fn retention_policy(topic: &TopicConfig) -> TimeAndSize {
    let deletes = topic.cleanup_policy.delete;
    TimeAndSize {
        retention: topic.retention.filter(|_| deletes),
        bytes: topic.retention_bytes.filter(|_| deletes),
    }
}
