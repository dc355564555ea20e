//! `deploy_plugin`: a module is checked, kept, and put under a name while the broker runs. Topics that use the
//! name run it from their next batch on; every one of them is tried first.

use std::sync::Arc;

use broker_cluster::{
    Binding, ClusterMetadata, Command, DeploymentLimits, DeploymentSource, NewDeployment,
    PluginSlot, TopicConfig,
};
use broker_model::TopicId;
use broker_protocol::api::deploy_plugin::DeployPluginRequest;
use broker_protocol::{DeployedRevision, ErrorCode, ErrorData, LimitOverrides, WireError};
use broker_wasm::Plugin;

use super::following::follow_deployments;
use super::{bindings, wire};
use crate::context::Context;
use crate::controller::{Intent, Plan, Share};
use crate::plugins::{SlotError, Wanted, bound_plugin, options};

/// Deploys a module.
pub(super) async fn handle(
    context: Arc<Context>,
    request: DeployPluginRequest,
    share: Share,
) -> Result<DeployedRevision, WireError> {
    let intent = if request.validate_only {
        Intent::OnlyCheck
    } else {
        Intent::CarryOut
    };
    let limits = deployment_limits(&request.limits);
    let turn = context.requests.module_turn(request.module.len()).await;
    let preparing = {
        let (plugins, request) = (context.plugins.clone(), request.clone());
        context.arbiters.background().run_long(move || {
            let wanted = Wanted {
                module: &request.module,
                options: &request.options,
                limits: &limits,
                fallback: request.fallback.as_deref(),
            };
            plugins.prepare(&request.name, &wanted)
        })
    };
    let plugin = match preparing.await {
        Ok(prepared) => prepared.map_err(|error| wire::deploy_error(&request.name, &error))?,
        Err(panicked) => return Err(WireError::new(ErrorCode::Unknown, panicked.to_string())),
    };
    drop(turn);
    check_kind(&request, &plugin)?;
    let new = NewDeployment {
        kind: plugin.kind().to_string(),
        version: plugin.version().to_owned(),
        digest: plugin.module().digest().to_owned(),
        size_bytes: plugin.module().size_bytes() as u64,
        options: request.options.clone(),
        limits,
        fallback: request.fallback.clone(),
        from: DeploymentSource::Deploy,
    };
    let keep = (intent == Intent::CarryOut).then(|| request.module.clone());
    deploy(&context, &plugin, (new, keep), intent, &share).await
}

/// Puts a plugin that was prepared under its name and moves the topics that use it.
pub(super) async fn deploy(
    context: &Arc<Context>,
    plugin: &Arc<Plugin>,
    (new, keep): (NewDeployment, Option<bytes::Bytes>),
    intent: Intent,
    share: &Share,
) -> Result<DeployedRevision, WireError> {
    let name = plugin.name().to_owned();
    let needed = context.plugins.check_dependents(plugin);
    needed.map_err(|error| wire::deploy_error(&name, &error))?;
    let metadata = context.metadata.load_full();
    let present = metadata
        .plugins()
        .get(&name)
        .and_then(|plugin| plugin.current().cloned());
    let mut answer = DeployedRevision {
        name: name.clone(),
        kind: new.kind.clone(),
        version: new.version.clone(),
        digest: new.digest.clone(),
        size_bytes: new.size_bytes,
        ..DeployedRevision::default()
    };
    let trying = {
        let (context, metadata, plugin) = (context.clone(), metadata.clone(), plugin.clone());
        let background = context.arbiters.background().clone();
        background.run_long(move || rebind(&context, &metadata, &plugin))
    };
    let rebind = match trying.await {
        Ok(tried) => tried?,
        Err(panicked) => return Err(WireError::new(ErrorCode::Unknown, panicked.to_string())),
    };
    // Also when nothing else changes: that is how a module whose file was damaged or lost is repaired.
    if let Some(module) = keep {
        keep_module(context, &new.digest, module).await?;
    }
    let offered = context.plugins.get(&name);
    let is_offered = offered.is_some_and(|offered| offered.module().digest() == new.digest);
    let is_present = present.filter(|present| present.equals(&new));
    if let Some(present) = is_present.filter(|_| is_offered && rebind.is_empty()) {
        answer.revision = present.revision;
        answer.unchanged = true;
        return Ok(answer);
    }
    let slots = rebind.iter().map(|(_, binding)| binding.slot);
    let moves_keys = slots.clone().any(|slot| slot == PluginSlot::Partitioner);
    answer.topics = topic_names(&metadata, &rebind);
    if moves_keys {
        answer.warnings.push(format!(
            "records of one key may go to another partition from now on, and order per key does not \
             hold across the change, in topics {}",
            answer.topics.join(", ")
        ));
    }
    let plan = Plan::DeployPlugin { name, new, rebind };
    let proposed = context.controller.propose(plan, intent, share).await;
    let outcome = proposed.map_err(wire::controller_error)?;
    if let Command::DeployPlugin { deployment, .. } = outcome.command {
        answer.revision = deployment.revision;
    }
    answer.warnings.extend(outcome.warnings);
    if intent == Intent::CarryOut {
        move_late_topics(context, share, &mut answer).await;
    }
    Ok(answer)
}

