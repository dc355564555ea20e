//! `alter_topic`: sets and takes back configuration overrides of a topic.

use std::sync::Arc;

use broker_cluster::{ConfigChange, PluginSlot};
use broker_protocol::WireError;
use broker_protocol::api::alter_topic::{AlterTopicRequest, AlterTopicResponse};

use super::bindings;
use super::following::follow_deployments;
use super::wire::controller_error;
use crate::context::Context;
use crate::controller::{Intent, Plan, Share};

/// Alters a topic and answers its overrides as they are then.
pub(super) async fn handle(
    context: Arc<Context>,
    request: AlterTopicRequest,
    share: Share,
) -> Result<AlterTopicResponse, WireError> {
    let mut bindings = Vec::new();
    let mut warnings = Vec::new();
    if let Some(topic) = context.metadata.load_full().topic(&request.name) {
        let mut overrides = topic.config.clone();
        overrides.retain(|key, _| !request.unset.contains(key));
        overrides.extend(request.set.clone());
        let altered = bindings::of_altered_topic(&context, topic, &overrides, &request.set);
        bindings = altered.await?;
        warnings = bindings::warnings(&context, &request.name, &overrides);
    }
    let partitioner = PluginSlot::Partitioner;
    if bindings.iter().any(|binding| binding.slot == partitioner) {
        warnings.push(format!(
            "with another partitioner, records of one key of topic {} may go to another partition \
             from now on, and order per key does not hold across the change",
            request.name
        ));
    }
    let intent = if request.validate_only {
        Intent::OnlyCheck
    } else {
        Intent::CarryOut
    };
    let plan = Plan::AlterTopic {
        name: request.name.clone(),
        change: ConfigChange {
            set: request.set,
            unset: request.unset.into_iter().collect(),
            bindings,
        },
    };
    let proposed = context.controller.propose(plan, intent, &share).await;
    warnings.extend(proposed.map_err(controller_error)?.warnings);
    if intent == Intent::CarryOut {
        let (_, problems) = follow_deployments(&context, &request.name, &share).await;
        warnings.extend(problems);
    }
    let metadata = context.metadata.load();
    let config = metadata
        .topic(&request.name)
        .map(|topic| topic.config.clone());
    Ok(AlterTopicResponse {
        config: config.unwrap_or_default(),
        warnings,
    })
}
