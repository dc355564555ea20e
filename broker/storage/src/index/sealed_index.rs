//! `SealedIndex`: the complete index of a segment that is never written again. Mapped read-only on
//! first use, and let go when it has not been used for a while.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use broker_model::{Offset, Timestamp};

use super::entry::{IndexEntry, IndexHeader, OffsetEntry, SegmentId, TimeEntry};
use super::source::{IndexDamaged, IndexPath, IndexPaths, IndexSource};
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

impl SealedIndex {
    /// Reads the ends of the two files. `None` when one is missing, damaged, incomplete, or does
    /// not fit the other: both are made anew then.
    pub(crate) fn summary(io: &dyn Io, data_path: &Path, id: SegmentId) -> Option<SealedSummary> {
        let (offset, offsets) = last_entry::<OffsetEntry>(io, data_path, id)?;
        let (time, times) = last_entry::<TimeEntry>(io, data_path, id)?;
        (offsets == times && offset.offset == time.offset).then_some(SealedSummary {
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
            let segment = self.paths.offsets().path().with_extension("log");
            tracing::warn!(segment = %segment.display(), %error, "searches do without an index that is damaged again, until it is made anew: they read from the segment's start");
        }
    }

    /// Gives the maps back.
    pub(crate) fn release(&mut self) {
        self.offsets = None;
        self.times = None;
    }

    fn times(&mut self, io: &dyn Io) -> Result<&IndexSource<'static>, IndexDamaged> {
        let len = TimeEntry::position(self.count);
        if self.times.is_none() || !is_whole(io, &self.paths.times(), len) {
            self.times = None;
            self.times = Some(mapped(io, &self.paths.times(), len)?);
        }
        self.times.as_ref().ok_or(IndexDamaged { number: 0 })
    }

    fn offsets(&mut self, io: &dyn Io) -> Result<&IndexSource<'static>, IndexDamaged> {
        let len = OffsetEntry::position(self.count);
        if self.offsets.is_none() || !is_whole(io, &self.paths.offsets(), len) {
            self.offsets = None;
            self.offsets = Some(mapped(io, &self.paths.offsets(), len)?);
        }
        self.offsets.as_ref().ok_or(IndexDamaged { number: 0 })
    }
}

/// Whether nobody has cut an index file that is mapped: what is not there any more must not be touched, that ends the
/// process. What is mapped of one that was removed or replaced stays as it is.
fn is_whole(io: &dyn Io, path: &IndexPath<'_>, len: u64) -> bool {
    let file = io.open(path.path(), OpenMode::Read);
    file.and_then(|file| file.len())
        .map_or(true, |there| there >= len)
}

fn mapped(
    io: &dyn Io,
    path: &IndexPath<'_>,
    len: u64,
) -> Result<IndexSource<'static>, IndexDamaged> {
    let file = path.open(io);
    let whole = file.filter(|file| file.len().is_ok_and(|there| there >= len));
    let mapped = whole.and_then(|file| {
        let map = file.map();
        map.inspect_err(|error| path.tell_unreadable(error)).ok()
    });
    mapped
        .map(IndexSource::Map)
        .ok_or(IndexDamaged { number: 0 })
}

fn last_entry<E: IndexEntry>(io: &dyn Io, data_path: &Path, id: SegmentId) -> Option<(E, u32)> {
    let was_told = AtomicBool::new(false);
    let path = IndexPath::beside::<E>(data_path, &was_told);
    let file = path.open(io)?;
    let len = file.len().ok()?;
    let count = E::count(len);
    if count == 0 || E::position(count) != len {
        return None;
    }
    let source = IndexSource::File(file, path);
    let header: IndexHeader = source.header::<E>()?;
    let entry = source.entry(id.base, count - 1).ok()?;
    header.is_of(id).then_some((entry, count))
}
