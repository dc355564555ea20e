//! `plugin_logs`: what a plugin has logged lately on the broker that answers. The broker keeps the
//! last lines in memory; to follow them, ask again from `next`.

use broker_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `plugin_logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginLogsRequest {
    /// The name of the plugin.
    pub name: String,
    /// Lines with a number above this. Default 0, from the oldest line that is kept.
    #[serde(default)]
    pub after: u64,
    /// Most lines in the answer. Default 1,000.
    #[serde(default = "max")]
    pub max: u32,
}

fn max() -> u32 {
    1_000
}

impl PluginLogsRequest {
    /// Everything that is kept.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            after: 0,
            max: max(),
        }
    }
}

/// Result of `plugin_logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginLogsResponse {
    /// The lines, oldest first.
    pub lines: Vec<PluginLogLine>,
    /// What to ask for as `after` next time.
    pub next: u64,
    /// Lines after `after` that are not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
}

/// A line that a plugin logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginLogLine {
    /// Its number, from 1.
    pub sequence: u64,
    /// When.
    #[serde(with = "wire")]
    pub at_ms: Timestamp,
    /// `error`, `warn`, `info` or `debug`.
    pub level: String,
    /// The topic that it served.
    pub topic: String,
    /// What it said.
    pub message: String,
}

plain_call!(PluginLogs, PluginLogsRequest => PluginLogsResponse);
