//! `SealedSegment`: a segment that is not written any more. Its files are opened and its indexes
//! mapped when they are first needed, and let go when they are idle.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use broker_model::{Offset, Timestamp};

use super::locate::{Searchable, read_first_timestamp};
use super::{ActiveSegment, BatchScanner, DataFile, ScanDepth, Scanned, SegmentInfo};
use crate::corruption::Corruption;
use crate::health::is_no_space;
use crate::index::{ActiveIndex, IndexDamaged, OffsetEntry, SealedIndex, SealedSummary};

/// A complete segment.
pub(crate) struct SealedSegment {
    pub(crate) data: Arc<DataFile>,
    pub(crate) len: u32,
    pub(crate) next: Offset,
    pub(crate) max_timestamp: Timestamp,
    index: Mutex<SealedIndex>,
    index_interval: u32,
    rebuilt: AtomicBool,
    first_timestamp: OnceLock<Timestamp>,
}

/// A segment that was opened.
pub(crate) struct OpenedSegment {
    pub(crate) segment: SealedSegment,
    /// What is damaged in its data, as far as it was looked at.
    pub(crate) damage: Vec<Corruption>,
    /// What its index said, where that was sound and of another length.
    pub(crate) indexed: Option<SealedSummary>,
    /// Why its index was made anew, if it was.
    pub(crate) indexed_anew: Option<IndexDamaged>,
}

impl SealedSegment {
    /// The segment that these ends of its index files speak of.
    pub(crate) fn new(data: Arc<DataFile>, summary: SealedSummary, index_interval: u32) -> Self {
        let index = SealedIndex::new(data.place().1, data.base(), summary.count);
        data.seal();
        Self {
            data,
            len: summary.len,
            next: summary.next,
            max_timestamp: summary.max_timestamp,
            index: Mutex::new(index),
            index_interval,
            rebuilt: AtomicBool::new(false),
            first_timestamp: OnceLock::new(),
        }
    }

    /// Its first batch has this largest timestamp, if that is known: nobody has to read it, then.
    pub(crate) fn begun_at(self, first: Option<Timestamp>) -> Self {
        let first_timestamp = first.map_or_else(OnceLock::new, OnceLock::from);
        Self {
            first_timestamp,
            ..self
        }
    }

    /// Opens a segment whose data file has `len` bytes. Its indexes are made anew when they are
    /// missing, damaged, incomplete or of another length of the data file; what is found damaged
    /// in the data on that occasion is answered too. Its offsets are `below` that of the next segment, if one is
    /// known.
    pub(crate) fn open(
        data: Arc<DataFile>,
        len: u32,
        index_interval: u32,
        below: Option<Offset>,
    ) -> io::Result<OpenedSegment> {
        let (indexed, damaged) = match SealedIndex::summary(data.io(), data.path(), data.id()) {
            Ok(summary) if summary.len == len => {
                return Ok(OpenedSegment {
                    segment: Self::new(data, summary, index_interval),
                    damage: Vec::new(),
                    indexed: None,
                    indexed_anew: None,
                });
            }
            Ok(summary) => (Some(summary), summary.misfit(len)),
            Err(damaged) => (None, damaged),
        };
        let end = below.map_or(KnownEnd::Unknown, KnownEnd::NotAbove);
        let rebuilt = rebuild_index(&data, len, index_interval, end)?;
        match rebuilt.written {
            Err(error) if is_no_space(&error) => {
                let segment = data.path().display();
                tracing::warn!(%segment, %error, "the disk is full: an index is made anew when it is needed");
            }
            written => written?,
        }
        Ok(OpenedSegment {
            segment: Self::new(data, rebuilt.summary, index_interval),
            damage: rebuilt.damage,
            indexed,
            indexed_anew: Some(damaged),
        })
    }

    pub(crate) fn info(&self) -> SegmentInfo {
        SegmentInfo {
            base: self.data.base(),
            next: self.next,
            bytes: u64::from(self.len),
            max_timestamp: self.max_timestamp,
            sealed: true,
        }
    }

    /// When, on the wall clock of then, its first batch was appended; `None` when its index does not say.
    pub(crate) fn first_append(&self) -> Option<Timestamp> {
        self.index().first_append(self.data.io())
    }

    /// Lets files and maps go.
    pub(crate) fn release(&self) {
        self.data.release();
        self.index().release();
    }

    /// Lets files and maps go if nothing has used them since the last call.
    pub(crate) fn release_if_idle(&self) {
        if self.data.release_if_idle() {
            self.index().release();
        }
    }

    /// Makes the index anew, whatever was tried before.
    pub(crate) fn renew_index(&self) {
        self.rebuilt.store(false, Ordering::Relaxed);
        self.index_is_wrong();
    }

    fn index(&self) -> MutexGuard<'_, SealedIndex> {
        // Nothing panics while it is held.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A search in the index; once per start of the broker it is made anew when it is damaged.
    fn search<T>(
        &self,
        find: impl Fn(&mut SealedIndex) -> Result<Option<T>, IndexDamaged>,
    ) -> Option<T> {
        let searched = find(&mut self.index());
        let mut error = match searched {
            Ok(found) => return found,
            Err(error) => error,
        };
        if !self.rebuilt.load(Ordering::Relaxed) {
            let file = error.file(self.data.path());
            tracing::warn!(file = %file.display(), %error, "an index is damaged, and is made anew");
            if self.index_is_wrong() {
                let searched = find(&mut self.index());
                error = match searched {
                    Ok(found) => return found,
                    Err(error) => error,
                };
            }
        }
        self.index().tell_done_without(&error);
        None
    }
}

