//! `list_plugins`: the plugins of the broker that answers, their limits, and what they have cost.
//! Costs count from the start of the broker; they are not kept over a restart.

use std::collections::BTreeMap;

use broker_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `list_plugins`: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPluginsRequest {}

/// Result of `list_plugins`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListPluginsResponse {
    /// Plugins, by kind and name.
    pub plugins: Vec<PluginEntry>,
}

/// One plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginEntry {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does: `partitioner`, …
    pub kind: String,
    /// SHA-256 of the module, hexadecimal.
    pub digest: String,
    /// `builtin`, `deployed`, or the file that the manifest names.
    pub source: String,
    /// Revision of a deployed plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// `active`, or `suspended` if it is for some topic.
    pub state: String,
    /// Since when it is suspended in the first of `suspended_topics`.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub suspended_since_ms: Option<Timestamp>,
    /// The failure that it was suspended for in the first of those topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended_reason: Option<String>,
    /// The topics for which it is suspended, by name; the first hundred of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspended_topics: Vec<String>,
    /// Plugin that steps in where this one fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Options from the manifest.
    #[serde(with = "wire::config")]
    pub options: BTreeMap<String, String>,
    /// What a call may use.
    pub limits: PluginLimits,
    /// Topics that use it.
    pub topics: Vec<String>,
    /// Topics bound to this very module under the name, even if the name means another by now.
    pub pinned: Vec<String>,
    /// Calls since the broker started.
    pub calls: u64,
    /// Records it was given.
    pub records: u64,
    /// Calls that ended in an error of any kind.
    pub errors: u64,
    /// Calls that ended in a trap or ran out of time or memory.
    pub traps: u64,
    /// Time spent in it, in microseconds.
    pub time_us: u64,
    /// Memory its instances hold.
    pub memory_bytes: u64,
    /// Calls in which the fallback stepped in.
    pub fallbacks: u64,
    /// How often it was suspended.
    pub suspensions: u64,
}

/// What a plugin may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginLimits {
    /// Time for one call, in milliseconds.
    pub call_ms_max: u64,
    /// Memory of one instance, in bytes.
    pub memory_bytes_max: u64,
    /// What one call may give back, in bytes.
    pub output_bytes_max: u64,
    /// Processor time of one cleaning, in milliseconds; compaction only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_ms_max: Option<u64>,
}

plain_call!(ListPlugins, ListPluginsRequest => ListPluginsResponse);
