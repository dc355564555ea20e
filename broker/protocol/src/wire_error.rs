//! `WireError`: an error as it travels, `{code, name, message, retriable, definite, data?}`, and
//! `ErrorData`, the facts that programs may act on.

use std::fmt;

use broker_model::{BrokerId, LeaderEpoch, Offset, PartitionId, TopicId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::refused_record::RefusedRecord;
use crate::wire;

/// An error answer. `retriable` and `definite` of the answer win over the table's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Layout", from = "Layout")]
pub struct WireError {
    /// What went wrong; [`ErrorCode::Unknown`] for a code newer than this build.
    pub code: ErrorCode,
    /// The number as received, or the code's own.
    number: u16,
    /// The name as received when the code is newer than this build.
    foreign_name: Option<String>,
    /// For people: names the thing, the value and the fix.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retriable: bool,
    /// Whether the request certainly had no effect.
    pub definite: bool,
    /// Facts for programs.
    pub data: Option<Box<ErrorData>>,
}

impl WireError {
    /// An error with the table's flags and no data.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            number: code.number(),
            foreign_name: None,
            message: message.into(),
            retriable: code.retriable(),
            definite: code.definite(),
            data: None,
        }
    }

    /// The same error with these facts.
    #[must_use]
    pub fn with_data(mut self, data: ErrorData) -> Self {
        self.data = Some(Box::new(data));
        self
    }

    /// The same error, saying that the write may have happened.
    #[must_use]
    pub fn indefinite(mut self) -> Self {
        self.definite = false;
        self
    }

    /// The same error, saying whether a retry can help.
    #[must_use]
    pub fn with_retriable(mut self, retriable: bool) -> Self {
        self.retriable = retriable;
        self
    }

    /// The same error with at most so many of the refused records it lists.
    pub(crate) fn with_refused_at_most(&self, count: usize) -> Self {
        let mut error = self.clone();
        if let Some(data) = &mut error.data {
            data.refused.truncate(count);
        }
        error
    }

    /// How many refused records it lists.
    pub(crate) fn refused_listed(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.refused.len())
    }

    /// The same error without its facts and with at most so many bytes of its message.
    pub(crate) fn shortened(&self, message_bytes_max: usize) -> Self {
        let end = self.message.floor_char_boundary(message_bytes_max);
        let mut message = self.message.get(..end).unwrap_or_default().to_owned();
        if end < self.message.len() {
            message.push('…');
        }
        Self {
            message,
            data: None,
            foreign_name: None,
            ..self.clone()
        }
    }

    /// The number on the wire, also of a code newer than this build.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The name on the wire, also of a code newer than this build.
    pub fn name(&self) -> &str {
        self.foreign_name
            .as_deref()
            .unwrap_or_else(|| self.code.name())
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message)
    }
}

impl std::error::Error for WireError {}

/// Facts an error may carry. All optional; which code carries which is in PROTOCOL.md.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorData {
    /// Topic concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Partition concerned.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionId>,
    /// Present id of the topic.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// Where the partition's leader is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<LeaderHint>,
    /// The leader's epoch.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub leader_epoch: Option<LeaderEpoch>,
    /// First offset that can be read.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Offset>,
    /// The high watermark.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub latest: Option<Offset>,
    /// Offset asked for, or of the damaged batch.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// First readable offset after the damage.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<Offset>,
    /// Plugin's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Plugin's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_version: Option<String>,
    /// Plugin's kind, such as `partitioner`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_kind: Option<String>,
    /// Index of the record in the request, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u32>,
    /// Records that were refused, by index; the first of them when there are very many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedRecord>,
    /// How many were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_count: Option<u64>,
    /// Topics concerned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Damaged file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Byte position: in the frame body, the records, or the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// What the sender claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// What the broker found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<u64>,
    /// The limit that was passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Lowest protocol version the broker speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_min: Option<u32>,
    /// Highest protocol version the broker speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_max: Option<u32>,
    /// Configuration key or field concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The nearest thing that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// First bytes of a foreign protocol.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub first_bytes: Option<Bytes>,
    /// What the foreign protocol looks like: `http`, `tls`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looks_like: Option<String>,
}

/// Where a partition's leader listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderHint {
    /// Its id.
    #[serde(with = "wire")]
    pub broker_id: BrokerId,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// The map on the wire.
#[derive(Serialize, Deserialize)]
struct Layout {
    code: u16,
    #[serde(default)]
    name: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    retriable: bool,
    #[serde(default)]
    definite: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Box<ErrorData>>,
}

impl From<WireError> for Layout {
    fn from(error: WireError) -> Self {
        Self {
            code: error.number,
            name: error.name().to_owned(),
            message: error.message,
            retriable: error.retriable,
            definite: error.definite,
            data: error.data,
        }
    }
}

impl From<Layout> for WireError {
    fn from(layout: Layout) -> Self {
        let known = ErrorCode::from_number(layout.code);
        Self {
            code: known.unwrap_or(ErrorCode::Unknown),
            number: layout.code,
            foreign_name: known.is_none().then_some(layout.name),
            message: layout.message,
            retriable: layout.retriable,
            definite: layout.definite,
            data: layout.data,
        }
    }
}
