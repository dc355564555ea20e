//! Finding things in one segment: the run of batches that answers a read, and the first batch that may hold a
//! time. The index brings the search near, headers (never bodies) are read for the rest; an index
//! that points beside a batch is noticed and made anew.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use broker_model::{Offset, Timestamp};
use broker_record::BatchHeader;

use super::{BatchScanner, DataFile, ScanDepth, Scanned};
use crate::corruption::{Corruption, Damage};
use crate::index::OffsetEntry;
use crate::io::IoFile;
use crate::log::{ReadError, ReadLimit};

/// A segment that can be searched.
pub(crate) trait Searchable {
    /// Its data file.
    fn data(&self) -> &Arc<DataFile>;

    /// The boundary at its end.
    fn end(&self) -> OffsetEntry;

    /// A boundary at or below an offset, the nearest that is known without reading data.
    fn at_or_below(&self, offset: Offset) -> Option<OffsetEntry>;

    /// A boundary at or below a position.
    fn at_or_below_position(&self, position: u32) -> Option<OffsetEntry>;

    /// The base offset of a batch before which every timestamp is below `timestamp`.
    fn before_time(&self, timestamp: Timestamp) -> Option<Offset>;

    /// The largest timestamp of its first batch; `None` when that cannot be read or has no records.
    fn first_timestamp(&self) -> Option<Timestamp> {
        read_first_timestamp(self.data())
    }

    /// Whether a boundary is known from the writing itself, so that nothing needs to be read.
    fn trusts(&self, boundary: OffsetEntry) -> bool;

    /// The index has pointed beside a batch; says whether it was made anew, so that another search
    /// makes sense.
    fn index_is_wrong(&self) -> bool;
}

/// The largest timestamp in the header that a data file begins with.
pub(super) fn read_first_timestamp(data: &DataFile) -> Option<Timestamp> {
    let file = data.file().ok()?;
    let mut header = [0; BatchHeader::LEN];
    let read = file.read_exact_at(&mut header, 0);
    read.inspect_err(|error| data.observe(error)).ok()?;
    let header = BatchHeader::decode(&header).ok()?;
    (header.record_count > 0).then_some(header.max_timestamp)
}

/// Whole batches of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) positions: Range<u64>,
    pub(crate) offsets: Range<Offset>,
}

/// The batches from the one that holds `from` on, all of them below `below`, within the limit.
/// `from` lies inside the segment.
pub(crate) fn locate(
    segment: &dyn Searchable,
    from: Offset,
    below: Offset,
    limit: ReadLimit,
) -> Result<Extent, ReadError> {
    let search = Search::open(segment)?;
    let start = search.batch_with(from)?;
    let end = search.end_of_run(start, below, limit)?;
    Ok(Extent {
        positions: u64::from(start.position)..u64::from(end.position),
        offsets: start.offset..end.offset,
    })
}

/// What a search for a time has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SoughtTime {
    /// The first batch that says it has a record of that time or later.
    Found(Extent),
    /// There is none.
    Nothing,
    /// There is none, and what may have been one is damaged.
    Lost(Corruption),
}

/// The first batch from the one that holds `start` on, and below `below`, that says it has a timestamp of at least
/// `timestamp`. Damage is passed over where what follows it is older than that: then what was lost is taken to be older,
/// too.
///
/// # Errors
/// When what is damaged may have had such a record, and the batch follows.
pub(crate) fn locate_time(
    segment: &dyn Searchable,
    timestamp: Timestamp,
    start: Offset,
    below: Offset,
) -> Result<SoughtTime, ReadError> {
    let search = Search::open(segment)?;
    let from = segment.before_time(timestamp).unwrap_or(start).max(start);
    if from >= segment.end().offset {
        return Ok(SoughtTime::Nothing);
    }
    let near = search.batch_with(from)?;
    let mut scanner = search.headers_from(near);
    let mut lost = None;
    while let Some(scanned) = scanner.next().map_err(|source| search.failed(source))? {
        let Scanned::Batch { position, header } = scanned else {
            lost.get_or_insert(search.corruption(scanned));
            continue;
        };
        if header.base_offset >= below {
            break;
        }
        if header.max_timestamp < timestamp {
            lost = lost.filter(|_| header.record_count == 0);
            continue;
        }
        return match lost {
            Some(lost) => Err(ReadError::Corrupt(lost)),
            None => Ok(SoughtTime::Found(Extent {
                positions: position..position + header.batch_len() as u64,
                offsets: header.base_offset..header.next_offset(),
            })),
        };
    }
    let lost = lost.filter(|lost| lost.offset < below);
    Ok(lost.map_or(SoughtTime::Nothing, SoughtTime::Lost))
}

/// What an index is asked for: the last boundary at or below it.
#[derive(Clone, Copy)]
enum Wanted {
    Offset(Offset),
    Position(u32),
}

/// Why a segment has no batch with the offset at its end although the log goes on at `next_good`:
/// damage behind its last good batch, or nothing at all.
pub(crate) fn locate_end_damage(
    segment: &dyn Searchable,
    next_good: Offset,
) -> Result<Corruption, ReadError> {
    let end = segment.end();
    let search = Search::open(segment)?;
    if let Some(before_end) = end.position.checked_sub(1) {
        let near = search.checked(Wanted::Position(before_end))?;
        let mut scanner = search.headers_from(near);
        while let Some(scanned) = scanner.next().map_err(|source| search.failed(source))? {
            let goes_on = match &scanned {
                Scanned::Batch { .. } => true,
                Scanned::Bad { resume, .. } => resume.is_some(),
                Scanned::Incomplete { .. } => false,
            };
            if !goes_on {
                return Ok(scanned.into_corruption(segment.data().path(), Some(next_good)));
            }
        }
    }
    Ok(Corruption {
        file: segment.data().path().to_owned(),
        position: u64::from(end.position),
        offset: end.offset,
        next_good: Some(next_good),
        damage: Damage::Hole,
    })
}

