//! Appending: assigns offsets, rolls when it is time, writes many batches with one call. A run of
//! batches is in the log as a whole or not at all, and an error says which; bodies are not copied.

use std::io;
use std::path::Path;
use std::time::Duration;

use broker_model::{LeaderEpoch, Offset, Timestamp};
use broker_record::{ProducedBatch, TimestampType};

use super::{AppendError, Log, LogPurpose};
use crate::durable_positions::DurablePoint;
use crate::health::{
    NotPermitted, is_exhausted, is_file_limit, is_no_space, is_out_of_files, is_passing,
};
use crate::index::{ActiveIndex, SealedSummary};
use crate::segment::{ActiveSegment, SealedSegment};

/// Where a run of batches was put. Each batch's own base offset stands in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedRun {
    /// The first record's offset.
    pub first: Offset,
    /// The offset after the last record.
    pub end: Offset,
    /// The append time that `LogAppendTime` topics got.
    pub append_time: Timestamp,
}

impl Log {
    /// Appends batches in their order, all or none. Their headers get offsets, epoch and, where the
    /// topic says so, the append time `now` (or the latest so far, if the clock went back). They are in the page cache when this returns.
    ///
    /// # Errors
    /// See [`AppendError`]; all but one kind are definite.
    pub fn append(
        &mut self,
        batches: &mut [ProducedBatch],
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<AppendedRun, AppendError> {
        self.finish_undo()?;
        self.check_appendable(batches, epoch)?;
        let before = self.end_point();
        let first = before.end;
        let now = now.max(self.append_time);
        self.append_time = now;
        let end = self.assign(batches, epoch, now)?;
        if batches.is_empty() {
            return Ok(AppendedRun {
                first,
                end,
                append_time: now,
            });
        }
        let mut rest: &[ProducedBatch] = batches;
        while !rest.is_empty() {
            let result = self.append_some(rest);
            match result {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) => return Err(self.undo(before, error)),
            }
        }
        if self.epochs.note(epoch, first) {
            self.unsynced.epochs_changed(self.shared.clock.monotonic());
        }
        assert_eq!(self.active.next, end, "every record got its offset");
        Ok(AppendedRun {
            first,
            end,
            append_time: now,
        })
    }

    /// Begins a new segment if the active one has batches and its age or its index says so.
    ///
    /// # Errors
    /// When the new segment's file cannot be made.
    pub fn roll_if_due(&mut self) -> Result<bool, AppendError> {
        self.shared.health.check()?;
        self.finish_undo()?;
        let now = self.shared.clock.monotonic();
        let due = self.active.len > 0 && self.must_roll_before(0, self.active.next, now);
        if due {
            self.roll()?;
        }
        Ok(due)
    }

    fn check_appendable(
        &self,
        batches: &[ProducedBatch],
        epoch: LeaderEpoch,
    ) -> Result<(), AppendError> {
        self.shared.health.check()?;
        if let Some(reason) = self.trouble.broken() {
            return Err(self.uncertain(reason.to_owned()));
        }
        if let Some(latest) = self.epochs.latest().filter(|latest| *latest > epoch) {
            return Err(AppendError::EpochFenced { epoch, latest });
        }
        self.check_batch_sizes(batches)?;
        if self.config.purpose == LogPurpose::Records {
            let bytes = batches.iter().map(|batch| batch.size() as u64).sum();
            self.shared.headroom.take(bytes)?;
        }
        Ok(())
    }

    fn check_batch_sizes(&self, batches: &[ProducedBatch]) -> Result<(), AppendError> {
        let max = u64::from(self.config.batch_bytes_max);
        for (index, batch) in batches.iter().enumerate() {
            let size = batch.size() as u64;
            if size > max {
                return Err(AppendError::BatchTooLarge { index, size, max });
            }
        }
        Ok(())
    }

