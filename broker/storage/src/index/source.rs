//! Searching an index where it lies: mapped (sealed segments) or by positional reads (the active
//! one). Only the entries that a search touches are read, and each of them is checked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_model::Offset;

use super::damaged::IndexDamaged;
use super::entry::{IndexEntry, IndexHeader, OffsetEntry, Owner, SegmentId, TimeEntry};
use crate::health::is_out_of_files;
use crate::io::{Io, IoFile, MappedFile, OpenMode};

/// The bytes of an index file.
pub(crate) enum IndexSource<'a> {
    /// Of a sealed segment: it cannot change any more.
    Map(Box<dyn MappedFile>),
    /// Of the active segment, and where it is.
    File(Arc<dyn IoFile>, IndexPath<'a>),
}

/// Where the index files of a segment are.
pub(crate) struct IndexPaths {
    place: Place,
    offsets_told: AtomicBool,
    times_told: AtomicBool,
}

enum Place {
    /// Beside this data file: there are many, and few are asked for.
    Beside(Arc<Path>),
    /// Offsets, times.
    Named(Box<(PathBuf, PathBuf)>),
}

/// Where an index file is. That it cannot be read is told once: what searches it does without. One with a single bad
/// sector can be searched in between, which is no reason to tell it again.
pub(crate) struct IndexPath<'a> {
    path: PathBuf,
    was_told: &'a AtomicBool,
}

impl IndexPaths {
    /// Those of the files beside a data file.
    pub(crate) fn beside(data: &Arc<Path>) -> Self {
        Self::of_place(Place::Beside(Arc::clone(data)))
    }

    /// Files of these names: offsets, times.
    pub(crate) fn named(offsets: PathBuf, times: PathBuf) -> Self {
        Self::of_place(Place::Named(Box::new((offsets, times))))
    }

    fn of_place(place: Place) -> Self {
        Self {
            place,
            offsets_told: AtomicBool::new(false),
            times_told: AtomicBool::new(false),
        }
    }

    pub(crate) fn offsets(&self) -> IndexPath<'_> {
        match &self.place {
            Place::Beside(data) => IndexPath::beside::<OffsetEntry>(data, &self.offsets_told),
            Place::Named(paths) => IndexPath::at(paths.0.clone(), &self.offsets_told),
        }
    }

    pub(crate) fn times(&self) -> IndexPath<'_> {
        match &self.place {
            Place::Beside(data) => IndexPath::beside::<TimeEntry>(data, &self.times_told),
            Place::Named(paths) => IndexPath::at(paths.1.clone(), &self.times_told),
        }
    }
}

impl<'a> IndexPath<'a> {
    /// The one beside a data file.
    pub(super) fn beside<E: IndexEntry>(data: &Path, was_told: &'a AtomicBool) -> Self {
        Self::at(data.with_extension(E::EXTENSION), was_told)
    }

    fn at(path: PathBuf, was_told: &'a AtomicBool) -> Self {
        Self { path, was_told }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn into_path(self) -> PathBuf {
        self.path
    }

    /// Says that the file cannot be read, which costs the index alone: the data file will say more. One that is
    /// missing or too short is no news, nor is a process that has no descriptor left.
    pub(super) fn tell_unreadable(&self, error: &io::Error) {
        let is_expected = [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof];
        if is_expected.contains(&error.kind()) || is_out_of_files(error) {
            return;
        }
        if !self.was_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(file = %self.path.display(), %error, "an index cannot be read: it is made anew, or done without");
        }
    }

    /// Says that searches do without the index, once.
    pub(super) fn tell_done_without(&self, error: &IndexDamaged) {
        if !self.was_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(file = %self.path.display(), %error, "searches do without a damaged index: they read from the segment's start");
        }
    }

    /// Opens the file to be read; that it cannot be is told.
    pub(super) fn open(&self, io: &dyn Io) -> Option<Arc<dyn IoFile>> {
        let opened = io.open(&self.path, OpenMode::Read);
        opened.inspect_err(|error| self.tell_unreadable(error)).ok()
    }
}

impl IndexSource<'_> {
    /// The file's header, if it has a sound one.
    pub(crate) fn header<E: IndexEntry>(&self) -> Option<IndexHeader> {
        let mut bytes = [0; IndexHeader::LEN];
        self.read(&mut bytes, 0)?;
        IndexHeader::decode(E::MAGIC, &bytes)
    }

    /// Entry `number`.
    pub(crate) fn entry<E: IndexEntry>(
        &self,
        base: Offset,
        number: u32,
    ) -> Result<E, IndexDamaged> {
        // The largest entry has 16 bytes.
        let mut bytes = [0; 16];
        let damaged = || IndexDamaged::entry::<E>(number);
        let bytes = bytes.get_mut(..E::LEN).ok_or_else(damaged)?;
        self.read(bytes, E::position(number))
            .and_then(|()| E::decode(base, number, bytes))
            .ok_or_else(damaged)
    }

    /// The last of the first `count` entries for which `holds` is true; it is true for those up to
    /// some entry and false for those after it.
    pub(crate) fn last_where<E: IndexEntry>(
        &self,
        base: Offset,
        count: u32,
        holds: impl Fn(&E) -> bool,
    ) -> Result<Option<E>, IndexDamaged> {
        let (mut low, mut high) = (0, count);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry::<E>(base, middle)?;
            if holds(&entry) {
                found = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    fn read(&self, buffer: &mut [u8], position: u64) -> Option<()> {
        match self {
            Self::Map(map) => map.read_exact_at(buffer, usize::try_from(position).ok()?),
            Self::File(file, path) => {
                let read = file.read_exact_at(buffer, position);
                read.inspect_err(|error| path.tell_unreadable(error)).ok()
            }
        }
    }
}

/// The last boundary at or below a position that an index file knows, finished or not.
pub(crate) fn boundary_at_or_below(
    io: &dyn Io,
    data_path: &Path,
    id: SegmentId,
    position: u32,
) -> Option<OffsetEntry> {
    let was_told = AtomicBool::new(false);
    let path = IndexPath::beside::<OffsetEntry>(data_path, &was_told);
    let file = path.open(io)?;
    let count = OffsetEntry::count(file.len().ok()?);
    let source = IndexSource::File(file, path);
    let header = source.header::<OffsetEntry>()?;
    let is_below = |entry: &OffsetEntry| entry.position <= position;
    let found = source.last_where(id.base, count, is_below).ok()?;
    found.filter(|_| header.is_of(id))
}

/// Whether both index files of a segment say that it is another partition's. One alone has been put
/// beside the wrong data, and is made anew.
pub(crate) fn is_of_another(io: &dyn Io, data_path: &Path, owner: Owner) -> bool {
    is_file_of_another::<OffsetEntry>(io, data_path, owner)
        && is_file_of_another::<TimeEntry>(io, data_path, owner)
}

fn is_file_of_another<E: IndexEntry>(io: &dyn Io, data_path: &Path, owner: Owner) -> bool {
    let was_told = AtomicBool::new(false);
    let path = IndexPath::beside::<E>(data_path, &was_told);
    let Some(file) = path.open(io) else {
        return false;
    };
    let header = IndexSource::File(file, path).header::<E>();
    header.is_some_and(|header| header.id.owner.differs_from(owner))
}
