//! What can go wrong with a partition, as facts. `request::wire` gives each its code on the wire.

use std::path::PathBuf;
use std::time::Duration;

use broker_model::Offset;

use crate::reply::Lost;

/// Why a partition did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PartitionError {
    /// The mailbox is full; nothing was done.
    Busy,
    /// The actor went away with the request; it may have been carried out.
    Lost,
    /// The partition is out of service; nothing was done.
    Offline { reason: String },
    /// The broker is stopping, or the topic is being deleted; nothing was done.
    Stopping,
    /// The batch is larger than the topic allows.
    BatchTooLarge { size: usize, max: u32 },
    /// Too few replicas are in sync; nothing was written.
    NotEnoughReplicas { in_sync: u32, required: u32 },
    /// No such offset.
    OffsetOutOfRange { asked: Offset, earliest: Offset, latest: Offset },
    /// Stored data is damaged.
    Corrupt { file: PathBuf, position: u64, offset: Offset, next_good: Option<Offset>, reason: String },
    /// The write failed and certainly left nothing behind.
    WriteFailed { reason: String },
    /// The write may or may not survive.
    WriteUncertain { reason: String },
    /// The disk is full; nothing was written.
    DiskFull { reason: String },
    /// A read failed.
    ReadFailed { reason: String },
    /// The acknowledgement did not come in time; the write may still become durable.
    TimedOut { after: Duration },
}

impl From<Lost> for PartitionError {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}
