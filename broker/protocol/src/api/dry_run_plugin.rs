//! `dry_run_plugin`: tries a plugin on the real records of a topic without any effect. It takes its
//! time: the answer names the run, and `dry_run_status` tells how far it is and what came out.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `dry_run_plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRunPluginRequest {
    /// The topic whose records are read.
    pub topic: String,
    /// The module to try; instead of `plugin`.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub module: Option<Bytes>,
    /// Name of an installed plugin to try; instead of `module`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The slot to try it in, such as `key.serializer`; missing takes the one that fits its kind, and
    /// `value.serializer` for a serializer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// Options to try it with, over the plugin's own. The topic's are not used.
    #[serde(with = "wire::config", default)]
    pub options: BTreeMap<String, String>,
    /// Records of each partition to look at, the newest; missing means all. Retention and compaction
    /// always look at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Most keys and reasons to show. Default 10, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u32>,
}

/// Result of `dry_run_plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DryRunPluginResponse {
    /// Names the run.
    pub run: String,
    /// Kind of the plugin.
    pub kind: String,
    /// The slot that it is tried in.
    pub slot: String,
}

plain_call!(DryRunPlugin, DryRunPluginRequest => DryRunPluginResponse);
