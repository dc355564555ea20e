//! Moving the log's ends: deleting records at its start, retention, truncation. Each of them can be
//! interrupted anywhere: what recovery goes by is made durable before anything is removed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use broker_model::{LeaderEpoch, Offset, Timestamp};

use super::{ChangeError, Log, ReadLimit};
use crate::durable_positions::DurablePoint;
use crate::health::{NotPermitted, is_passing, of_sync};
use crate::index::{IndexEntry, OffsetEntry, TimeEntry};
use crate::io::Io;
use crate::recovery::{Times, restore_active};
use crate::retention::{RetentionOutcome, RetentionPolicy, RetentionView};
use crate::segment::{DataFile, SealedSegment, SegmentInfo, locate};
use crate::small_file::{LogStart, SmallFile, SmallFileError};

impl Log {
    /// Forgets the records below `to`. The new log start is durable when this returns, and never
    /// goes back; segments that lie wholly below it are deleted. Answers the log start, which stays
    /// as it is when `to` is below it.
    ///
    /// # Errors
    /// When `to` is above the log's end, or the start cannot be stored.
    pub fn advance_start(&mut self, to: Offset) -> Result<Offset, ChangeError> {
        if to > self.end() {
            return Err(self.out_of_range(to));
        }
        if to > self.start {
            self.shared.health.check()?;
            // A log never begins behind what is durable of it: a power loss would leave less than its start says.
            if to > self.durable_end() {
                self.make_durable()?;
            }
            if self.shared.planted.delete_before_log_start {
                let old = std::mem::replace(&mut self.start, to);
                self.delete_below_start()?;
                self.start = old;
            }
            let stored = self.store_start(to);
            stored.map_err(|error| self.start_not_stored(to, error))?;
            self.start = to;
            self.cleaning.advance_start(to);
            if self.epochs.advance_start(to) {
                self.unsynced.epochs_changed(self.shared.clock.monotonic());
            }
        }
        self.delete_below_start()?;
        Ok(self.start)
    }

    /// On a full disk, where there is no room for another file beside the old one, the old one is written over: it is
    /// smaller than what a disk writes in one step. Where there is none yet, the indexes of segments that are to be
    /// deleted make room.
    fn store_start(&self, to: Offset) -> Result<(), SmallFileError> {
        let (io, file) = (&*self.shared.io, self.dir().join(LogStart::FILE));
        let start = LogStart(to);
        match start.store(io, &file) {
            Err(error) if error.is_no_space() => {
                // It is in place, and its name was not synced.
                if LogStart::load(io, &file).is_ok_and(|found| found == Some(LogStart(to))) {
                    return Err(error);
                }
                if start.store_over(io, &file)? {
                    return Ok(());
                }
                match self.drop_indexes_below(to) {
                    true => start.store(io, &file),
                    false => Err(error),
                }
            }
            done => done,
        }
    }

    /// Whether there were any.
    fn drop_indexes_below(&self, to: Offset) -> bool {
        let doomed = self.sealed.iter().filter(|segment| segment.next <= to);
        let indexes = doomed.flat_map(|segment| {
            let extensions = [OffsetEntry::EXTENSION, TimeEntry::EXTENSION];
            extensions.map(|extension| segment.data.path().with_extension(extension))
        });
        let removed = indexes.filter(|index| self.shared.io.remove_file(index).is_ok());
        removed.count() > 0
    }

    /// What a log start is refused with that could not be stored. Where the permission was missing to make its file
    /// the old one is there still.
    fn start_not_stored(&self, to: Offset, error: SmallFileError) -> ChangeError {
        self.shared.observe_small(&error);
        let SmallFileError::Io { file, source } = &error else {
            return error.into();
        };
        let stored = LogStart::load(&*self.shared.io, file);
        match NotPermitted::of(file, source) {
            Some(denied) if !matches!(stored, Ok(Some(LogStart(found))) if found == to) => {
                denied.into()
            }
            _ => error.into(),
        }
    }