/// Topics that were made while the deployment waited for its turn.
async fn move_late_topics(context: &Arc<Context>, share: &Share, answer: &mut DeployedRevision) {
    let metadata = context.metadata.load_full();
    for topic in metadata.topics() {
        let topic = topic.name.as_str();
        let (moved, problems) = follow_deployments(context, topic, share).await;
        answer.topics.extend(moved.then(|| topic.to_owned()));
        answer.warnings.extend(problems);
    }
}

/// A new binding of each slot that names the plugin; every topic's options are tried on it, which runs its code:
/// not for an arbiter.
fn rebind(
    context: &Arc<Context>,
    metadata: &ClusterMetadata,
    plugin: &Arc<Plugin>,
) -> Result<Vec<(TopicId, Binding)>, WireError> {
    let since = context.clock.now();
    let mut rebind = Vec::new();
    for topic in metadata.topics() {
        let Ok(config) = TopicConfig::resolve(&topic.config, &context.config.creation.topic) else {
            continue;
        };
        for slot in PluginSlot::ALL {
            if config.slot_plugin(slot) != Some(plugin.name()) {
                continue;
            }
            let name = topic.name.as_str();
            if plugin.kind().name() != slot.kind_name() {
                let error = SlotError::WrongKind {
                    plugin: plugin.name().to_owned(),
                    kind: plugin.kind(),
                    slot,
                };
                return Err(of_topic(name, wire::slot_error(&error)));
            }
            let options = options(&config, slot);
            let tried = plugin.check_config(context.plugins.engine(), name, &options);
            tried.map_err(|error| of_topic(name, wire::trial_error(&error.into())))?;
            let bound = Some(bound_plugin(plugin, &options));
            if topic.binding(slot).map(|known| &known.bound) == Some(&bound) {
                continue;
            }
            let offsets = bindings::log_ends(context.topics.get(name).as_deref());
            let binding = Binding {
                slot,
                bound,
                since,
                offsets,
            };
            rebind.push((topic.id, binding));
        }
    }
    Ok(rebind)
}

async fn keep_module(
    context: &Context,
    digest: &str,
    module: bytes::Bytes,
) -> Result<(), WireError> {
    let (plugins, digest) = (context.plugins.clone(), digest.to_owned());
    let background = context.arbiters.background();
    let kept = background
        .run_long(move || plugins.store(&digest, &module))
        .await;
    let failed = |problem: String| {
        let message = format!("the module cannot be kept: {problem}");
        WireError::new(ErrorCode::StorageFailed, message)
    };
    match kept {
        Ok(kept) => kept.map_err(|error| failed(error.to_string())),
        Err(panicked) => Err(failed(panicked.to_string())),
    }
}

fn topic_names(metadata: &ClusterMetadata, rebind: &[(TopicId, Binding)]) -> Vec<String> {
    let mut names: Vec<String> = rebind
        .iter()
        .filter_map(|(id, _)| metadata.topic_by_id(*id))
        .map(|topic| topic.name.to_string())
        .collect();
    names.dedup();
    names
}

fn of_topic(topic: &str, mut error: WireError) -> WireError {
    let message = format!("topic {topic} cannot use it: {}", error.message);
    let mut data = error.data.as_deref().cloned().unwrap_or_default();
    data.topic = Some(topic.to_owned());
    error.message = message;
    error.with_data(data)
}

fn check_kind(request: &DeployPluginRequest, plugin: &Plugin) -> Result<(), WireError> {
    match &request.kind {
        Some(kind) if *kind != plugin.kind().name() => {
            let message = format!("the module is a {}, not a {kind}", plugin.kind());
            let error = WireError::new(ErrorCode::InvalidPlugin, message);
            Err(error.with_data(ErrorData {
                plugin: Some(request.name.clone()),
                plugin_kind: Some(plugin.kind().to_string()),
                ..ErrorData::default()
            }))
        }
        _ => Ok(()),
    }
}

fn deployment_limits(limits: &LimitOverrides) -> DeploymentLimits {
    DeploymentLimits {
        deadline_ms: limits.deadline_ms,
        memory_bytes: limits.memory_bytes,
        output_bytes: limits.output_bytes,
        budget_ms: limits.budget_ms,
    }
}
