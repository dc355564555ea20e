//! `Log`: one partition's records in their order, as segments on disk.
//!
//! Not `Sync`, and nothing in it waits for a sync: the owner appends, asks for a sync with
//! [`Log::sync_request`], and tells the log with [`Log::on_synced`] what became of it. What is
//! read is handed out as a [`FileSlice`](crate::FileSlice), which lives on its own.

mod append;
mod change;
mod clean;
mod config;
mod error;
mod presence;
mod read;
mod scrub;
mod time;
mod trouble;
mod unsynced;

pub(crate) use change::{DELETED, delete_segment, remove_segment};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_model::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

pub use append::AppendedRun;
pub use config::{FlushMode, LogConfig, LogPurpose};
pub use error::{AppendError, ChangeError, ReadError};
pub use presence::Vanished;
pub use read::ReadLimit;
pub use time::{TimeFound, TimeSearchError};

use crate::compaction::UnderWay;
use crate::corruption::Corruption;
use crate::durable_positions::{DurablePoint, PartitionKey, SlotTicket};
use crate::health::DirFailed;
use crate::index::{Owner, SegmentId};
use crate::log_dir::{DirShared, OpenGuard};
use crate::segment::{ActiveSegment, DataFile, SealedSegment, SegmentInfo};
use crate::small_file::{CleanerCheckpoint, LeaderEpochs, SmallFile};
use crate::sync::{SyncOutcome, SyncRequest, sync_only};
use trouble::Trouble;
use unsynced::Unsynced;

/// What a log is made of when it is opened.
pub(crate) struct LogParts {
    pub(crate) shared: Arc<DirShared>,
    pub(crate) guard: OpenGuard,
    pub(crate) config: LogConfig,
    pub(crate) sealed: Vec<SealedSegment>,
    pub(crate) active: ActiveSegment,
    pub(crate) start: Offset,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) cleaned: CleanerCheckpoint,
    pub(crate) ticket: SlotTicket,
    pub(crate) durable: DurablePoint,
    pub(crate) damage: Vec<Corruption>,
}

/// One partition's log. There may be many thousand, most of them idle: what few need stands behind a pointer.
pub struct Log {
    shared: Arc<DirShared>,
    /// Knows whose log it is.
    guard: OpenGuard,
    config: Arc<LogConfig>,
    /// Oldest first.
    sealed: Vec<SealedSegment>,
    active: ActiveSegment,
    start: Offset,
    epochs: LeaderEpochs,
    /// What earlier cleanings have covered, if there were any.
    cleaned: Option<Box<CleanerCheckpoint>>,
    cleaning: UnderWay,
    ticket: SlotTicket,
    durable: DurablePoint,
    unsynced: Unsynced,
    /// The latest append time so far: a clock that goes back takes none with it.
    append_time: Timestamp,
    trouble: Trouble,
}

const _: () = assert!(size_of::<Log>() <= 472);

impl Log {
    pub(crate) fn new(parts: LogParts) -> Self {
        Self {
            config: parts.shared.share_config(parts.config),
            shared: parts.shared,
            guard: parts.guard,
            sealed: parts.sealed,
            active: parts.active,
            start: parts.start,
            epochs: parts.epochs,
            cleaned: (parts.cleaned != CleanerCheckpoint::NONE).then(|| Box::new(parts.cleaned)),
            cleaning: UnderWay::default(),
            ticket: parts.ticket,
            durable: parts.durable,
            unsynced: Unsynced::default(),
            append_time: Timestamp::MIN,
            trouble: Trouble::of_damage(parts.damage),
        }
    }

    /// Whose log it is.
    pub fn partition(&self) -> &TopicPartition {
        self.guard.partition()
    }

