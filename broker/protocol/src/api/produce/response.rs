//! Result of `produce`: for a chosen partition one base offset; for routed records one partition
//! and offset each.

use broker_model::{Offset, PartitionId, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::{InvalidValue, Response, decode_map, encode_map};
use crate::refused_record::RefusedRecord;
use crate::wire;
use crate::wire_error::WireError;

/// Result of `produce`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProduceResponse {
    /// The request named a partition.
    Appended(Appended),
    /// The partitioner chose.
    Routed(Routed),
}

/// Where the records of a request with a partition went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// The partition.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// Offset of the first record that was appended, the others follow without gaps; absent with acks
    /// none and when there is none.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub base_offset: Option<Offset>,
    /// How many records were appended; those that were refused are not counted.
    #[serde(default)]
    pub record_count: u32,
    /// Timestamp all of them got, if the topic has `message.timestamp.type = LogAppendTime`.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub log_append_time_ms: Option<Timestamp>,
    /// First offset of the partition that can be read; absent with acks none.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub log_start: Option<Offset>,
    /// Records that a serializer refused, by index. The others have the offsets from `base_offset` on,
    /// in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedRecord>,
}

/// Where the records of a request without a partition went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Routed {
    /// One partition for each record, in order; nil where the record was refused.
    #[serde(with = "wire")]
    pub partitions: Vec<Option<PartitionId>>,
    /// One offset for each record, in order; nil with acks none, where an error is listed, and where
    /// the record was refused.
    #[serde(with = "wire")]
    pub offsets: Vec<Option<Offset>>,
    /// Records that were not appended, or perhaps not: one entry for each reason.
    pub errors: Vec<RecordErrors>,
    /// Records that a serializer refused, by index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedRecord>,
}

/// Records that share one fate. Grouped, because a partition that refuses its part of a large request
/// refuses many records for one reason; spelt out for each they would not fit a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordErrors {
    /// Indexes of the records in the request, from 0, rising.
    pub indexes: Vec<u32>,
    /// Why.
    pub error: WireError,
}

/// Which of the two it is shows in the key.
#[derive(Deserialize)]
struct Tag {
    #[serde(with = "wire", default)]
    partition: Option<PartitionId>,
}

impl Response for ProduceResponse {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Appended(appended) => encode_map(appended, out),
            Self::Routed(routed) => encode_map(routed, out),
        }
    }

    fn decode(result: &Bytes) -> Result<Self, InvalidValue> {
        let tag: Tag = decode_map(result)?;
        if tag.partition.is_some() {
            return decode_map(result).map(Self::Appended);
        }
        decode_map(result).map(Self::Routed)
    }
}
