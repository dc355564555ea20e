//! The table of topic configuration keys. A topic key drops the `log.` that the broker's default
//! for it carries; each has one name per level. Defaults are in base units, as `describe` shows them.

use crate::config_key::ConfigKey;

mod table;

pub use table::TOPIC_KEYS;

/// A key that a topic can override.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicKey {
    /// The key as a topic writes it.
    pub key: ConfigKey,
    /// The name of the broker key that holds the default of all topics.
    pub broker_name: &'static str,
}

/// Names of the keys, for whoever reads single values.
pub mod names {
    /// Size at which a segment is rolled.
    pub const SEGMENT_BYTES: &str = "segment.bytes";
    /// Age at which a segment is rolled.
    pub const ROLL_MS: &str = "roll.ms";
    /// Age at which a segment may be deleted.
    pub const RETENTION_MS: &str = "retention.ms";
    /// Size above which the oldest segments may be deleted.
    pub const RETENTION_BYTES: &str = "retention.bytes";
    /// What happens to old segments.
    pub const CLEANUP_POLICY: &str = "cleanup.policy";
    /// Largest batch.
    pub const MESSAGE_MAX_BYTES: &str = "message.max.bytes";
    /// Whose clock records carry.
    pub const MESSAGE_TIMESTAMP_TYPE: &str = "message.timestamp.type";
    /// Whether an acknowledgement means synced.
    pub const FLUSH_MODE: &str = "flush.mode";
    /// Longest time until a sync under `flush.mode = async`.
    pub const FLUSH_MS: &str = "flush.ms";
    /// Distance of the entries of the sparse indexes.
    pub const INDEX_INTERVAL_BYTES: &str = "index.interval.bytes";
    /// How far opaque batches are checked.
    pub const BATCH_VALIDATION: &str = "batch.validation";
    /// Replicas that must have a record before `acks = all` is answered.
    pub const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
    /// The partitioner plugin.
    pub const PARTITIONER: &str = "partitioner";
    /// The serializer of keys.
    pub const KEY_SERIALIZER: &str = "key.serializer";
    /// The serializer of values.
    pub const VALUE_SERIALIZER: &str = "value.serializer";
    /// The retention plugin.
    pub const RETENTION_POLICY: &str = "retention.policy";
    /// The compaction plugin.
    pub const COMPACTION_POLICY: &str = "compaction.policy";
    /// Where refused records go.
    pub const DEAD_LETTER_TOPIC: &str = "dead.letter.topic";
    /// Share of dirty bytes at which a cleaning begins.
    pub const MIN_CLEANABLE_DIRTY_RATIO: &str = "min.cleanable.dirty.ratio";
    /// Age below which a record is not compacted.
    pub const MIN_COMPACTION_LAG_MS: &str = "min.compaction.lag.ms";
    /// Age at which a record is compacted whatever the ratio.
    pub const MAX_COMPACTION_LAG_MS: &str = "max.compaction.lag.ms";
    /// How long tombstones stay after the cleaning that first covered them.
    pub const DELETE_RETENTION_MS: &str = "delete.retention.ms";
}

/// The partitioner of a topic that names none.
pub const DEFAULT_PARTITIONER: &str = "key-hash";
/// The retention policy of a topic that names none.
pub const DEFAULT_RETENTION_POLICY: &str = "time-and-size";
/// The compaction policy of a topic that names none.
pub const DEFAULT_COMPACTION_POLICY: &str = "latest-by-key";

/// What other systems or the other level call a key, and our name for it.
const ALIASES: &[(&str, &str)] = &[
    ("segment.ms", names::ROLL_MS),
    ("max.message.bytes", names::MESSAGE_MAX_BYTES),
    ("segment.size", names::SEGMENT_BYTES),
    ("flush.interval.ms", names::FLUSH_MS),
    ("partitioner.class", names::PARTITIONER),
    ("timestamp.type", names::MESSAGE_TIMESTAMP_TYPE),
    (
        "cleaner.min.cleanable.dirty.ratio",
        names::MIN_CLEANABLE_DIRTY_RATIO,
    ),
    ("min.cleanable.ratio", names::MIN_CLEANABLE_DIRTY_RATIO),
    ("tombstone.retention.ms", names::DELETE_RETENTION_MS),
    ("serializer", names::VALUE_SERIALIZER),
    ("key.deserializer", names::KEY_SERIALIZER),
    ("value.deserializer", names::VALUE_SERIALIZER),
    ("cleanup.plugin", names::COMPACTION_POLICY),
    ("dead.letter.queue", names::DEAD_LETTER_TOPIC),
];

/// The row of a topic key.
pub fn topic_key(name: &str) -> Option<&'static TopicKey> {
    TOPIC_KEYS.iter().find(|row| row.key.name == name)
}

/// Our name for a key that someone knows under another name.
pub(crate) fn alias(asked: &str) -> Option<&'static str> {
    let by_broker_name = TOPIC_KEYS
        .iter()
        .find(|row| row.broker_name == asked)
        .map(|row| row.key.name);
    let without_prefix = asked.strip_prefix("log.").unwrap_or(asked);
    by_broker_name.or_else(|| {
        ALIASES
            .iter()
            .find(|(theirs, _)| *theirs == without_prefix)
            .map(|(_, ours)| *ours)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed_and_already_in_base_units() {
        for row in TOPIC_KEYS {
            let normal = row.key.normalise(row.key.default);
            assert_eq!(normal.as_deref(), Ok(row.key.default), "{}", row.key.name);
        }
    }

    #[test]
    fn the_table_is_sorted_and_documented() {
        assert!(TOPIC_KEYS.is_sorted_by_key(|row| row.key.name));
        for row in TOPIC_KEYS {
            assert!(row.key.documentation.ends_with('.'), "{}", row.key.name);
            assert!(row.key.consequence.ends_with('.'), "{}", row.key.name);
        }
    }

    #[test]
    fn aliases_lead_to_keys_and_are_not_keys() {
        for (theirs, ours) in ALIASES {
            assert!(topic_key(theirs).is_none(), "{theirs}");
            assert!(topic_key(ours).is_some(), "{ours}");
        }
    }
}
