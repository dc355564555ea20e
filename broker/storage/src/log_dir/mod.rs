//! `LogDir`: one of `log.dirs`. Owns the lock, the identity, the files at the top and the sync
//! thread; opens and deletes the logs in it.

mod age_hold;
mod asking_io;
mod checkpoints;
mod error;
mod identity;
mod open_logs;
mod options;
mod partitions;
mod questions;
mod shared;
mod trace;
mod usable;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker_model::{Offset, TopicId, TopicPartition};
use uuid::Uuid;

pub use age_hold::AgeHold;
pub use error::{DeleteLogError, LogDirError, OpenLogError};
pub use identity::DirIdentity;
pub(crate) use open_logs::OpenGuard;
pub use options::{LogDirOptions, PlantedBugs, ReserveRoom};
pub use partitions::FoundPartition;
pub(crate) use partitions::doomed_key;
pub(crate) use shared::{DirShared, LOCK_FILE};
pub use trace::DirTrace;
pub use usable::check_usable;

use crate::blob_store::BlobStore;
use crate::health::{DirFailed, NotPermitted};
use crate::log::{Log, LogConfig};
use crate::recovery::RecoveryReport;
use crate::small_file::{LogDirectories, SmallFile, SmallFileError};
use crate::space::DirSpace;
use crate::sync::{BehindSyncs, SyncBacklog, SyncDone, SyncOutcome, SyncRequest, SyncThread};

/// A log directory, locked for this process. Cheap to clone; the directory is given free when the
/// last clone and the last of its logs are dropped.
#[derive(Clone)]
pub struct LogDir {
    sync: Arc<SyncThread>,
    shared: Arc<DirShared>,
}

impl LogDir {
    /// Opens a directory, creating it if it is missing, and takes it for this process.
    ///
    /// # Errors
    /// When it is in use, not writable, of another broker or cluster, or written by a newer broker.
    pub fn open(options: LogDirOptions) -> Result<Self, LogDirError> {
        let shared = Arc::new(DirShared::open(options)?);
        Ok(Self {
            sync: Arc::new(SyncThread::new(Arc::clone(&shared))),
            shared,
        })
    }

    /// What its parts share.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &DirShared {
        &self.shared
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Whose it is.
    pub fn identity(&self) -> &DirIdentity {
        &self.shared.identity
    }

    /// Whether the broker that had it before stopped cleanly. True for a new directory.
    pub fn was_clean(&self) -> bool {
        self.shared.was_clean
    }

