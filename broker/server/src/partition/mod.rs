//! One partition's live part: the actor that owns its log and its replica state. Connections append and
//! read through `PartitionHandle`, the broker actor starts, configures and stops it. Its mailbox holds
//! `limits::PARTITION_MAILBOX` messages and answers busy beyond that; what a drain of the mailbox brings
//! is written with one vectored write, and synced by the log directory's own thread.

mod actor;
mod error;
mod handle;
mod handlers;
mod messages;
mod offsets;
mod parked;
mod syncing;
#[cfg(test)]
pub(crate) mod tests;
mod unacknowledged;
mod vanishing;
mod writing;

pub(crate) use actor::{PartitionActor, PartitionSetup};
pub(crate) use error::PartitionError;
pub(crate) use handle::PartitionHandle;
pub(crate) use messages::{Appended, CleaningPurpose, PartitionSummary};
#[cfg(test)]
pub(crate) use offsets::OffsetsPublisher;
pub(crate) use offsets::{Bell, OffsetsWatch, PartitionOffsets, Since};
pub(crate) use vanishing::Parent;