    /// The topic's id.
    pub fn topic_id(&self) -> TopicId {
        self.guard.topic_id()
    }

    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        let dir = self.active.data.path().parent();
        dir.expect("the file was named by joining it to its directory")
    }

    /// The settings in force.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Puts other settings in force, from the next operation on. That acknowledgements wait for syncs no more is noted
    /// first: see [`Log::flush`].
    pub fn set_config(&mut self, config: LogConfig) {
        let is_async = config.flush.is_async();
        if is_async != self.config.flush.is_async() {
            self.shared.positions.set_async(self.ticket, is_async);
            let now = self.shared.clock.monotonic();
            self.unsynced.flush_changed(is_async, now);
        }
        self.config = self.shared.share_config(config);
    }

    /// What acknowledgements wait for: what the settings say, but for syncs until it is durable that they do not. The
    /// next sync makes it so.
    pub fn flush(&self) -> FlushMode {
        match self.unsynced.async_is_noted() {
            true => self.config.flush,
            false => FlushMode::Sync,
        }
    }

    /// The first offset that can be read.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The offset that the next record gets.
    pub fn end(&self) -> Offset {
        let uncut = self.trouble.uncut();
        uncut.map_or(self.active.next, |uncut| uncut.end)
    }

    /// The offset up to which everything survives a power loss.
    pub fn durable_end(&self) -> Offset {
        self.durable.end
    }

    /// Which leader epochs the log has records of.
    pub fn leader_epochs(&self) -> &LeaderEpochs {
        &self.epochs
    }

    /// The segments, oldest first; the last one is the active one.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let sealed = self.sealed.iter().map(SealedSegment::info);
        sealed.chain([self.active.info()]).collect()
    }

    /// Bytes of all data files.
    pub fn size_bytes(&self) -> u64 {
        let sealed: u64 = self
            .sealed
            .iter()
            .map(|segment| u64::from(segment.len))
            .sum();
        sealed + u64::from(self.active.len)
    }

    /// What is written and not covered by an earlier request: hand it to
    /// [`LogDir::sync`](crate::LogDir::sync), and the outcome to [`Log::on_synced`]. `None` when
    /// there is nothing new.
    pub fn sync_request(&mut self) -> Option<SyncRequest> {
        if !self.unsynced.is_due() {
            return None;
        }
        // Entries below the durable point should be in the files by the time it is recorded. If
        // they do not fit on a full disk they wait in memory, and are made anew after a restart.
        if let Err(error) = self.active.index.flush() {
            tracing::debug!(partition = %self.partition(), %error, "index entries wait in memory");
        }
        let (change, files) = self.unsynced.take_request(|| self.active.index.files());
        let replacements = if self.unsynced.epochs_are_dirty() {
            vec![(self.dir().join(LeaderEpochs::FILE), self.epochs.encode())]
        } else {
            Vec::new()
        };
        Some(SyncRequest {
            ticket: self.ticket,
            change,
            point: self.trouble.uncut().unwrap_or_else(|| self.end_point()),
            files,
            directories: self.unsynced.directories(self.dir()),
            replacements,
            is_noted_first: !self.unsynced.async_is_noted(),
        })
    }

    /// Takes what became of a request of this log; answers the durable end now.
    ///
    /// # Errors
    /// The directory is out of service.
    pub fn on_synced(&mut self, outcome: &SyncOutcome) -> Result<Offset, DirFailed> {
        // Of two syncs at once the system tells one alone of a write that was lost. Who acknowledges before the
        // sync, as a planted bug does, knows nothing of what becomes of it.
        if !self.shared.planted.ack_before_sync {
            self.shared.health.check()?;
        }
        if let Err(failed) = &outcome.result {
            return Err(failed.clone());
        }
        // After a truncation, what was synced before it says nothing.
        if outcome.ticket == self.ticket {
            self.unsynced.synced(outcome.change);
            if outcome.point.end > self.durable.end && !self.shared.planted.forget_syncs {
                self.durable = outcome.point;
            }
        }
        Ok(self.durable.end)
    }

    /// When, on the monotonic clock, the oldest of what no request covers was written.
    pub fn unsynced_since(&self) -> Option<Duration> {
        self.unsynced.since
    }

    /// When, on the monotonic clock, the oldest records were written that no request covers.
    pub fn written_since(&self) -> Option<Duration> {
        self.unsynced.written_since
    }

    /// Lets go of files and maps that were not used since the last call.
    pub fn release_idle_files(&mut self) {
        for segment in &self.sealed {
            segment.release_if_idle();
        }
        self.active.data.release_if_idle();
    }

    /// Ends the log's work: writes its index files out and makes everything durable.
    ///
    /// # Errors
    /// When that fails; the log is opened again with a recovery then.
    pub fn close(mut self) -> Result<(), DirFailed> {
        let is_whole = self.finish_undo().is_ok();
        self.finish()?;
        if is_whole {
            self.shared.note_closed(&self.key());
        }
        Ok(())
    }

    /// Says that nothing more is done with the log, without writing its index out, which the next start makes up
    /// for: a stop of the broker is clean as far as it goes when everything in it is durable. Answers whether it is.
    pub fn leave(&self) -> bool {
        let is_complete = self.trouble.broken().is_none()
            && self.trouble.uncut().is_none()
            && self.shared.health.check().is_ok()
            && self.durable.end == self.end();
        if is_complete {
            self.shared.note_closed(&self.key());
        }
        is_complete
    }

    fn finish(&mut self) -> Result<(), DirFailed> {
        self.shared.health.check()?;
        self.keep_files_for_readers();
        if self.unsynced.change == self.unsynced.synced && self.active.index_is_finished() {
            return Ok(());
        }
        let now = self.shared.clock.monotonic();
        match self.active.index.exists() {
            true => self.unsynced.changed(now),
            false => self.unsynced.directory_changed(now),
        }
        if let Err(error) = self.active.finish_index() {
            tracing::debug!(partition = %self.partition(), %error, "index is finished after the restart");
        }
        if let Some(mut request) = self.sync_request() {
            request.files.extend(self.active.index.files());
            let outcome = self.shared.sync_now(request);
            self.on_synced(&outcome)?;
        }
        Ok(())
    }

    /// Makes all that is written durable, on this thread. Whoever waits for a sync goes on waiting for that one.
    pub(super) fn make_durable(&self) -> Result<(), DirFailed> {
        let request = SyncRequest {
            ticket: self.ticket,
            change: self.unsynced.synced,
            point: self.trouble.uncut().unwrap_or_else(|| self.end_point()),
            files: self.unsynced.files(),
            directories: self.unsynced.directories(self.dir()),
            replacements: Vec::new(),
            is_noted_first: false,
        };
        match self.config.flush {
            // Its high watermark may be noted at any time, and is no more than what is noted to be durable.
            FlushMode::Async { .. } => self.shared.sync_now(request).result,
            FlushMode::Sync => sync_only(&self.shared, request),
        }
    }

    /// The directory may be deleted next, beside those who read slices.
    fn keep_files_for_readers(&self) {
        let sealed = self.sealed.iter().map(|segment| &segment.data);
        for data in sealed.chain([&self.active.data]) {
            if let Err(error) = data.keep_for_readers() {
                tracing::debug!(file = %data.path().display(), %error, "slices of it may not be readable");
            }
        }
    }

    fn cleaned(&self) -> &CleanerCheckpoint {
        static NEVER: CleanerCheckpoint = CleanerCheckpoint::NONE;
        self.cleaned.as_deref().unwrap_or(&NEVER)
    }

    fn owner(&self) -> Owner {
        Owner::of(self.topic_id(), self.partition().partition)
    }

    /// The data file of a segment with this base offset; nothing is opened or made.
    fn segment_data(&self, base: Offset) -> Arc<DataFile> {
        let owner = self.owner();
        let id = SegmentId { base, owner };
        DataFile::new(&self.shared, self.config.purpose, self.dir(), id)
    }

    fn key(&self) -> PartitionKey {
        self.guard.key()
    }

    fn end_point(&self) -> DurablePoint {
        DurablePoint {
            segment: self.active.data.base(),
            position: self.active.len,
            end: self.active.next,
            epoch: self.epochs.latest().unwrap_or(LeaderEpoch::new(0)),
            is_async: self.config.flush.is_async(),
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("partition", self.partition())
            .field("start", &self.start)
            .field("end", &self.end())
            .field("durable_end", &self.durable.end)
            .finish_non_exhaustive()
    }
}
