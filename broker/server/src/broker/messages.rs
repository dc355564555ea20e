//! The broker actor's messages, private to this folder.

use std::sync::Arc;

use actix::Message;
use broker_cluster::{Change, ClusterMetadata};
use broker_model::{TopicId, TopicPartition};

use super::handle::BrokerError;
use crate::reply::Reply;

/// Carry out committed changes.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Apply {
    pub(super) changes: Vec<Change>,
    pub(super) reply: Reply<(), BrokerError>,
}

/// Host everything that metadata gives this broker; after a start.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct HostAll {
    pub(super) metadata: Arc<ClusterMetadata>,
    pub(super) reply: Reply<(), BrokerError>,
}

/// A child's death notice.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct PartitionDied(pub(super) TopicPartition);

/// A partition cannot go on: somebody has removed its files.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct PartitionVanished {
    pub(super) partition: TopicPartition,
    pub(super) topic_id: TopicId,
    pub(super) reason: String,
}

/// Logs were opened, or were not, that nobody has waited for to the end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LogsAreLate;

/// The modules of these plugins can be read, and could not before.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ModulesReadable(pub(super) Vec<String>);

/// What has vanished, once the high watermarks of these partitions are on the disk.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct VanishedNoted(pub(super) Vec<PartitionVanished>);

/// The controller's death notice.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ControllerDied;

/// Flush, sync and close every partition, write the clean-shutdown mark, end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Shutdown {
    pub(super) reply: Reply<(), BrokerError>,
}

/// It is time to look at something.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(super) enum Tick {
    Retention,
    Cleaning,
    Scrub,
    Checkpoint,
    Space,
}

/// Fault injection: panic.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Crash;
