//! `IndexDamaged`: what is wrong with an index file, and where in it.

use std::path::{Path, PathBuf};

use super::entry::IndexEntry;

/// An index file is not what was written, or cannot be read. That costs time alone: it is made anew, or done without.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {position}: {problem}")]
pub(crate) struct IndexDamaged {
    extension: &'static str,
    position: u64,
    problem: IndexProblem,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum IndexProblem {
    #[error("the index is missing or cannot be read")]
    Gone,
    #[error("the index ends here, too early")]
    Cut,
    #[error("bad index header")]
    Header,
    #[error("the index is one of another segment")]
    OfAnother,
    #[error("index entry {0} is damaged")]
    Entry(u32),
    #[error("the index ends where the other one of its segment does not")]
    Apart,
    #[error("the index says that its data ends at byte {said}, and it has {is} bytes")]
    Length { said: u32, is: u32 },
}

impl IndexDamaged {
    pub(super) fn at<E: IndexEntry>(position: u64, problem: IndexProblem) -> Self {
        Self {
            extension: E::EXTENSION,
            position,
            problem,
        }
    }

    /// Entry `number` is.
    pub(super) fn entry<E: IndexEntry>(number: u32) -> Self {
        Self::at::<E>(E::position(number), IndexProblem::Entry(number))
    }

    /// The file, beside this data file.
    pub(crate) fn file(&self, data: &Path) -> PathBuf {
        data.with_extension(self.extension)
    }
}