impl Searchable for SealedSegment {
    fn data(&self) -> &Arc<DataFile> {
        &self.data
    }

    fn end(&self) -> OffsetEntry {
        OffsetEntry {
            offset: self.next,
            position: self.len,
        }
    }

    fn at_or_below(&self, offset: Offset) -> Option<OffsetEntry> {
        self.search(|index| index.at_or_below(self.data.io(), offset))
    }

    fn at_or_below_position(&self, position: u32) -> Option<OffsetEntry> {
        self.search(|index| index.at_or_below_position(self.data.io(), position))
    }

    fn before_time(&self, timestamp: Timestamp) -> Option<Offset> {
        self.search(|index| index.before_time(self.data.io(), timestamp))
    }

    fn first_timestamp(&self) -> Option<Timestamp> {
        let known = self.first_timestamp.get().copied();
        known.or_else(|| {
            let read = read_first_timestamp(&self.data)?;
            Some(*self.first_timestamp.get_or_init(|| read))
        })
    }

    fn trusts(&self, _boundary: OffsetEntry) -> bool {
        false
    }

    fn index_is_wrong(&self) -> bool {
        if self.rebuilt.swap(true, Ordering::Relaxed) {
            return false;
        }
        let mut index = self.index();
        index.release();
        let end = KnownEnd::At(self.next, self.max_timestamp);
        let rebuilt = rebuild_index(&self.data, self.len, self.index_interval, end);
        match rebuilt.and_then(|rebuilt| rebuilt.written.map(|()| rebuilt.summary)) {
            Ok(summary) => {
                *index = SealedIndex::new(self.data.place().1, self.data.base(), summary.count);
                true
            }
            Err(error) => {
                tracing::warn!(segment = %self.data.path().display(), %error, "index cannot be made anew");
                false
            }
        }
    }
}

/// What is known of the offset at which a sealed segment ends.
#[derive(Clone, Copy)]
enum KnownEnd {
    Unknown,
    NotAbove(Offset),
    /// And with this largest timestamp.
    At(Offset, Timestamp),
}

/// What making an index anew has come to.
struct RebuiltIndex {
    summary: SealedSummary,
    damage: Vec<Corruption>,
    /// Whether both files are there, whole; otherwise neither is.
    written: io::Result<()>,
}

/// Makes both index files of a sealed segment anew from the headers in its data file. Where the offset
/// it ends at is known, that stays: what lies above is a stale copy from elsewhere.
fn rebuild_index(
    data: &Arc<DataFile>,
    len: u32,
    index_interval: u32,
    end: KnownEnd,
) -> io::Result<RebuiltIndex> {
    let (next, at_most, latest) = match end {
        KnownEnd::Unknown => (None, Offset::MAX, Timestamp::MIN),
        KnownEnd::NotAbove(offset) => (None, offset, Timestamp::MIN),
        KnownEnd::At(offset, latest) => (Some(offset), offset, latest),
    };
    let file = data.file()?;
    let index = ActiveIndex::new(data.place(), data.id());
    let mut segment = ActiveSegment::new(Arc::clone(data), index);
    let mut damage = Vec::new();
    let mut is_behind_damage = false;
    let mut scanner = BatchScanner::new(
        file,
        data.id().owner,
        ScanDepth::Headers,
        0..u64::from(len),
        data.base(),
    )
    .up_to(at_most);
    while let Some(scanned) = scanner.next()? {
        let Scanned::Batch { position, header } = scanned else {
            damage.push(scanned.into_corruption(data.path(), None));
            is_behind_damage = true;
            continue;
        };
        if next.is_none_or(|next| header.next_offset() <= next) {
            let at = u32::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge)?;
            segment.skip_to(at, header.base_offset);
            if std::mem::take(&mut is_behind_damage) {
                segment.note_lost_before(&header);
            }
            segment.note_batch(&header, index_interval);
        }
    }
    if !damage.is_empty() {
        segment.max_timestamp = segment.max_timestamp.max(latest);
    }
    // The last entry says how long the file is, damaged end or not.
    segment.skip_to(len, next.unwrap_or(segment.next));
    let written = segment.finish_index().and_then(|()| {
        let files = segment.index.files();
        files.iter().try_for_each(|file| file.sync(data.io()))?;
        // Otherwise a power loss brings back the ones that were of no use.
        let dir = data.path().parent().filter(|_| !files.is_empty());
        dir.map_or(Ok(()), |dir| data.io().sync_dir(dir))
    });
    if written.is_err() {
        // Half an index would be taken for a damaged one, and takes up room.
        let _ = segment.index.remove_files();
    }
    let summary = SealedSummary {
        next: segment.next,
        len,
        max_timestamp: segment.max_timestamp,
        count: segment.index.count(),
    };
    Ok(RebuiltIndex {
        summary,
        damage,
        written,
    })
}
