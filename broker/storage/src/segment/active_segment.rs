//! `ActiveSegment`: the one segment of a log that is written. It knows its end, the newest batches and
//! its age without asking the disk; who may append, and when another segment begins, the log decides.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use broker_model::{Offset, Timestamp};
use broker_record::{BatchHeader, ProducedBatch};

use super::locate::Searchable;
use super::{DataFile, SegmentInfo};
use crate::index::{ActiveIndex, IndexPoint, OffsetEntry};
use crate::io::{IoFile, IoSlice};

/// Newest batch boundaries kept in memory, so that readers at the end need no file.
const RECENT_BATCHES: usize = 128;
/// Slices of one vectored write; the kernel takes 1,024.
const SLICES_PER_WRITE_MAX: usize = 512;

/// The end of a log's data.
pub(crate) struct ActiveSegment {
    pub(crate) data: Arc<DataFile>,
    /// Bytes written.
    pub(crate) len: u32,
    /// The offset the next record gets.
    pub(crate) next: Offset,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) index: ActiveIndex,
    /// `None` while nothing is known of any batch: most of many thousand may be empty.
    begun: Option<Box<Begun>>,
}

/// What is known of the batches of a segment that has some.
#[derive(Default)]
struct Begun {
    /// Since when it has them.
    age: Option<SegmentAge>,
    /// The largest timestamp of the first one, where that was met and has records.
    first_timestamp: Option<Timestamp>,
    recent: VecDeque<OffsetEntry>,
}

/// How long ago a segment got its first batch. Wall time is asked once, when the log is opened;
/// from then on only the monotonic clock counts, so that a jump of the wall clock rolls nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentAge {
    /// Its age at `since`.
    pub(crate) before: Duration,
    /// A time on the monotonic clock.
    pub(crate) since: Duration,
}

/// A write that failed.
#[derive(Debug)]
pub(crate) struct WriteFailed {
    pub(crate) source: io::Error,
    /// Whether the file was cut back, so that nothing of the write is left.
    pub(crate) undone: bool,
}

impl ActiveSegment {
    /// The segment as it is, without a word about its content.
    pub(crate) fn new(data: Arc<DataFile>, index: ActiveIndex) -> Self {
        Self {
            next: data.base(),
            data,
            len: 0,
            max_timestamp: Timestamp::MIN,
            index,
            begun: None,
        }
    }

    /// Since when it has batches; `None` while it is empty.
    pub(crate) fn begun(&self) -> Option<SegmentAge> {
        self.begun.as_ref()?.age
    }

    pub(crate) fn set_begun(&mut self, age: SegmentAge) {
        self.begun.get_or_insert_default().age = Some(age);
    }

    /// The largest timestamp of the first batch, where that was met and has records.
    pub(crate) fn first_timestamp(&self) -> Option<Timestamp> {
        self.begun.as_ref()?.first_timestamp
    }

    /// The newest batches, oldest first.
    fn recent(&self) -> &VecDeque<OffsetEntry> {
        static NONE: VecDeque<OffsetEntry> = VecDeque::new();
        self.begun.as_ref().map_or(&NONE, |begun| &begun.recent)
    }

    /// The first batch was just appended, at this wall and monotonic time.
    pub(crate) fn began(&mut self, wall: Timestamp, monotonic: Duration) {
        self.index.set_first_append(wall);
        self.set_begun(SegmentAge {
            before: Duration::ZERO,
            since: monotonic,
        });
    }

    /// When, on the wall clock of then, the first batch was appended; `None` while there is none.
    pub(crate) fn first_append(&self) -> Option<Timestamp> {
        self.begun().map(|_| self.index.first_append())
    }

    /// How old the first batch is.
    pub(crate) fn age(&self, monotonic: Duration) -> Option<Duration> {
        let age = self.begun()?;
        Some(
            age.before
                .saturating_add(monotonic.saturating_sub(age.since)),
        )
    }

    /// Writes batches whose headers have their offsets, in as few writes as can be, all or none.
    pub(crate) fn append(
        &mut self,
        batches: &[ProducedBatch],
        index_interval: u32,
    ) -> Result<(), WriteFailed> {
        let unwritten = |source| WriteFailed {
            source,
            undone: true,
        };
        let file = self.data.file_to_write().map_err(unwritten)?;
        let mut end = self.len;
        let done = write_batches(&*file, batches, &mut end);
        // As long as the file is held nobody closes it: whoever does after that syncs it first.
        self.data.note_written(&*file);
        if let Err(source) = done {
            // Synced, or else a power loss could bring back part of a write that was refused.
            let undo = || {
                file.set_len(u64::from(self.len))
                    .and_then(|()| file.sync_data())
            };
            let undone = end == self.len || undo().is_ok();
            self.data.note_own_change(&*file);
            return Err(WriteFailed { source, undone });
        }
        let written = u64::from(self.len)..u64::from(end);
        for batch in batches {
            self.note_batch(&batch.header, index_interval);
        }
        assert_eq!(self.len, end, "the batches are as long as what was written");
        self.data.mark_verified(written);
        Ok(())
    }

