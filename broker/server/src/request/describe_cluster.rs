//! `describe_cluster`: the brokers with version, uptime and disks.

use std::sync::Arc;

use broker_protocol::WireError;
use broker_protocol::api::describe_cluster::{
    BrokerDescription, DescribeClusterRequest, DescribeClusterResponse, LogDirDescription,
};

use super::metadata::endpoints;
use crate::context::Context;
use crate::log_dirs::LogDirs;
use crate::topics::HostedPartition;

/// Describes the cluster as this broker knows it.
pub(super) async fn handle(
    context: Arc<Context>,
    _: DescribeClusterRequest,
) -> Result<DescribeClusterResponse, WireError> {
    let metadata = context.metadata.load_full();
    let dirs = context.dirs.clone();
    let log_dirs = actix_rt::task::spawn_blocking(move || describe_dirs(&dirs)).await;
    let log_dirs = log_dirs.unwrap_or_default();
    let partitions: usize = metadata.topics().map(|topic| topic.partitions.len()).sum();
    let uptime = context.clock.monotonic().saturating_sub(context.started);
    let brokers = endpoints(&context).into_iter().map(|endpoint| {
        let leaders = metadata
            .topics()
            .flat_map(|topic| &topic.partitions)
            .filter(|state| state.leader == Some(endpoint.broker_id))
            .count();
        BrokerDescription {
            broker_id: endpoint.broker_id,
            host: endpoint.host,
            port: endpoint.port,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            partitions: partitions as u64,
            leaders: leaders as u64,
            connections: context.connections.open() as u64,
            log_dirs: log_dirs.clone(),
        }
    });
    Ok(DescribeClusterResponse {
        cluster_id: context.cluster_id.to_string(),
        controller_id: Some(context.broker_id),
        brokers: brokers.collect(),
        topics: metadata.topics().count() as u64,
        partitions: partitions as u64,
        warnings: warnings(&context, &log_dirs),
    })
}

/// What an operator has to know: directories and partitions that are out of service.
fn warnings(context: &Context, log_dirs: &[LogDirDescription]) -> Vec<String> {
    let failed = log_dirs.iter().filter_map(|dir| {
        let error = dir.error.as_ref()?;
        Some(format!(
            "log directory {} is out of service: {error}",
            dir.path
        ))
    });
    let mut warnings: Vec<String> = failed.collect();
    let low = log_dirs.iter().filter(|dir| dir.state == "low_space");
    warnings.extend(low.map(|dir| {
        format!(
            "log directory {} takes no records: {} bytes are free, log.min.free.bytes is {}",
            dir.path, dir.free_bytes, dir.min_free_bytes
        )
    }));
    let behind = log_dirs.iter().filter(|dir| dir.waiting_for_syncs > 0);
    warnings.extend(behind.map(|dir| {
        format!(
            "log directory {} syncs more slowly than flush.ms allows: acknowledgements of {} partition(s) under flush.mode = async wait for syncs (the {}. time since the start)",
            dir.path, dir.waiting_for_syncs, dir.sync_waits
        )
    }));
    for topic in context.topics.all().values() {
        for (number, partition) in topic.partitions.iter().enumerate() {
            if let HostedPartition::Offline { reason, .. } = partition {
                warnings.push(format!(
                    "partition {}-{number} is offline: {reason}",
                    topic.name
                ));
            }
        }
    }
    warnings
}

fn describe_dirs(dirs: &LogDirs) -> Vec<LogDirDescription> {
    let all = dirs.all().iter();
    all.map(|dir| {
        let error = dir.is_failed().map(|failed| failed.to_string());
        let space = dir.look_at_space().unwrap_or_else(|_| dir.space());
        let backlog = dir.sync_backlog();
        let state = match (&error, space.is_low) {
            (Some(_), _) => "failed",
            (None, true) => "low_space",
            (None, false) => "online",
        };
        LogDirDescription {
            path: dir.path().display().to_string(),
            state: state.to_owned(),
            error,
            total_bytes: space.total,
            free_bytes: space.free,
            used_bytes: space.total.saturating_sub(space.free),
            min_free_bytes: space.min_free,
            waiting_for_syncs: backlog.partitions as u64,
            sync_waits: backlog.episodes,
        }
    })
    .collect()
}
