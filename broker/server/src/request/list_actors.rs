//! `list_actors`: the live actors of this broker.

use std::sync::Arc;

use broker_protocol::WireError;
use broker_protocol::api::list_actors::{ActorEntry, ListActorsRequest, ListActorsResponse};

use crate::actor_stats::ActorStats;
use crate::context::Context;
use crate::topics::HostedPartition;

/// Lists broker, controller and every partition.
pub(super) async fn handle(
    context: Arc<Context>,
    _: ListActorsRequest,
) -> Result<ListActorsResponse, WireError> {
    let id = context.broker_id.to_string();
    let mut actors = vec![
        entry("broker", &id, context.broker.stats()),
        entry("controller", &id, context.controller.stats()),
    ];
    let topics = context.topics.all();
    let mut names: Vec<_> = topics.keys().collect();
    names.sort();
    for topic in names.into_iter().filter_map(|name| topics.get(name)) {
        for (number, partition) in topic.partitions.iter().enumerate() {
            let name = format!("{}-{number}", topic.name);
            actors.push(match partition {
                HostedPartition::Online(handle) => entry("partition", &name, handle.stats()),
                HostedPartition::Offline { .. } => ActorEntry {
                    kind: "partition".to_owned(),
                    name,
                    state: "offline".to_owned(),
                    ..ActorEntry::default()
                },
            });
        }
    }
    Ok(ListActorsResponse { actors })
}

fn entry(kind: &str, name: &str, stats: &ActorStats) -> ActorEntry {
    ActorEntry {
        kind: kind.to_owned(),
        name: name.to_owned(),
        state: "running".to_owned(),
        mailbox_depth: stats.mailbox_depth() as u64,
        handled: stats.handled_total(),
        restarts: stats.restart_total(),
    }
}
