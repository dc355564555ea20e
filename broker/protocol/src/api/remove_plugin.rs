//! `remove_plugin`: gives up the name of a deployed plugin. Refused while anything uses it; the
//! history stays.

use serde::{Deserialize, Serialize};

use crate::call::plain_call;

/// Arguments of `remove_plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovePluginRequest {
    /// The name of the plugin.
    pub name: String,
}

/// Result of `remove_plugin`: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovePluginResponse {}

plain_call!(RemovePlugin, RemovePluginRequest => RemovePluginResponse);
