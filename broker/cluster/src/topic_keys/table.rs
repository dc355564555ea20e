//! The rows of the table of topic keys, sorted by name. One row per key: what its values look like,
//! its default in base units, what it does and what to expect from changing it.

use broker_model::limits;

use super::{
    DEFAULT_COMPACTION_POLICY, DEFAULT_PARTITIONER, DEFAULT_RETENTION_POLICY, TopicKey, names,
};
use crate::config_key::{ConfigKey, Empty, NO_MAX, Unlimited, ValueKind};

const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
/// Kafka's bound: a position within a segment fits 31 bits.
const SEGMENT_BYTES_MAX: u64 = (1 << 31) - 1;
/// A batch has to fit a frame together with the request around it.
const MESSAGE_BYTES_MAX: u64 = limits::FRAME_BYTES_MAX as u64 - 64 * 1024;

/// Every topic key but the options of plugins, sorted by name.
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
            kind: ValueKind::Words {
                allowed: &["compact", "delete"],
            },
            default: "delete",
            documentation: "What happens to old segments. `delete` lets whole segments go as \
                retention.policy says, `compact` lets single records go as compaction.policy \
                says, `compact,delete` does both.",
            consequence: "Under `delete` the newest record of a key goes as well once its segment is old \
                enough; under `compact` alone nothing goes by age or size.",
        },
        broker_name: "log.cleanup.policy",
    },
    TopicKey {
        key: ConfigKey {
            name: names::COMPACTION_POLICY,
            kind: ValueKind::Text {
                empty: Empty::Refused,
            },
            default: DEFAULT_COMPACTION_POLICY,
            documentation: "Name of the compaction plugin that decides which records a cleaning keeps when \
                cleanup.policy has `compact`. Its options are compaction.policy.option.NAME.",
            consequence: "Another policy decides from the next cleaning on; what earlier ones removed \
                does not come back.",
        },
        broker_name: "compaction.policy",
    },
    TopicKey {
        key: ConfigKey {
            name: names::DEAD_LETTER_TOPIC,
            kind: ValueKind::TopicName,
            default: "",
            documentation: "Topic to which records that a serializer refuses are written as they came, \
                with the reason in their headers. Nothing: they are only answered to the \
                producer.",
            consequence: "It has to exist and take the records; its own serializers do not see them. A \
                record that cannot be written there is still refused.",
        },
        broker_name: "dead.letter.topic",
    },
    TopicKey {
        key: ConfigKey {
            name: names::DELETE_RETENTION_MS,
            kind: ValueKind::Duration {
                min: 0,
                max: NO_MAX,
                unlimited: Unlimited::Refused,
            },
            default: "86400000",
            documentation: "How long a tombstone (a record with a key and no value) stays after the \
                cleaning that first covered it.",
            consequence: "A consumer that reads from the start has this long to reach the end and still \
                learn of every deletion.",
        },
        broker_name: "log.cleaner.delete.retention.ms",
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
            documentation: "Under flush.mode = async a written record is synced within this time: \
                a sync begins after three quarters of it, or sooner where syncs take long. While \
                one that was acknowledged is still not synced after this time, nothing more is \
                acknowledged. Without effect under sync.",
            consequence: "A power cut loses at most the records acknowledged within one span of \
                this length: the last before the cut as long as syncs take less than half of it; \
                on a slower disk acknowledgements wait for syncs, as under sync, until it keeps up \
                again. Shorter loses less and syncs more often.",
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
            name: names::KEY_SERIALIZER,
            kind: ValueKind::Text {
                empty: Empty::Allowed,
            },
            default: "",
            documentation: "Name of the serializer plugin for keys; nothing for none. It checks keys that \
                arrive as bytes and turns MessagePack values into bytes and back. Its options \
                are key.serializer.option.NAME.",
            consequence: "Records whose key it refuses are not stored. What is stored already is not \
                checked again.",
        },
        broker_name: "key.serializer",
    },
    TopicKey {
        key: ConfigKey {
            name: names::MAX_COMPACTION_LAG_MS,
            kind: ValueKind::Duration {
                min: 1,
                max: NO_MAX,
                unlimited: Unlimited::Allowed,
            },
            default: "-1",
            documentation: "Age at which a record that no cleaning has covered makes one due, whatever \
                min.cleanable.dirty.ratio says; -1 for no such age.",
            consequence: "Shorter bounds how long superseded records stay, for more reading and writing. \
                Records in the active segment wait until it is sealed.",
        },
        broker_name: "log.cleaner.max.compaction.lag.ms",
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
            name: names::MIN_CLEANABLE_DIRTY_RATIO,
            kind: ValueKind::Ratio,
            default: "0.5",
            documentation: "Share of a partition's sealed bytes that no cleaning has covered at which the \
                next cleaning begins.",
            consequence: "Lower keeps fewer superseded records and rewrites the log more often; 0 cleans \
                whenever there is something new.",
        },
        broker_name: "log.cleaner.min.cleanable.ratio",
    },
    TopicKey {
        key: ConfigKey {
            name: names::MIN_COMPACTION_LAG_MS,
            kind: ValueKind::Duration {
                min: 0,
                max: NO_MAX,
                unlimited: Unlimited::Refused,
            },
            default: "0",
            documentation: "Age below which a record is safe from compaction.",
            consequence: "A consumer that is never further behind than this sees every record.",
        },
        broker_name: "log.cleaner.min.compaction.lag.ms",
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
                deleted when cleanup.policy has `delete`; -1 for no limit.",
            consequence: "A young record keeps its whole segment. Lowering it deletes data at \
                the next check.",
        },
        broker_name: "log.retention.ms",
    },
    TopicKey {
        key: ConfigKey {
            name: names::RETENTION_POLICY,
            kind: ValueKind::Text {
                empty: Empty::Refused,
            },
            default: DEFAULT_RETENTION_POLICY,
            documentation: "Name of the retention plugin that decides how many of the oldest sealed \
                segments go when cleanup.policy has `delete`. Its options are \
                retention.policy.option.NAME; it is told retention.ms and retention.bytes.",
            consequence: "Another policy decides from the next check on. A policy that fails keeps \
                everything.",
        },
        broker_name: "retention.policy",
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
    TopicKey {
        key: ConfigKey {
            name: names::VALUE_SERIALIZER,
            kind: ValueKind::Text {
                empty: Empty::Allowed,
            },
            default: "",
            documentation: "Name of the serializer plugin for values; nothing for none. It checks values \
                that arrive as bytes and turns MessagePack values into bytes and back. Its \
                options are value.serializer.option.NAME.",
            consequence: "Records whose value it refuses are not stored. What is stored already is not \
                checked again.",
        },
        broker_name: "value.serializer",
    },
];
