//! Fixtures: what a plugin is asked and what it has to answer, as an author writes it. Every name
//! that is not known is refused, so that a typo never makes a check that checks nothing.

use std::collections::BTreeMap;
use std::fmt;

use broker_wasm::{Bounds, SegmentFacts};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::message_pack::{Packed, bytes_of};

/// A case for a partitioner.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartitionerCase {
    pub(super) name: String,
    #[serde(default)]
    pub(super) options: Options,
    pub(super) partitions: u32,
    /// The partition counts that the topic has had, the present one last.
    pub(super) counts: Option<Vec<u32>>,
    #[serde(default)]
    pub(super) sequence: u64,
    #[serde(default)]
    pub(super) batches: u64,
    pub(super) records: Vec<Record>,
    pub(super) expect: PartitionerExpect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartitionerExpect {
    pub(super) partitions: Option<Vec<u32>>,
    pub(super) error: Option<String>,
}

/// A case for a serializer: one of `serialize` and `deserialize`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SerializerCase {
    pub(super) name: String,
    #[serde(default)]
    pub(super) options: Options,
    pub(super) serialize: Option<Vec<Packed>>,
    pub(super) deserialize: Option<Vec<Data>>,
    #[serde(default)]
    pub(super) round_trip: bool,
    pub(super) expect: SerializerExpect,
}

/// `rows` are stored bytes for `serialize` and values for `deserialize`; a refused row is null.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SerializerExpect {
    pub(super) rows: Option<Vec<Packed>>,
    #[serde(default)]
    pub(super) refused: BTreeMap<u32, String>,
    pub(super) error: Option<String>,
}

/// A case for a retention policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionCase {
    pub(super) name: String,
    #[serde(default)]
    pub(super) options: Options,
    #[serde(default)]
    pub(super) bounds: FixtureBounds,
    pub(super) now_ms: i64,
    pub(super) high_watermark: Option<u64>,
    pub(super) log_start: Option<u64>,
    pub(super) log_end: Option<u64>,
    pub(super) log_bytes: Option<u64>,
    pub(super) segments: Vec<FixtureSegment>,
    pub(super) expect: RetentionExpect,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FixtureBounds {
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
}

impl From<FixtureBounds> for Bounds {
    fn from(bounds: FixtureBounds) -> Self {
        Bounds {
            retention_ms: bounds.retention_ms,
            retention_bytes: bounds.retention_bytes,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FixtureSegment {
    base_offset: u64,
    next_offset: u64,
    bytes: u64,
    max_timestamp_ms: i64,
}

impl From<FixtureSegment> for SegmentFacts {
    fn from(segment: FixtureSegment) -> Self {
        SegmentFacts {
            base_offset: segment.base_offset,
            next_offset: segment.next_offset,
            bytes: segment.bytes,
            max_timestamp_ms: segment.max_timestamp_ms,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionExpect {
    pub(super) expired: Option<u32>,
    pub(super) error: Option<String>,
}

/// A case for a compaction policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompactionCase {
    pub(super) name: String,
    #[serde(default)]
    pub(super) options: Options,
    pub(super) now_ms: i64,
    pub(super) records: Vec<Record>,
    pub(super) expect: CompactionExpect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompactionExpect {
    /// The offsets of the records that stay.
    pub(super) keep: Option<Vec<u64>>,
    pub(super) error: Option<String>,
}

/// A record. What is left out is null, empty, or 0.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    #[serde(default)]
    pub(super) key: Data,
    #[serde(default)]
    pub(super) value: Data,
    #[serde(default)]
    pub(super) headers: Headers,
    #[serde(default)]
    pub(super) timestamp_ms: i64,
    /// For compaction; one more than that of the record before, unless it is given.
    pub(super) offset: Option<u64>,
}

/// Bytes: null, text, `{"hex": "…"}` or `{"base64": "…"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Data(pub(super) Option<Vec<u8>>);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, text in quotes, {\"hex\": \"…\"} or {\"base64\": \"…\"}")
    }

    fn visit_unit<E: Error>(self) -> Result<Data, E> {
        Ok(Data(None))
    }

    fn visit_none<E: Error>(self) -> Result<Data, E> {
        Ok(Data(None))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Data, E> {
        Ok(Data(Some(text.as_bytes().to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Data, A::Error> {
        let Some((mark, text)) = fields.next_entry::<String, String>()? else {
            return Err(A::Error::custom("an empty object is no data"));
        };
        if let Some(second) = fields.next_key::<String>()? {
            return Err(A::Error::unknown_field(&second, &[]));
        }
        let bytes = bytes_of(&mark, &text).map_err(A::Error::custom)?;
        Ok(Data(Some(bytes)))
    }
}

/// Headers: an object, or pairs where a name comes twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers(pub(super) Vec<(String, Data)>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers as {\"name\": value} or [[\"name\", value]]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(header) = fields.next_entry()? {
            headers.push(header);
        }
        Ok(Headers(headers))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(header) = items.next_element()? {
            headers.push(header);
        }
        Ok(Headers(headers))
    }
}

/// Options of the plugin, as a topic would set them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Options(BTreeMap<String, OptionText>);

impl Options {
    /// As pairs, by name.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let pairs = self.0.iter();
        pairs
            .map(|(name, text)| (name.clone(), text.0.clone()))
            .collect()
    }
}

/// Options are text; numbers and booleans are taken for their text.
#[derive(Clone, Debug)]
struct OptionText(String);

impl<'de> Deserialize<'de> for OptionText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            value @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => {
                Ok(Self(value.to_string()))
            }
            other => Err(D::Error::custom(format!(
                "an option is text, and not {other}"
            ))),
        }
    }
}
