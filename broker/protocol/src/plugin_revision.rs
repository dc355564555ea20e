//! What several methods say about plugins alike: the limits somebody sets for one, and the result of
//! a deployment.

use serde::{Deserialize, Serialize};

/// Limits for a deployed plugin; what is missing is the default of its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitOverrides {
    /// Time for one call, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Memory of one instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// What one call may give back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Processor time of one cleaning, in milliseconds; compaction only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_ms: Option<u64>,
}

impl LimitOverrides {
    /// Whether every limit is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a name runs after a deployment or a rollback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeployedRevision {
    /// The name that topics use.
    pub name: String,
    /// What it does: `partitioner`, …
    pub kind: String,
    /// Version of the module, as it says itself.
    pub version: String,
    /// SHA-256 of the module, hexadecimal.
    pub digest: String,
    /// Number of the revision under this name, from 1.
    pub revision: u32,
    /// Size of the module.
    pub size_bytes: u64,
    /// Whether the present revision is the same already, so that there is no new one.
    pub unchanged: bool,
    /// Topics that run it from now on.
    pub topics: Vec<String>,
    /// What the caller may want to know.
    pub warnings: Vec<String>,
}
