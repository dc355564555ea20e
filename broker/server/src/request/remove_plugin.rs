//! `remove_plugin`: gives up the name of a deployed plugin that nothing uses.

use std::sync::Arc;

use broker_protocol::WireError;
use broker_protocol::api::remove_plugin::{RemovePluginRequest, RemovePluginResponse};

use super::wire;
use crate::context::Context;
use crate::controller::{Intent, Plan};

/// Removes a plugin.
pub(super) async fn handle(
    context: Arc<Context>,
    request: RemovePluginRequest,
) -> Result<RemovePluginResponse, WireError> {
    let taken = context.plugins.check_name(&request.name);
    taken.map_err(|error| wire::deploy_error(&request.name, &error))?;
    let plan = Plan::RemovePlugin { name: request.name };
    let proposed = context.controller.propose(plan, Intent::CarryOut).await;
    proposed.map_err(wire::controller_error)?;
    Ok(RemovePluginResponse {})
}
