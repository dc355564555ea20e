//! `describe_cluster`: the brokers with version, uptime and disks, and what needs somebody's attention:
//! directories, threads, partitions, damage, losses, plugins, the clock. Only partitions with damage are asked.

use std::sync::Arc;
use std::time::Duration;

use broker_model::{Offset, TopicPartition};
use broker_protocol::WireError;
use broker_protocol::api::describe_cluster::{
    BrokerDescription, DescribeClusterRequest, DescribeClusterResponse, LogDirDescription,
};
use broker_storage::{Corruption, LogDir};
use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::metadata::endpoints;
use super::plugin_warnings::{plugin_warnings, unsound_modules};
use crate::broker::hanging;
use crate::context::Context;
use crate::log_dirs::LogDirs;
use crate::offline::Offline;
use crate::topics::HostedPartition;

/// How long partitions are waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Describes the cluster as this broker knows it.
pub(super) async fn handle(
    context: Arc<Context>,
    _: DescribeClusterRequest,
) -> Result<DescribeClusterResponse, WireError> {
    let metadata = context.metadata.load_full();
    let log_dirs = describe_dirs(&context.dirs);
    let partitions: usize = metadata.topics().map(|topic| topic.partitions.len()).sum();
    let uptime = context.clock.monotonic().saturating_sub(context.started);
    let brokers = endpoints(&context).into_iter().map(|endpoint| {
        let leaders = metadata
            .topics()
            .flat_map(|topic| topic.partitions.iter())
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
        warnings: warnings(&context, &log_dirs).await,
    })
}

/// What an operator has to know, the worst first.
async fn warnings(context: &Context, log_dirs: &[LogDirDescription]) -> Vec<String> {
    let mut warnings = of_dirs(log_dirs);
    warnings.extend(context.dirs.all().iter().filter_map(hanging));
    warnings.extend(context.arbiters.stuck());
    let trouble = context.controller.trouble();
    warnings.extend(trouble.map(|reason| {
        format!("topics and plugins can be used, and not created, changed or deleted: {reason}")
    }));
    warnings.extend(offline_partitions(context));
    warnings.extend(damaged_partitions(context).await);
    let start_of = |partition: &TopicPartition| log_start(context, partition);
    warnings.extend(context.dirs.lost_records(start_of));
    warnings.extend(plugin_warnings(context));
    warnings.extend(unsound_modules(context, &warnings));
    warnings.extend(context.dirs.clock_doubt().warnings());
    let (factor, brokers) = (
        context.config.creation.replication_factor,
        context.metadata.load().brokers().len(),
    );
    if usize::try_from(factor).is_ok_and(|factor| factor > brokers) {
        warnings.push(format!(
            "default.replication.factor is {factor} and there are {brokers} broker(s): topics that are created without a replication factor are refused"
        ));
    }
    warnings
}

fn log_start(context: &Context, partition: &TopicPartition) -> Option<Offset> {
    let topic = context.topics.get(partition.topic.as_str())?;
    match topic.partition(partition.partition)? {
        HostedPartition::Online(handle) => Some(handle.offsets().start),
        HostedPartition::Offline { .. } => None,
    }
}

fn of_dirs(log_dirs: &[LogDirDescription]) -> Vec<String> {
    let mut warnings = Vec::new();
    for dir in log_dirs {
        let (path, free) = (&dir.path, dir.free_bytes);
        if dir.state == "not_writable" {
            let error = dir.error.as_deref().unwrap_or_default();
            warnings.push(format!(
                "log directory {path} is not all in service: {error}"
            ));
        } else if dir.state == "low_space"
            && let Some(error) = &dir.error
        {
            warnings.push(format!(
                "log directory {path} takes no records that need a new file: {error}; remove files there that are not the broker's, delete topics, or give it more inodes"
            ));
        } else if let Some(error) = &dir.error {
            warnings.push(format!(
                "log directory {path} is out of service: {error}. Its partitions are offline until the disk is seen to and the broker restarted"
            ));
        } else if dir.state == "low_space" && free >= dir.min_free_bytes {
            warnings.push(format!(
                "log directory {path} is full: {free} bytes are free, and records that do not fit are refused; make room or delete records or topics"
            ));
        } else if dir.state == "low_space" && dir.min_free_bytes > dir.total_bytes {
            warnings.push(format!(
                "log directory {path} takes no records: log.min.free.bytes is {}, and its disk has {} bytes in all; set it below that",
                dir.min_free_bytes, dir.total_bytes
            ));
        } else if dir.state == "low_space" {
            warnings.push(format!(
                "log directory {path} takes no records: {free} bytes are free, log.min.free.bytes is {}; make room or delete records or topics",
                dir.min_free_bytes
            ));
        }
        if dir.waiting_for_syncs > 0 {
            warnings.push(format!(
                "log directory {path} syncs more slowly than flush.ms allows: acknowledgements of {} partition(s) under flush.mode = async wait for syncs, which has begun {} time(s) since the start",
                dir.waiting_for_syncs, dir.sync_waits
            ));
        }
    }
    warnings
}

