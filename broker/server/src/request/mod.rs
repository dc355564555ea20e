//! Requests, one file per method: decode, call a handle, encode. `produce` starts synchronously, so that
//! the produce requests of a connection reach a partition in the order they were sent; everything else
//! runs in a task of its own and may be overtaken.

mod alter_topic;
mod bindings;
mod crash_actor;
mod create_partitions;
mod create_topic;
mod dead_letters;
mod decoding;
mod delete_records;
mod delete_topic;
mod deploy_plugin;
mod describe_cluster;
mod describe_configs;
mod describe_topic;
mod dry_run_plugin;
mod dry_run_status;
mod fetch;
mod fetch_partition;
mod fetch_records;
mod fetch_wait;
mod following;
mod hello;
mod list_actors;
mod list_offsets;
mod list_plugins;
mod lookup;
mod metadata;
mod partition_for;
mod ping;
mod plugin_history;
mod plugin_logs;
mod plugin_module;
mod plugin_warnings;
mod produce;
mod record_decoder;
mod remove_plugin;
mod resume_plugin;
mod rollback_plugin;
mod routed_produce;
mod serialized_produce;
mod through_plugins;
mod wire;

pub(crate) use following::follow_manifest;

use std::rc::Rc;

use broker_protocol::{ErrorCode, Method, WireError};
use bytes::Bytes;

use crate::connection::{Asker, Session, Weight, WorkInOrder};

/// Requests up to this size that ask about something for each element they have ask about few.
const FEW_BYTES: usize = 4 * 1024;

/// Starts one request. What has to be done before the next request of the connection may start is given back.
pub(crate) fn start(
    session: &Rc<Session>,
    method: Method,
    call: (Bytes, Weight),
    asker: Asker,
) -> Option<WorkInOrder> {
    let heavy = call.1 != Weight::Light;
    let few = call.0.len() <= FEW_BYTES;
    match method {
        Method::Produce => produce::start(session, call.0, call.1, asker),
        Method::Fetch | Method::Hello | Method::Ping => {
            match method {
                _ if heavy => asker.refuse(too_heavy(method)),
                Method::Hello => hello::answer(session, &call.0, asker),
                Method::Ping => ping::answer(session, &call.0, asker),
                _ => fetch::start(session, call.0, asker),
            }
            None
        }
        Method::Metadata => session.spawn_in_turn(call, asker, metadata::handle),
        Method::CreateTopic => session.spawn_change(call, asker, create_topic::handle),
        Method::DeleteTopic => session.spawn_change(call, asker, delete_topic::handle),
        Method::AlterTopic => session.spawn_change(call, asker, alter_topic::handle),
        Method::CreatePartitions => session.spawn_change(call, asker, create_partitions::handle),
        Method::DescribeTopic => session.spawn_in_turn(call, asker, describe_topic::handle),
        Method::DescribeConfigs => session.spawn_in_turn(call, asker, describe_configs::handle),
        Method::ListOffsets if few => session.spawn(call, asker, list_offsets::handle),
        Method::ListOffsets => session.spawn_in_turn(call, asker, list_offsets::handle),
        Method::DeleteRecords if few => session.spawn(call, asker, delete_records::handle),
        Method::DeleteRecords => session.spawn_in_turn(call, asker, delete_records::handle),
        Method::PartitionFor if few => session.spawn(call, asker, partition_for::handle),
        Method::PartitionFor => session.spawn_in_turn(call, asker, partition_for::handle_many),
        Method::DeployPlugin => session.spawn_change(call, asker, deploy_plugin::handle),
        Method::RollbackPlugin => session.spawn_change(call, asker, rollback_plugin::handle),
        Method::RemovePlugin => session.spawn_change(call, asker, remove_plugin::handle),
        Method::ResumePlugin => session.spawn(call, asker, resume_plugin::handle),
        Method::PluginHistory => session.spawn_in_turn(call, asker, plugin_history::handle),
        Method::PluginLogs => session.spawn_in_turn(call, asker, plugin_logs::handle),
        Method::PluginModule => session.spawn_in_turn(call, asker, plugin_module::handle),
        Method::DryRunPlugin => session.spawn(call, asker, dry_run_plugin::handle),
        Method::DryRunStatus => session.spawn_in_turn(call, asker, dry_run_status::handle),
        Method::ListPlugins => session.spawn_in_turn(call, asker, list_plugins::handle),
        Method::DescribeCluster => session.spawn_in_turn(call, asker, describe_cluster::handle),
        Method::ListActors => session.spawn_in_turn(call, asker, list_actors::handle),
        Method::CrashActor => session.spawn(call, asker, crash_actor::handle),
        other => {
            let message = format!("method {other} is not available in this version");
            asker.refuse(WireError::new(ErrorCode::UnknownMethod, message));
            None
        }
    }
}

/// Whether carrying it out changes nothing, and is of no use to anybody but who asks.
pub(crate) fn only_asks(method: Method) -> bool {
    matches!(
        method,
        Method::Metadata
            | Method::DescribeTopic
            | Method::DescribeConfigs
            | Method::DescribeCluster
            | Method::ListOffsets
            | Method::ListPlugins
            | Method::ListActors
            | Method::PartitionFor
            | Method::PluginHistory
            | Method::PluginLogs
            | Method::PluginModule
            | Method::DryRunStatus
    )
}

/// A request that its method could not fill.
fn too_heavy(method: Method) -> WireError {
    let message = format!("a request for {method} has far fewer values and bytes than this one");
    WireError::new(ErrorCode::InvalidRequest, message)
}
