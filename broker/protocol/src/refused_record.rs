//! `RefusedRecord`: a record that a topic's serializer refused. Listed in the answer to `produce` when
//! the other records went in, and among the facts of the error when none did.

use broker_model::{Offset, PartitionId};
use serde::{Deserialize, Serialize};

use crate::wire;
use crate::wire_error::WireError;

/// A key or a value that was refused. Nothing of its record was stored in the topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedRecord {
    /// Index of the record in the request, from 0.
    pub index: u32,
    /// `key` or `value`.
    pub field: String,
    /// Name of the error code that says why: `PLUGIN_REJECTED` or `INVALID_RECORD`.
    pub code: String,
    /// Why, in words; the plugin's own if it was the plugin.
    pub reason: String,
    /// The serializer, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// What became of it in the dead-letter topic, if the topic has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetter>,
}

/// Where a refused record went: a place, or the reason why it went nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadLetter {
    /// The topic.
    pub topic: String,
    /// The partition.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionId>,
    /// The offset; absent with acks none.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// Why it could not be written there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
}
