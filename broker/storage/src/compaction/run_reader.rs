//! `RunReader`: the batches of one sealed segment, in runs, with both checksums verified. Whatever is
//! not the batch that belongs in its place ends the reading with an error that names it.

use std::io;
use std::sync::Arc;

use broker_model::Offset;
use broker_record::{BatchError, StoredBatch};
use bytes::Bytes;

use super::CleaningFailed;
use crate::corruption::{Corruption, Damage};
use crate::health::DirHealth;
use crate::index::OffsetEntry;
use crate::io::IoFile;
use crate::segment::{BatchScanner, DataFile, ScanDepth, Scanned};

/// Bytes of a run, unless one batch alone is larger.
const RUN_BYTES: u64 = 1 << 20;
/// Records of a run, unless one batch alone has more.
const RUN_RECORDS: u64 = 16_384;

/// A sealed segment that a cleaning reads.
#[derive(Clone)]
pub(crate) struct SegmentSource {
    pub(crate) data: Arc<DataFile>,
    pub(crate) len: u32,
    pub(crate) next: Offset,
}

impl SegmentSource {
    /// Where its first batch begins.
    pub(super) fn beginning(&self) -> OffsetEntry {
        OffsetEntry {
            offset: self.data.base(),
            position: 0,
        }
    }

    /// What there is instead of the batch with this offset.
    pub(super) fn hole_at(&self, offset: Offset, next_good: Offset) -> CleaningFailed {
        CleaningFailed::Corrupt(Corruption {
            file: self.data.path().to_owned(),
            position: u64::from(self.len),
            offset,
            next_good: Some(next_good),
            damage: Damage::Hole,
        })
    }
}

/// Reads one segment.
pub(super) struct RunReader<'a> {
    source: &'a SegmentSource,
    health: &'a DirHealth,
    file: Arc<dyn IoFile>,
    /// What was read and not handed out yet; it begins at `position`.
    rest: Bytes,
    position: u64,
    expected: Offset,
}

impl<'a> RunReader<'a> {
    /// Begins at a batch boundary. `None` when the file is not there any more.
    pub(super) fn open(
        source: &'a SegmentSource,
        from: OffsetEntry,
        health: &'a DirHealth,
    ) -> Result<Option<Self>, CleaningFailed> {
        if source.data.is_retired() {
            return Ok(None);
        }
        let file = match source.data.file() {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CleaningFailed::of_file(health, source.data.path(), error)),
        };
        Ok(Some(Self {
            source,
            health,
            file,
            rest: Bytes::new(),
            position: u64::from(from.position),
            expected: from.offset,
        }))
    }

    /// Where the next run begins.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next batches, and how many bytes they have; none at the segment's end.
    pub(super) fn next_run(&mut self) -> Result<(Vec<StoredBatch>, u64), CleaningFailed> {
        let (mut run, mut bytes, mut records) = (Vec::new(), 0, 0);
        while bytes < RUN_BYTES && records < RUN_RECORDS {
            // A batch that is not read as a whole yet begins the next run.
            let Some(batch) = self.next_batch(run.is_empty())? else {
                break;
            };
            bytes += batch.header.batch_len() as u64;
            records += u64::from(batch.header.record_count);
            run.push(batch);
        }
        if run.is_empty() && self.expected != self.source.next {
            return Err(self.source.hole_at(self.expected, self.source.next));
        }
        Ok((run, bytes))
    }

    fn next_batch(&mut self, may_read: bool) -> Result<Option<StoredBatch>, CleaningFailed> {
        let left = u64::from(self.source.len).saturating_sub(self.position);
        let mut wanted = RUN_BYTES;
        loop {
            let needed = match StoredBatch::parse(&self.rest) {
                Ok((batch, len)) => return self.take(batch, len).map(Some),
                Err(BatchError::Incomplete { needed, .. }) => needed as u64,
                Err(_) => return Err(self.damage()),
            };
            if left == 0 || !may_read {
                return Ok(None);
            }
            if needed > left {
                return Err(self.damage());
            }
            wanted = wanted.max(needed).min(left);
            if wanted <= self.rest.len() as u64 {
                return Err(self.damage());
            }
            self.fill(wanted)?;
        }
    }

    fn take(&mut self, batch: StoredBatch, len: usize) -> Result<StoredBatch, CleaningFailed> {
        let header = &batch.header;
        let owner = self.source.data.id().owner;
        let in_place =
            header.base_offset == self.expected && !header.log_mark.differs_from(owner.log_mark());
        if !in_place || batch.header.verify_body(&batch.body).is_err() {
            return Err(self.damage());
        }
        self.rest = self.rest.slice(len..);
        self.position += len as u64;
        self.expected = batch.header.next_offset();
        Ok(batch)
    }

    fn fill(&mut self, bytes: u64) -> Result<(), CleaningFailed> {
        let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        let read = self.file.read_exact_at(&mut buffer, self.position);
        read.map_err(|error| self.failed(error))?;
        self.rest = buffer.into();
        Ok(())
    }

    /// What is wrong with the batch at the present position.
    fn damage(&self) -> CleaningFailed {
        let mut scanner = BatchScanner::new(
            Arc::clone(&self.file),
            self.source.data.id().owner,
            ScanDepth::Bodies,
            self.position..u64::from(self.source.len),
            self.expected,
        )
        .up_to(self.source.next);
        let path = self.source.data.path();
        match scanner.next() {
            Ok(Some(bad @ (Scanned::Bad { .. } | Scanned::Incomplete { .. }))) => {
                CleaningFailed::Corrupt(bad.into_corruption(path, Some(self.source.next)))
            }
            // Read once more it is sound: then what was read first was not what is stored.
            Ok(_) => CleaningFailed::Changed {
                file: path.to_owned(),
            },
            Err(error) => self.failed(error),
        }
    }

    fn failed(&self, error: io::Error) -> CleaningFailed {
        CleaningFailed::of_file(self.health, self.source.data.path(), error)
    }
}
