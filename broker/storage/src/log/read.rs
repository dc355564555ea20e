//! Reading: by offset, as a slice of a file. Data is not touched; that the file is still there, and as long as it
//! was, is asked every time. By time is in `time`.

use broker_model::Offset;

use super::{Log, ReadError};
use crate::corruption::{Corruption, Damage};
use crate::file_slice::FileSlice;
use crate::segment::{DataFile, Searchable, SegmentInfo, file_name, locate, locate_end_damage};

/// How much a read may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLimit {
    /// Whole batches up to so many bytes, but one whole batch even if it is larger.
    OneBatchOr(u64),
    /// Whole batches up to so many bytes, maybe none.
    Strict(u64),
}

impl ReadLimit {
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::OneBatchOr(bytes) | Self::Strict(bytes) => bytes,
        }
    }

    pub(crate) fn takes_one(self) -> bool {
        matches!(self, Self::OneBatchOr(_))
    }
}

impl Log {
    /// The whole batches from the one that holds `from` on, all of whose records lie below `below`
    /// (a high watermark), from one segment. Empty when there is nothing between the two. Data is
    /// not touched; a damaged batch in the run shows when the slice is verified.
    ///
    /// # Errors
    /// When the offset is out of range, or the batch that holds it cannot be found.
    pub fn read(
        &self,
        from: Offset,
        below: Offset,
        limit: ReadLimit,
    ) -> Result<FileSlice, ReadError> {
        let (start, end) = (self.start, self.end());
        if from < start || from > end {
            return Err(ReadError::OffsetOutOfRange {
                asked: from,
                start,
                end,
            });
        }
        let below = below.min(end);
        if from >= below {
            return Ok(FileSlice::empty(from));
        }
        let part = self.whole_part(self.segment_with(from)?, from)?;
        let segment = part.segment();
        let below = below.min(segment.end().offset);
        let extent = locate(segment, from, below, limit)
            .inspect_err(|error| self.observe_search(segment.data(), error))?;
        if extent.positions.is_empty() {
            // Offsets without bytes: an empty answer would be asked for again for ever.
            return match extent.offsets.is_empty() {
                true => Ok(FileSlice::empty(from)),
                false => Err(ReadError::Corrupt(Corruption {
                    file: segment.data().path().to_owned(),
                    position: extent.positions.start,
                    offset: from,
                    next_good: Some(extent.offsets.end),
                    damage: Damage::Hole,
                })),
            };
        }
        Ok(FileSlice::new(
            segment.data(),
            extent.positions,
            extent.offsets,
        ))
    }

    /// Whether a read from an offset needs no look at the disk: the batch is one of the newest, and its file is open.
    pub fn is_at_hand(&self, from: Offset) -> bool {
        self.active.has_at_hand(from)
    }

    pub(super) fn searchable(&self) -> impl Iterator<Item = (&dyn Searchable, SegmentInfo)> {
        let sealed = self
            .sealed
            .iter()
            .map(|segment| (segment as &dyn Searchable, segment.info()));
        sealed.chain([(&self.active as &dyn Searchable, self.active.info())])
    }

    /// The segment that holds an offset below the log's end.
    pub(super) fn segment_with(&self, offset: Offset) -> Result<&dyn Searchable, ReadError> {
        if offset >= self.active.data.base() {
            return Ok(&self.active);
        }
        let after = self
            .sealed
            .partition_point(|segment| segment.data.base() <= offset);
        let next_base = self
            .sealed
            .get(after)
            .map_or(self.active.data.base(), |segment| segment.data.base());
        let found = after.checked_sub(1).and_then(|at| self.sealed.get(at));
        let damage = match found {
            Some(segment) if offset < segment.next => return Ok(segment),
            Some(segment) => {
                locate_end_damage(segment, next_base).inspect_err(|error| self.observe(error))?
            }
            None => Corruption {
                file: self.dir().join(file_name(self.start)),
                position: 0,
                offset,
                next_good: Some(next_base),
                damage: Damage::Hole,
            },
        };
        Err(ReadError::Corrupt(damage))
    }

    pub(super) fn observe(&self, error: &ReadError) {
        if let ReadError::Io { file, source } = error {
            self.shared.health.observe(file, source);
        }
    }

    /// The same of a search in a data file: a batch that it cannot get past is known to be damaged from now on.
    pub(super) fn observe_search(&self, data: &DataFile, error: &ReadError) {
        self.observe(error);
        if let ReadError::Corrupt(damage) = error
            && damage.damage != Damage::Hole
            && let Ok((_, version)) = data.file_to_verify()
            && data.note_damage(damage, version)
        {
            tracing::error!(partition = %self.partition(), %damage, "stored data is damaged: it is refused to readers");
        }
    }
}
