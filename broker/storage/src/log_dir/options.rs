//! `LogDirOptions`: what a log directory is opened with.

use std::path::PathBuf;
use std::sync::Arc;

use broker_model::{BrokerId, Clock, SystemClock};
use uuid::Uuid;

use super::AgeHold;
use crate::io::{Io, RealIo};
use crate::space::MinFree;

/// Data files open at once, unless said otherwise.
const OPEN_FILES_MAX: usize = 512;

/// What a log directory is opened with.
pub struct LogDirOptions {
    /// Where it is.
    pub path: PathBuf,
    /// The broker that it is, or will be, of.
    pub broker_id: BrokerId,
    /// The cluster it has to be of. `None` takes the one it is of; a new directory gets a new one.
    pub cluster_id: Option<Uuid>,
    /// The file system.
    pub io: Arc<dyn Io>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The clock that files get their times by, where that above does not follow its jumps.
    pub wall_clock: Option<Arc<dyn Clock>>,
    /// Keeps ages from running ahead after a start at which the clock is in doubt.
    pub age_hold: Option<Arc<AgeHold>>,
    /// Data files that are open at once; those in use at the same time may be more.
    pub open_files_max: usize,
    /// The room that appends leave on its file system.
    pub min_free: MinFree,
    /// Whether some room is kept back for the broker's own writes on a full disk.
    pub reserve: ReserveRoom,
    pub(crate) planted: PlantedBugs,
}

/// Whether a log directory keeps some of the disk's room back for the broker's own small writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReserveRoom {
    /// A 32nd of the file system, at most 4 MiB, in the file `.reserve`.
    Keep,
    /// Nothing is kept back.
    #[default]
    None,
}

impl LogDirOptions {
    /// A directory on the machine's own disk, by the machine's own clock, of whatever cluster.
    pub fn new(path: impl Into<PathBuf>, broker_id: BrokerId) -> Self {
        Self {
            path: path.into(),
            broker_id,
            cluster_id: None,
            io: RealIo::new(),
            clock: Arc::new(SystemClock::new()),
            wall_clock: None,
            age_hold: None,
            open_files_max: OPEN_FILES_MAX,
            min_free: MinFree::Off,
            reserve: ReserveRoom::None,
            planted: PlantedBugs::default(),
        }
    }

    /// Breaks rules on purpose, so that tests can prove that they would notice.
    #[doc(hidden)]
    #[must_use]
    pub fn with_planted_bugs(mut self, planted: PlantedBugs) -> Self {
        self.planted = planted;
        self
    }
}

/// Rules that tests can have broken, to see that their checks catch it. Never set elsewhere.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlantedBugs {
    /// A reopened log gives the last batch's offsets out again.
    pub reuse_offsets_after_reopen: bool,
    /// Recovery keeps what follows the last whole batch.
    pub keep_torn_tail: bool,
    /// A sync is reported before it has happened.
    pub ack_before_sync: bool,
    /// A sync that has happened is never told of.
    pub forget_syncs: bool,
    /// A log's recovery point is recorded before the data below it is synced.
    pub checkpoint_ahead_of_data: bool,
    /// The name of the segment that a roll creates is not made durable.
    pub roll_without_directory_sync: bool,
    /// What a roll leaves behind unsynced is forgotten.
    pub seal_without_sync: bool,
    /// The directory of a new partition is not made durable.
    pub create_without_directory_sync: bool,
    /// A damaged batch ends the log at the next start, as if it were torn.
    pub cut_corrupt_middle: bool,
    /// Segments are deleted before the new log start is durable.
    pub delete_before_log_start: bool,
    /// A truncation cuts durable data before the recovery point says so.
    pub cut_before_recovery_point: bool,
    /// Cleaned segments are put in place without having been synced.
    pub swap_unsynced_segments: bool,
    /// Replaced segments are removed before the journal of the swap is durable.
    pub swap_before_journal: bool,
    /// A swap's journal is removed before what it says is durable.
    pub forget_journal_early: bool,
}
