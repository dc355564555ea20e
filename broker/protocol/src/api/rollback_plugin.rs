//! `rollback_plugin`: deploys an earlier revision of a plugin once more.

use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::plugin_revision::DeployedRevision;

/// Arguments of `rollback_plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackPluginRequest {
    /// The name of the plugin.
    pub name: String,
    /// The revision to go back to; missing means the one before the present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
}

plain_call!(RollbackPlugin, RollbackPluginRequest => of DeployedRevision);