    /// Puts offsets, epoch and time into the headers; answers the end offset.
    fn assign(
        &self,
        batches: &mut [ProducedBatch],
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Offset, AppendError> {
        let end = self.active.next;
        let exhausted = AppendError::OffsetsExhausted { end };
        let log_mark = self.active.data.id().owner.log_mark();
        let mut next = end;
        for batch in batches {
            let header = &mut batch.header;
            header.base_offset = next;
            header.leader_epoch = epoch;
            header.log_mark = log_mark;
            header.timestamp_type = self.config.timestamp_type;
            if self.config.timestamp_type == TimestampType::LogAppendTime {
                header.max_timestamp = now;
            }
            let records = u64::from(header.last_offset_delta) + 1;
            let Some(after) = next.checked_plus(records) else {
                return Err(exhausted);
            };
            next = after;
        }
        Ok(next)
    }

    /// Writes as many of the batches as the active segment takes, after rolling if it takes none.
    fn append_some(&mut self, batches: &[ProducedBatch]) -> Result<usize, AppendError> {
        // Nothing is acknowledged that goes into a file without a name, or behind a hole.
        self.check_active()?;
        let monotonic = self.shared.clock.monotonic();
        if let Some(batch) = batches.first()
            && self.active.len > 0
            && self.must_roll_before(batch.size() as u64, batch.header.next_offset(), monotonic)
        {
            self.roll()?;
        }
        let mut count = 0;
        let mut size = 0;
        for batch in batches {
            let with_it = size + batch.size() as u64;
            if count > 0 && self.is_too_large(with_it, batch.header.next_offset()) {
                break;
            }
            size = with_it;
            count += 1;
        }
        let group = batches.get(..count).unwrap_or_default();
        let was_empty = self.active.len == 0;
        let written = self.active.append(group, self.config.index_interval_bytes);
        if let Err(failed) = written {
            if failed.undone && is_file_limit(&failed.source) && (!was_empty || count > 1) {
                return self.append_within_limit(batches, &failed.source);
            }
            let path = self.active.data.path();
            self.shared.health.observe(path, &failed.source);
            if !failed.undone {
                self.trouble.set_broken(failed.source.to_string());
                self.shared.health.fail(format_args!(
                    "{}: a failed write could not be undone: {}",
                    path.display(),
                    failed.source
                ));
            }
            return Err(self.write_error(failed.source));
        }
        if was_empty {
            self.active.began(self.shared.clock.now(), monotonic);
        }
        self.unsynced
            .data_written(&self.active.data, size, monotonic);
        Ok(count)
    }

    /// The active segment may not grow as far as these batches would take it: the first of them goes into another,
    /// as with a smaller `segment.bytes`, and alone.
    fn append_within_limit(
        &mut self,
        batches: &[ProducedBatch],
        refusal: &io::Error,
    ) -> Result<usize, AppendError> {
        if self.trouble.meets_limit() {
            let (segment, bytes) = (self.active.data.path().display(), self.active.len);
            tracing::warn!(%segment, bytes, %refusal, "a limit on file sizes ends segments before segment.bytes does: raise the limit (ulimit -f, LimitFSIZE= of systemd), or set segment.bytes below it");
        }
        if self.active.len > 0 {
            self.roll()?;
        }
        self.append_some(batches.get(..1).unwrap_or_default())
    }

    fn is_too_large(&self, more: u64, next: Offset) -> bool {
        let size = u64::from(self.active.len) + more;
        let limit = self.config.segment_bytes.min(u64::from(u32::MAX));
        let span = next.distance_from(self.active.data.base());
        size > limit || span > u64::from(u32::MAX)
    }

    fn must_roll_before(&self, more: u64, next: Offset, now: Duration) -> bool {
        let index_full = self.active.index.bytes() >= u64::from(self.config.index_bytes_max);
        let age = self.active.age(now).unwrap_or(Duration::ZERO);
        self.is_too_large(more, next) || index_full || age > self.config.roll_after
    }

    /// Seals the active segment and begins another at the log's end.
    fn roll(&mut self) -> Result<(), AppendError> {
        self.finish_index()?;
        // It is known from now on as it was written; one that cannot be opened, as it is met.
        let _ = self.active.data.file();
        let data = self.segment_data(self.active.next);
        let created = data.create();
        created.map_err(|source| self.write_error_at(data.path(), source))?;
        let index = ActiveIndex::new(data.place(), data.id());
        let old = std::mem::replace(&mut self.active, ActiveSegment::new(data, index));
        let monotonic = self.shared.clock.monotonic();
        self.unsynced.sealed(old.index.files(), monotonic);
        self.unsynced.forget_roll(self.shared.planted);
        let summary = SealedSummary {
            next: old.next,
            len: old.len,
            max_timestamp: old.max_timestamp,
            count: old.index.count(),
        };
        let first_timestamp = old.first_timestamp();
        let sealed = SealedSegment::new(old.data, summary, self.config.index_interval_bytes);
        self.sealed.push(sealed.begun_at(first_timestamp));
        Ok(())
    }

    /// Ends the index of the active segment. One that somebody has removed, or made unwritable, is no reason
    /// to write nothing any more: it is made anew when it is searched.
    fn finish_index(&mut self) -> Result<(), AppendError> {
        let Err(error) = self.active.finish_index() else {
            return Ok(());
        };
        let path = self.active.data.path();
        self.shared.health.observe(path, &error);
        self.shared.health.check()?;
        if is_exhausted(&error) {
            return Err(self.write_error(error));
        }
        self.check_present()?;
        tracing::warn!(segment = %path.display(), %error, "an index cannot be written: it is made anew when it is needed");
        let removed = self.active.index.remove_files();
        removed.map_err(|source| self.write_error(source))
    }

    /// Takes back what a run has written before it failed.
    fn undo(&mut self, before: DurablePoint, error: AppendError) -> AppendError {
        if self.trouble.broken().is_none() && self.active.next > before.end {
            let undone = self.take_back(before);
            if let Err(source) = undone {
                return self.uncertain(source.to_string());
            }
        }
        match self.trouble.broken() {
            None => error,
            Some(reason) => self.uncertain(reason.to_owned()),
        }
    }

    fn uncertain(&self, reason: String) -> AppendError {
        AppendError::Uncertain {
            file: self.active.data.path().to_owned(),
            reason,
        }
    }

    /// Takes back what an earlier run has left, for want of room or of a file descriptor: nothing is written
    /// behind it.
    pub(super) fn finish_undo(&mut self) -> Result<(), AppendError> {
        let Some(before) = self.trouble.uncut() else {
            return Ok(());
        };
        self.shared.health.check()?;
        let undone = self.take_back(before);
        undone.map_err(|source| self.write_error(source))
    }

    /// Cuts the log back to where it ended. What passes is tried again later.
    fn take_back(&mut self, before: DurablePoint) -> io::Result<()> {
        let cut = self.cut_to(&before);
        match &cut {
            Ok(()) => self.trouble.forget_uncut(),
            Err(_) => self.trouble.set_uncut(before),
        }
        if let Err(source) = &cut
            && !is_passing(source)
        {
            self.trouble.set_broken(source.to_string());
            self.cut_failed(self.active.data.path(), source);
        }
        cut
    }

    fn write_error(&self, source: io::Error) -> AppendError {
        self.write_error_at(self.active.data.path(), source)
    }

    fn write_error_at(&self, file: &Path, source: io::Error) -> AppendError {
        if source.kind() == io::ErrorKind::NotFound
            && let Err(vanished) = self.check_present()
        {
            return vanished.into();
        }
        self.shared.health.observe(file, &source);
        if let Some(denied) = NotPermitted::of(file, &source) {
            return denied.into();
        }
        let file = file.to_owned();
        if is_file_limit(&source) {
            AppendError::FileLimit { file, source }
        } else if is_no_space(&source) {
            if self.config.purpose == LogPurpose::Records {
                self.shared.headroom.note_full(&source);
            }
            AppendError::NoSpace { file, source }
        } else if is_out_of_files(&source) {
            AppendError::NoDescriptor { file, source }
        } else {
            AppendError::Io { file, source }
        }
    }
}
