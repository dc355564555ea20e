//! The controller's messages, private to this folder but for what a caller fills in and gets back.

use actix::Message;
use broker_cluster::{Binding, ClusterMetadata, Command, ConfigChange, NewDeployment, NewTopic};
use broker_model::limits::PARTITIONS_PER_TOPIC_MAX;
use broker_model::{BrokerId, TopicId};
use broker_storage::{ScrubFound, ScrubTarget, Scrubbed, SyncOutcome};

use super::error::ControllerError;
use super::fair_line::Place;
use crate::reply::Reply;

/// A change somebody wants.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    CreateTopic(NewTopic),
    DeleteTopic {
        name: String,
        /// Only the topic that has it.
        id: Option<TopicId>,
    },
    AlterTopic {
        name: String,
        change: ConfigChange,
    },
    CreatePartitions {
        name: String,
        count: u32,
        assignment: Option<Vec<Vec<BrokerId>>>,
    },
    DeployPlugin {
        name: String,
        new: NewDeployment,
        rebind: Vec<(TopicId, Binding)>,
    },
    RemovePlugin {
        name: String,
    },
    RegisterBroker {
        id: BrokerId,
        address: String,
    },
}

impl Plan {
    /// Whether it takes room that nothing gives back: not on a disk that is nearly used up.
    pub(super) fn needs_room(&self) -> bool {
        matches!(
            self,
            Self::CreateTopic(_) | Self::CreatePartitions { .. } | Self::DeployPlugin { .. }
        )
    }

    /// How much work it is, about: one, and one for each partition whose files are made or removed.
    pub(super) fn work(&self, metadata: &ClusterMetadata, default_partitions: u32) -> u64 {
        let now = |name: &str| {
            let topic = metadata.topic(name);
            topic.map_or(0, |topic| topic.partitions.len() as u64)
        };
        let partitions = match self {
            Self::CreateTopic(new) => match (&new.assignment, new.partitions) {
                (Some(assignment), _) => assignment.len() as u64,
                (None, Some(partitions)) => partitions.into(),
                (None, None) => default_partitions.into(),
            },
            Self::DeleteTopic { name, .. } => now(name),
            Self::CreatePartitions { name, count, .. } => {
                u64::from(*count).saturating_sub(now(name))
            }
            Self::AlterTopic { .. }
            | Self::DeployPlugin { .. }
            | Self::RemovePlugin { .. }
            | Self::RegisterBroker { .. } => 0,
        };
        1 + partitions.min(PARTITIONS_PER_TOPIC_MAX.into())
    }
}

/// Whether a plan is carried out or only checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    CarryOut,
    OnlyCheck,
}

/// What a plan came to.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) command: Command,
    pub(crate) warnings: Vec<String>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Propose {
    pub(super) plan: Plan,
    pub(super) intent: Intent,
    pub(super) place: Place,
    pub(super) reply: Reply<Outcome, ControllerError>,
}

/// From the sync thread; at most one is under way.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Synced(pub(super) SyncOutcome);

/// Look whether the log's files are still there.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LookForFiles;

/// What of the log a scrub has to read.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct BeginScrub {
    pub(super) reply: Reply<Vec<ScrubTarget>, ControllerError>,
}

/// What a scrub of a segment has found; answered with the damage that is news.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct FinishScrub {
    pub(super) scrubbed: Scrubbed,
    pub(super) reply: Reply<ScrubFound, ControllerError>,
}

/// Answer what waits and end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close {
    pub(super) reply: Reply<(), ControllerError>,
}

/// Fault injection: panic.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Crash;
