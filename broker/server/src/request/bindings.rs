//! Binding topics to plugins: before a configuration is accepted, each slot's plugin is tried with its
//! options, its module is kept, and what the metadata is to say about it is put together. A plugin that is not
//! there, or options it refuses, are refused now and not at the first record.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_cluster::{Binding, BoundPlugin, PluginSlot, Topic, TopicConfig};
use broker_model::Offset;
use broker_protocol::{ErrorCode, WireError};

use super::wire;
use crate::context::Context;
use crate::plugins::SlotError;
use crate::topics::{HostedPartition, HostedTopic};

/// The bindings of a topic that is about to be created. Overrides that are wrong in another way are the
/// controller's to refuse.
pub(super) async fn of_new_topic(
    context: &Arc<Context>,
    name: &str,
    overrides: &BTreeMap<String, String>,
) -> Result<Vec<Binding>, WireError> {
    let Ok(config) = TopicConfig::resolve(overrides, &context.config.creation.topic) else {
        return Ok(Vec::new());
    };
    let bound = bind(context, name, config, PluginSlot::ALL.to_vec()).await?;
    let filled = bound.into_iter().filter(|(_, bound)| bound.is_some());
    Ok(bindings(context, filled, Vec::new()))
}

/// The bindings of those slots that other overrides change, or that are set again by name: that is how a
/// topic moves to what a name means by now.
pub(super) async fn of_altered_topic(
    context: &Arc<Context>,
    topic: &Topic,
    overrides: &BTreeMap<String, String>,
    set: &BTreeMap<String, String>,
) -> Result<Vec<Binding>, WireError> {
    let defaults = &context.config.creation.topic;
    let (Ok(before), Ok(after)) = (
        TopicConfig::resolve(&topic.config, defaults),
        TopicConfig::resolve(overrides, defaults),
    ) else {
        return Ok(Vec::new());
    };
    let changes = |slot: &PluginSlot| {
        set.contains_key(slot.key())
            || before.slot_plugin(*slot) != after.slot_plugin(*slot)
            || before.slot_options(*slot) != after.slot_options(*slot)
    };
    let slots: Vec<_> = PluginSlot::ALL.into_iter().filter(changes).collect();
    if slots.is_empty() {
        return Ok(Vec::new());
    }
    let bound = bind(context, topic.name.as_str(), after, slots).await?;
    let is_new = |(slot, bound): &(PluginSlot, Option<BoundPlugin>)| {
        topic.binding(*slot).and_then(|known| known.bound.as_ref()) != bound.as_ref()
    };
    let offsets = log_ends(context.topics.get(topic.name.as_str()).as_deref());
    Ok(bindings(context, bound.into_iter().filter(is_new), offsets))
}

/// What whoever sets this configuration should know.
pub(super) fn warnings(
    context: &Context,
    topic: &str,
    overrides: &BTreeMap<String, String>,
) -> Vec<String> {
    let config = TopicConfig::resolve(overrides, &context.config.creation.topic);
    let dead_letters = config
        .as_ref()
        .ok()
        .and_then(|config| config.dead_letters_of(topic));
    let missing = dead_letters.filter(|name| context.metadata.load().topic(name).is_none());
    let warning = missing.map(|name| {
        format!(
            "dead.letter.topic is {name}, and there is no such topic: create it, or refused records \
             are not kept anywhere"
        )
    });
    warning.into_iter().collect()
}

/// The end of each partition's log now: where a binding that is made now begins.
pub(super) fn log_ends(topic: Option<&HostedTopic>) -> Vec<Offset> {
    let partitions = topic.map(|topic| topic.partitions.iter());
    let ends = partitions
        .into_iter()
        .flatten()
        .map(|partition| match partition {
            HostedPartition::Online(handle) => handle.offsets().end,
            HostedPartition::Offline { .. } => Offset::ZERO,
        });
    ends.collect()
}

pub(super) type Bound = Vec<(PluginSlot, Option<BoundPlugin>)>;

pub(super) async fn bind(
    context: &Arc<Context>,
    topic: &str,
    config: TopicConfig,
    slots: Vec<PluginSlot>,
) -> Result<Bound, WireError> {
    let (plugins, topic) = (context.plugins.clone(), topic.to_owned());
    let binding = context.arbiters.background().run_long(move || {
        let bind = |slot| {
            let bound = plugins.bind(&topic, &config, slot)?;
            Ok((slot, bound))
        };
        slots
            .into_iter()
            .map(bind)
            .collect::<Result<Bound, SlotError>>()
    });
    match binding.await {
        Ok(bound) => bound.map_err(|error| wire::trial_error(&error)),
        Err(panicked) => Err(WireError::new(ErrorCode::Unknown, panicked.to_string())),
    }
}

pub(super) fn bindings(
    context: &Context,
    bound: impl Iterator<Item = (PluginSlot, Option<BoundPlugin>)>,
    offsets: Vec<Offset>,
) -> Vec<Binding> {
    let since = context.clock.now();
    bound
        .map(|(slot, bound)| Binding {
            slot,
            bound,
            since,
            offsets: offsets.clone(),
        })
        .collect()
}
