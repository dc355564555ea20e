//! `Corruption`: stored data that is not what was written, and where. It is an answer, not a
//! decision: nothing that was durable is ever cut, other ranges go on being served.

use std::fmt;
use std::path::PathBuf;

use broker_model::Offset;

/// A place in a log whose bytes cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is corrupt at byte {position} (offset {offset}): {damage}{}", .file.display(), NextGood(*.next_good))]
pub struct Corruption {
    /// The data file.
    pub file: PathBuf,
    /// Where in the file the bad bytes begin.
    pub position: u64,
    /// The first offset that cannot be served.
    pub offset: Offset,
    /// The next offset that can be, where it is known.
    pub next_good: Option<Offset>,
    /// What is wrong.
    pub damage: Damage,
}

/// What is wrong with stored bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The 68 bytes of a batch header do not make one.
    #[error("bad batch header: {reason}")]
    Header {
        /// What the codec said.
        reason: String,
    },
    /// The body's checksum differs from the header's.
    #[error("the body of the batch fails its checksum")]
    Body,
    /// Batches that belong here are missing: one from further on follows at once.
    #[error("the batch found here has base offset {found}")]
    OutOfPlace {
        /// The base offset in its header.
        found: Offset,
    },
    /// A whole batch of this log that belongs elsewhere stands in the place of others.
    #[error("a batch with base offset {found} stands here that belongs elsewhere")]
    StaleCopy {
        /// The base offset in its header.
        found: Offset,
    },
    /// A whole batch that another log's file has lost.
    #[error("the batch found here belongs to another partition")]
    OfAnotherLog,
    /// The file ends inside a batch that is no torn tail.
    #[error("the file ends inside a batch")]
    Incomplete,
    /// The file is shorter than what was durable, or gone.
    #[error("{bytes} bytes that were durable are missing")]
    Missing {
        /// How many.
        bytes: u64,
    },
    /// No batch has this offset: what had it is gone.
    #[error("there is no batch with this offset")]
    Hole,
    /// The log ends below its high watermark, which was noted before.
    #[error("acknowledged records are missing: the log ends below its high watermark")]
    BelowHighWatermark,
    /// The log ends below an offset that one of its indexes has.
    #[error("records are missing: an index speaks of more than there is")]
    BelowIndex,
    /// The note of how far the log was durable is lost.
    #[error(
        "how far the log was durable is not known any more: acknowledged records from this offset on may be missing"
    )]
    PointLost,
    /// Checksums fit, but the records inside cannot be read.
    #[error("the records cannot be decoded: {reason}")]
    Records {
        /// What the codec said.
        reason: String,
    },
}

impl Corruption {
    /// Whether nothing but batches in front of this position is missing: the one that stands there is sound.
    pub(crate) fn is_gap(&self) -> bool {
        matches!(self.damage, Damage::OutOfPlace { .. })
    }
}

struct NextGood(Option<Offset>);

impl fmt::Display for NextGood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(offset) => write!(f, "; the next good offset is {offset}"),
            None => Ok(()),
        }
    }
}
