//! Verifying a partition: checksums, records, order, indexes and small files. Reads every byte and
//! goes on behind damage, so that one run names everything that is wrong.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use broker_model::Offset;

use super::index_check::{Boundaries, check_indexes, first_boundary};
use super::{Found, SegmentFile, SegmentReader, segments};
use crate::compaction::SwapJournal;
use crate::corruption::Corruption;
use crate::index::IndexPoint;
use crate::io::Io;
use crate::small_file::{CleanerCheckpoint, LeaderEpochs, LogStart, PartitionMetadata, SmallFile};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// Where in the file, if at one place.
    pub position: Option<u64>,
    /// The offset that is concerned, if one is.
    pub offset: Option<Offset>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(position) = self.position {
            write!(f, " at byte {position}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " (offset {offset})")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Data files.
    pub segments: u64,
    /// Good batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of the data files.
    pub bytes: u64,
    /// The first offset there is.
    pub first: Offset,
    /// The offset after the last one.
    pub next: Offset,
}

/// Reads everything in a partition directory; what is wrong goes to `report`, in order.
///
/// # Errors
/// When the directory or a data file cannot be read at all.
pub fn verify_partition(
    io: &dyn Io,
    partition_dir: &Path,
    report: &mut dyn FnMut(Finding),
) -> io::Result<Summary> {
    check_small::<PartitionMetadata>(io, partition_dir, PartitionMetadata::FILE, report);
    check_small::<LeaderEpochs>(io, partition_dir, LeaderEpochs::FILE, report);
    check_small::<LogStart>(io, partition_dir, LogStart::FILE, report);
    check_small::<CleanerCheckpoint>(io, partition_dir, CleanerCheckpoint::FILE, report);
    check_small::<SwapJournal>(io, partition_dir, SwapJournal::FILE, report);
    let files = segments(io, partition_dir)?;
    let mut summary = Summary {
        first: files.first().map_or(Offset::ZERO, |segment| segment.base),
        ..Summary::default()
    };
    summary.next = summary.first;
    for (number, segment) in files.iter().enumerate() {
        if segment.base != summary.next {
            report(Finding {
                file: segment.path.clone(),
                position: None,
                offset: Some(summary.next),
                what: format!(
                    "offsets {} to {} are in no segment",
                    summary.next, segment.base
                ),
            });
        }
        let sealed = number + 1 < files.len();
        verify_segment(io, segment, sealed, &mut summary, report)?;
    }
    Ok(summary)
}

fn verify_segment(
    io: &dyn Io,
    segment: &SegmentFile,
    sealed: bool,
    summary: &mut Summary,
    report: &mut dyn FnMut(Finding),
) -> io::Result<()> {
    summary.segments += 1;
    summary.bytes += segment.bytes;
    summary.next = segment.base;
    let mut boundaries = Boundaries {
        base: segment.base,
        points: vec![first_boundary(segment.base)],
        sealed,
        all_known: true,
    };
    let mut reader = SegmentReader::open(io, segment)?;
    while let Some(found) = reader.next_found()? {
        let (position, header) = match found {
            Found::Batch { position, header } => (position, header),
            Found::Damage(corruption) => {
                boundaries.all_known = false;
                report(corruption.into());
                continue;
            }
        };
        if let Err(error) = reader.batch(position, &header)?.records() {
            report(Finding {
                file: segment.path.clone(),
                position: Some(position),
                offset: Some(header.base_offset),
                what: error.to_string(),
            });
        }
        summary.batches += 1;
        summary.records += u64::from(header.record_count);
        summary.next = header.next_offset();
        let before = boundaries.points.last().map(|point| point.max_before);
        boundaries.points.push(IndexPoint {
            offset: header.next_offset(),
            position: u32::try_from(position + header.batch_len() as u64).unwrap_or(u32::MAX),
            max_before: header
                .max_timestamp
                .max(before.unwrap_or(header.max_timestamp)),
        });
    }
    // A cleaned segment that is not in place yet has its indexes under other names too.
    if segment
        .path
        .extension()
        .is_some_and(|extension| extension == "log")
    {
        check_indexes(io, &segment.path, &boundaries, report);
    }
    Ok(())
}

fn check_small<F: SmallFile>(io: &dyn Io, dir: &Path, name: &str, report: &mut dyn FnMut(Finding)) {
    let file = dir.join(name);
    if let Err(error) = F::load(io, &file) {
        report(Finding {
            file,
            position: None,
            offset: None,
            what: error.to_string(),
        });
    }
}

impl From<Corruption> for Finding {
    fn from(corruption: Corruption) -> Self {
        Self {
            file: corruption.file,
            position: Some(corruption.position),
            offset: Some(corruption.offset),
            what: corruption.damage.to_string(),
        }
    }
}
