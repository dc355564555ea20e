//! `list_offsets`: the first or last offset of partitions, or the first record at or after a time.
//! Every question has an answer of its own, in the same order.

use std::fmt;

use broker_model::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::call::plain_call;
use crate::wire;
use crate::wire_error::WireError;

/// Arguments of `list_offsets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListOffsetsRequest {
    /// Partitions asked about.
    pub partitions: Vec<OffsetQuery>,
}

/// A question about one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetQuery {
    /// The topic.
    pub topic: String,
    /// Its id, if the client knows it.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// The partition.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// Which offset. Default latest.
    #[serde(default)]
    pub at: OffsetAt,
}

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetAt {
    /// The log start: first offset that can be read.
    Earliest,
    /// The high watermark: offset of the next record to become readable.
    #[default]
    Latest,
    /// First record whose timestamp is this or later.
    Timestamp(Timestamp),
}

impl Serialize for OffsetAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Earliest => serializer.serialize_str("earliest"),
            Self::Latest => serializer.serialize_str("latest"),
            Self::Timestamp(time) => serializer.serialize_i64(time.as_millis()),
        }
    }
}

impl<'de> Deserialize<'de> for OffsetAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OffsetAtVisitor)
    }
}

struct OffsetAtVisitor;

impl Visitor<'_> for OffsetAtVisitor {
    type Value = OffsetAt;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"earliest\", \"latest\" or a time in milliseconds")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<OffsetAt, E> {
        match value {
            "earliest" => Ok(OffsetAt::Earliest),
            "latest" => Ok(OffsetAt::Latest),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<OffsetAt, E> {
        Ok(OffsetAt::Timestamp(Timestamp::from_millis(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<OffsetAt, E> {
        let millis = i64::try_from(value)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))?;
        self.visit_i64(millis)
    }
}

/// Result of `list_offsets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListOffsetsResponse {
    /// One answer for each question, in order.
    pub partitions: Vec<OffsetAnswer>,
}

/// The answer about one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OffsetAnswer {
    /// The topic.
    pub topic: String,
    /// The partition.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// The offset; absent when no record is that late, or with `error`.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// Timestamp of the record found; absent for earliest and latest.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// Epoch of the leader that answered.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub leader_epoch: Option<LeaderEpoch>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
}

plain_call!(ListOffsets, ListOffsetsRequest => ListOffsetsResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Request;

    fn at(value: &[u8]) -> Result<OffsetAt, String> {
        let query = b"\x81\xAApartitions\x91\x83\xA5topic\xA1t\xA9partition\x00\xA2at";
        let args = [&query[..], value].concat();
        let request = ListOffsetsRequest::decode(&args.into()).map_err(|e| e.to_string())?;
        Ok(request.partitions[0].at)
    }

    #[test]
    fn the_place_is_a_word_or_a_time() {
        let time = |millis| Ok(OffsetAt::Timestamp(Timestamp::from_millis(millis)));
        assert_eq!(at(b"\xA8earliest"), Ok(OffsetAt::Earliest));
        assert_eq!(at(b"\xA6latest"), Ok(OffsetAt::Latest));
        assert_eq!(at(b"\xC0"), Ok(OffsetAt::Latest));
        assert_eq!(at(b"\xCD\x03\xE8"), time(1000));
        assert_eq!(at(b"\xFF"), time(-1));
        assert_eq!(
            at(b"\xCB\x42\x78\xBC\xFE\x56\x80\0\0"),
            time(1_700_000_000_000)
        );
    }

    #[test]
    fn other_places_are_refused_by_name() {
        for bad in [
            &b"\xA5first"[..],
            b"\xC3",
            b"\x90",
            b"\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        ] {
            let message = at(bad).unwrap_err();
            assert!(message.starts_with("`partitions[0].at`: "), "{message}");
        }
    }
}
