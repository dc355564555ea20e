//! What to do when the log no longer has (or does not have yet) the offset that a consumer is at,
//! and how the consumer learns how much it has missed.

use broker_model::{Offset, TopicPartition};

use super::decode::Asked;
use crate::error::ClientError;

/// What to do when a position is not in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetPolicy {
    /// Go on with the first record that is there.
    #[default]
    Earliest,
    /// Go on with the next record that comes.
    Latest,
    /// Report an error; the partition waits for a seek.
    Fail,
}

/// A position that was not in the log, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetReset {
    /// The partition.
    pub partition: TopicPartition,
    /// Where the consumer was.
    pub asked: Offset,
    /// Where it went on.
    pub now: Offset,
    /// Offsets between the two that it will not see; 0 when it went back.
    pub skipped: u64,
}

impl ResetPolicy {
    pub(super) fn reset(
        self,
        asked: &Asked,
        earliest: Offset,
        latest: Offset,
    ) -> Result<OffsetReset, ClientError> {
        let now = match self {
            Self::Earliest => earliest,
            Self::Latest => latest,
            Self::Fail => {
                return Err(ClientError::OffsetOutOfRange {
                    partition: asked.partition.clone(),
                    asked: asked.offset,
                    earliest,
                    latest,
                });
            }
        };
        let reset = OffsetReset {
            partition: asked.partition.clone(),
            asked: asked.offset,
            now,
            skipped: now.distance_from(asked.offset),
        };
        tracing::warn!(
            partition = %reset.partition,
            asked = reset.asked.get(),
            now = reset.now.get(),
            skipped = reset.skipped,
            "the position is not in the log"
        );
        Ok(reset)
    }
}
