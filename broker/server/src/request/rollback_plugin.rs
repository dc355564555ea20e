//! `rollback_plugin`: an earlier revision of a deployed plugin becomes the present one, as a new revision.

use std::sync::Arc;

use broker_cluster::{Deployment, NewDeployment};
use broker_protocol::api::rollback_plugin::RollbackPluginRequest;
use broker_protocol::{DeployedRevision, ErrorCode, ErrorData, WireError};

use super::{deploy_plugin, wire};
use crate::context::Context;
use crate::controller::{Intent, Share};

/// Goes back.
pub(super) async fn handle(
    context: Arc<Context>,
    request: RollbackPluginRequest,
    share: Share,
) -> Result<DeployedRevision, WireError> {
    let earlier = earlier(&context, &request)?;
    let module_bytes = usize::try_from(earlier.size_bytes).unwrap_or(usize::MAX);
    // It may be compiled again.
    let turn = context.requests.module_turn(module_bytes).await;
    let preparing = {
        let (plugins, name, earlier) = (
            context.plugins.clone(),
            request.name.clone(),
            earlier.clone(),
        );
        let background = context.arbiters.background();
        background.run_long(move || plugins.make(&name, &earlier))
    };
    let plugin = match preparing.await {
        Ok(prepared) => prepared.map_err(|error| wire::deploy_error(&request.name, &error))?,
        Err(panicked) => return Err(WireError::new(ErrorCode::Unknown, panicked.to_string())),
    };
    drop(turn);
    let new = (NewDeployment::rollback(&earlier), None);
    deploy_plugin::deploy(&context, &plugin, new, Intent::CarryOut, &share).await
}

/// The revision that is asked for: by number, or the last one that differs from the present.
fn earlier(context: &Context, request: &RollbackPluginRequest) -> Result<Deployment, WireError> {
    let metadata = context.metadata.load();
    let name = &request.name;
    let refuse = |code, message: String| {
        Err(WireError::new(code, message).with_data(ErrorData {
            plugin: Some(name.clone()),
            ..ErrorData::default()
        }))
    };
    let Some(plugin) = metadata.plugins().get(name) else {
        let message = format!("plugin {name:?} was never deployed, so it has no earlier revision");
        return refuse(ErrorCode::UnknownPlugin, message);
    };
    let found = match request.revision {
        Some(revision) => plugin.revision(revision),
        None => {
            let present = plugin.history.last();
            let differs = |earlier: &&Deployment| {
                present.is_some_and(|present| !present.equals(&NewDeployment::rollback(earlier)))
            };
            plugin.history.iter().rev().find(differs)
        }
    };
    match found {
        Some(found) => Ok(found.clone()),
        None => {
            let number = |one: Option<&Deployment>| one.map_or(0, |one| one.revision);
            let (first, last) = (
                number(plugin.history.first()),
                number(plugin.history.last()),
            );
            let message = match request.revision {
                Some(revision) => {
                    format!("plugin {name:?} has no revision {revision}: it has {first} to {last}")
                }
                None => format!("plugin {name:?} has no earlier revision that differs"),
            };
            refuse(ErrorCode::UnknownRevision, message)
        }
    }
}
