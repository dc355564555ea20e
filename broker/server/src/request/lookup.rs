//! Finding what a request names: the topic, checked against the id the client knows, and its partition.

use std::sync::Arc;

use broker_model::{PartitionId, TopicId, TopicName};
use broker_protocol::{ErrorCode, ErrorData, WireError};
use broker_wasm::Plugin;

use super::list_plugins::users;
use super::wire::{other_topic, partition_error, slot_error};
use crate::context::Context;
use crate::partition::{PartitionError, PartitionHandle};
use crate::plugins::SlotError;
use crate::topics::{HostedPartition, HostedTopic, Outlook};

/// The topic of that name; with an id, only that very topic.
pub(super) fn topic(
    context: &Context,
    name: &str,
    id: Option<TopicId>,
) -> Result<Arc<HostedTopic>, WireError> {
    let Some(topic) = context.topics.get(name) else {
        refuse_reserved(name)?;
        return Err(unknown_topic(name));
    };
    match id {
        Some(asked) if asked != topic.id => Err(other_topic(name, topic.id, asked)),
        _ => Ok(topic),
    }
}

/// The partition of a topic, if it is in service.
pub(super) fn partition(
    topic: &HostedTopic,
    partition: PartitionId,
) -> Result<&PartitionHandle, WireError> {
    match topic.partition(partition) {
        Some(HostedPartition::Online(handle)) => match handle.check_in_service() {
            Ok(()) => Ok(handle),
            Err(error) => Err(partition_error(topic.name.as_str(), partition, error)),
        },
        Some(HostedPartition::Offline { reason, outlook }) => {
            let reason = reason.clone();
            let error = match outlook {
                Outlook::Passing => PartitionError::NotYet { reason },
                Outlook::Lasting => PartitionError::Offline { reason },
            };
            Err(partition_error(topic.name.as_str(), partition, error))
        }
        None => {
            let message = format!(
                "topic {} has partitions 0 to {}, not {partition}",
                topic.name,
                topic.partitions.len().saturating_sub(1)
            );
            Err(
                WireError::new(ErrorCode::UnknownTopicOrPartition, message).with_data(ErrorData {
                    topic: Some(topic.name.to_string()),
                    partition: Some(partition),
                    ..ErrorData::default()
                }),
            )
        }
    }
}

/// Every plugin that has this name: the one that it means now, and those that topics are pinned to.
pub(super) fn plugins_named(context: &Context, name: &str) -> Result<Vec<Arc<Plugin>>, WireError> {
    let pinned = context.plugins.pinned().into_iter();
    let mut named: Vec<Arc<Plugin>> = context.plugins.get(name).into_iter().collect();
    let runs = |plugin: &Arc<Plugin>| !users(context, plugin).is_empty();
    named.extend(pinned.filter(|plugin| plugin.name() == name && runs(plugin)));
    if named.is_empty() {
        let plugin = name.to_owned();
        let meant = None;
        return Err(slot_error(&SlotError::NotInstalled { plugin, meant }));
    }
    Ok(named)
}

/// No such topic.
pub(super) fn unknown_topic(name: &str) -> WireError {
    WireError::new(
        ErrorCode::UnknownTopicOrPartition,
        format!("there is no topic {name:?}"),
    )
    .with_data(ErrorData {
        topic: Some(name.to_owned()),
        ..ErrorData::default()
    })
}

/// Refuses what clients may not touch, whether or not it exists yet.
pub(super) fn refuse_reserved(name: &str) -> Result<(), WireError> {
    if TopicName::reserves(name) {
        let message = format!("topic {name} is the broker's own");
        return Err(WireError::new(ErrorCode::TopicReserved, message));
    }
    Ok(())
}
