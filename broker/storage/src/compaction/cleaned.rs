//! `Cleaned`: a cleaning that has run and is not in place yet. Dropping it removes what it wrote; the
//! log it is for puts it in place, and only if nothing that it has read was cut since.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_model::Offset;

use super::cleaned_files::CleanedFiles;
use super::cleaned_writer::CleanedSegment;
use super::{CleaningOutcome, CleaningToken, SwapJournal};
use crate::durable_positions::SlotTicket;
use crate::health::is_passing;
use crate::index::SealedSummary;
use crate::log::ChangeError;
use crate::log_dir::DirShared;
use crate::small_file::{CleanerCheckpoint, SmallFile};

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
        place: &Place<'_>,
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
        let (io, planted) = (&*place.shared.io, place.shared.planted);
        let prepared = files
            .add_checkpoint(checkpoint)
            .and_then(|()| io.sync_dir(place.dir));
        prepared.map_err(|source| place.failed(source))?;
        if planted.swap_before_journal {
            let early = journal.rename_and_remove(io, place.dir);
            early.map_err(|source| place.failed(source))?;
        }
        if let Err(source) = io.replace_small(&place.journal(), &journal.encode()) {
            let error = place.not_committed(source);
            if place.shared.health.check().is_err() {
                files.keep();
            }
            return Err(error);
        }
        files.keep();
        // It has happened: from here on there is only one way, and recovery goes it too.
        let done = match planted.forget_journal_early {
            true => SwapJournal::forget(io, place.dir)
                .and_then(|()| journal.rename_and_remove(io, place.dir)),
            false => journal.carry_out(io, place.dir),
        };
        done.map_err(|source| place.half_way(source))
    }
}

/// Where a cleaning is put in place.
pub(crate) struct Place<'a> {
    pub(crate) shared: &'a DirShared,
    /// The partition's directory.
    pub(crate) dir: &'a Path,
    pub(crate) ticket: SlotTicket,
}

impl Place<'_> {
    fn journal(&self) -> PathBuf {
        self.dir.join(SwapJournal::FILE)
    }

    /// A step before the journal failed: nothing was changed. One of them is a sync, so the directory
    /// goes out of service, unless the disk is just full or the partition deleted.
    fn failed(&self, source: io::Error) -> ChangeError {
        match is_passing(&source) {
            true => ChangeError::Io {
                file: self.dir.to_owned(),
                source,
            },
            false => self.half_way(source),
        }
    }

    /// The journal could not be written. On a full disk it is not there, and everything is as it was;
    /// whatever else it was, nobody knows.
    fn not_committed(&self, source: io::Error) -> ChangeError {
        let file = self.journal();
        let is_absent = matches!(self.shared.io.read_small(&file), Ok(None));
        if !is_passing(&source) || !is_absent {
            return self.half_way(source);
        }
        ChangeError::Io { file, source }
    }

    /// A step failed that may have left the disk in another state than the log in memory.
    fn half_way(&self, source: io::Error) -> ChangeError {
        let is_gone = source.kind() == io::ErrorKind::NotFound;
        if is_gone && !self.shared.positions.is_current(self.ticket) {
            return ChangeError::CleaningOutdated;
        }
        if is_gone && self.shared.is_removed(self.dir) {
            let file = self.dir.to_owned();
            return ChangeError::Io { file, source };
        }
        let reason = format_args!("{}: {source}", self.dir.display());
        ChangeError::DirFailed(self.shared.health.fail(reason))
    }
}

impl std::fmt::Debug for Cleaned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cleaned")
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
