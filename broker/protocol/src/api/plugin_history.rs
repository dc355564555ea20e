//! `plugin_history`: the newest revisions that were deployed under a name.

use std::collections::BTreeMap;

use broker_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::plugin_revision::LimitOverrides;
use crate::wire;

/// Arguments of `plugin_history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginHistoryRequest {
    /// The name of the plugin.
    pub name: String,
}

/// Result of `plugin_history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginHistoryResponse {
    /// The revisions, oldest first. The last is the present one, unless the name was removed.
    pub revisions: Vec<PluginRevision>,
    /// When the name was removed; absent while it is deployed.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub removed_at_ms: Option<Timestamp>,
}

/// A revision of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginRevision {
    /// Its number, from 1.
    pub revision: u32,
    /// What it does: `partitioner`, …
    pub kind: String,
    /// Version of the module, as it says itself.
    pub version: String,
    /// SHA-256 of the module, hexadecimal.
    pub digest: String,
    /// Size of the module.
    pub size_bytes: u64,
    /// Its options.
    #[serde(with = "wire::config")]
    pub options: BTreeMap<String, String>,
    /// Limits that were set for it.
    #[serde(skip_serializing_if = "LimitOverrides::is_default")]
    pub limits: LimitOverrides,
    /// Plugin that steps in where this one fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// When it was deployed.
    #[serde(with = "wire")]
    pub at_ms: Timestamp,
    /// How it came about: `deploy`, `rollback` or `manifest`.
    pub from: String,
    /// With `rollback` the revision that it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u32>,
}

plain_call!(PluginHistory, PluginHistoryRequest => PluginHistoryResponse);
