//! `deploy_plugin`: puts a plugin under a name while the broker runs. Topics that use the name run it
//! from their next batch on.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::plugin_revision::{DeployedRevision, LimitOverrides};
use crate::wire;

/// Arguments of `deploy_plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployPluginRequest {
    /// The name that topics use.
    pub name: String,
    /// The module.
    #[serde(with = "wire")]
    pub module: Bytes,
    /// The kind that it has to be of; missing takes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its options; a topic's go over them.
    #[serde(with = "wire::config", default)]
    pub options: BTreeMap<String, String>,
    /// What it may use.
    #[serde(default, skip_serializing_if = "LimitOverrides::is_default")]
    pub limits: LimitOverrides,
    /// Plugin that steps in where this one fails; partitioners only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Check everything, change nothing. Default false.
    #[serde(default)]
    pub validate_only: bool,
}

plain_call!(DeployPlugin, DeployPluginRequest => DeployedRevision);
