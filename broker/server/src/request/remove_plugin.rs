//! `remove_plugin`: gives up the name of a deployed plugin that nothing uses.

use std::sync::Arc;

use broker_protocol::api::remove_plugin::{RemovePluginRequest, RemovePluginResponse};
use broker_protocol::{ErrorCode, ErrorData, WireError};

use super::wire;
use crate::context::Context;
use crate::controller::{Intent, Plan, Share};
use crate::plugins::DeployError;

/// Removes a plugin.
pub(super) async fn handle(
    context: Arc<Context>,
    request: RemovePluginRequest,
    share: Share,
) -> Result<RemovePluginResponse, WireError> {
    let taken = context.plugins.check_name(&request.name);
    taken.map_err(|error| not_deployed(&request.name, &error))?;
    let plan = Plan::RemovePlugin { name: request.name };
    let proposed = context
        .controller
        .propose(plan, Intent::CarryOut, &share)
        .await;
    proposed.map_err(wire::controller_error)?;
    Ok(RemovePluginResponse {})
}

/// The name belongs to a plugin that nobody deployed.
fn not_deployed(name: &str, error: &DeployError) -> WireError {
    let DeployError::NameTaken { of, .. } = error else {
        return wire::deploy_error(name, error);
    };
    let message = format!("{name:?} is a plugin {of}: only deployed plugins can be removed");
    WireError::new(ErrorCode::PluginInUse, message).with_data(ErrorData {
        plugin: Some(name.to_owned()),
        ..ErrorData::default()
    })
}
