//! `ActiveIndex`: the growing index of the active segment. New boundaries are kept in memory and go
//! to the two files in one write each, before a sync that they matter for; of those in the files
//! the newest stay in memory too, because most readers are near the end.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use broker_model::{Offset, Timestamp};

use super::entry::{IndexEntry, IndexHeader, IndexPoint, OffsetEntry, SegmentId, TimeEntry};
use super::source::{IndexPaths, IndexSource};
use crate::io::{Io, IoFile, OpenMode};
use crate::sync::SyncFile;

/// Boundaries kept in memory at least, once there are that many; twice as many at most.
const RECENT_POINTS: usize = 512;

/// The two files: offsets, times.
type Files = (Arc<dyn IoFile>, Arc<dyn IoFile>);

/// The index of a segment that is being written.
pub(crate) struct ActiveIndex {
    io: Arc<dyn Io>,
    header: IndexHeader,
    paths: IndexPaths,
    /// Whether the two files are there. They are open only while they are written or read.
    exists: bool,
    /// Entries in the files.
    written: u32,
    /// Entries in all; the last `recent.len()` of them are in memory.
    count: u32,
    recent: VecDeque<IndexPoint>,
}

impl ActiveIndex {
    /// The index of a new segment. Files are created with the first entry.
    pub(crate) fn new((io, data): (&Arc<dyn Io>, &Arc<Path>), id: SegmentId) -> Self {
        Self::at(io, IndexPaths::beside(data), id)
    }

    /// The same, in these files.
    pub(crate) fn at(io: &Arc<dyn Io>, paths: IndexPaths, id: SegmentId) -> Self {
        Self {
            io: Arc::clone(io),
            header: IndexHeader {
                id,
                first_append: Timestamp::default(),
            },
            paths,
            exists: false,
            written: 0,
            count: 0,
            recent: VecDeque::new(),
        }
    }

    /// The index of a segment that goes on being written: the entries of its files that are sound
    /// (those that a kill or a power loss tore are at the end; a search checks what it touches)
    /// and do not point beyond `end`. `None` when there is nothing usable.
    pub(crate) fn load(place: (&Arc<dyn Io>, &Arc<Path>), id: SegmentId, end: u32) -> Option<Self> {
        let base = id.base;
        let mut index = Self::new(place, id);
        let (offsets, times) = index.open_files().ok()?;
        let count =
            OffsetEntry::count(offsets.len().ok()?).min(TimeEntry::count(times.len().ok()?));
        let offset_source = IndexSource::File(offsets, index.paths.offsets());
        let time_source = IndexSource::File(times, index.paths.times());
        let header = offset_source.header::<OffsetEntry>()?;
        if !header.is_of(id) || time_source.header::<TimeEntry>()? != header {
            return None;
        }
        let point_at = |number: u32| -> Option<IndexPoint> {
            let offset: OffsetEntry = offset_source.entry(base, number).ok()?;
            let time: TimeEntry = time_source.entry(base, number).ok()?;
            (offset.offset == time.offset && offset.position <= end).then_some(IndexPoint {
                offset: offset.offset,
                position: offset.position,
                max_before: time.timestamp,
            })
        };
        let count = (0..count)
            .rev()
            .find(|number| point_at(*number).is_some())
            .map_or(0, |last| last + 1);
        let in_memory = u32::try_from(RECENT_POINTS).unwrap_or(u32::MAX);
        for number in count.saturating_sub(in_memory)..count {
            let point = point_at(number)?;
            if !index.recent.back().is_none_or(|last| point.follows(last)) {
                return None;
            }
            index.recent.push_back(point);
        }
        index.header = IndexHeader { id, ..header };
        index.count = count;
        index.written = count;
        index.exists = true;
        Some(index)
    }

    /// Cuts the files behind the entries that `load` kept, so that none of the rest is ever taken
    /// for a later one. Durable when this returns.
    pub(crate) fn cut_files(&self) -> io::Result<()> {
        if self.exists {
            let (offsets, times) = self.open_files()?;
            let wanted = OffsetEntry::position(self.written);
            if offsets.len()? != wanted {
                offsets.set_len(wanted)?;
                offsets.sync_data()?;
            }
            let wanted = TimeEntry::position(self.written);
            if times.len()? != wanted {
                times.set_len(wanted)?;
                times.sync_data()?;
            }
        }
        Ok(())
    }

