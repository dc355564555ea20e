//! `CleanedWriter`: lays the batches that stay out as segments, up to `segment.bytes` each, and writes
//! them with their indexes. For a survey it only counts: the layout is the same.
//!
//! Offsets of batches that went are covered by the batch in front of them, as long as that is of the
//! same leader epoch and no idempotent producer's (whose sequences are counted by its offsets), and by
//! a batch without records otherwise. The last batch is held back until it is known what it covers.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use broker_model::{LeaderEpoch, Offset};
use broker_record::StoredBatch;

use super::cleaned_files::CleanedFiles;
use super::cleaning::Surroundings;
use super::{CleaningFailed, Pace};
use crate::index::{
    ActiveIndex, IndexEntry, IndexPaths, OffsetEntry, SealedSummary, SegmentId, TimeEntry,
};
use crate::io::{IoFile, OpenMode};
use crate::segment::{ActiveSegment, DataFile};

/// Bytes written at once.
const WRITE_BYTES: usize = 1 << 20;
/// Most offsets that a segment or a batch may span, as in Kafka.
const SPAN_MAX: u64 = i32::MAX as u64;

/// How large the segments may get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputLimits {
    pub(crate) segment_bytes: u64,
    pub(crate) index_bytes_max: u32,
    pub(crate) index_interval: u32,
}

/// Offsets without a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    pub(super) base: Offset,
    pub(super) next: Offset,
    /// The leader epoch of the batch that went; `None` when it is not known.
    pub(super) epoch: Option<LeaderEpoch>,
}

/// A segment that was laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CleanedSegment {
    pub(super) base: Offset,
    pub(super) summary: SealedSummary,
}

/// Writes the segments of one cleaning.
pub(super) struct CleanedWriter<'a> {
    around: &'a Surroundings,
    pace: &'a Pace,
    limits: OutputLimits,
    /// `None` for a survey.
    files: Option<CleanedFiles>,
    pending: Option<StoredBatch>,
    current: Option<Output>,
    done: Vec<CleanedSegment>,
}

/// The segment that is being written.
struct Output {
    segment: ActiveSegment,
    buffer: Vec<u8>,
    /// Bytes of it that are in the file.
    written: u64,
    file: Option<Arc<dyn IoFile>>,
}

impl<'a> CleanedWriter<'a> {
    pub(super) fn new(
        around: &'a Surroundings,
        pace: &'a Pace,
        limits: OutputLimits,
        files: Option<CleanedFiles>,
    ) -> Self {
        Self {
            around,
            pace,
            limits,
            files,
            pending: None,
            current: None,
            done: Vec::new(),
        }
    }

    /// The next batch, which begins where the last one or a gap ended.
    pub(super) fn put(&mut self, batch: StoredBatch) -> Result<(), CleaningFailed> {
        self.write_pending()?;
        self.pending = Some(batch);
        Ok(())
    }

    /// A batch went.
    pub(super) fn gap(&mut self, gap: Gap) -> Result<(), CleaningFailed> {
        if let Some(before) = &mut self.pending
            && covers(before, &gap)
        {
            let header = &mut before.header;
            let delta = gap.next.distance_from(header.base_offset) - 1;
            header.last_offset_delta = u32::try_from(delta).unwrap_or(u32::MAX);
            return Ok(());
        }
        let epoch = match (gap.epoch, &self.pending) {
            (Some(epoch), _) => epoch,
            (None, Some(before)) => before.header.leader_epoch,
            (None, None) => LeaderEpoch::new(0),
        };
        self.write_pending()?;
        // Longer than a batch can be only when a whole segment is not there any more.
        let delta = gap.next.distance_from(gap.base).saturating_sub(1);
        let delta = u32::try_from(delta).unwrap_or(u32::MAX);
        self.pending = Some(StoredBatch::without_records(gap.base, delta, epoch));
        Ok(())
    }

    /// Ends the last segment. Everything is durable then, but for the files' names.
    pub(super) fn finish(
        mut self,
    ) -> Result<(Vec<CleanedSegment>, Option<CleanedFiles>), CleaningFailed> {
        self.write_pending()?;
        self.end_segment()?;
        Ok((std::mem::take(&mut self.done), self.files.take()))
    }

    fn write_pending(&mut self) -> Result<(), CleaningFailed> {
        let Some(mut batch) = self.pending.take() else {
            return Ok(());
        };
        batch.header.log_mark = self.around.owner.log_mark();
        if self
            .current
            .as_ref()
            .is_some_and(|output| output.is_full_before(&batch, &self.limits))
        {
            self.end_segment()?;
        }
        if self.current.is_none() {
            self.current = Some(self.begin_segment(batch.header.base_offset)?);
        }
        if let Some(output) = &mut self.current {
            output.append(&batch, self.limits.index_interval);
            if output.buffer.len() >= WRITE_BYTES {
                output.flush(self.around, self.pace)?;
            }
        }
        Ok(())
    }

