//! Result of `produce`: for a chosen partition one base offset; for routed records one partition
//! and offset each.

use broker_model::{Offset, PartitionId, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::{InvalidValue, Response, decode_map, encode_map};
use crate::refused_record::RefusedRecord;
use crate::wire;
use crate::wire_error::WireError;
use crate::writer::{MapWriter, write_array_len};

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
            // Spelt out, since it has two numbers for each record.
            Self::Routed(routed) if routed.errors.is_empty() && routed.refused.is_empty() => {
                let mut map = MapWriter::new(out);
                let partitions = routed.partitions.iter();
                let partitions = partitions.map(|id| id.map(|id| u64::from(id.get())));
                map.optional_unsigned("partitions", partitions);
                let offsets = routed.offsets.iter();
                map.optional_unsigned("offsets", offsets.map(|offset| offset.map(Offset::get)));
                map.key("errors");
                write_array_len(0, map.raw());
                map.finish();
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routed_records_are_written_as_the_other_results_are() {
        for len in [0, 1, 15, 16, 70_000] {
            let number = |index: u64| (index % 7 != 3).then_some(index.pow(3));
            let routed = Routed {
                partitions: (0..len)
                    .map(|index| Some(PartitionId::new(u32::try_from(number(index)? % 300).ok()?)))
                    .collect(),
                offsets: (0..len)
                    .map(|index| number(index).map(Offset::new))
                    .collect(),
                ..Routed::default()
            };
            let (mut by_hand, mut by_serde) = (Vec::new(), Vec::new());
            encode_map(&routed, &mut by_serde);
            ProduceResponse::Routed(routed).encode(&mut by_hand);
            assert_eq!(by_hand, by_serde);
        }
    }
}
