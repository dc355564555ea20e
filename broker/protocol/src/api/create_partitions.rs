//! `create_partitions`: raises the number of partitions of a topic. It never shrinks; existing
//! records stay where they are, so keys may map elsewhere from then on.

use broker_model::BrokerId;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `create_partitions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePartitionsRequest {
    /// Name of the topic.
    pub name: String,
    /// The new total, above the present one.
    pub partitions: u32,
    /// For each new partition its brokers; missing lets the broker choose.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Vec<Vec<BrokerId>>>,
    /// Check everything, change nothing. Default false.
    #[serde(default)]
    pub validate_only: bool,
}

/// Result of `create_partitions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreatePartitionsResponse {
    /// Name of the topic.
    pub name: String,
    /// Partitions it has now.
    pub partitions: u32,
    /// What the caller may want to know.
    pub warnings: Vec<String>,
}

plain_call!(CreatePartitions, CreatePartitionsRequest => CreatePartitionsResponse);
