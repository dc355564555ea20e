//! What everybody may know of a partition without asking its actor: published on a watch after every
//! change, so that long polls wait in their own task and never in the mailbox.

use broker_model::Offset;

/// The offsets of a partition at one moment: `start ≤ high watermark ≤ end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionOffsets {
    /// The first offset that can still be read.
    pub(crate) start: Offset,
    /// Consumers read below it.
    pub(crate) high_watermark: Offset,
    /// The offset the next record gets.
    pub(crate) end: Offset,
}
