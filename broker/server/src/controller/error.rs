//! Why a change of metadata was not made.

use broker_cluster::{
    AlterTopicError, CreatePartitionsError, CreateTopicError, DeployPluginError, RemovePluginError,
};

use crate::reply::Lost;

/// Why the controller did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControllerError {
    /// The mailbox is full; nothing was done.
    Busy,
    /// The actor went away with the request; it may have been carried out.
    Lost,
    /// The controller is being started again; nothing was done.
    Restarting,
    /// The broker is stopping; nothing was done.
    Stopping,
    /// The metadata log is out of service; nothing was done.
    Offline { reason: String },
    /// The disk of the metadata log does not answer; nothing was done.
    NotYet { reason: String },
    /// There is no room for the command on the disk; nothing was done.
    NoRoom { reason: String },
    /// The command is larger than the metadata log takes; nothing was done.
    TooLarge { size: u64, max: u64 },
    /// The command was written, but whether it survives is unknown.
    Uncertain { reason: String },
    /// A rule about creating topics.
    CreateTopic(CreateTopicError),
    /// A rule about deleting or altering topics.
    AlterTopic(AlterTopicError),
    /// A rule about adding partitions.
    CreatePartitions(CreatePartitionsError),
    /// A rule about deploying plugins.
    DeployPlugin(DeployPluginError),
    /// A rule about removing plugins.
    RemovePlugin(RemovePluginError),
}

impl From<DeployPluginError> for ControllerError {
    fn from(error: DeployPluginError) -> Self {
        Self::DeployPlugin(error)
    }
}

impl From<RemovePluginError> for ControllerError {
    fn from(error: RemovePluginError) -> Self {
        Self::RemovePlugin(error)
    }
}

impl From<Lost> for ControllerError {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

impl From<CreateTopicError> for ControllerError {
    fn from(error: CreateTopicError) -> Self {
        Self::CreateTopic(error)
    }
}

impl From<AlterTopicError> for ControllerError {
    fn from(error: AlterTopicError) -> Self {
        Self::AlterTopic(error)
    }
}

impl From<CreatePartitionsError> for ControllerError {
    fn from(error: CreatePartitionsError) -> Self {
        Self::CreatePartitions(error)
    }
}
