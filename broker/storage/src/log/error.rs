//! Why an operation of the log failed: one enum each. What passes by itself, such as a full disk, has
//! variants of its own, so that a caller need not look at numbers of the operating system.

use std::io;
use std::path::PathBuf;

use broker_model::{LeaderEpoch, Offset};

use super::Vanished;
use crate::corruption::Corruption;
use crate::health::{DirFailed, NotPermitted, is_not_permitted};
use crate::policy_failed::PolicyFailed;
use crate::small_file::SmallFileError;
use crate::space::LowSpace;

/// Why batches were not appended. All but [`AppendError::Uncertain`] are definite: nothing of them
/// is in the log.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A batch is larger than the topic allows.
    #[error("a batch of {size} bytes is above the limit of {max}")]
    BatchTooLarge {
        /// Which of the batches, from 0.
        index: usize,
        /// Its size with its header.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The appender's leadership has ended.
    #[error("leader epoch {epoch} is over, the log has {latest}")]
    EpochFenced {
        /// The epoch of the append.
        epoch: LeaderEpoch,
        /// The latest in the log.
        latest: LeaderEpoch,
    },
    /// The partition has used up its offsets.
    #[error("there is no offset left after {end}")]
    OffsetsExhausted {
        /// The log end.
        end: Offset,
    },
    /// The directory is out of service.
    #[error(transparent)]
    DirFailed(#[from] DirFailed),
    /// The log's files were removed or cut: it takes no appends until it is opened again.
    #[error(transparent)]
    Vanished(#[from] Vanished),
    /// The disk has less room left than appends have to leave on it. Retriable.
    #[error(transparent)]
    LowSpace(#[from] LowSpace),
    /// A limit on file sizes leaves a segment no room for a single batch. Retriable.
    #[error("a limit on file sizes does not let {} grow by the batch: {source}. Raise the limit (ulimit -f, LimitFSIZE= of systemd) to segment.bytes at least", .file.display())]
    FileLimit {
        /// The segment's file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk is full. Retriable.
    #[error("no space to append to {}: {source}", .file.display())]
    NoSpace {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The process or the machine has no file descriptor left. Retriable.
    #[error("cannot open {}: {source}", .file.display())]
    NoDescriptor {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The broker may not write to the file, or make it. Retriable.
    #[error(transparent)]
    NotPermitted(#[from] NotPermitted),
    /// The write failed, and what was written of it was removed again.
    #[error("cannot append to {}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The write failed and could not be undone: some of the batches may come back when the log is
    /// opened again. Until then it takes no appends.
    #[error("an append to {} failed half-way and could not be undone: {reason}", .file.display())]
    Uncertain {
        /// The file.
        file: PathBuf,
        /// What went wrong first.
        reason: String,
    },
}

impl AppendError {
    /// Whether the batches certainly are not in the log and never will be.
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::Uncertain { .. })
    }
}

/// Why a read was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such offset.
    #[error("offset {asked} is outside of the log, which has {start} to {end}")]
    OffsetOutOfRange {
        /// The offset asked for.
        asked: Offset,
        /// The log start offset.
        start: Offset,
        /// The log end offset: the next record's.
        end: Offset,
    },
    /// The batch that holds the offset is damaged.
    #[error(transparent)]
    Corrupt(Corruption),
    /// The files that the log is written to were removed or cut.
    #[error(transparent)]
    Vanished(#[from] Vanished),
    /// The file could not be read.
    #[error("cannot read {}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl ReadError {
    /// Whether the broker may not open the file, which passes once it is given the permission.
    pub fn is_not_permitted(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_not_permitted(source))
    }
}

/// Why the log's extent was not changed: its start, its end or its segments.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such offset.
    #[error("offset {asked} is outside of the log, which has {start} to {end}")]
    OffsetOutOfRange {
        /// The offset asked for.
        asked: Offset,
        /// The log start offset.
        start: Offset,
        /// The log end offset.
        end: Offset,
    },
    /// The directory is out of service.
    #[error(transparent)]
    DirFailed(#[from] DirFailed),
    /// The broker may not write a file that has to be written first: nothing was changed.
    #[error(transparent)]
    NotPermitted(#[from] NotPermitted),
    /// A small file could not be written.
    #[error(transparent)]
    SmallFile(#[from] SmallFileError),
    /// The retention policy has failed; everything was kept.
    #[error("the retention policy has failed: {0}")]
    Policy(#[from] PolicyFailed),
    /// The log was changed meanwhile in a way that the cleaning does not know of, or it is another's.
    #[error("the cleaning is out of date: the log was truncated or opened again since it began")]
    CleaningOutdated,
    /// What had to be read could not be.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file could not be changed.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