    fn begin_segment(&mut self, base: Offset) -> Result<Output, CleaningFailed> {
        let around = self.around;
        let owner = around.owner;
        let id = SegmentId { base, owner };
        let Some(files) = &mut self.files else {
            let data = DataFile::at(around.files(), PathBuf::new(), id);
            let index = ActiveIndex::new(data.place(), id);
            return Ok(Output::new(data, index, None));
        };
        let path = files.add(base, "log");
        let offsets = files.add(base, OffsetEntry::EXTENSION);
        let times = files.add(base, TimeEntry::EXTENSION);
        let file = around
            .io
            .open(&path, OpenMode::Truncate)
            .map_err(|error| CleaningFailed::of_file(&around.health, &path, error))?;
        let mut index = ActiveIndex::at(&around.io, IndexPaths::named(offsets, times), id);
        index.set_first_append(around.clock.now());
        let data = DataFile::at(around.files(), path, id);
        Ok(Output::new(data, index, Some(file)))
    }

    fn end_segment(&mut self) -> Result<(), CleaningFailed> {
        let Some(mut output) = self.current.take() else {
            return Ok(());
        };
        output.flush(self.around, self.pace)?;
        output.end(self.around)?;
        let segment = &mut output.segment;
        self.done.push(CleanedSegment {
            base: segment.data.base(),
            summary: SealedSummary {
                next: segment.next,
                len: segment.len,
                max_timestamp: segment.max_timestamp,
                count: segment.index.count(),
            },
        });
        Ok(())
    }
}

/// Whether a batch may stand for the offsets behind it too.
fn covers(before: &StoredBatch, gap: &Gap) -> bool {
    let header = &before.header;
    header.producer.is_none()
        && header.next_offset() == gap.base
        && gap.epoch.is_none_or(|epoch| epoch == header.leader_epoch)
        && gap.next.distance_from(header.base_offset) <= SPAN_MAX
}

impl Output {
    fn new(data: Arc<DataFile>, index: ActiveIndex, file: Option<Arc<dyn IoFile>>) -> Self {
        Self {
            segment: ActiveSegment::new(data, index),
            buffer: Vec::new(),
            written: 0,
            file,
        }
    }

    fn is_full_before(&self, batch: &StoredBatch, limits: &OutputLimits) -> bool {
        let segment = &self.segment;
        let len = u64::from(segment.len) + batch.header.batch_len() as u64;
        let span = batch
            .header
            .next_offset()
            .distance_from(segment.data.base());
        len > limits.segment_bytes.min(u64::from(u32::MAX))
            || span > SPAN_MAX
            || segment.index.bytes() >= u64::from(limits.index_bytes_max)
    }

    fn append(&mut self, batch: &StoredBatch, index_interval: u32) {
        if self.file.is_some() {
            self.buffer.extend_from_slice(&batch.header.encode());
            self.buffer.extend_from_slice(&batch.body);
        }
        self.segment.note_batch(&batch.header, index_interval);
    }

    fn flush(&mut self, around: &Surroundings, pace: &Pace) -> Result<(), CleaningFailed> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let written = file
            .write_all_at(&self.buffer, self.written)
            .and_then(|()| self.segment.index.flush());
        written.map_err(|error| self.failed(around, error))?;
        self.written += self.buffer.len() as u64;
        pace.written(self.buffer.len() as u64, &*around.clock);
        self.buffer.clear();
        Ok(())
    }

    /// Ends the index and makes all three files durable.
    fn end(&mut self, around: &Surroundings) -> Result<(), CleaningFailed> {
        let Some(file) = self.file.take() else {
            self.segment.index.push_end(self.segment.boundary());
            return Ok(());
        };
        let ended = self.segment.finish_index();
        ended.map_err(|error| self.failed(around, error))?;
        assert_eq!(self.written, u64::from(self.segment.len), "all is written");
        if around.planted.swap_unsynced_segments {
            return Ok(());
        }
        let index = self.segment.index.files();
        let index = index.iter().try_for_each(|file| file.sync(&*around.io));
        // As everywhere: what a failed sync leaves behind is not known, and it is not repeated.
        index.and_then(|()| file.sync_data()).map_err(|error| {
            let path = self.segment.data.path().display();
            around.health.fail(format_args!("{path}: {error}"))
        })?;
        Ok(())
    }

    fn failed(&self, around: &Surroundings, error: io::Error) -> CleaningFailed {
        CleaningFailed::of_file(&around.health, self.segment.data.path(), error)
    }
}
