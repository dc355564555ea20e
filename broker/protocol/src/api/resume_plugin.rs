//! `resume_plugin`: ends the suspension of a plugin that failed too often.

use serde::{Deserialize, Serialize};

use crate::call::plain_call;

/// Arguments of `resume_plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumePluginRequest {
    /// The name of the plugin.
    pub name: String,
}

/// Result of `resume_plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResumePluginResponse {
    /// Whether it was suspended.
    pub was_suspended: bool,
}

plain_call!(ResumePlugin, ResumePluginRequest => ResumePluginResponse);
