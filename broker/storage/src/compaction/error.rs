//! Why a cleaning came to nothing. The log is then what it was before.

use std::io;
use std::path::{Path, PathBuf};

use broker_model::Offset;

use crate::corruption::Corruption;
use crate::health::{DirFailed, DirHealth, is_no_space};
use crate::policy_failed::PolicyFailed;

/// Why a cleaning was not carried out; nothing of the log was changed.
#[derive(Debug, thiserror::Error)]
pub enum CleaningFailed {
    /// Somebody stopped it, or what it reads was truncated, deleted or closed. Another one may come
    /// to an end.
    #[error("the cleaning was stopped")]
    Cancelled,
    /// The policy gave no answer that can be used.
    #[error("the compaction policy has failed: {0}")]
    Policy(#[from] PolicyFailed),
    /// The policy's memory does not even hold the first batch: no cleaning would ever get on.
    #[error(
        "the compaction policy took in {taken} records of the {records} of the first batch: give it more memory"
    )]
    TookTooLittle {
        /// Records it took in.
        taken: u64,
        /// Records of the first batch.
        records: u64,
    },
    /// The policy looks at the whole log, and its memory does not even hold what was clean before: no
    /// cleaning would ever get on.
    #[error(
        "the compaction policy looks at the whole log and was full at offset {reached}, which is not beyond what was clean before, up to offset {clean_to}: give it more memory"
    )]
    FullInCleanPart {
        /// Where the first batch is that it did not take in.
        reached: Offset,
        /// Where the part ends that was clean before.
        clean_to: Offset,
    },
    /// A batch in the way is damaged.
    #[error(transparent)]
    Corrupt(Corruption),
    /// The second pass met other bytes than the first.
    #[error("{} has changed while it was cleaned", .file.display())]
    Changed {
        /// The last data file read.
        file: PathBuf,
    },
    /// There is no room for the cleaned segments. Retriable.
    #[error("no space for {}: {source}", .file.display())]
    NoSpace {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The directory is out of service.
    #[error(transparent)]
    DirFailed(#[from] DirFailed),
    /// A file could not be read or written.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl CleaningFailed {
    /// A read or a write that failed. The disk's own errors take the directory out of service, a full
    /// disk does not.
    pub(super) fn of_file(health: &DirHealth, file: &Path, source: io::Error) -> Self {
        health.observe(file, &source);
        let file = file.to_owned();
        match is_no_space(&source) {
            true => Self::NoSpace { file, source },
            false => Self::Io { file, source },
        }
    }
}
