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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Request;

    #[test]
    fn keys_are_byte_strings_of_either_kind_or_nil() {
        let args = b"\x82\xA5topic\xA1t\xA4keys\x94\xC4\x02k1\xA2k2\xC0\xA0";
        let request = PartitionForRequest::decode(&args[..].into()).unwrap();
        let keys: Vec<_> = request.keys.iter().map(|key| key.as_deref()).collect();
        assert_eq!(keys, [Some(&b"k1"[..]), Some(b"k2"), None, Some(b"")]);
    }

    #[test]
    fn a_key_of_another_kind_is_refused_by_its_index() {
        let args = b"\x82\xA5topic\xA1t\xA4keys\x92\xA1k\x07";
        let error = PartitionForRequest::decode(&args[..].into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`keys[1]`: expected binary or text, found an integer"
        );
    }
}