struct Search<'a> {
    segment: &'a dyn Searchable,
    file: Arc<dyn IoFile>,
}

impl<'a> Search<'a> {
    fn open(segment: &'a dyn Searchable) -> Result<Self, ReadError> {
        let file = segment.data().file().map_err(|source| ReadError::Io {
            file: segment.data().path().to_owned(),
            source,
        })?;
        Ok(Self { segment, file })
    }

    /// The batch that holds an offset.
    fn batch_with(&self, from: Offset) -> Result<OffsetEntry, ReadError> {
        let near = self.checked(Wanted::Offset(from))?;
        if near.offset == from {
            return Ok(near);
        }
        let mut scanner = self.headers_from(near);
        while let Some(scanned) = scanner.next().map_err(|source| self.failed(source))? {
            match scanned {
                Scanned::Batch { position, header } if header.next_offset() > from => {
                    return Ok(entry(position, header.base_offset));
                }
                Scanned::Batch { .. } => {}
                Scanned::Bad {
                    resume: Some((_, offset)),
                    ..
                } if offset <= from => {}
                bad => return Err(self.corrupt(bad)),
            }
        }
        let end = self.segment.end();
        Err(ReadError::Corrupt(Corruption {
            file: self.segment.data().path().to_owned(),
            position: u64::from(end.position),
            offset: from,
            next_good: Some(end.offset),
            damage: Damage::Hole,
        }))
    }

    /// Where the run that begins at `start` ends.
    fn end_of_run(
        &self,
        start: OffsetEntry,
        below: Offset,
        limit: ReadLimit,
    ) -> Result<OffsetEntry, ReadError> {
        let end = self.segment.end();
        let room = u32::try_from(limit.bytes()).unwrap_or(u32::MAX);
        let reach = start.position.saturating_add(room);
        if end.position <= reach && end.offset <= below {
            return Ok(end);
        }
        let by_size = self.checked(Wanted::Position(reach))?;
        let by_offset = self.checked(Wanted::Offset(below))?;
        let near = if by_size.position < by_offset.position {
            by_size
        } else {
            by_offset
        };
        // A little less than was asked for will do, but not less than all below `below`.
        if near.position > start.position
            && (near.offset == below || near.position < by_offset.position)
        {
            return Ok(near);
        }
        let near = if near.position > start.position {
            near
        } else {
            start
        };
        self.walk_to_end(near, start, below, limit)
    }

    /// Goes on from `near` header by header.
    fn walk_to_end(
        &self,
        near: OffsetEntry,
        start: OffsetEntry,
        below: Offset,
        limit: ReadLimit,
    ) -> Result<OffsetEntry, ReadError> {
        let reach = u64::from(start.position).saturating_add(limit.bytes());
        let mut end = near;
        let mut scanner = self.headers_from(near);
        while let Some(scanned) = scanner.next().map_err(|source| self.failed(source))? {
            let Scanned::Batch { position, header } = scanned else {
                if end == start {
                    return Err(self.corrupt(scanned));
                }
                break;
            };
            let batch_end = position + header.batch_len() as u64;
            let first_of_all = position == u64::from(start.position) && limit.takes_one();
            if header.next_offset() > below || (batch_end > reach && !first_of_all) {
                break;
            }
            end = entry(batch_end, header.next_offset());
            if batch_end >= reach {
                break;
            }
        }
        Ok(end)
    }

    /// What a search in the index finds, once the header there was seen to be that batch's.
    fn checked(&self, mut wanted: Wanted) -> Result<OffsetEntry, ReadError> {
        let first = entry(0, self.segment.data().base());
        loop {
            let found = match wanted {
                Wanted::Offset(offset) => self.segment.at_or_below(offset),
                Wanted::Position(position) => self.segment.at_or_below_position(position),
            };
            let found = found.unwrap_or(first);
            if found == first || found == self.segment.end() || self.segment.trusts(found) {
                return Ok(found);
            }
            if self.begins_batch(found)? {
                return Ok(found);
            }
            if !self.segment.index_is_wrong() {
                // Damaged data, then: what is sound before it is found from the boundary before.
                wanted = Wanted::Position(found.position - 1);
            }
        }
    }

    fn begins_batch(&self, at: OffsetEntry) -> Result<bool, ReadError> {
        let mut header = [0; BatchHeader::LEN];
        let read = self
            .file
            .read_at(&mut header, u64::from(at.position))
            .map_err(|source| self.failed(source))?;
        Ok(read == header.len()
            && BatchHeader::decode(&header).is_ok_and(|header| header.base_offset == at.offset))
    }

    fn headers_from(&self, at: OffsetEntry) -> BatchScanner {
        BatchScanner::new(
            Arc::clone(&self.file),
            self.segment.data().id().owner,
            ScanDepth::Headers,
            u64::from(at.position)..u64::from(self.segment.end().position),
            at.offset,
        )
        .up_to(self.segment.end().offset)
    }

    fn corrupt(&self, bad: Scanned) -> ReadError {
        ReadError::Corrupt(self.corruption(bad))
    }

    fn corruption(&self, bad: Scanned) -> Corruption {
        let next = self.segment.end().offset;
        bad.into_corruption(self.segment.data().path(), Some(next))
    }

    fn failed(&self, source: io::Error) -> ReadError {
        ReadError::Io {
            file: self.segment.data().path().to_owned(),
            source,
        }
    }
}

fn entry(position: u64, offset: Offset) -> OffsetEntry {
    OffsetEntry {
        offset,
        position: u32::try_from(position).expect("segments are smaller than 4 GiB"),
    }
}
