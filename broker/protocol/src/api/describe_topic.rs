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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Plugins it uses.
    #[serde(default)]
    pub plugins: Vec<PluginBinding>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Why it cannot be used at the moment; offsets are absent then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
}

plain_call!(DescribeTopic, DescribeTopicRequest => DescribeTopicResponse);
