//! What a dry run found, one shape for each kind of plugin. Numbers are those of the topic as it was
//! while the run went over it; keys are cut, so that a report stays small whatever the records are.

use broker_model::{Offset, PartitionId, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::wire;

/// What a dry run found: the part of the plugin's kind, and no other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DryRunReport {
    /// Of a partitioner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitioner: Option<PartitionerReport>,
    /// Of a serializer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serializer: Option<SerializerReport>,
    /// Of a retention policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionReport>,
    /// Of a compaction policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compaction: Option<CompactionReport>,
}

/// Where a partitioner would have put the records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartitionerReport {
    /// Records looked at.
    pub records: u64,
    /// How many would be in another partition.
    pub moved: u64,
    /// How many of them are in each partition.
    pub before: Vec<u64>,
    /// How many would be in each partition.
    pub after: Vec<u64>,
    /// The keys with the most records.
    pub hottest: Vec<HotKey>,
}

/// A key with many records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HotKey {
    /// The key, cut after 256 bytes; absent for null.
    #[serde(with = "wire")]
    pub key: Option<Bytes>,
    /// How many records have it.
    pub records: u64,
    /// The partition of its newest record.
    #[serde(with = "wire")]
    pub before: PartitionId,
    /// The partition that record would go to.
    #[serde(with = "wire")]
    pub after: PartitionId,
}

/// Which records a serializer would have refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SerializerReport {
    /// Records looked at.
    pub records: u64,
    /// How many would be refused.
    pub refused: u64,
    /// Why, the most frequent first.
    pub reasons: Vec<RefusalReason>,
}

/// A reason for refusals, with the first record that was refused for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusalReason {
    /// The plugin's words.
    pub reason: String,
    /// How many records.
    pub records: u64,
    /// Partition of the first.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// Offset of the first.
    #[serde(with = "wire")]
    pub offset: Offset,
    /// Key of the first, cut after 256 bytes; absent for null.
    #[serde(with = "wire")]
    pub key: Option<Bytes>,
}

/// What a retention policy would delete now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetentionReport {
    /// Segments that would go.
    pub segments: u64,
    /// Offsets that they span.
    pub records: u64,
    /// Bytes that they hold.
    pub bytes: u64,
    /// Partitions of which something would go.
    pub partitions: Vec<RetentionPartition>,
}

/// What would go of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetentionPartition {
    /// Its number.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// Segments that would go.
    pub segments: u64,
    /// Offsets that they span.
    pub records: u64,
    /// Bytes that they hold.
    pub bytes: u64,
    /// The log start afterwards.
    #[serde(with = "wire")]
    pub new_start: Offset,
    /// Largest timestamp of the oldest segment that would go.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<Timestamp>,
    /// Largest timestamp of the newest segment that would go.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub newest_ms: Option<Timestamp>,
}

/// What a cleaning under a compaction policy would remove now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompactionReport {
    /// Records looked at.
    pub records: u64,
    /// How many would go.
    pub removed_records: u64,
    /// Bytes of the segments looked at.
    pub bytes_before: u64,
    /// Bytes of the segments that would take their place.
    pub bytes_after: u64,
    /// Tombstones among the records that would go.
    pub tombstones_removed: u64,
    /// Timestamp of the oldest record that would go.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<Timestamp>,
    /// Timestamp of the newest record that would go.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub newest_ms: Option<Timestamp>,
    /// Segments looked at.
    pub segments_before: u64,
    /// Segments that would take their place.
    pub segments_after: u64,
    /// Some of the records that would go.
    pub sample: Vec<SampleKey>,
    /// The same, partition by partition.
    pub partitions: Vec<CompactionPartition>,
}

/// A record that would go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SampleKey {
    /// Its partition.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// Its offset.
    #[serde(with = "wire")]
    pub offset: Offset,
    /// Its key, cut after 256 bytes; absent for null.
    #[serde(with = "wire")]
    pub key: Option<Bytes>,
}

/// What would go of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompactionPartition {
    /// Its number.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// Records looked at.
    pub records: u64,
    /// How many would go.
    pub removed_records: u64,
    /// Bytes of the segments looked at.
    pub bytes_before: u64,
    /// Bytes of the segments that would take their place.
    pub bytes_after: u64,
    /// Tombstones among the records that would go.
    pub tombstones_removed: u64,
    /// Segments looked at.
    pub segments_before: u64,
    /// Segments that would take their place.
    pub segments_after: u64,
    /// First offset that the cleaning would not reach.
    #[serde(with = "wire")]
    pub cleaned_to: Offset,
}
