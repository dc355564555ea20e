//! `SealedIndex`: the complete index of a segment that is never written again. Mapped read-only on
//! first use, and let go when it has not been used for a while.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use broker_model::{Offset, Timestamp};

use super::damaged::{IndexDamaged, IndexProblem};
use super::entry::{IndexEntry, IndexHeader, OffsetEntry, SegmentId, TimeEntry};
use super::source::{IndexPath, IndexPaths, IndexSource};
use crate::io::{Io, OpenMode};

/// What the last entries of a complete index say about its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealedSummary {
    /// The offset after the segment's last record.
    pub(crate) next: Offset,
    /// Bytes of the data file.
    pub(crate) len: u32,
    /// The largest timestamp of its records.
    pub(crate) max_timestamp: Timestamp,
    /// Entries in each of the two files.
    pub(crate) count: u32,
}

/// The index of a sealed segment.
pub(crate) struct SealedIndex {
    base: Offset,
    count: u32,
    paths: IndexPaths,
    offsets: Option<IndexSource<'static>>,
    times: Option<IndexSource<'static>>,
    /// Whether it was told that searches do without it.
    was_told: bool,
}

impl SealedSummary {
    /// That the data has another length than the index says.
    pub(crate) fn misfit(&self, len: u32) -> IndexDamaged {
        let position = OffsetEntry::position(self.count - 1);
        let said = self.len;
        IndexDamaged::at::<OffsetEntry>(position, IndexProblem::Length { said, is: len })
    }
}

impl SealedIndex {
    /// Reads the ends of the two files.
    ///
    /// # Errors
    /// When one is missing, damaged, incomplete, or does not fit the other: both are made anew then.
    pub(crate) fn summary(
        io: &dyn Io,
        data_path: &Path,
        id: SegmentId,
    ) -> Result<SealedSummary, IndexDamaged> {
        let (offset, offsets) = last_entry::<OffsetEntry>(io, data_path, id)?;
        let (time, times) = last_entry::<TimeEntry>(io, data_path, id)?;
        if offsets != times || offset.offset != time.offset {
            let position = TimeEntry::position(times - 1);
            return Err(IndexDamaged::at::<TimeEntry>(position, IndexProblem::Apart));
        }
        Ok(SealedSummary {
            next: offset.offset,
            len: offset.position,
            max_timestamp: time.timestamp,
            count: offsets,
        })
    }

    pub(crate) fn new(data_path: &Arc<Path>, base: Offset, count: u32) -> Self {
        Self {
            base,
            count,
            paths: IndexPaths::beside(data_path),
            offsets: None,
            times: None,
            was_told: false,
        }
    }

    /// The last boundary at or below an offset.
    pub(crate) fn at_or_below(
        &mut self,
        io: &dyn Io,
        offset: Offset,
    ) -> Result<Option<OffsetEntry>, IndexDamaged> {
        let (base, count) = (self.base, self.count);
        self.offsets(io)?
            .last_where(base, count, |entry: &OffsetEntry| entry.offset <= offset)
    }

    /// The last boundary at or below a position.
    pub(crate) fn at_or_below_position(
        &mut self,
        io: &dyn Io,
        position: u32,
    ) -> Result<Option<OffsetEntry>, IndexDamaged> {
        let (base, count) = (self.base, self.count);
        self.offsets(io)?
            .last_where(base, count, |entry: &OffsetEntry| {
                entry.position <= position
            })
    }

    /// The last boundary before which every timestamp is below `timestamp`.
    pub(crate) fn before_time(
        &mut self,
        io: &dyn Io,
        timestamp: Timestamp,
    ) -> Result<Option<Offset>, IndexDamaged> {
        let (base, count) = (self.base, self.count);
        let times = self.times(io)?;
        let found =
            times.last_where(base, count, |entry: &TimeEntry| entry.timestamp < timestamp)?;
        Ok(found.map(|entry| entry.offset))
    }

