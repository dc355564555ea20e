//! `delete_records`: an administrator's order to forget the oldest records of a partition.

use std::fmt;

use broker_model::{Offset, PartitionId, TopicId};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `delete_records`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRecordsRequest {
    /// The topic.
    pub topic: String,
    /// Its id, if the client knows it.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// The partition.
    #[serde(with = "wire")]
    pub partition: PartitionId,
    /// Records below this offset go.
    pub before_offset: DeleteBefore,
}

/// Where the log is to start from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteBefore {
    /// At this offset.
    Offset(Offset),
    /// At the high watermark, so that nothing is left; -1 on the wire.
    HighWatermark,
}

impl Serialize for DeleteBefore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Offset(offset) => serializer.serialize_u64(offset.get()),
            Self::HighWatermark => serializer.serialize_i64(-1),
        }
    }
}

impl<'de> Deserialize<'de> for DeleteBefore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(DeleteBeforeVisitor)
    }
}

struct DeleteBeforeVisitor;

impl Visitor<'_> for DeleteBeforeVisitor {
    type Value = DeleteBefore;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an offset, or -1 for the high watermark")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<DeleteBefore, E> {
        match u64::try_from(value) {
            Ok(offset) => self.visit_u64(offset),
            Err(_) if value == -1 => Ok(DeleteBefore::HighWatermark),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<DeleteBefore, E> {
        Ok(DeleteBefore::Offset(Offset::new(value)))
    }
}

/// Result of `delete_records`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteRecordsResponse {
    /// First offset that can be read now.
    #[serde(with = "wire")]
    pub log_start: Offset,
}

plain_call!(DeleteRecords, DeleteRecordsRequest => DeleteRecordsResponse);
