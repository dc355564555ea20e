//! `RecoveryReport`: what opening a log has found and done.

use std::ops::Range;
use std::path::PathBuf;

use broker_model::{Offset, TopicPartition};

use crate::corruption::Corruption;

/// What is known of the time since the log was last open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastStop {
    /// The log is new.
    New,
    /// The process ended, cleanly or not, and the machine has been up since: what was written to
    /// the page cache is there.
    SameBoot,
    /// The machine was restarted, maybe by a power loss: what was not synced may be lost, in parts.
    OtherBoot,
    /// No trace of it is left: nothing is cut that might have been acknowledged.
    Unknown,
}

/// The end of a log that was not completely written, and was cut off. None of it was durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The data file that was cut.
    pub file: PathBuf,
    /// Its length now.
    pub position: u64,
    /// Bytes cut off, those of later segments included.
    pub bytes: u64,
    /// The log's end now.
    pub offset: Offset,
}

/// What opening a log has found and done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// What is known of the last stop.
    pub last_stop: LastStop,
    /// Bytes of data files that lay above the durable point and were read and verified.
    pub scanned_bytes: u64,
    /// The torn end, if there was one.
    pub torn: Option<TornTail>,
    /// Data that is damaged. It stays where it is; reading it answers the same.
    pub corruption: Vec<Corruption>,
    /// The checkpointed high watermark, if there is one, within the log's bounds.
    pub high_watermark: Option<Offset>,
    /// Records that were acknowledged under `flush.mode = async` and went with a power loss: the
    /// offsets from the log's end to the high watermark as it was noted.
    pub lost: Option<Range<Offset>>,
    /// How far the log was durable is not known any more; it was at least up to this offset.
    pub doubt: Option<Corruption>,
}

impl RecoveryReport {
    pub(super) fn new(last_stop: LastStop) -> Self {
        Self {
            last_stop,
            scanned_bytes: 0,
            torn: None,
            corruption: Vec::new(),
            high_watermark: None,
            lost: None,
            doubt: None,
        }
    }

    /// Everything that somebody has to look at.
    pub(super) fn damage(&self) -> impl Iterator<Item = &Corruption> {
        self.corruption.iter().chain(&self.doubt)
    }

    /// Says it in the broker's log.
    pub(super) fn tell(&self, partition: &TopicPartition) {
        for corruption in &self.corruption {
            tracing::error!(%partition, %corruption, "stored data is damaged");
        }
        if let Some(doubt) = &self.doubt {
            tracing::warn!(%partition, %doubt, "a durable point is lost");
        }
        if let Some(lost) = &self.lost {
            tracing::error!(
                %partition, from = %lost.start, to = %lost.end,
                "acknowledged records were lost with the machine's power, as flush.mode = async allows: the log ends below the high watermark that was noted"
            );
        }
    }
}