    /// Notes when the segment got its first batch, for the files' headers.
    pub(crate) fn set_first_append(&mut self, at: Timestamp) {
        self.header.first_append = at;
    }

    pub(crate) fn first_append(&self) -> Timestamp {
        self.header.first_append
    }

    /// Whether its files are there.
    pub(crate) fn exists(&self) -> bool {
        self.exists
    }

    /// Entries in all.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the larger of the two files once everything is written.
    pub(crate) fn bytes(&self) -> u64 {
        TimeEntry::position(self.count)
    }

    /// The last boundary.
    pub(crate) fn last(&self) -> Option<&IndexPoint> {
        self.recent.back()
    }

    /// Adds a boundary, which lies after the last one. One that no entry can say is found by its header.
    pub(crate) fn push(&mut self, point: IndexPoint) {
        if !point.fits(self.header.id.base) {
            return;
        }
        self.recent.push_back(point);
        self.count += 1;
    }

    /// Adds the entry that ends a sealed index, unless the last one says the same.
    pub(crate) fn push_end(&mut self, point: IndexPoint) {
        if self.last() != Some(&point) {
            self.push(point);
        }
    }

    /// Entries that are in memory alone.
    pub(crate) fn unwritten(&self) -> u32 {
        self.count - self.written
    }

    /// Writes what is in memory alone.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let pending = self.unwritten() as usize;
        if pending == 0 {
            return Ok(());
        }
        let (offsets, times) = match self.exists {
            true => self.open_files()?,
            false => self.create_files()?,
        };
        self.exists = true;
        let written = self.write_last(pending, &offsets, &times);
        written.inspect_err(|_| {
            // Half an entry would be taken for damage.
            let _ = offsets.set_len(OffsetEntry::position(self.written));
            let _ = times.set_len(TimeEntry::position(self.written));
        })?;
        self.written = self.count;
        if self.recent.len() > 2 * RECENT_POINTS {
            self.recent.drain(..self.recent.len() - RECENT_POINTS);
        }
        Ok(())
    }

    /// Writes the last `pending` entries.
    fn write_last(
        &self,
        pending: usize,
        offsets: &Arc<dyn IoFile>,
        times: &Arc<dyn IoFile>,
    ) -> io::Result<()> {
        let new = self.recent.iter().skip(self.recent.len() - pending);
        let bytes = self.encoded::<OffsetEntry>(new.clone());
        offsets.write_all_at(&bytes, OffsetEntry::position(self.written))?;
        let bytes = self.encoded::<TimeEntry>(new);
        times.write_all_at(&bytes, TimeEntry::position(self.written))
    }

    fn open_files(&self) -> io::Result<Files> {
        let offsets = self.io.open(self.paths.offsets().path(), OpenMode::Write)?;
        Ok((
            offsets,
            self.io.open(self.paths.times().path(), OpenMode::Write)?,
        ))
    }

    /// Removes what there is of its files.
    pub(crate) fn remove_files(&self) -> io::Result<()> {
        remove_if_there(&*self.io, self.paths.offsets().path())?;
        remove_if_there(&*self.io, self.paths.times().path())
    }

    fn create_files(&self) -> io::Result<Files> {
        // Whatever has these names may be mapped: it is unlinked, not emptied.
        self.remove_files()?;
        self.begin_files().inspect_err(|_| {
            // One without a header would be taken for damage.
            let _ = self.remove_files();
        })
    }

    fn begin_files(&self) -> io::Result<Files> {
        let offsets = self
            .io
            .open(self.paths.offsets().path(), OpenMode::Truncate)?;
        offsets.write_all_at(&self.header.encode(OffsetEntry::MAGIC), 0)?;
        let times = self
            .io
            .open(self.paths.times().path(), OpenMode::Truncate)?;
        times.write_all_at(&self.header.encode(TimeEntry::MAGIC), 0)?;
        Ok((offsets, times))
    }

    fn encoded<'a, E: IndexEntry>(&self, points: impl Iterator<Item = &'a IndexPoint>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, point) in (self.written..).zip(points) {
            E::of(point).encode(self.header.id.base, number, &mut bytes);
        }
        bytes
    }

    /// The files, for a sync.
    pub(crate) fn files(&self) -> Vec<SyncFile> {
        match self.exists {
            true => vec![
                SyncFile::Index(self.paths.offsets().into_path()),
                SyncFile::Index(self.paths.times().into_path()),
            ],
            false => Vec::new(),
        }
    }

    /// The last boundary at or below an offset.
    pub(crate) fn at_or_below(&self, offset: Offset) -> Option<OffsetEntry> {
        self.search::<OffsetEntry>(|entry| entry.offset <= offset)
    }

    /// The last boundary at or below a position.
    pub(crate) fn at_or_below_position(&self, position: u32) -> Option<OffsetEntry> {
        self.search::<OffsetEntry>(|entry| entry.position <= position)
    }

    /// The last boundary before which every timestamp is below `timestamp`.
    pub(crate) fn before_time(&self, timestamp: Timestamp) -> Option<Offset> {
        let found = self.search::<TimeEntry>(|entry| entry.timestamp < timestamp)?;
        Some(found.offset)
    }

    /// The last entry for which that holds. A damaged one costs time, not correctness: the search begins at the
    /// segment's start.
    fn search<E: IndexEntry>(&self, holds: impl Fn(&E) -> bool) -> Option<E> {
        let after = self.recent.partition_point(|point| holds(&E::of(point)));
        if let Some(point) = after.checked_sub(1).and_then(|last| self.recent.get(last)) {
            return Some(E::of(point));
        }
        let older = self.count - u32::try_from(self.recent.len()).unwrap_or(self.count);
        if older == 0 || !self.exists {
            return None;
        }
        let path = || match E::MAGIC == OffsetEntry::MAGIC {
            true => self.paths.offsets(),
            false => self.paths.times(),
        };
        let source = IndexSource::File(path().open(&*self.io)?, path());
        let found = source.last_where(self.header.id.base, older, holds);
        found
            .inspect_err(|error| path().tell_done_without(error))
            .ok()?
    }
}

