//! `RecoveryReport`: what opening a log has found and done.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

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
    /// The machine was restarted, maybe by a power loss, or a sync has failed since, or the end of the log is zeros,
    /// which no process leaves: what was not synced may be lost, in parts.
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

/// The machine went down without a stop of the broker, so that a log under `flush.mode = async` may have
/// lost what was acknowledged and not synced. What is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerLoss {
    /// Where the log ends now; the offsets from here on are given out again.
    pub end: Offset,
    /// Acknowledged records that are missing for certain: up to the high watermark, which is noted every
    /// few seconds. Any after it were acknowledged since.
    pub known_lost: Option<Range<Offset>>,
    /// Nothing else was acknowledged and is missing but what came within one such span: `flush.ms`. `None` where the
    /// topic is not set to `flush.mode = async` any more.
    pub window: Option<Duration>,
}

impl PowerLoss {
    /// Whether it matters to readers of a log that begins there.
    pub fn is_told_from(&self, start: Offset) -> bool {
        self.known_lost
            .as_ref()
            .is_some_and(|lost| lost.end > start)
    }
}

impl fmt::Display for PowerLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.end;
        let window = match self.window {
            Some(window) => format!("flush.ms = {}", window.as_millis()),
            None => "the flush.ms of that time".to_owned(),
        };
        let bound =
            format_args!("at most what was acknowledged within one span of {window} before that");
        match &self.known_lost {
            Some(lost) => write!(
                f,
                "offsets {} to {} were acknowledged and are gone with the machine's power or a failed sync, as flush.mode = async allows; missing is {bound}; the log ends at {end}, and its offsets from there on are given out again",
                lost.start,
                lost.end.get().saturating_sub(1),
            ),
            None => write!(
                f,
                "the machine went down without a stop of the broker, or a sync failed: the log ends at {end}, and everything below is there; missing may be {bound}, whose offsets are given out again"
            ),
        }
    }
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
    /// What the machine has lost with its power, under `flush.mode = async`.
    pub power_loss: Option<PowerLoss>,
    /// What of that can be named, of this start and of earlier ones, where the log still begins below it.
    pub known_losses: Vec<PowerLoss>,
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
            power_loss: None,
            known_losses: Vec::new(),
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
        match &self.power_loss {
            Some(loss) if loss.known_lost.is_some() => tracing::error!(%partition, "{loss}"),
            Some(loss) => tracing::warn!(%partition, "{loss}"),
            None => {}
        }
    }
}
