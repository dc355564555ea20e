//! The seam to compaction policies: the log walks, the policy says which records stay.

use std::time::Duration;

use broker_model::Timestamp;
use broker_record::StoredBatch;

use crate::policy_failed::PolicyFailed;

/// What the first pass of a cleaning shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObserveScope {
    /// What no cleaning has covered.
    #[default]
    NewRecords,
    /// Everything from the log's start on: each cleaning reads the clean part once more.
    WholeLog,
}

/// Decides which records a cleaning keeps. It is shown runs of whole batches, oldest first, about
/// 1 MiB or 16,384 records at a time (one batch alone may be larger); batches without records are
/// left out. One policy serves one cleaning.
pub trait CompactionPolicy {
    /// What the first pass is to show. Asked once, before it begins.
    fn scope(&self) -> ObserveScope {
        ObserveScope::NewRecords
    }

    /// First pass, over what [`scope`](Self::scope) says. Answers how many records of the run it
    /// took in: fewer than all ends the pass, and the cleaning stops in front of the first batch that
    /// was not taken in as a whole. With [`ObserveScope::WholeLog`] that has to be behind what was
    /// clean before, else the cleaning fails.
    ///
    /// # Errors
    /// Ends the cleaning; nothing is removed.
    fn observe(&mut self, run: &[StoredBatch]) -> Result<u64, PolicyFailed>;

    /// Second pass, over everything from the log's start to where the first one ended; with
    /// [`ObserveScope::WholeLog`] every record of it was shown in the first one. Bit i (least
    /// significant first), counted over all records of the run, says whether record i stays; what
    /// the bytes do not reach goes. `keep` arrives empty.
    ///
    /// # Errors
    /// Ends the cleaning; nothing is removed.
    fn retain(&mut self, run: &[StoredBatch], keep: &mut Vec<u8>) -> Result<(), PolicyFailed>;
}

/// What a topic's configuration says about its cleanings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompactionSettings {
    /// The share of bytes not cleaned before, of those that can be cleaned, from which on a cleaning
    /// is due (`min.cleanable.dirty.ratio`), 0 to 1.
    pub min_dirty_ratio: f64,
    /// Segments with a record younger than this are left alone (`min.compaction.lag.ms`).
    pub min_lag: Duration,
    /// A record is not left uncleaned for longer than this, whatever the ratio
    /// (`max.compaction.lag.ms`); `None` for no bound.
    pub max_lag: Option<Duration>,
    /// How long a tombstone stays after the cleaning that first covered it (`delete.retention.ms`).
    pub delete_retention: Duration,
    /// Since when the policy is the one that it is, which is noted with each cleaning.
    pub policy_since: Option<Timestamp>,
}

impl Default for CompactionSettings {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            min_dirty_ratio: 0.5,
            min_lag: Duration::ZERO,
            max_lag: None,
            delete_retention: Duration::from_secs(24 * 3600),
            policy_since: None,
        }
    }
}