    /// Deletes the sealed segments below the high watermark that the policy gives up.
    ///
    /// # Errors
    /// When the policy fails, the new log start cannot be stored or files cannot be removed.
    pub fn apply_retention(
        &mut self,
        policy: &mut dyn RetentionPolicy,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<RetentionOutcome, ChangeError> {
        // What an earlier deletion could not remove.
        self.delete_below_start()?;
        let now = self.shared.steady(now);
        let eligible: Vec<SegmentInfo> = (0..self.sealed.len())
            .filter_map(|number| self.aged(number, now))
            .take_while(|segment| segment.next <= high_watermark)
            .collect();
        let view = RetentionView {
            now,
            high_watermark,
            log_start: self.start,
            log_end: self.end(),
            segments: &eligible,
            log_bytes: self.size_bytes(),
        };
        let expired = policy.expired(&view)?.min(eligible.len());
        let gone = eligible.get(..expired).unwrap_or_default();
        if let Some(last) = gone.last() {
            // Behind a gap the log goes on where the next segment begins.
            let next = match self.sealed.get(expired) {
                Some(segment) => segment.data.base(),
                None => self.active.data.base(),
            };
            assert!(next >= last.next, "segments are in order");
            self.advance_start(next.max(self.start))?;
        }
        Ok(RetentionOutcome {
            segments: gone.len(),
            bytes: gone.iter().map(|segment| segment.bytes).sum(),
            start: self.start,
        })
    }

    /// A sealed segment as retention sees it: whatever times from the future its producers wrote, it is
    /// no younger than what was appended behind it.
    fn aged(&self, number: usize, now: Timestamp) -> Option<SegmentInfo> {
        let mut info = self.sealed.get(number)?.info();
        if info.max_timestamp > now {
            let sealed_at = match self.sealed.get(number + 1) {
                Some(next) => next.first_append(),
                None => self.active.first_append(),
            };
            info.max_timestamp = info.max_timestamp.min(sealed_at.unwrap_or(now));
        }
        Some(info)
    }

    /// Removes the batches that hold `to` and what follows. Answers the new end, which is below `to`
    /// when `to` lies inside a batch, but never below the log start. Durable when this returns.
    ///
    /// # Errors
    /// When `to` is below the log start, or files cannot be changed.
    pub fn truncate_to(&mut self, to: Offset) -> Result<Offset, ChangeError> {
        let to_be_cut = self.trouble.uncut();
        let to = to_be_cut.map_or(to, |uncut| to.min(uncut.end));
        if to >= self.active.next {
            return Ok(self.end());
        }
        if to < self.start {
            return Err(self.out_of_range(to));
        }
        self.shared.health.check()?;
        let cut = self.cut_point(to)?;
        self.forget_cleaned_from(cut.end)?;
        // First what recovery goes by, so that a crash in between finds no durable data missing.
        self.shared
            .lower_high_watermark(self.partition(), cut.end)?;
        let durable = if cut.end < self.durable.end {
            cut
        } else {
            self.durable
        };
        if self.shared.planted.cut_before_recovery_point {
            let early = self.cut_to(&cut);
            early.map_err(|source| self.failed(self.active.data.path(), source))?;
        }
        self.ticket = self
            .shared
            .positions
            .reset(self.key(), durable)
            .map_err(|source| self.failed(self.shared.positions.path(), source))?;
        self.durable = durable;
        if let Err(source) = self.cut_to(&cut) {
            let reason = format!("a truncation to {to} failed: {source}");
            self.trouble.set_broken(reason);
            return Err(self.failed(self.active.data.path(), source));
        }
        self.trouble.forget_uncut();
        if self.epochs.truncate_to(cut.end) {
            let now = self.shared.clock.monotonic();
            self.unsynced.epochs_changed(now);
        }
        Ok(self.end())
    }

    /// Removes what lies behind the cut; the segment it lies in becomes the active one. What has to open files
    /// comes first: where that fails, nothing was changed. Once files are changed, the log is as they are, and
    /// what is left to fail is that it is made durable. May be repeated.
    pub(super) fn cut_to(&mut self, cut: &DurablePoint) -> io::Result<()> {
        let io = Arc::clone(&self.shared.io);
        // What is not in the index files by now is found again by its headers.
        let _ = self.active.index.flush();
        let segments = self.sealed.iter().map(|segment| &segment.data);
        let segments = segments.chain([&self.active.data]).map(Arc::clone);
        let mut kept: Vec<Arc<DataFile>> = segments.collect();
        let behind = kept.partition_point(|data| data.base() <= cut.segment);
        let mut behind = kept.split_off(behind);
        let found = kept.pop_if(|data| data.base() == cut.segment);
        if found.is_none() {
            // The cut is below the log start: nothing of the log is left.
            behind = kept.drain(..).chain(behind).collect();
        }
        let opened = found.as_ref().map(|data| data.file()).transpose()?;
        let data = found.unwrap_or_else(|| self.segment_data(cut.segment));
        behind.iter().try_for_each(|data| data.keep_for_readers())?;
        // Their maps are let go before an index is written again.
        self.sealed.iter().for_each(SealedSegment::release);
        data.unseal();
        let times = Times::of(&*self.shared.clock);
        let restored = restore_active(&data, cut.position, cut.end, &self.config, times)?;
        while let Some(data) = behind.pop() {
            remove_segment(&*io, &data)?;
        }
        let file = match opened {
            Some(file) => file,
            None => {
                data.create()?;
                data.file()?
            }
        };
        let done = file.set_len(u64::from(cut.position));
        data.note_own_change(&*file);
        done?;
        file.sync_data().map_err(of_sync)?;
        data.forget_verified_from(u64::from(cut.position));
        let age = match self.active.data.base() == cut.segment && cut.position > 0 {
            true => self.active.begun(),
            false => None,
        };
        self.sealed.truncate(kept.len());
        self.active = restored.segment;
        if let Some(age) = age {
            self.active.set_begun(age);
        }
        self.unsynced.truncated(data, times.monotonic);
        io.sync_dir(self.dir()).map_err(of_sync)
    }

    fn cut_point(&self, to: Offset) -> Result<DurablePoint, ChangeError> {
        let segment = self.segment_with(to)?;
        let extent = locate(segment, to, self.active.next, ReadLimit::Strict(0))
            .inspect_err(|error| self.observe(error))?;
        let end = extent.offsets.start;
        let epochs = self.epochs.entries();
        let epoch = epochs.iter().rfind(|(_, first)| *first < end);
        let (segment, position) = if end < self.start {
            (self.start, 0)
        } else {
            (segment.data().base(), extent.positions.start)
        };
        Ok(DurablePoint {
            segment,
            position: u32::try_from(position).unwrap_or(u32::MAX),
            end: end.max(self.start),
            epoch: epoch.map_or(LeaderEpoch::new(0), |(epoch, _)| *epoch),
            is_async: self.config.flush.is_async(),
        })
    }

    fn delete_below_start(&mut self) -> Result<(), ChangeError> {
        let gone = self
            .sealed
            .partition_point(|segment| segment.next <= self.start);
        let mut deleted = 0;
        let done = self.sealed.iter().take(gone).try_for_each(|segment| {
            delete_segment(&*self.shared.io, &segment.data).map_err(|source| ChangeError::Io {
                file: segment.data.path().to_owned(),
                source,
            })?;
            deleted += 1;
            Ok(())
        });
        // What could not be deleted is the log's until the next time.
        self.sealed.drain(..deleted);
        if gone > 0 {
            let now = self.shared.clock.monotonic();
            self.unsynced.directory_changed(now);
        }
        done
    }

    fn out_of_range(&self, asked: Offset) -> ChangeError {
        ChangeError::OffsetOutOfRange {
            asked,
            start: self.start,
            end: self.end(),
        }
    }

    /// A step of a truncation failed. One of them may have been a sync, so the directory goes out of
    /// service, unless the disk is just full, or somebody has removed the partition's files.
    fn failed(&self, file: &Path, source: io::Error) -> ChangeError {
        self.cut_failed(file, &source);
        ChangeError::Io {
            file: file.to_owned(),
            source,
        }
    }

    pub(super) fn cut_failed(&self, file: &Path, source: &io::Error) {
        let has_vanished =
            source.kind() == io::ErrorKind::NotFound && self.check_present().is_err();
        if !is_passing(source) && !has_vanished {
            self.shared
                .health
                .fail(format_args!("{}: {source}", file.display()));
        }
    }
}

/// What a file is called between the decision to delete it and its end.
pub(crate) const DELETED: &str = "deleted";

/// Renames the files of a segment, so that they are no segment any more, and unlinks them. Slices
/// that were handed out go on working.
pub(crate) fn delete_segment(io: &dyn Io, data: &DataFile) -> io::Result<()> {
    data.retire()?;
    // The data file last: as long as it is there, the rest can be made again.
    let extensions = [OffsetEntry::EXTENSION, TimeEntry::EXTENSION, "log"];
    for extension in extensions {
        let from = data.path().with_extension(extension);
        let to = data.path().with_extension(format!("{extension}.{DELETED}"));
        match io.rename(&from, &to) {
            Ok(()) => io.remove_file(&to)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes the files of a segment at the log's end, the data file first.
pub(crate) fn remove_segment(io: &dyn Io, data: &DataFile) -> io::Result<()> {
    data.retire()?;
    for extension in ["log", OffsetEntry::EXTENSION, TimeEntry::EXTENSION] {
        match io.remove_file(&data.path().with_extension(extension)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
