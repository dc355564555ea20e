//! Searching by time. Which batch may hold a record of a time is told by indexes and headers, without touching data;
//! what is in it takes unfolding, which may be much work and is for whoever asks to do, where nobody waits for it.

use std::ops::Range;

use broker_model::limits::BATCH_DECOMPRESSED_BYTES_MAX;
use broker_model::{Offset, Timestamp};
use broker_record::{BatchError, Batches};

use super::{Log, ReadError};
use crate::corruption::{Corruption, Damage};
use crate::file_slice::FileSlice;
use crate::segment::{SoughtTime, locate_time};

/// What a search of batches by time came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeFound {
    /// The first record that is late enough, with its time.
    pub record: Option<(Offset, Timestamp)>,
    /// Bytes that batches were unfolded to.
    pub unfolded: usize,
}

/// Why batches were not searched by time.
#[derive(Debug, thiserror::Error)]
pub enum TimeSearchError {
    /// A batch unfolds to more than was allowed.
    #[error("a batch unfolds to more than was allowed")]
    UnfoldsToMore,
    /// It is damaged or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Log {
    /// The first batch with offsets in this range that says it has a record at or after a time. It may have none in the
    /// range: the search goes on at [`FileSlice::next_offset`] then.
    ///
    /// # Errors
    /// When the batch cannot be found, or the record may be among those that are lost: unless what follows them is older
    /// than the time asked for.
    pub fn batch_at_time(
        &self,
        timestamp: Timestamp,
        offsets: &Range<Offset>,
    ) -> Result<Option<FileSlice>, ReadError> {
        let (start, below) = (self.start.max(offsets.start), offsets.end);
        let mut expected = start;
        let mut lost = None;
        for (segment, info) in self.searchable() {
            if info.next <= start {
                continue;
            }
            if info.base > expected && expected < below {
                lost = lost.or(self.segment_with(expected).err());
            }
            if info.base >= below {
                break;
            }
            expected = expected.max(info.next);
            let has_older = |first: Timestamp| first < timestamp;
            if lost.is_some() && segment.first_timestamp().is_some_and(has_older) {
                lost = None;
            }
            if info.max_timestamp < timestamp {
                lost = lost.filter(|_| info.bytes == 0);
                continue;
            }
            let part = self.whole_part(segment, start.max(info.base))?;
            let sought = locate_time(part.segment(), timestamp, start.max(info.base), below);
            match sought.inspect_err(|error| self.observe_search(segment.data(), error))? {
                SoughtTime::Found(batch) => {
                    let slice = FileSlice::new(segment.data(), batch.positions, batch.offsets);
                    return lost.map_or(Ok(Some(slice)), Err);
                }
                SoughtTime::Lost(damage) => {
                    lost.get_or_insert(ReadError::Corrupt(damage));
                }
                SoughtTime::Nothing => {}
            }
            if let Some(missing) = segment.data().missing_end() {
                return Err(ReadError::Corrupt(missing));
            }
        }
        lost.map_or(Ok(None), Err)
    }

    /// The first record, by offset, below `below` whose timestamp is at least `timestamp`, with that timestamp. Batches
    /// are read, verified and unfolded on this thread, so the answer is exact.
    ///
    /// # Errors
    /// When a batch that has to be looked at is damaged or cannot be read, or the record may be lost.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        below: Offset,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        let mut offsets = self.start..below;
        while let Some(batch) = self.batch_at_time(timestamp, &offsets)? {
            let batch = batch.verified()?;
            match batch.first_at_time(timestamp, &offsets, BATCH_DECOMPRESSED_BYTES_MAX) {
                Ok(TimeFound { record: None, .. }) => offsets.start = batch.next_offset(),
                Ok(TimeFound { record, .. }) => return Ok(record),
                Err(TimeSearchError::Read(error)) => return Err(error),
                Err(error @ TimeSearchError::UnfoldsToMore) => {
                    return Err(ReadError::Corrupt(batch.undecodable(&error)));
                }
            }
        }
        Ok(None)
    }
}

impl FileSlice {
    /// The first record of its first batch in this range with a timestamp of at least `timestamp`; the batch may unfold
    /// to so many bytes. It has to be verified.
    ///
    /// # Errors
    /// When the batch unfolds to more, or cannot be read.
    pub fn first_at_time(
        &self,
        timestamp: Timestamp,
        offsets: &Range<Offset>,
        unfolded_max: usize,
    ) -> Result<TimeFound, TimeSearchError> {
        let bytes = self.read().map_err(|source| ReadError::Io {
            file: self.path().map(ToOwned::to_owned).unwrap_or_default(),
            source,
        })?;
        let failed = |error: BatchError| match error.is_for_lack_of_room() {
            true => TimeSearchError::UnfoldsToMore,
            false => ReadError::Corrupt(self.undecodable(&error)).into(),
        };
        let Some(batch) = Batches::new(bytes).next() else {
            return Ok(TimeFound::default());
        };
        let records = batch
            .and_then(|batch| batch.records_within(unfolded_max))
            .map_err(failed)?;
        let mut found = TimeFound {
            record: None,
            unfolded: records.body().len(),
        };
        for record in &records {
            let record = record.map_err(failed)?;
            if record.timestamp >= timestamp && offsets.contains(&record.offset) {
                found.record = Some((record.offset, record.timestamp));
                break;
            }
        }
        Ok(found)
    }

    /// Damage to its first batch, whose records cannot be read.
    fn undecodable(&self, problem: &dyn std::fmt::Display) -> Corruption {
        Corruption {
            file: self.path().map(ToOwned::to_owned).unwrap_or_default(),
            position: self.position(),
            offset: self.first_offset(),
            next_good: Some(self.next_offset()),
            damage: Damage::Records {
                reason: problem.to_string(),
            },
        }
    }
}
