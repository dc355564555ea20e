//! Topics that move to what their configuration names now: at the start, and when a plugin was deployed while a change
//! of the topic waited for its turn, or a topic made while the deployment did.

use std::sync::Arc;

use broker_cluster::{ConfigChange, PluginSlot, Topic, TopicConfig};
use tracing::warn;

use super::bindings::{Bound, bind, bindings, log_ends};
use crate::context::Context;
use crate::controller::{Intent, Plan, Share};

/// At start: topics whose plugin comes from the manifest move to what the manifest names now, since whoever
/// changed it wanted that. What comes with the binary stays as it was bound. Topics from before bindings were
/// kept are bound to what they have been running.
pub(crate) async fn follow_manifest(context: &Arc<Context>) {
    let metadata = context.metadata.load_full();
    for topic in metadata.topics() {
        let is_of_manifest = |named: &str| {
            let offered = context.plugins.get(named);
            offered.is_some_and(|plugin| plugin.path().is_some())
        };
        let moves = |slot, named: Option<&str>| match topic.binding(slot) {
            None => named.is_some(),
            Some(_) => named.is_some_and(is_of_manifest),
        };
        // What goes wrong is in the log.
        let _ = follow(context, topic, moves, &Share::default()).await;
    }
}

/// Has a topic run the deployed plugins that it names as they are by now: whether it did not, and what could not be
/// bound.
pub(super) async fn follow_deployments(
    context: &Arc<Context>,
    topic: &str,
    share: &Share,
) -> (bool, Vec<String>) {
    let metadata = context.metadata.load_full();
    let Some(topic) = metadata.topic(topic) else {
        return (false, Vec::new());
    };
    let is_outdated = |slot, named: Option<&str>| {
        let Some(offered) = named.and_then(|named| context.plugins.get(named)) else {
            return false;
        };
        let digest = offered.module().digest();
        let deployed = metadata.plugins().get(offered.name());
        let is_deployed = deployed
            .and_then(|plugin| plugin.current())
            .is_some_and(|deployed| deployed.digest == digest);
        let bound = topic
            .binding(slot)
            .and_then(|binding| binding.bound.as_ref());
        is_deployed && bound.is_some_and(|bound| bound.digest != digest)
    };
    follow(context, topic, is_outdated, share).await
}

async fn follow(
    context: &Arc<Context>,
    topic: &Topic,
    moves: impl Fn(PluginSlot, Option<&str>) -> bool,
    share: &Share,
) -> (bool, Vec<String>) {
    let defaults = &context.config.creation.topic;
    let Ok(config) = TopicConfig::resolve(&topic.config, defaults) else {
        return (false, Vec::new());
    };
    let slots = PluginSlot::ALL.into_iter();
    let name = topic.name.as_str();
    let (mut new, mut problems) = (Bound::new(), Vec::new());
    for slot in slots.filter(|slot| moves(*slot, config.slot_plugin(*slot))) {
        match bind(context, name, config.clone(), vec![slot]).await {
            Ok(bound) => new.extend(bound),
            Err(error) => {
                warn!(topic = name, %slot, %error, "the topic stays with the plugin it is bound to");
                problems.push(format!(
                    "{slot} of topic {name} stays with the plugin it is bound to: {error}"
                ));
            }
        }
    }
    new.retain(|(slot, bound)| {
        topic.binding(*slot).and_then(|known| known.bound.as_ref()) != bound.as_ref()
    });
    if new.is_empty() {
        return (false, problems);
    }
    let offsets = log_ends(context.topics.get(name).as_deref());
    let plan = Plan::AlterTopic {
        name: name.to_owned(),
        change: ConfigChange {
            bindings: bindings(context, new.into_iter(), offsets),
            ..ConfigChange::default()
        },
    };
    let proposed = context.controller.propose(plan, Intent::CarryOut, share);
    match proposed.await {
        Ok(_) => (true, problems),
        Err(error) => {
            warn!(
                topic = name,
                ?error,
                "the topic's plugins could not be bound"
            );
            problems.push(format!(
                "plugins of topic {name} could not be bound: {error:?}"
            ));
            (false, problems)
        }
    }
}
