//! `resume_plugin`: a suspended plugin is asked again, at once and in every topic.

use std::sync::Arc;

use broker_protocol::WireError;
use broker_protocol::api::resume_plugin::{ResumePluginRequest, ResumePluginResponse};

use super::lookup;
use crate::context::Context;

/// Resumes a plugin, the modules included that topics are pinned to under its name.
pub(super) async fn handle(
    context: Arc<Context>,
    request: ResumePluginRequest,
) -> Result<ResumePluginResponse, WireError> {
    let named = lookup::plugins_named(&context, &request.name)?;
    let mut was_suspended = false;
    for plugin in named {
        was_suspended |= plugin.resume();
    }
    Ok(ResumePluginResponse { was_suspended })
}
