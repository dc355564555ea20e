//! `describe_topic`: everything about one topic: identity, history, configuration with sources,
//! plugins, and each partition's offsets and size.

use std::collections::BTreeMap;

use broker_model::{BrokerId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};
use serde::{Deserialize, Serialize};

use super::describe_configs::ConfigEntry;
use crate::call::plain_call;
use crate::wire;
use crate::wire_error::WireError;

/// Arguments of `describe_topic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeTopicRequest {
    /// Name of the topic.
    pub name: String,
}

/// Result of `describe_topic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DescribeTopicResponse {
    /// Name of the topic.
    pub name: String,
    /// Its id.
    #[serde(with = "wire")]
    pub topic_id: TopicId,
    /// Whether the broker keeps it for itself.
    #[serde(default)]
    pub internal: bool,
    /// Copies of each partition.
    #[serde(default)]
    pub replication_factor: u32,
    /// Partition counts it has had, oldest first.
    #[serde(default)]
    pub partition_counts: Vec<PartitionCount>,
    /// Effective configuration.
    #[serde(default)]
    pub config: Vec<ConfigEntry>,
    /// Plugins it uses now.
    #[serde(default)]
    pub plugins: Vec<PluginBinding>,
    /// What its plugin slots have run, oldest first, as far as it is kept.
    #[serde(default)]
    pub bindings: Vec<SlotBinding>,
    /// What keys and values look like.
    #[serde(default)]
    pub format: TopicFormat,
    /// Its partitions, by number.
    #[serde(default)]
    pub partitions: Vec<PartitionDescription>,
}

/// From when on the topic had how many partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartitionCount {
    /// The count.
    pub partitions: u32,
    /// Since when.
    #[serde(with = "wire")]
    pub since_ms: Timestamp,
}

/// What a slot of a topic runs, from a moment and from offsets on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlotBinding {
    /// The slot: `partitioner`, `key.serializer`, …
    pub slot: String,
    /// The plugin; absent when the slot was emptied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginBinding>,
    /// Since when.
    #[serde(with = "wire")]
    pub since_ms: Timestamp,
    /// The log end of each partition at that moment; one without an entry was empty.
    #[serde(with = "wire")]
    pub offsets: Vec<Offset>,
}

/// What keys and values of a topic look like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicFormat {
    /// The serializer of keys; absent when they are bytes to the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<FieldFormat>,
    /// The serializer of values; absent when they are bytes to the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<FieldFormat>,
}

/// The serializer of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldFormat {
    /// Its name.
    pub serializer: String,
    /// Its version.
    pub version: String,
}

/// A plugin in the service of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginBinding {
    /// What it does: `partitioner`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the module, hexadecimal.
    pub digest: String,
    /// Options it was started with.
    #[serde(with = "wire::config")]
    pub options: BTreeMap<String, String>,
}

/// One partition, as its leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartitionDescription {
    /// Its number, from 0.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// The broker that leads it; absent while there is none.
    #[serde(with = "wire")]
    pub leader: Option<BrokerId>,
    /// How often the leadership has changed.
    #[serde(with = "wire")]
    pub leader_epoch: LeaderEpoch,
    /// Brokers that hold it, the preferred leader first.
    #[serde(with = "wire")]
    pub replicas: Vec<BrokerId>,
    /// Replicas in sync, the leader included.
    #[serde(with = "wire")]
    pub isr: Vec<BrokerId>,
    /// First offset that can be read.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub log_start: Option<Offset>,
    /// Offset the next record will get.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub log_end: Option<Offset>,
    /// Records below it can be read.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub high_watermark: Option<Offset>,
    /// Bytes of its segments.
    pub size_bytes: u64,
    /// Number of its segments.
    pub segments: u32,
    /// How compaction stands; absent on topics that are not compacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleaning: Option<CleaningDescription>,
    /// What is known to be damaged, by offset; everything else is served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<DamageDescription>,
    /// Why it cannot be used at the moment; offsets are absent then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
}

/// A place in a partition's files that is damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DamageDescription {
    /// The file.
    pub file: String,
    /// Where in the file.
    pub position: u64,
    /// The first offset that is concerned.
    #[serde(with = "wire")]
    pub offset: Offset,
    /// Where reading can go on; absent when that is not known.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<Offset>,
    /// What is wrong.
    pub problem: String,
}

/// How the compaction of a partition stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CleaningDescription {
    /// First offset that no cleaning has covered.
    #[serde(with = "wire")]
    pub first_dirty: Offset,
    /// Bytes of sealed segments that a cleaning would cover for the first time.
    pub dirty_bytes: u64,
    /// Bytes of sealed segments that were covered.
    pub clean_bytes: u64,
    /// Dirty bytes by all of these bytes.
    pub dirty_ratio: f64,
    /// When the last cleaning ended.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub last_cleaned_ms: Option<Timestamp>,
    /// Cleanings since the broker started.
    pub cleanings: u64,
}

plain_call!(DescribeTopic, DescribeTopicRequest => DescribeTopicResponse);