    /// When the segment got its first batch; `None` when that is not known any more.
    pub(crate) fn first_append(&mut self, io: &dyn Io) -> Option<Timestamp> {
        let header = self.times(io).ok()?.header::<TimeEntry>()?;
        (header.first_append != Timestamp::default()).then_some(header.first_append)
    }

    /// Says once that searches do without it from now on, each from the segment's start.
    pub(crate) fn tell_done_without(&mut self, error: &IndexDamaged) {
        if !std::mem::replace(&mut self.was_told, true) {
            let file = error.file(self.paths.offsets().path());
            tracing::warn!(file = %file.display(), %error, "searches do without an index that is damaged again, until it is made anew: they read from the segment's start");
        }
    }

    /// Gives the maps back.
    pub(crate) fn release(&mut self) {
        self.offsets = None;
        self.times = None;
    }

    fn times(&mut self, io: &dyn Io) -> Result<&IndexSource<'static>, IndexDamaged> {
        let path = self.paths.times();
        mapped::<TimeEntry>(&mut self.times, io, &path, self.count)
    }

    fn offsets(&mut self, io: &dyn Io) -> Result<&IndexSource<'static>, IndexDamaged> {
        let path = self.paths.offsets();
        mapped::<OffsetEntry>(&mut self.offsets, io, &path, self.count)
    }
}

/// Whether nobody has cut an index file that is mapped: what is not there any more must not be touched, that ends the
/// process. What is mapped of one that was removed or replaced stays as it is.
fn is_whole(io: &dyn Io, path: &IndexPath<'_>, len: u64) -> bool {
    let file = io.open(path.path(), OpenMode::Read);
    file.and_then(|file| file.len())
        .map_or(true, |there| there >= len)
}

/// The map of an index file with so many entries, which is made if there is none.
fn mapped<'a, E: IndexEntry>(
    map: &'a mut Option<IndexSource<'static>>,
    io: &dyn Io,
    path: &IndexPath<'_>,
    count: u32,
) -> Result<&'a IndexSource<'static>, IndexDamaged> {
    let len = E::position(count);
    if map.is_some() && !is_whole(io, path, len) {
        *map = None;
    }
    match map {
        Some(map) => Ok(map),
        none => Ok(none.insert(newly_mapped::<E>(io, path, len)?)),
    }
}

fn newly_mapped<E: IndexEntry>(
    io: &dyn Io,
    path: &IndexPath<'_>,
    len: u64,
) -> Result<IndexSource<'static>, IndexDamaged> {
    let gone = || IndexDamaged::at::<E>(0, IndexProblem::Gone);
    let file = path.open(io).ok_or_else(gone)?;
    let there = file.len().map_err(|_| gone())?;
    if there < len {
        return Err(IndexDamaged::at::<E>(there, IndexProblem::Cut));
    }
    let map = file.map();
    map.inspect_err(|error| path.tell_unreadable(error))
        .map(IndexSource::Map)
        .map_err(|_| gone())
}

fn last_entry<E: IndexEntry>(
    io: &dyn Io,
    data_path: &Path,
    id: SegmentId,
) -> Result<(E, u32), IndexDamaged> {
    let damaged = |position, problem| IndexDamaged::at::<E>(position, problem);
    let was_told = AtomicBool::new(false);
    let path = IndexPath::beside::<E>(data_path, &was_told);
    let file = path.open(io);
    let file = file.ok_or_else(|| damaged(0, IndexProblem::Gone))?;
    let len = file.len().map_err(|_| damaged(0, IndexProblem::Gone))?;
    let count = E::count(len);
    if count == 0 || E::position(count) != len {
        return Err(damaged(len, IndexProblem::Cut));
    }
    let source = IndexSource::File(file, path);
    let header: Option<IndexHeader> = source.header::<E>();
    let header = header.ok_or_else(|| damaged(0, IndexProblem::Header))?;
    let entry = source.entry(id.base, count - 1)?;
    match header.is_of(id) {
        true => Ok((entry, count)),
        false => Err(damaged(0, IndexProblem::OfAnother)),
    }
}
