//! Arguments of `fetch`. Defaults suit a consumer that follows: wait half a second for the first
//! byte, take as much as there is.

use broker_model::{Offset, PartitionId, TopicId, limits};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::FetchResponse;
use crate::call::{InvalidValue, Request, decode_arguments, encode_map};
use crate::method::Method;
use crate::wire;

/// Arguments of `fetch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// What to read, in this order until `max_bytes` is used up.
    pub partitions: Vec<FetchPartition>,
    /// How long to wait for `min_bytes`, in milliseconds. Default 500.
    #[serde(default = "max_wait_ms")]
    pub max_wait_ms: u32,
    /// Answer once this many bytes can be read. Default 1; 0 answers at once.
    #[serde(default = "min_bytes")]
    pub min_bytes: u32,
    /// Bytes of stored batches in the answer; the first batch is whole even above it. Default and
    /// maximum: what `hello` announces as `fetch_bytes_max`.
    #[serde(default = "max_bytes")]
    pub max_bytes: u32,
    /// How the records come back. Default records.
    #[serde(default)]
    pub form: FetchForm,
    /// Whether keys and values come back as MessagePack values, made by the topic's serializers; form
    /// records only. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decode: bool,
}

/// One partition to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchPartition {
    /// The topic.
    pub topic: String,
    /// Its id, if the client knows it; checked when given.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// The partition.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// First offset wanted.
    #[serde(with = "wire")]
    pub offset: Offset,
    /// Bytes of stored batches of this partition; missing means `max_bytes` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u32>,
}

/// How fetched records come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchForm {
    /// Decoded, each with its offset and timestamp, nothing before the offset asked for.
    #[default]
    Records,
    /// Stored batches, byte for byte; the first may start before the offset asked for.
    Batch,
}

fn max_wait_ms() -> u32 {
    500
}

fn min_bytes() -> u32 {
    1
}

fn max_bytes() -> u32 {
    limits::FETCH_BYTES_MAX
}

impl FetchRequest {
    /// A request with the default limits.
    pub fn new(partitions: Vec<FetchPartition>) -> Self {
        Self {
            partitions,
            max_wait_ms: max_wait_ms(),
            min_bytes: min_bytes(),
            max_bytes: max_bytes(),
            form: FetchForm::default(),
            decode: false,
        }
    }
}

impl Request for FetchRequest {
    const METHOD: Method = Method::Fetch;
    type Response = FetchResponse;

    fn encode(&self, out: &mut Vec<u8>) {
        encode_map(self, out);
    }

    fn decode(args: &Bytes) -> Result<Self, InvalidValue> {
        decode_arguments(args)
    }
}
