//! What a cleaning did, or would do.

use std::time::Duration;

use broker_model::Offset;
use broker_record::RecordView;

/// What a cleaning did; of a survey, what it would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleaningOutcome {
    /// Segments it read.
    pub segments_before: u64,
    /// Segments in their place.
    pub segments_after: u64,
    /// Bytes of the data files it read.
    pub bytes_before: u64,
    /// Bytes of those in their place.
    pub bytes_after: u64,
    /// Records it read.
    pub records_before: u64,
    /// Records it took out, tombstones included.
    pub records_removed: u64,
    /// Tombstones among them that the policy had kept and whose time was over.
    pub tombstones_removed: u64,
    /// Everything below it is clean now.
    pub cleaned_to: Offset,
    /// How long it took, from its beginning to its end.
    pub took: Duration,
}

/// The outcome of a survey has the same facts.
pub type CleaningSummary = CleaningOutcome;

/// A record that a survey would see removed.
#[derive(Clone, Copy, Debug)]
pub struct RemovedRecord<'a> {
    /// The record.
    pub record: RecordView<'a>,
    /// Whether it is a tombstone that the policy would keep and whose time is over.
    pub expired: bool,
}
