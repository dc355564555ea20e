//! `partition_for`: asks the topic's partitioner where keys go, without writing anything. For
//! clients that send per partition, such as idempotent producers.

use broker_model::{PartitionId, TopicId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `partition_for`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionForRequest {
    /// The topic.
    pub topic: String,
    /// Its id, if the client knows it.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// Keys, each a byte string or nil.
    #[serde(with = "wire")]
    pub keys: Vec<Option<Bytes>>,
}

/// Result of `partition_for`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartitionForResponse {
    /// One partition for each key, in order.
    #[serde(with = "wire")]
    pub partitions: Vec<PartitionId>,
}

plain_call!(PartitionFor, PartitionForRequest => PartitionForResponse);
