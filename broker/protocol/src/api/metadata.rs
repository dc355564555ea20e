//! `metadata`: brokers, topics, partitions and their leaders, as any broker of the cluster sees them.
//! A topic that does not exist is an error of its entry, not of the request.

use broker_model::{BrokerId, LeaderEpoch, PartitionId, TopicId};
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;
use crate::wire_error::WireError;

/// Arguments of `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataRequest {
    /// Topics asked for; missing means all, empty means none (brokers only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<String>>,
}

/// Result of `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetadataResponse {
    /// The cluster's id.
    pub cluster_id: String,
    /// The active controller; absent while there is none.
    #[serde(with = "wire")]
    pub controller_id: Option<BrokerId>,
    /// Live brokers, by id.
    pub brokers: Vec<BrokerEndpoint>,
    /// Topics, by name; those asked for in the order asked, each once.
    pub topics: Vec<TopicMetadata>,
}

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerEndpoint {
    /// Its id.
    #[serde(with = "wire")]
    pub broker_id: BrokerId,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicMetadata {
    /// Its name.
    pub name: String,
    /// Its id; absent when `error` is set.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// Whether the broker keeps it for itself.
    #[serde(default)]
    pub internal: bool,
    /// Why there is nothing about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
    /// Its partitions, by number.
    #[serde(default)]
    pub partitions: Vec<PartitionMetadata>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMetadata {
    /// Its number, from 0.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// The broker that leads it; absent while there is none.
    #[serde(with = "wire", default)]
    pub leader: Option<BrokerId>,
    /// How often the leadership has changed.
    #[serde(with = "wire", default)]
    pub leader_epoch: LeaderEpoch,
    /// Brokers that hold it, the preferred leader first.
    #[serde(with = "wire", default)]
    pub replicas: Vec<BrokerId>,
    /// Replicas in sync, the leader included.
    #[serde(with = "wire", default)]
    pub isr: Vec<BrokerId>,
    /// Why it cannot be used at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
}

plain_call!(Metadata, MetadataRequest => MetadataResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Request;

    #[test]
    fn no_list_means_all_topics_and_an_empty_list_means_none() {
        let topics = |args: &'static [u8]| MetadataRequest::decode(&args.into()).unwrap().topics;
        assert_eq!(topics(b"\x80"), None);
        assert_eq!(topics(b"\x81\xA6topics\xC0"), None);
        assert_eq!(topics(b"\x81\xA6topics\x90"), Some(Vec::new()));
    }
}
