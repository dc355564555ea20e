//! What a log forgets: the policy decides, the log carries out. Whole sealed segments, oldest
//! first, never the active one, never at or above the high watermark.

use broker_model::{Offset, Timestamp};

use crate::policy_failed::PolicyFailed;
use crate::segment::SegmentInfo;

/// What a retention policy decides on.
#[derive(Clone, Copy, Debug)]
pub struct RetentionView<'a> {
    /// Wall time, made safe against jumps of the clock while the broker runs.
    pub now: Timestamp,
    /// Nothing at or above it may go.
    pub high_watermark: Offset,
    /// The first offset that can be read.
    pub log_start: Offset,
    /// The offset that the next record gets.
    pub log_end: Offset,
    /// The sealed segments, oldest first.
    pub segments: &'a [SegmentInfo],
    /// Bytes of the whole log, the active segment included.
    pub log_bytes: u64,
}

/// Decides how much of a log may go.
pub trait RetentionPolicy {
    /// How many of the view's segments, from the oldest, may go. What is more than may be is
    /// ignored by the log.
    ///
    /// # Errors
    /// When there is no answer; nothing goes then.
    fn expired(&mut self, view: &RetentionView<'_>) -> Result<usize, PolicyFailed>;
}

/// What a retention run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionOutcome {
    /// Segments deleted.
    pub segments: usize,
    /// Bytes of their data files.
    pub bytes: u64,
    /// The log start offset now.
    pub start: Offset,
}
