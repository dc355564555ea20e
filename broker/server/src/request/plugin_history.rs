//! `plugin_history`: the newest revisions that were deployed under a name.

use std::sync::Arc;

use broker_cluster::{Deployment, DeploymentSource};
use broker_protocol::api::plugin_history::{
    PluginHistoryRequest, PluginHistoryResponse, PluginRevision,
};
use broker_protocol::{LimitOverrides, WireError};

use super::lookup;
use crate::context::Context;

/// Tells the history; empty for a plugin that was never deployed but is there.
pub(super) async fn handle(
    context: Arc<Context>,
    request: PluginHistoryRequest,
) -> Result<PluginHistoryResponse, WireError> {
    let metadata = context.metadata.load();
    let Some(plugin) = metadata.plugins().get(&request.name) else {
        lookup::plugins_named(&context, &request.name)?;
        return Ok(PluginHistoryResponse::default());
    };
    Ok(PluginHistoryResponse {
        revisions: plugin.history.iter().map(revision).collect(),
        removed_at_ms: plugin.removed_at,
    })
}

fn revision(deployment: &Deployment) -> PluginRevision {
    let (from, rollback_to) = match deployment.from {
        DeploymentSource::Deploy => ("deploy", None),
        DeploymentSource::Rollback { to } => ("rollback", Some(to)),
        DeploymentSource::Manifest => ("manifest", None),
    };
    PluginRevision {
        revision: deployment.revision,
        kind: deployment.kind.clone(),
        version: deployment.version.clone(),
        digest: deployment.digest.clone(),
        size_bytes: deployment.size_bytes,
        options: deployment.options.clone(),
        limits: LimitOverrides {
            deadline_ms: deployment.limits.deadline_ms,
            memory_bytes: deployment.limits.memory_bytes,
            output_bytes: deployment.limits.output_bytes,
            budget_ms: deployment.limits.budget_ms,
        },
        fallback: deployment.fallback.clone(),
        at_ms: deployment.at,
        from: from.to_owned(),
        rollback_to,
    }
}
