//! `Noted`: what the small files of a partition say of it: whose it is, and where it begins. A log start is only
//! taken at its word where the start of a broker does so, too.

use std::io;
use std::path::Path;

use broker_model::Offset;

use super::notes::{Expected, SmallFiles};
use super::{Finding, FindingKind, SegmentFile};
use crate::compaction::SwapJournal;
use crate::index::Owner;
use crate::io::{Io, OpenMode};
use crate::recovery::reach_in;
use crate::segment::{BatchScanner, ScanDepth};
use crate::small_file::{
    CleanerCheckpoint, KnownLosses, LeaderEpochs, LogStart, PartitionMetadata, SmallFile,
    SmallFileError,
};

/// What the small files of a partition say.
pub(super) struct Noted {
    pub(super) metadata: Option<PartitionMetadata>,
    /// The log start, by its own file or else by the leader epochs.
    pub(super) start: Option<Offset>,
    /// The log start by its own file: what lies below was deleted.
    deleted_below: Option<Offset>,
    /// Segments that a cleaning was putting in place, file by file.
    pub(super) put: Vec<Offset>,
    /// Where the cleaned part ends: files below were replaced.
    cleaned_to: Offset,
}

impl Noted {
    pub(super) fn read(
        io: &dyn Io,
        dir: &Path,
        segments: &[SegmentFile],
        report: &mut dyn FnMut(Finding),
    ) -> Self {
        let mut files = SmallFiles { io, dir, report };
        // A directory without data may be half made, or stand in for one that is gone.
        let expected = match segments.iter().any(|segment| segment.bytes > 0) {
            true => Expected::Always,
            false => Expected::Maybe,
        };
        let metadata = files.read::<PartitionMetadata>(
            PartitionMetadata::FILE,
            expected,
            "it is made anew if a durable point says whose the data is; otherwise the partition stays offline",
        );
        let epochs =
            files.optional::<LeaderEpochs>(LeaderEpochs::FILE, "it is made anew from the batches");
        let start = files.optional::<LogStart>(
            LogStart::FILE,
            "the log begins where the leader epochs or the first segment begin: deleted records may come back",
        );
        files.optional::<KnownLosses>(
            KnownLosses::FILE,
            "what was lost with the machine's power before is not told any more",
        );
        let cleaned = files.optional::<CleanerCheckpoint>(
            CleanerCheckpoint::FILE,
            "everything counts as not cleaned and is cleaned again",
        );
        let journal = files.optional::<SwapJournal>(
            SwapJournal::FILE,
            "the partition stays offline until it is restored",
        );
        let first_epoch = epochs.and_then(|epochs| Some(epochs.entries().first()?.1));
        let base = segments.first().map(|first| first.base);
        if let Some(start) = first_epoch.filter(|start| base.is_some_and(|base| *start > base))
            && matches!(LogStart::load(io, &dir.join(LogStart::FILE)), Ok(None))
        {
            (files.report)(start_is_gone(dir, start));
        }
        let deleted_below = start.map(|LogStart(start)| start);
        let is_damaged = matches!(
            LogStart::load(io, &dir.join(LogStart::FILE)),
            Err(SmallFileError::Damaged { .. })
        );
        Self {
            metadata,
            start: deleted_below.or(match is_damaged {
                true => first_epoch.max(base),
                false => first_epoch,
            }),
            deleted_below,
            put: journal.map_or_else(Vec::new, |journal| journal.put),
            cleaned_to: cleaned.map_or(Offset::ZERO, |cleaned| cleaned.cleaned_to()),
        }
    }

    /// Below this offset files may have been deleted or replaced since they were noted.
    pub(super) fn settled(&self) -> Offset {
        self.start.unwrap_or_default().max(self.cleaned_to)
    }

    /// Passes over a log start beyond the end of a log that is `known` to come this far at least, and that no power
    /// loss has cut: nothing below it was deleted. The next start takes nothing away on its word either.
    pub(super) fn pass_start_beyond_end(
        &mut self,
        io: &dyn Io,
        segments: &[SegmentFile],
        owner: Owner,
        known: Offset,
    ) -> Option<Finding> {
        let start = self.deleted_below.filter(|start| *start > known)?;
        let has_data = segments.iter().any(|segment| segment.bytes > 0);
        let last = segments.last().filter(|_| has_data)?;
        // One that cannot be read is told when it is looked at.
        let end = end_of(io, last, owner).ok().filter(|end| start > *end)?;
        self.start = None;
        self.deleted_below = None;
        Some(Finding {
            kind: FindingKind::Damage,
            file: last.path.with_file_name(LogStart::FILE),
            position: None,
            offset: Some(start),
            what: format!(
                "it says that the log begins at offset {start}, and its segments end at offset {end}: the file is another partition's, or segments are missing"
            ),
            then: "the partition stays offline, and nothing is deleted, until what belongs here is put back or the file is moved away; without it, deleted records may come back".to_owned(),
        })
    }

    /// Takes out the segments that lie below the log start: a deletion was interrupted, or a power loss has brought
    /// them back, some of their files and not others. The next start removes them, whatever is in them.
    pub(super) fn pass_deleted(
        &self,
        dir: &Path,
        segments: &mut Vec<SegmentFile>,
    ) -> Option<Finding> {
        let start = self.deleted_below?;
        let is_below = |pair: &&[SegmentFile]| matches!(pair, [_, next] if next.base <= start);
        let count = segments.windows(2).take_while(is_below).count();
        segments.drain(..count);
        (count > 0).then(|| Finding {
            kind: FindingKind::Unfinished,
            file: dir.to_owned(),
            position: None,
            offset: Some(start),
            what: format!("the log begins at this offset, and {count} segment(s) of deleted records below it are there"),
            then: "the next start removes them".to_owned(),
        })
    }
}

/// How far a segment that is the last may have come.
fn end_of(io: &dyn Io, segment: &SegmentFile, owner: Owner) -> io::Result<Offset> {
    let file = io.open(&segment.path, OpenMode::Read)?;
    let (len, depth) = (file.len()?, ScanDepth::Headers);
    let scanner = BatchScanner::new(file, owner, depth, 0..len, segment.base);
    reach_in(scanner, segment.base, len)
}

fn start_is_gone(dir: &Path, start: Offset) -> Finding {
    Finding {
        kind: FindingKind::Damage,
        file: dir.join(LogStart::FILE),
        position: None,
        offset: Some(start),
        what: format!(
            "the leader epochs begin at offset {start}, above the first segment, and this file is missing that says so, too: it is gone, or {} is another log's",
            LeaderEpochs::FILE
        ),
        then: format!(
            "the log begins with the first segment: if records below offset {start} were deleted they come back, and have to be deleted again"
        ),
    }
}
