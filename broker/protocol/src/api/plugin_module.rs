//! `plugin_module`: the module of a plugin, by its digest. For clients that run a partitioner
//! themselves, and for people who lost the file.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `plugin_module`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginModuleRequest {
    /// SHA-256 of the module, hexadecimal.
    pub digest: String,
}

/// Result of `plugin_module`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginModuleResponse {
    /// The module.
    #[serde(with = "wire")]
    pub module: Bytes,
}

plain_call!(PluginModule, PluginModuleRequest => PluginModuleResponse);
