//! `CleaningState`: how much of a log was cleaned, how much could be, and whether it is time.

use broker_model::{Offset, Timestamp};

/// How a log stands with its cleanings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleaningState {
    /// Everything below it was covered by a cleaning.
    pub first_dirty: Offset,
    /// Bytes of sealed segments below it.
    pub clean_bytes: u64,
    /// Bytes from there on that a cleaning could cover now.
    pub dirty_bytes: u64,
    /// The share of the latter in both.
    pub ratio: f64,
    /// Why a cleaning is due, if one is.
    pub due: Option<DueReason>,
    /// When the last cleaning was finished.
    pub last_cleaned: Option<Timestamp>,
    /// How many cleanings the log has seen.
    pub cleanings: u64,
    /// Whether one is under way.
    pub under_way: bool,
}

/// Why a cleaning is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueReason {
    /// The dirty ratio has reached its bound.
    DirtyRatio,
    /// A record has waited for as long as one may.
    MaxLag,
}