    /// Accounts for a batch that stands at the end of the file.
    pub(crate) fn note_batch(&mut self, header: &BatchHeader, index_interval: u32) {
        let last_indexed = self.index.last().map_or(0, |point| point.position);
        if self.len - last_indexed >= index_interval.max(1) {
            self.index.push(self.boundary());
        }
        let begun = self.begun.get_or_insert_default();
        if self.len == 0 {
            begun.first_timestamp = (header.record_count > 0).then_some(header.max_timestamp);
        }
        if begun.recent.len() == RECENT_BATCHES {
            begun.recent.pop_front();
        }
        begun.recent.push_back(OffsetEntry {
            offset: header.base_offset,
            position: self.len,
        });
        let len = u32::try_from(header.batch_len()).expect("a batch that fits into a segment");
        self.len += len;
        self.next = header.next_offset();
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// Takes up the position and the time of the last index entry.
    pub(crate) fn resume_from_index(&mut self) {
        if let Some(last) = self.index.last() {
            self.len = last.position;
            self.next = last.offset;
            self.max_timestamp = last.max_before;
        }
    }

    /// Skips bytes that hold nothing usable, up to the batch at `position`.
    pub(crate) fn skip_to(&mut self, position: u32, offset: Offset) {
        self.len = position;
        self.next = offset;
    }

    /// What was lost in front of a batch may have been as late as that: a search for a time does not pass over it.
    pub(crate) fn note_lost_before(&mut self, header: &BatchHeader) {
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// The boundary at the segment's end.
    pub(crate) fn boundary(&self) -> IndexPoint {
        IndexPoint {
            offset: self.next,
            position: self.len,
            max_before: self.max_timestamp,
        }
    }

    /// Whether the batch with an offset is known from the writing itself, and the file is open.
    pub(crate) fn has_at_hand(&self, offset: Offset) -> bool {
        let first = self.recent().front();
        first.is_some_and(|first| first.offset <= offset) && self.data.is_open()
    }

    /// Ends both index files, so that they are complete.
    pub(crate) fn finish_index(&mut self) -> io::Result<()> {
        if self.len > 0 {
            self.index.push_end(self.boundary());
        }
        self.index.flush()
    }

    /// Whether both index files end where the data ends.
    pub(crate) fn index_is_finished(&self) -> bool {
        let ends_here = self.index.last() == Some(&self.boundary());
        self.index.unwritten() == 0 && (self.len == 0 || ends_here)
    }

    pub(crate) fn info(&self) -> SegmentInfo {
        SegmentInfo {
            base: self.data.base(),
            next: self.next,
            bytes: u64::from(self.len),
            max_timestamp: self.max_timestamp,
            sealed: false,
        }
    }
}

/// Writes at `at`, which moves on with every byte written.
fn write_batches(file: &dyn IoFile, batches: &[ProducedBatch], at: &mut u32) -> io::Result<()> {
    if let [batch] = batches {
        // What a lone producer sends: without the two lists below.
        let header = batch.header.encode();
        let mut slices = [IoSlice::new(&header), IoSlice::new(&batch.body)];
        return write_slices(file, &mut slices, at);
    }
    let headers: Vec<[u8; BatchHeader::LEN]> =
        batches.iter().map(|batch| batch.header.encode()).collect();
    let mut slices = Vec::with_capacity(2 * batches.len());
    for (header, batch) in headers.iter().zip(batches) {
        slices.push(IoSlice::new(header));
        slices.push(IoSlice::new(&batch.body));
    }
    write_slices(file, &mut slices, at)
}

/// Writes all of these at `at`.
fn write_slices(file: &dyn IoFile, mut rest: &mut [IoSlice<'_>], at: &mut u32) -> io::Result<()> {
    while !rest.is_empty() {
        let some = rest.len().min(SLICES_PER_WRITE_MAX);
        let written =
            file.write_vectored_at(rest.get(..some).unwrap_or_default(), u64::from(*at))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        *at += u32::try_from(written).expect("a segment's size was checked before");
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

impl Searchable for ActiveSegment {
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
        if offset >= self.next {
            return Some(self.end());
        }
        let recent = self.recent();
        let after = recent.partition_point(|batch| batch.offset <= offset);
        if let Some(found) = after.checked_sub(1).and_then(|at| recent.get(at)) {
            return Some(*found);
        }
        self.index.at_or_below(offset)
    }

    fn at_or_below_position(&self, position: u32) -> Option<OffsetEntry> {
        if position >= self.len {
            return Some(self.end());
        }
        let recent = self.recent();
        let after = recent.partition_point(|batch| batch.position <= position);
        if let Some(found) = after.checked_sub(1).and_then(|at| recent.get(at)) {
            return Some(*found);
        }
        self.index.at_or_below_position(position)
    }

    fn before_time(&self, timestamp: Timestamp) -> Option<Offset> {
        if self.max_timestamp < timestamp {
            return Some(self.next);
        }
        self.index.before_time(timestamp)
    }

    fn trusts(&self, boundary: OffsetEntry) -> bool {
        self.recent()
            .binary_search_by_key(&boundary.position, |batch| batch.position)
            .is_ok()
    }

    fn index_is_wrong(&self) -> bool {
        false
    }
}
