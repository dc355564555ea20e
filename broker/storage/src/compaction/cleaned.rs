//! `Cleaned`: a cleaning that has run and is not in place yet. Dropping it removes what it wrote.

use std::io;
use std::path::Path;
use std::sync::Arc;

use broker_model::Offset;

use super::cleaned_files::CleanedFiles;
use super::cleaned_writer::CleanedSegment;
use super::{CleaningOutcome, CleaningToken, SwapJournal};
use crate::health::is_no_space;
use crate::index::SealedSummary;
use crate::log::ChangeError;
use crate::log_dir::DirShared;
use crate::small_file::{CleanerCheckpoint, SmallFile, SmallFileError};

/// The result of [`Cleaning::run`](crate::Cleaning::run), for
/// [`Log::finish_cleaning`](crate::Log::finish_cleaning).
#[must_use = "nothing is cleaned until the log has taken it"]
pub struct Cleaned {
    /// The bases of the segments to be replaced, oldest first.
    pub(super) replaced: Vec<Offset>,
    /// The segments in their place.
    pub(super) segments: Vec<CleanedSegment>,
    /// Whether they are the same, batch by batch.
    pub(super) unchanged: bool,
    pub(super) outcome: CleaningOutcome,
    // Before the token, so that another cleaning begins only when these are gone.
    pub(super) files: Option<CleanedFiles>,
    pub(super) token: Arc<CleaningToken>,
}

impl Cleaned {
    /// What it has come to so far.
    pub fn outcome(&self) -> &CleaningOutcome {
        &self.outcome
    }

    pub(crate) fn token(&self) -> &Arc<CleaningToken> {
        &self.token
    }

    pub(crate) fn is_unchanged(&self) -> bool {
        self.unchanged
    }

    /// The bases of the segments to be replaced.
    pub(crate) fn replaced(&self) -> &[Offset] {
        &self.replaced
    }

    /// The segments in their place.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (Offset, SealedSummary)> {
        self.segments
            .iter()
            .map(|segment| (segment.base, segment.summary))
    }

    /// The log starts at `start` by now, and its first segment at `first`: what lies below was deleted.
    pub(crate) fn advance_start(&mut self, start: Offset, first: Offset) {
        self.replaced.retain(|base| *base >= first);
        let gone = self
            .segments
            .partition_point(|segment| segment.summary.next <= start);
        for segment in self.segments.drain(..gone) {
            if let Some(files) = &mut self.files {
                files.discard(segment.base);
            }
        }
    }

    /// The swap. Nothing was changed when it fails, unless the directory is out of service then.
    pub(crate) fn put_in_place(
        &mut self,
        shared: &DirShared,
        dir: &Path,
        checkpoint: &CleanerCheckpoint,
    ) -> Result<(), ChangeError> {
        let Some(files) = &mut self.files else {
            return Err(ChangeError::CleaningOutdated);
        };
        let put: Vec<Offset> = self.segments.iter().map(|segment| segment.base).collect();
        let remove = self.replaced.iter().filter(|base| !put.contains(base));
        let journal = SwapJournal {
            id: files.id(),
            remove: remove.copied().collect(),
            put,
        };
        let prepared = files
            .add_checkpoint(checkpoint)
            .and_then(|()| shared.io.sync_dir(dir));
        prepared.map_err(|source| step_failed(shared, dir, source))?;
        if shared.planted.swap_before_journal {
            let early = journal.rename_and_remove(&*shared.io, dir);
            early.map_err(|source| step_failed(shared, dir, source))?;
        }
        if let Err(error) = journal.store(&*shared.io, &dir.join(SwapJournal::FILE)) {
            return Err(self.not_committed(shared, dir, error));
        }
        files.keep();
        // It has happened: from here on there is only one way, and recovery goes it too.
        let done = match shared.planted.forget_journal_early {
            true => SwapJournal::forget(&*shared.io, dir)
                .and_then(|()| journal.rename_and_remove(&*shared.io, dir)),
            false => journal.carry_out(&*shared.io, dir),
        };
        done.map_err(|source| {
            let failed = shared
                .health
                .fail(format_args!("{}: {source}", dir.display()));
            ChangeError::DirFailed(failed)
        })
    }

    /// The journal could not be written. On a full disk it is not there, and everything is as it was;
    /// whatever else it was, nobody knows.
    fn not_committed(
        &mut self,
        shared: &DirShared,
        dir: &Path,
        error: SmallFileError,
    ) -> ChangeError {
        let file = dir.join(SwapJournal::FILE);
        let is_full = matches!(&error, SmallFileError::Io { source, .. } if is_no_space(source));
        let is_absent = matches!(shared.io.read_small(&file), Ok(None));
        if is_full && is_absent {
            // The half of it that was written takes space, too.
            let _ = shared.io.remove_file(&file.with_extension("tmp"));
        } else {
            if let Some(files) = &mut self.files {
                files.keep();
            }
            shared.health.fail(&error);
        }
        ChangeError::SmallFile(error)
    }
}

impl std::fmt::Debug for Cleaned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cleaned")
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// A step before the journal failed: nothing was changed. One of them is a sync, so the directory goes
/// out of service, unless the disk is just full.
fn step_failed(shared: &DirShared, dir: &Path, source: io::Error) -> ChangeError {
    let file = dir.to_owned();
    if !is_no_space(&source) {
        shared
            .health
            .fail(format_args!("{}: {source}", dir.display()));
    }
    ChangeError::Io { file, source }
}
