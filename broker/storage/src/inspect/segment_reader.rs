//! `SegmentReader`: the batches of one data file in order, with both checksums verified, and what is
//! damaged between them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use broker_model::Offset;
use broker_record::{BatchError, BatchHeader, StoredBatch};

use super::SegmentFile;
use crate::corruption::Corruption;
use crate::index::Owner;
use crate::io::{Io, IoFile, OpenMode};
use crate::recovery::has_lost_its_end;
use crate::segment::{BatchScanner, ScanDepth, Scanned};

/// What stands at a place of a data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A batch with good checksums.
    Batch {
        /// Where it begins.
        position: u64,
        /// Its header.
        header: BatchHeader,
    },
    /// Bytes that are no such batch. An incomplete batch at the end of the last segment may still
    /// be a torn write.
    Damage(Corruption),
}

/// Reads one data file.
pub struct SegmentReader {
    path: PathBuf,
    file: Arc<dyn IoFile>,
    scanner: BatchScanner,
}

impl SegmentReader {
    /// Opens a segment, whose offsets are `below` that of the next one, if there is one.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(io: &dyn Io, segment: &SegmentFile, below: Option<Offset>) -> io::Result<Self> {
        Self::open_of(io, segment, Owner::default(), below)
    }

    /// The same of a log that is known.
    pub(super) fn open_of(
        io: &dyn Io,
        segment: &SegmentFile,
        owner: Owner,
        below: Option<Offset>,
    ) -> io::Result<Self> {
        let file = io.open(&segment.path, OpenMode::Read)?;
        let (len, depth) = (file.len()?, ScanDepth::Bodies);
        let scanner = BatchScanner::new(Arc::clone(&file), owner, depth, 0..len, segment.base)
            .up_to(below.unwrap_or(Offset::MAX));
        Ok(Self {
            path: segment.path.clone(),
            file,
            scanner,
        })
    }

    /// What comes next; nothing at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_found(&mut self) -> io::Result<Option<Found>> {
        Ok(self.scanner.next()?.map(|scanned| match scanned {
            Scanned::Batch { position, header } => Found::Batch { position, header },
            bad => Found::Damage(bad.into_corruption(&self.path, None)),
        }))
    }

    /// Whether what is damaged there was lost on its way to the disk.
    pub(super) fn has_lost_its_end(&self, found: &Corruption) -> io::Result<bool> {
        let range = found.position..self.file.len()?;
        has_lost_its_end(&*self.file, range, &found.damage)
    }

    /// The whole batch at a position that [`SegmentReader::next_found`] has answered.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn batch(&self, position: u64, header: &BatchHeader) -> io::Result<StoredBatch> {
        let mut bytes = vec![0; header.batch_len()];
        self.file.read_exact_at(&mut bytes, position)?;
        StoredBatch::parse(&bytes.into())
            .map(|(batch, _)| batch)
            .map_err(|error: BatchError| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