fn remove_if_there(io: &dyn Io, path: &Path) -> io::Result<()> {
    match io.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span;

    use super::*;
    use crate::index::Owner;
    use crate::io::recording::RecordingIo;

    /// Counts what is logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<AtomicUsize>);

    impl tracing::Subscriber for Lines {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    /// An index of so many entries that not all of them are kept in memory.
    fn written(recording: &Arc<RecordingIo>) -> ActiveIndex {
        recording.create_dir_all(Path::new("/d")).unwrap();
        let io: Arc<dyn Io> = recording.clone();
        let id = SegmentId {
            base: Offset::ZERO,
            owner: Owner::default(),
        };
        let mut index = ActiveIndex::new((&io, &Path::new("/d/0.log").into()), id);
        for number in 1..=3_000_u32 {
            index.push(IndexPoint {
                offset: Offset::new(u64::from(number)),
                position: number * 100,
                max_before: Timestamp::from_millis(i64::from(number)),
            });
        }
        index.flush().unwrap();
        index
    }

    #[test]
    fn an_entry_that_is_damaged_is_told_once_and_done_without() {
        let recording = RecordingIo::new();
        let index = written(&recording);
        let file = recording.open(Path::new("/d/0.index"), OpenMode::Write);
        let nonsense = vec![0xa5; OffsetEntry::LEN * 1_000];
        file.unwrap()
            .write_all_at(&nonsense, IndexHeader::LEN as u64)
            .unwrap();
        let lines = Lines::default();
        tracing::subscriber::with_default(lines.clone(), || {
            for _ in 0..10 {
                assert!(index.at_or_below(Offset::new(5)).is_none());
            }
            assert!(index.before_time(Timestamp::from_millis(5)).is_some());
        });
        assert_eq!(lines.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_index_with_a_bad_sector_is_told_once_however_often_it_is_searched() {
        let recording = RecordingIo::new();
        let index = written(&recording);
        assert!(index.at_or_below(Offset::new(5)).is_some());
        recording.fail_reads(Some(5));
        let lines = Lines::default();
        tracing::subscriber::with_default(lines.clone(), || {
            for _ in 0..10 {
                recording.fail_reads(Some(5));
                assert!(index.at_or_below(Offset::new(5)).is_none());
                recording.fail_reads(None);
                assert!(index.at_or_below(Offset::new(5)).is_some(), "elsewhere");
            }
        });
        assert_eq!(lines.0.load(Ordering::Relaxed), 1);
    }
}
