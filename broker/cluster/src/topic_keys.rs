//! The table of topic configuration keys. A topic key drops the `log.` that the broker's default
//! for it carries; each has one name per level. Defaults are in base units, as `describe` shows them.

use broker_model::limits;

use crate::config_key::{ConfigKey, Empty, NO_MAX, Unlimited, ValueKind};

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
    /// What every option of the partitioner starts with.
    pub const PARTITIONER_OPTION_PREFIX: &str = "partitioner.option.";
}

/// The partitioner of a topic that names none.
pub const DEFAULT_PARTITIONER: &str = "key-hash";

const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
/// Kafka's bound: a position within a segment fits 31 bits.
const SEGMENT_BYTES_MAX: u64 = (1 << 31) - 1;
/// A batch has to fit a frame together with the request around it.
const MESSAGE_BYTES_MAX: u64 = limits::FRAME_BYTES_MAX as u64 - 64 * 1024;

/// Every topic key but the partitioner's options, sorted by name.
pub const TOPIC_KEYS: &[TopicKey] = &[
    TopicKey {
        key: ConfigKey {
            name: names::BATCH_VALIDATION,
            kind: ValueKind::Choice {
                allowed: &["full", "trust"],
                unavailable: &[],
            },
            default: "full",
            documentation: "How far batches that arrive already encoded are checked. `full` walks \
                every record, `trust` believes what the producer says about the body.",
            consequence: "`trust` saves the walk, but a producer that lies about counts or \
                timestamps is found out only by readers.",
        },
        broker_name: "log.batch.validation",
    },
    TopicKey {
        key: ConfigKey {
            name: names::CLEANUP_POLICY,
            kind: ValueKind::Choice {
                allowed: &["delete"],
                unavailable: &["compact"],
            },
            default: "delete",
            documentation: "What happens to old segments. `delete` removes whole segments by age \
                and size.",
            consequence: "Under `delete` the newest record of a key goes as well once its segment \
                is old enough.",
        },
        broker_name: "log.cleanup.policy",
    },
    TopicKey {
        key: ConfigKey {
            name: names::FLUSH_MODE,
            kind: ValueKind::Choice {
                allowed: &["sync", "async"],
                unavailable: &[],
            },
            default: "sync",
            documentation: "Under `sync` an acknowledgement means that the record is on stable \
                storage; under `async` that it is in the page cache.",
            consequence: "`async` is faster and survives a killed process, but a power cut loses \
                up to flush.ms of acknowledged records.",
        },
        broker_name: "log.flush.mode",
    },
    TopicKey {
        key: ConfigKey {
            name: names::FLUSH_MS,
            kind: ValueKind::Duration {
                min: 1,
                max: YEAR_MS,
                unlimited: Unlimited::Refused,
            },
            default: "1000",
            documentation: "Longest time until written records are synced under flush.mode = \
                async. Without effect under sync.",
            consequence: "Shorter loses less in a power cut and syncs more often.",
        },
        broker_name: "log.flush.ms",
    },
    TopicKey {
        key: ConfigKey {
            name: names::INDEX_INTERVAL_BYTES,
            kind: ValueKind::Bytes {
                min: 1,
                max: SEGMENT_BYTES_MAX,
                unlimited: Unlimited::Refused,
            },
            default: "4096",
            documentation: "Bytes of log between two entries of the offset and time indexes.",
            consequence: "Smaller finds an offset with less reading and makes larger index files. \
                Applies to what is written from then on.",
        },
        broker_name: "log.index.interval.bytes",
    },
    TopicKey {
        key: ConfigKey {
            name: names::MESSAGE_MAX_BYTES,
            kind: ValueKind::Bytes {
                min: 1024,
                max: MESSAGE_BYTES_MAX,
                unlimited: Unlimited::Refused,
            },
            default: "1048576",
            documentation: "Largest batch a producer may send, as it is stored, after compression. Up to 1 KiB \
                of header and framing comes on top, so that one value of exactly so many bytes fits.",
            consequence: "A larger batch is refused and nothing of it is stored. Larger values \
                cost memory on brokers and consumers.",
        },
        broker_name: "message.max.bytes",
    },
    TopicKey {
        key: ConfigKey {
            name: names::MESSAGE_TIMESTAMP_TYPE,
            kind: ValueKind::Choice {
                allowed: &["CreateTime", "LogAppendTime"],
                unavailable: &[],
            },
            default: "CreateTime",
            documentation: "Whether records carry the producer's time or the broker's time of \
                appending.",
            consequence: "Retention and lookup by time follow the chosen one. Stored batches keep \
                what they have.",
        },
        broker_name: "log.message.timestamp.type",
    },
    TopicKey {
        key: ConfigKey {
            name: names::MIN_INSYNC_REPLICAS,
            kind: ValueKind::Number { min: 1, max: 1000 },
            default: "1",
            documentation: "In-sync replicas that a partition needs to take records with acks = \
                all; counted as at most the replicas the topic has.",
            consequence: "With fewer in sync, acks = all is refused with a retriable error \
                instead of accepted on too few disks.",
        },
        broker_name: "min.insync.replicas",
    },
    TopicKey {
        key: ConfigKey {
            name: names::PARTITIONER,
            kind: ValueKind::Text {
                empty: Empty::Refused,
            },
            default: DEFAULT_PARTITIONER,
            documentation: "Name of the partitioner plugin that decides where records without an \
                explicit partition go. Its options are partitioner.option.NAME.",
            consequence: "Another partitioner sends the same key elsewhere: order per key holds \
                only among records written under one partitioner.",
        },
        broker_name: "partitioner",
    },
    TopicKey {
        key: ConfigKey {
            name: names::RETENTION_BYTES,
            kind: ValueKind::Bytes {
                min: 0,
                max: NO_MAX,
                unlimited: Unlimited::Allowed,
            },
            default: "-1",
            documentation: "Size of a partition above which its oldest sealed segments are \
                deleted; -1 for no limit. Per partition, not per topic.",
            consequence: "Deletion is by whole segments, so a partition may hold up to one active \
                segment more. Lowering it deletes data at the next check.",
        },
        broker_name: "log.retention.bytes",
    },
    TopicKey {
        key: ConfigKey {
            name: names::RETENTION_MS,
            kind: ValueKind::Duration {
                min: 0,
                max: NO_MAX,
                unlimited: Unlimited::Allowed,
            },
            default: "604800000",
            documentation: "Age of a sealed segment's newest record above which the segment is \
                deleted; -1 for no limit.",
            consequence: "A young record keeps its whole segment. Lowering it deletes data at \
                the next check.",
        },
        broker_name: "log.retention.ms",
    },
    TopicKey {
        key: ConfigKey {
            name: names::ROLL_MS,
            kind: ValueKind::Duration {
                min: 1,
                max: NO_MAX,
                unlimited: Unlimited::Refused,
            },
            default: "604800000",
            documentation: "Age at which the active segment is sealed and a new one begun, even \
                when it is not full.",
            consequence: "Only sealed segments can be deleted, so shorter lets retention act \
                sooner and makes more files.",
        },
        broker_name: "log.roll.ms",
    },
    TopicKey {
        key: ConfigKey {
            name: names::SEGMENT_BYTES,
            kind: ValueKind::Bytes {
                min: 1024,
                max: SEGMENT_BYTES_MAX,
                unlimited: Unlimited::Refused,
            },
            default: "1073741824",
            documentation: "Size at which the active segment is sealed and a new one begun. A \
                single batch above it gets a segment of its own.",
            consequence: "Smaller lets retention act in finer steps and makes more open files.",
        },
        broker_name: "log.segment.bytes",
    },
];

/// What other systems or the other level call a key, and our name for it.
const ALIASES: &[(&str, &str)] = &[
    ("segment.ms", names::ROLL_MS),
    ("max.message.bytes", names::MESSAGE_MAX_BYTES),
    ("segment.size", names::SEGMENT_BYTES),
    ("flush.interval.ms", names::FLUSH_MS),
    ("partitioner.class", names::PARTITIONER),
    ("timestamp.type", names::MESSAGE_TIMESTAMP_TYPE),
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
