//! `delete_records`: an administrator's order to forget the oldest records of a partition. There is
//! no default for how far: nothing is deleted by leaving something out.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Request;

    fn before(value: &[u8]) -> Result<DeleteBefore, String> {
        let start = b"\x83\xA5topic\xA1t\xA9partition\x00\xADbefore_offset";
        let args = [&start[..], value].concat();
        let request = DeleteRecordsRequest::decode(&args.into()).map_err(|e| e.to_string())?;
        Ok(request.before_offset)
    }

    #[test]
    fn minus_one_is_the_high_watermark() {
        assert_eq!(before(b"\xFF"), Ok(DeleteBefore::HighWatermark));
        assert_eq!(before(b"\x00"), Ok(DeleteBefore::Offset(Offset::ZERO)));
        assert_eq!(
            before(b"\xCD\x03\xE8"),
            Ok(DeleteBefore::Offset(Offset::new(1000)))
        );
    }

    #[test]
    fn nothing_is_deleted_without_saying_up_to_where() {
        assert_eq!(
            before(b"\xC0"),
            Err("missing field `before_offset`".to_owned())
        );
        assert!(before(b"\xFE").is_err());
    }
}