/// Partitions that are offline for a reason of their own: those of a directory out of service are told
/// with it.
fn offline_partitions(context: &Context) -> Vec<String> {
    let mut offline = Offline::default();
    for topic in context.topics.all().values() {
        offline.add_all(topic);
    }
    offline.warnings()
}

/// Partitions with known damage. Only those are asked in which some was found since the start.
async fn damaged_partitions(context: &Context) -> Vec<String> {
    let dirs = context.dirs.all().iter();
    let damaged = dirs.flat_map(LogDir::damaged_partitions);
    let asked = damaged.filter_map(|partition| {
        let topic = context.topics.get(partition.topic.as_str())?;
        match topic.partition(partition.partition)? {
            HostedPartition::Online(handle) => Some((partition, handle.clone())),
            HostedPartition::Offline { .. } => None,
        }
    });
    let asked = asked.map(|(partition, handle)| {
        let damage = async move { Some(handle.summarize().await.ok()?.damage) };
        (partition, damage)
    });
    damage_warnings(asked).await
}

/// What partitions answer that were asked for their damage; none when they cannot. All are waited for at once:
/// their threads may wait for a disk.
async fn damage_warnings<A: Future<Output = Option<Vec<Corruption>>>>(
    asked: impl Iterator<Item = (TopicPartition, A)>,
) -> Vec<String> {
    let until = Instant::now() + ANSWERS_WITHIN;
    let warnings = asked.map(|(partition, answer)| async move {
        let Ok(Some(damage)) = timeout_at(until, answer).await else {
            return Some(format!(
                "partition {partition} is damaged, and does not say where at the moment"
            ));
        };
        let (first, places) = (damage.first()?, damage.len());
        Some(format!(
            "partition {partition} is damaged in {places} place(s), first: {first}; everything else in it is served (broker topic describe {})",
            partition.topic
        ))
    });
    join_all(warnings).await.into_iter().flatten().collect()
}

/// As they were seen at the last look, a second ago: no disk is asked, which may not answer.
fn describe_dirs(dirs: &LogDirs) -> Vec<LogDirDescription> {
    let all = dirs.all().iter();
    all.map(|dir| {
        let failed = dir.is_failed().map(|failed| failed.reason.to_string());
        let denied = dir.not_permitted().map(|denied| denied.to_string());
        let space = dir.space();
        let backlog = dir.sync_backlog();
        let state = match (&failed, &denied, space.is_low) {
            (Some(_), _, _) => "failed",
            (None, Some(_), _) => "not_writable",
            (None, None, true) => "low_space",
            (None, None, false) => "online",
        };
        let lacks_inodes = space.is_low && space.lacks_inodes;
        let no_inodes = lacks_inodes.then(|| {
            format!(
                "its file system has no inodes left, so that no file can be made, while {} bytes are free",
                space.free
            )
        });
        LogDirDescription {
            path: dir.path().display().to_string(),
            state: state.to_owned(),
            error: failed.or(denied).or(no_inodes),
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

#[cfg(test)]
mod tests {
    use broker_model::{PartitionId, TopicName};

    use super::*;

    #[actix_rt::test]
    async fn damaged_partitions_that_do_not_answer_are_waited_for_at_once_and_named() {
        let partition = |number| {
            let topic = TopicName::new("t").expect("a name");
            TopicPartition::new(topic, PartitionId::new(number))
        };
        let began = Instant::now();
        let asked = (0..30).map(|number| {
            let answer = async move {
                // Every other has a full mailbox.
                if number % 2 == 0 {
                    std::future::pending::<()>().await;
                }
                None
            };
            (partition(number), answer)
        });
        let warnings = damage_warnings(asked).await;
        assert_eq!(warnings.len(), 30, "{warnings:?}");
        let took = began.elapsed();
        assert!(took < 10 * ANSWERS_WITHIN, "{took:?}");
    }
}
