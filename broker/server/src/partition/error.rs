//! What can go wrong with a partition, as facts. `request::wire` gives each its code on the wire.
//! What is definite here is so on the wire: nothing of such a write is in the log, or ever will be.

use std::path::PathBuf;
use std::time::Duration;

use broker_model::Offset;
use broker_storage::{AppendError, ChangeError, Corruption, LowSpace, ReadError};

use crate::reply::Lost;

/// Why a partition did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PartitionError {
    /// The mailbox is full; nothing was done.
    #[error("too many requests are waiting")]
    Busy,
    /// The actor went away with the request; it may have been carried out.
    #[error("it crashed while it handled the request and is started again")]
    Lost,
    /// The partition is not in service yet; nothing was done.
    #[error("it is not in service at the moment: {reason}")]
    NotYet { reason: String },
    /// The partition is out of service until an operator has seen to it; nothing was done.
    #[error("it is offline: {reason}")]
    Offline { reason: String },
    /// The broker is stopping, or the topic is being deleted; nothing was done.
    #[error("it is being closed")]
    Stopping,
    /// The batch is larger than the topic allows.
    #[error("a batch of {size} bytes is larger than message.max.bytes = {max}")]
    BatchTooLarge { size: usize, max: u32 },
    /// Too few replicas are in sync; nothing was written.
    #[error("{in_sync} replicas are in sync, acks = all needs {required}")]
    NotEnoughReplicas { in_sync: u32, required: u32 },
    /// No such offset.
    #[error("offset {asked} is out of range, it holds {earliest} to {latest}")]
    OffsetOutOfRange {
        asked: Offset,
        earliest: Offset,
        latest: Offset,
    },
    /// Stored data is damaged.
    #[error("stored data is damaged: {} at byte {position}, offset {offset}: {reason}", .file.display())]
    Corrupt {
        file: PathBuf,
        position: u64,
        offset: Offset,
        next_good: Option<Offset>,
        reason: String,
    },
    /// The write failed and certainly left nothing behind.
    #[error("writing failed, nothing of it is stored: {reason}")]
    WriteFailed { reason: String },
    /// The write may or may not survive.
    #[error("writing failed, it may or may not survive: {reason}")]
    WriteUncertain { reason: String },
    /// The disk has less room left than producers have to leave; nothing was written.
    #[error(transparent)]
    LowSpace(#[from] LowSpace),
    /// The process has no file descriptor left; nothing was done.
    #[error("no file can be opened at the moment: {reason}")]
    NoDescriptor { reason: String },
    /// The broker may not use a file; nothing was done, and it passes once it may.
    #[error("{reason}")]
    NotPermitted { reason: String },
    /// A limit on file sizes leaves a segment no room for the batch; nothing was written.
    #[error("{reason}")]
    FileLimit { reason: String },
    /// The disk is full; nothing was written.
    #[error("there is no space left: {reason}")]
    DiskFull { reason: String },
    /// A read failed.
    #[error("reading failed: {reason}")]
    ReadFailed { reason: String },
    /// Nobody can say whether it was done, nor when that will be known.
    #[error("it was asked for that and has not answered: {reason}; it may or may not be done yet")]
    Unanswered { reason: String },
    /// The acknowledgement did not come in time; the write may still become durable.
    #[error("no acknowledgement within {} ms", .after.as_millis())]
    TimedOut { after: Duration },
}

impl From<Lost> for PartitionError {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

impl From<AppendError> for PartitionError {
    fn from(error: AppendError) -> Self {
        let reason = error.to_string();
        match error {
            AppendError::BatchTooLarge { size, max, .. } => Self::BatchTooLarge {
                size: usize::try_from(size).unwrap_or(usize::MAX),
                max: u32::try_from(max).unwrap_or(u32::MAX),
            },
            AppendError::DirFailed(_) | AppendError::Vanished(_) => Self::Offline { reason },
            AppendError::LowSpace(low) => Self::LowSpace(low),
            AppendError::NoSpace { .. } => Self::DiskFull { reason },
            AppendError::FileLimit { .. } => Self::FileLimit { reason },
            AppendError::NoDescriptor { .. } => Self::NoDescriptor { reason },
            AppendError::NotPermitted(_) => Self::NotPermitted { reason },
            AppendError::Uncertain { .. } => Self::WriteUncertain { reason },
            AppendError::EpochFenced { .. }
            | AppendError::OffsetsExhausted { .. }
            | AppendError::Io { .. } => Self::WriteFailed { reason },
        }
    }
}

impl From<ReadError> for PartitionError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::OffsetOutOfRange { asked, start, end } => Self::OffsetOutOfRange {
                asked,
                earliest: start,
                latest: end,
            },
            ReadError::Corrupt(corruption) => corruption.into(),
            ReadError::Vanished(vanished) => Self::Offline {
                reason: vanished.to_string(),
            },
            ReadError::Io { .. } if error.is_not_permitted() => Self::NotPermitted {
                reason: format!(
                    "{error}: give the user that the broker runs as the permission; reading goes on by itself then"
                ),
            },
            ReadError::Io { .. } => Self::ReadFailed {
                reason: error.to_string(),
            },
        }
    }
}

impl From<Corruption> for PartitionError {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt {
            reason: corruption.damage.to_string(),
            file: corruption.file,
            position: corruption.position,
            offset: corruption.offset,
            next_good: corruption.next_good,
        }
    }
}

impl From<ChangeError> for PartitionError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::OffsetOutOfRange { asked, start, end } => Self::OffsetOutOfRange {
                asked,
                earliest: start,
                latest: end,
            },
            ChangeError::DirFailed(failed) => Self::Offline {
                reason: failed.to_string(),
            },
            ChangeError::Read(error) => error.into(),
            ChangeError::NotPermitted(denied) => Self::NotPermitted {
                reason: denied.to_string(),
            },
            ChangeError::SmallFile(error) if error.is_no_space() => Self::DiskFull {
                reason: error.to_string(),
            },
            ChangeError::SmallFile(_) | ChangeError::Io { .. } => Self::WriteUncertain {
                reason: error.to_string(),
            },
            ChangeError::Policy(_) | ChangeError::CleaningOutdated => Self::WriteFailed {
                reason: error.to_string(),
            },
        }
    }
}
