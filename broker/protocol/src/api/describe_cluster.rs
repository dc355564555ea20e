//! `describe_cluster`: the cluster as an operator wants to see it: versions, disks, counts, and what
//! is worth a warning. Clients that only look for leaders use `metadata`.

use broker_model::BrokerId;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `describe_cluster`: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeClusterRequest {}

/// Result of `describe_cluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeClusterResponse {
    /// The cluster's id.
    pub cluster_id: String,
    /// The active controller; absent while there is none.
    #[serde(with = "wire")]
    pub controller_id: Option<BrokerId>,
    /// Brokers, by id.
    pub brokers: Vec<BrokerDescription>,
    /// Number of topics, internal ones included.
    pub topics: u64,
    /// Number of partitions, internal ones included.
    pub partitions: u64,
    /// What an operator should know: directories, partitions, losses, plugins that are suspended or
    /// missing while topics need them.
    pub warnings: Vec<String>,
}

/// One broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerDescription {
    /// Its id.
    #[serde(with = "wire")]
    pub broker_id: BrokerId,
    /// Host name or address it is reached at.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Version of its software.
    pub version: String,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Partitions it holds.
    pub partitions: u64,
    /// Partitions it leads.
    pub leaders: u64,
    /// Connections it has open.
    pub connections: u64,
    /// Its log directories.
    pub log_dirs: Vec<LogDirDescription>,
}

/// One log directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogDirDescription {
    /// Where it is on that broker.
    pub path: String,
    /// `online`; `low_space` while it takes no records for want of room; `not_writable` while the broker lacks a
    /// permission in it; `failed` once a write or sync has failed.
    pub state: String,
    /// Why it failed, what may not be written, or that its file system can hold no more files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Size of its file system.
    pub total_bytes: u64,
    /// Free space of its file system.
    pub free_bytes: u64,
    /// Bytes in use in its file system, by whatever it is.
    pub used_bytes: u64,
    /// Below so many free bytes it takes no records; 0 for no such limit.
    pub min_free_bytes: u64,
    /// Partitions under `flush.mode = async` whose acknowledgements wait for syncs now, because these take
    /// longer than `flush.ms` allows.
    pub waiting_for_syncs: u64,
    /// How often that has begun since the broker started.
    pub sync_waits: u64,
}

plain_call!(DescribeCluster, DescribeClusterRequest => DescribeClusterResponse);