    /// The partitions that have a log here, sorted. Ends deletions that were interrupted.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn partitions(&self) -> Result<Vec<FoundPartition>, LogDirError> {
        partitions::found(&self.shared)
    }

    /// Whether a partition had data here, whatever is left of it.
    pub fn remembers(&self, partition: &TopicPartition, topic_id: TopicId) -> bool {
        let known = self
            .shared
            .positions
            .known(&(topic_id, partition.partition));
        known.is_some_and(|point| point.end > Offset::ZERO)
    }

    /// Opens a partition's log, creating it if it is missing, and recovers it if need be. Only one
    /// handle of a log can exist at a time.
    ///
    /// # Errors
    /// When the directory holds another topic's data under that name, or files cannot be read.
    /// Damaged batches are no error: the report names them, the rest can be read.
    pub fn open_or_create_log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<(Log, RecoveryReport), OpenLogError> {
        partitions::open(&self.shared, partition, topic_id, config)
    }

    /// Deletes a partition's log; fine when there is none. An open handle of it is of no use any
    /// more, slices go on working.
    ///
    /// # Errors
    /// When it belongs to another topic id, or files cannot be removed.
    pub fn delete_log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
    ) -> Result<(), DeleteLogError> {
        partitions::delete(&self.shared, partition, topic_id)
    }

    /// Takes over what is noted in another directory of a log that was moved here from there, before it is opened.
    ///
    /// # Errors
    /// When that cannot be noted.
    pub fn adopt(
        &self,
        from: &Self,
        partition: &TopicPartition,
        topic_id: TopicId,
    ) -> std::io::Result<()> {
        let key = (topic_id, partition.partition);
        partitions::adopt(&self.shared, &from.shared, partition, key)
    }

    /// Forgets how far a log was durable here, once it was opened in another directory.
    ///
    /// # Errors
    /// When that cannot be noted.
    pub fn forget_moved(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
    ) -> std::io::Result<()> {
        partitions::forget_moved(&self.shared, &(topic_id, partition.partition))
    }

    /// Forgets what is known of logs of topics that are deleted, whose files are too. One that is known and never
    /// opened would keep the directory from being marked as cleanly stopped.
    ///
    /// # Errors
    /// When that cannot be noted.
    pub fn forget(&self, deleted: &[TopicId]) -> std::io::Result<()> {
        partitions::forget(&self.shared, deleted)
    }

    /// Queues a sync; `done` is called on the sync thread, once, and must not wait. Requests that
    /// arrive while a sync runs are served together by the next one.
    pub fn sync(&self, request: SyncRequest, done: SyncDone) {
        self.sync.send(request, done);
    }

    /// Syncs on the calling thread, and records how far the log is durable before it answers.
    pub fn sync_now(&self, request: SyncRequest) -> SyncOutcome {
        self.shared.sync_now(request)
    }

    /// What the sync thread does with requests that it finds together, on the calling thread; each is
    /// told as soon as its answer may leave. For tests, which want to see what is on the disk then.
    #[doc(hidden)]
    pub fn sync_together(&self, work: Vec<(SyncRequest, SyncDone)>) {
        self.shared.sync_together(work);
    }

    /// Syncs on the calling thread and leaves the recording to a thread: the quickest way
    /// when one batch waits and nobody else does.
    pub fn sync_inline(&self, request: SyncRequest) -> SyncOutcome {
        self.sync.sync_inline(request)
    }

    /// Notes that acknowledgements of a partition wait for syncs because these take longer than its
    /// `flush.ms` allows; until the answer is dropped.
    pub fn fall_behind(&self) -> BehindSyncs {
        self.shared.backlog.join(self.shared.clock.monotonic())
    }

    /// How many such partitions there are.
    pub fn sync_backlog(&self) -> SyncBacklog {
        self.shared.backlog.seen()
    }

    /// Notes a partition's high watermark for the next checkpoint.
    pub fn record_high_watermark(&self, partition: &TopicPartition, offset: Offset) {
        self.shared.note_high_watermark(partition, offset);
    }

    /// The high watermark last noted or found in the checkpoint.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.shared.high_watermarks().0.get(partition).copied()
    }

    /// Writes `replication-offset-checkpoint` and `recovery-point-checkpoint`, where there is something new.
    ///
    /// # Errors
    /// When one of them cannot be written; the old one is in force then.
    pub fn write_checkpoints(&self) -> Result<(), SmallFileError> {
        self.shared.write_checkpoints(false)
    }

    /// Writes the checkpoints and marks the directory as cleanly stopped, unless a log in it was not closed
    /// before: what that one has written may be neither durable nor known. Nothing may be written after it.
    ///
    /// # Errors
    /// When a checkpoint cannot be written, or the directory is out of service.
    pub fn close_clean(&self) -> Result<(), CloseError> {
        self.shared.health.check()?;
        let unclosed = self.shared.unclosed_logs();
        if unclosed > 0 {
            tracing::warn!(dir = %self.path().display(), unclosed, "not marked as cleanly stopped: there are partitions that were offline or whose actors have panicked; the next start looks at what they have written");
        }
        Ok(self.shared.write_checkpoints(unclosed == 0)?)
    }

    /// Notes whether the wall clock has got far ahead of the time that the directory goes by, where that is news.
    ///
    /// # Errors
    /// When it cannot be noted; the next look tries again.
    pub fn look_at_clock(&self) -> Result<(), SmallFileError> {
        match self.is_failed() {
            Some(_) => Ok(()),
            None => self.shared.note_clock_ahead(),
        }
    }

    /// Stores which directories the broker keeps its data in; see [`DirTrace::siblings`].
    ///
    /// # Errors
    /// When the file cannot be written; the old one is in force then.
    pub fn store_siblings(&self, siblings: &BTreeMap<Uuid, PathBuf>) -> Result<(), SmallFileError> {
        let file = self.path().join(LogDirectories::FILE);
        let stored = LogDirectories(siblings.clone()).store(&*self.shared.io, &file);
        stored.inspect_err(|error| self.shared.observe_small(error))
    }

    /// The plugin modules and other blobs that are kept here.
    pub fn blobs(&self) -> BlobStore {
        BlobStore::new(Arc::clone(&self.shared))
    }

    /// Why the directory is out of service, if it is.
    pub fn is_failed(&self) -> Option<DirFailed> {
        self.shared.health.check().err()
    }

    /// What the broker may not read or write here, since it was met and until a look finds the permission.
    pub fn not_permitted(&self) -> Option<NotPermitted> {
        self.shared.health.denied()
    }

    /// Looks whether the disk hangs: how long it has been at one call, whichever that is, if that is too long to
    /// go on waiting for it. Does not ask the disk.
    pub fn look_whether_it_hangs(&self) -> Option<Duration> {
        self.shared.look_whether_it_hangs()
    }

    /// How long the disk has been at one call, if it is at any.
    pub fn owes_for(&self) -> Option<Duration> {
        self.shared.questions.longest()
    }

    /// What the last such look has found.
    pub fn hangs(&self) -> bool {
        self.shared.hangs()
    }

    /// Partitions in whose files damage was found since the start, some of which may be gone meanwhile.
    pub fn damaged_partitions(&self) -> Vec<TopicPartition> {
        let dirs = self.shared.health.damaged().into_iter();
        dirs.filter_map(|dir| TopicPartition::from_dir_name(dir.file_name()?.to_str()?))
            .collect()
    }

    /// Asks the file system how much room there is; appends go by the answer until the next look.
    ///
    /// # Errors
    /// Whatever the operating system answers.
    pub fn look_at_space(&self) -> std::io::Result<DirSpace> {
        self.shared.look_at_space()
    }

    /// Looks whether the directories of open logs are there; answers the partitions whose are not. Costs
    /// two questions to the file system as long as nothing was added or removed. A log directory that is
    /// gone itself, or whose path names another one, goes out of service.
    ///
    /// # Errors
    /// When it is out of service, or whatever the operating system answers.
    pub fn look_for_partitions(&self) -> std::io::Result<Vec<TopicPartition>> {
        self.shared.look_for_partitions()
    }

    /// Whether its disk is full and so little is left of what is kept back for the broker's own writes that
    /// it has to last for deletions and the next start.
    pub fn is_reserve_low(&self) -> bool {
        self.shared.is_reserve_low()
    }

    /// What the last look at the room has found.
    pub fn space(&self) -> DirSpace {
        self.shared.headroom.seen()
    }
}

/// Why a directory was not closed cleanly.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// It is out of service.
    #[error(transparent)]
    DirFailed(#[from] DirFailed),
    /// A checkpoint could not be written.
    #[error(transparent)]
    SmallFile(#[from] SmallFileError),
}

impl std::fmt::Debug for LogDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogDir")
            .field("path", &self.shared.path)
            .field("identity", &self.shared.identity)
            .finish_non_exhaustive()
    }
}
