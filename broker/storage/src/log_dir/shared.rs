//! `DirShared`: what the directory, its logs and its sync thread have in common. Opening takes the
//! lock first, then reads what the last broker left, and marks the directory as in use.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_model::{Clock, Timestamp, TopicPartition};
use uuid::Uuid;

use super::asking_io::AskingIo;
use super::checkpoints::CheckpointsOnDisk;
use super::open_logs::OpenLogs;
use super::questions::Questions;
use super::{AgeHold, DirIdentity, LogDirError, LogDirOptions, PlantedBugs, ReserveRoom, age_hold};
use crate::durable_positions::{Checkpointed, DurablePoint, DurablePositions, SlotTicket};
use crate::era::Era;
use crate::health::{DirFailed, DirHealth, is_passing};
use crate::io::{Io, IoLock};
use crate::log::{LogConfig, LogPurpose};
use crate::segment::OpenFiles;
use crate::small_file::{
    HighWatermarks, MetaProperties, RecoveryPoints, SmallFile, SmallFileError,
};
use crate::space::{DirSpace, Headroom, Reserve, SpendingIo};
use crate::sync::{Answer, Backlog, SyncDone, SyncOutcome, SyncRequest, run_group};

pub(crate) const LOCK_FILE: &str = ".lock";

/// The common state of one log directory.
pub(crate) struct DirShared {
    pub(crate) path: PathBuf,
    /// For the broker's own writes, which may spend the reserve.
    pub(crate) io: Arc<dyn Io>,
    /// For records, which may not.
    plain_io: Arc<dyn Io>,
    pub(crate) headroom: Headroom,
    reserve: Option<Arc<Reserve>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) identity: DirIdentity,
    pub(crate) health: Arc<DirHealth>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) questions: Arc<Questions>,
    pub(crate) open_files: Arc<OpenFiles>,
    pub(crate) positions: DurablePositions,
    /// The era, as recovery points know it.
    pub(crate) boot: u64,
    pub(crate) was_clean: bool,
    pub(crate) planted: PlantedBugs,
    pub(super) era: Era,
    /// Points that are durable and not recorded yet.
    unrecorded: Mutex<Vec<(SlotTicket, DurablePoint)>>,
    /// Held while a small file that several threads may want to write is replaced: they would share
    /// its temporary name.
    replacing: Mutex<()>,
    pub(super) high_watermarks: Mutex<HighWatermarks>,
    pub(super) checkpointed: Mutex<CheckpointsOnDisk>,
    /// Deleted partitions that the checkpoint of high watermarks still speaks of.
    pub(super) outdated: Mutex<BTreeSet<TopicPartition>>,
    pub(super) open_logs: Mutex<OpenLogs>,
    /// The directory's stamp at the last look for its partitions, and how often it was looked at.
    looked_at: Mutex<Option<(u64, u8)>>,
    opened_at: (Timestamp, Duration),
    /// The settings of the log that was opened or configured last.
    last_config: Mutex<Arc<LogConfig>>,
    pub(super) age_hold: Option<Arc<AgeHold>>,
    pub(super) wall_clock: Option<Arc<dyn Clock>>,
    /// Whether it is noted that the wall clock has got far ahead of the other since the start.
    pub(super) noted_ahead: AtomicBool,
    lock: Box<dyn IoLock>,
}

impl DirShared {
    pub(super) fn open(options: LogDirOptions) -> Result<Self, LogDirError> {
        let questions = Questions::new(Arc::clone(&options.clock));
        let plain_io: Arc<dyn Io> = AskingIo::new(Arc::clone(&options.io), Arc::clone(&questions));
        let (path, lock) = (options.path.clone(), take(&*plain_io, &options.path)?);
        let (io, reserve) = with_reserve(&plain_io, &options);
        let identity = identify(&*io, &options)?;
        // Before anything is written whose time is a sign of life, by a clock that may be in doubt.
        let hold = options.age_hold.as_ref();
        let doubt = hold.and_then(|hold| hold.doubt(options.clock.monotonic()));
        age_hold::note(&*io, &path, doubt)?;
        let failed = |source| LogDirError::Io {
            dir: path.clone(),
            source,
        };
        let points = load_or_default::<RecoveryPoints>(&*io, &path.join(RecoveryPoints::FILE))?;
        let mut era = Era::of(&*io, &path, &points.era).map_err(failed)?;
        let high_watermarks =
            load_or_default::<HighWatermarks>(&*io, &path.join(HighWatermarks::FILE))?;
        let is_fresh = identity.is_new && points == RecoveryPoints::default();
        let was_clean = points.clean || is_fresh;
        if !was_clean {
            era = make_durable(&*io, &path, era).map_err(failed)?;
        }
        let boot = era.number();
        let checkpoint = Checkpointed {
            points: &points.points,
            is_complete: points.clean,
            is_fresh: is_fresh || is_unused(&*io, &path).map_err(failed)?,
        };
        let positions = open_points(&*io, &path, boot, &checkpoint)?;
        let unclosed = (!was_clean).then(|| positions.snapshot().0.into_keys().collect());
        let shared = Self {
            io,
            identity,
            plain_io,
            headroom: Headroom::new(&path, options.min_free),
            reserve,
            health: DirHealth::new(&path),
            backlog: Backlog::new(&path),
            questions,
            open_files: Arc::new(OpenFiles::new(options.open_files_max)),
            positions,
            boot,
            was_clean,
            planted: options.planted,
            era,
            unrecorded: Mutex::new(Vec::new()),
            replacing: Mutex::new(()),
            high_watermarks: Mutex::new(high_watermarks),
            checkpointed: Mutex::default(),
            outdated: Mutex::default(),
            open_logs: Mutex::new(OpenLogs::new(unclosed.unwrap_or_default())),
            looked_at: Mutex::default(),
            last_config: Mutex::default(),
            opened_at: (options.clock.now(), options.clock.monotonic()),
            age_hold: options.age_hold,
            wall_clock: options.wall_clock,
            noted_ahead: AtomicBool::new(false),
            clock: options.clock,
            path,
            lock,
        };
        // From here on a stop without notice is no clean one.
        shared.begin_unclean()?;
        shared.look_at_space().map_err(|source| LogDirError::Io {
            dir: shared.path.clone(),
            source,
        })?;
        Ok(shared)
    }

    /// The file system for a log of this kind.
    pub(crate) fn io_for(&self, purpose: LogPurpose) -> &Arc<dyn Io> {
        match purpose {
            LogPurpose::Records => &self.plain_io,
            LogPurpose::Internal => &self.io,
        }
    }

    /// Whether so little is left of what is kept back for the broker's own writes that it has to last for
    /// deletions and the next start.
    pub(super) fn is_reserve_low(&self) -> bool {
        let reserve = self.reserve.as_ref();
        reserve.is_some_and(|reserve| reserve.is_low())
    }

    /// Asks the file system how much room there is, lets the reserve grow back, and asks what may be written.
    pub(super) fn look_at_space(&self) -> io::Result<DirSpace> {
        self.note_lost_writes();
        let space = self.plain_io.space(&self.path)?;
        self.health.look_for_permission(&*self.plain_io);
        if let Some(reserve) = &self.reserve {
            reserve.refill(space);
        }
        Ok(self.headroom.look(space))
    }

    /// These settings, in the same place for all logs of a topic: they are opened and configured together.
    pub(crate) fn share_config(&self, config: LogConfig) -> Arc<LogConfig> {
        let mut last = lock(&self.last_config);
        if **last != config {
            *last = Arc::new(config);
        }
        Arc::clone(&last)
    }

    /// Carries out a request on this thread.
    pub(crate) fn sync_now(&self, request: SyncRequest) -> SyncOutcome {
        let answer = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&answer);
        let done = Box::new(move |outcome| {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        });
        let done = Answer::new(self, &request, done);
        run_group(self, &[request], vec![done]);
        let outcome = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        outcome.expect("every request of a group is answered")
    }

    /// Carries out requests together on this thread.
    pub(crate) fn sync_together(&self, work: Vec<(SyncRequest, SyncDone)>) {
        let with_answers = work.into_iter().map(|(request, done)| {
            let answer = Answer::new(self, &request, done);
            (request, answer)
        });
        let (requests, answers): (Vec<_>, Vec<_>) = with_answers.unzip();
        run_group(self, &requests, answers);
    }

    /// Wall time that does not run ahead of the monotonic clock while the broker is up: what is
    /// deleted by age is never deleted early because somebody moved the clock. While that is in doubt, it
    /// does not run ahead of when the broker was last alive either.
    pub(crate) fn steady(&self, now: Timestamp) -> Timestamp {
        let (mut wall, opened) = self.opened_at;
        let monotonic = self.clock.monotonic();
        if let Some(hold) = &self.age_hold
            && hold.left(monotonic).is_some()
        {
            wall = wall.min(hold.last_alive());
        }
        let passed = monotonic.saturating_sub(opened);
        let passed = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let steady = Timestamp::from_millis(wall.as_millis().saturating_add(passed));
        now.min(steady)
    }

    pub(crate) fn unrecorded(&self) -> MutexGuard<'_, Vec<(SlotTicket, DurablePoint)>> {
        lock(&self.unrecorded)
    }

    pub(crate) fn high_watermarks(&self) -> MutexGuard<'_, HighWatermarks> {
        lock(&self.high_watermarks)
    }

    pub(crate) fn replacing(&self) -> MutexGuard<'_, ()> {
        lock(&self.replacing)
    }

    /// A small file that cannot be written takes the directory out of service, unless the disk is
    /// just full: its fsync may have been what failed.
    pub(crate) fn observe_small(&self, error: &SmallFileError) {
        if let SmallFileError::Io { file, source } = error {
            self.observe_write(file, source);
        }
    }

    /// The same for a file that is written and synced in one go.
    pub(crate) fn observe_write(&self, file: &Path, error: &io::Error) {
        // Nothing was written: it is not the disk's fault if somebody has removed a partition's directory.
        let is_in_removed = error.kind() == io::ErrorKind::NotFound
            && file.parent().is_some_and(|dir| self.is_removed(dir));
        if is_passing(error) {
            self.health.observe(file, error);
        } else if !is_in_removed {
            self.health
                .fail(format_args!("{}: {error}", file.display()));
        }
    }

    /// Whether a directory below this one is gone.
    pub(crate) fn is_removed(&self, dir: &Path) -> bool {
        let listed = self.io.list(dir);
        dir != self.path && listed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Looks whether its path still names the directory; takes it out of service if not. What is written to files
    /// that are open would still reach it, and what is made by its path would be lost or in another one's way.
    pub(super) fn check_place(&self) -> Result<(), DirFailed> {
        self.health.check()?;
        match self.questions.ask(|| self.lock.is_at(&self.path)) {
            Ok(false) => Err(self.health.fail("another directory is at its path: was it renamed, its disk unmounted, or another one mounted over it? Put it back and restart the broker")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.health.fail("it is gone: was it removed, or its disk unmounted?"))
            }
            // Whatever else keeps the broker from looking says so where it is in the way.
            Ok(true) | Err(_) => Ok(()),
        }
    }

    /// Partitions with an open log whose directories somebody has removed. The directory is only listed
    /// when something was added or removed since the last look, which for partitions is rare.
    pub(super) fn look_for_partitions(&self) -> io::Result<Vec<TopicPartition>> {
        self.check_place().map_err(io::Error::other)?;
        let stamp = self.plain_io.entries_stamp(&self.path)?;
        {
            let mut looked_at = lock(&self.looked_at);
            let looks = looked_at.map_or(0, |(at, looks)| if at == stamp { looks } else { 0 });
            // Twice, for what happens in the same tick of the file system's clock as the first look.
            if looks >= 2 {
                return Ok(Vec::new());
            }
            *looked_at = Some((stamp, looks + 1));
        }
        let entries = self.plain_io.list(&self.path)?;
        let there: BTreeSet<String> = entries.into_iter().map(|entry| entry.name).collect();
        let open = lock(&self.open_logs);
        let missing = open
            .partitions()
            .filter(|partition| !there.contains(&partition.to_string()));
        Ok(missing.collect())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(io: &dyn Io, dir: &Path) -> Result<Box<dyn IoLock>, LogDirError> {
    let not_writable = |source| LogDirError::NotWritable {
        dir: dir.to_owned(),
        source,
    };
    create_durably(io, dir).map_err(not_writable)?;
    match io.lock(&dir.join(LOCK_FILE)) {
        Ok(lock) => Ok(lock),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(LogDirError::Locked {
            dir: dir.to_owned(),
        }),
        Err(source) => Err(not_writable(source)),
    }
}

/// The file system of the broker's own writes, and the reserve that they may spend.
fn with_reserve(io: &Arc<dyn Io>, options: &LogDirOptions) -> (Arc<dyn Io>, Option<Arc<Reserve>>) {
    match options.reserve {
        ReserveRoom::None => (Arc::clone(io), None),
        ReserveRoom::Keep => {
            let reserve = Arc::new(Reserve::open(Arc::clone(io), &options.path));
            let spending = SpendingIo::new(Arc::clone(io), Arc::clone(&reserve));
            (spending, Some(reserve))
        }
    }
}

/// Makes a directory and its missing parents, entries included.
fn create_durably(io: &dyn Io, dir: &Path) -> io::Result<()> {
    let is_missing = |path: &Path| {
        io.list(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && is_missing(path))
        .collect();
    io.create_dir_all(dir)?;
    for created in missing {
        let parent = match created.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        io.sync_dir(parent)?;
    }
    Ok(())
}

/// What a killed broker has written and not synced is in the page cache alone. Recovery goes by it, so it becomes
/// durable first, all of it at once. If that fails, another era begins.
fn make_durable(io: &dyn Io, dir: &Path, era: Era) -> io::Result<Era> {
    let Err(error) = io.sync_all(dir) else {
        return Ok(era);
    };
    tracing::error!(dir = %dir.display(), %error, "a sync failed: what was not synced before may be lost");
    // The system tells once of what it could not write since the last time. A disk that still fails says so again.
    io.sync_all(dir)?;
    Ok(era.next())
}

fn open_points(
    io: &dyn Io,
    dir: &Path,
    boot: u64,
    checkpoint: &Checkpointed<'_>,
) -> Result<DurablePositions, LogDirError> {
    let bytes = io.read_small(&dir.join(DurablePositions::FILE));
    let bytes = bytes.map_err(|error| LogDirError::of_points(dir, error))?;
    let opened = DurablePositions::open(io, dir, bytes, boot, checkpoint);
    let positions = opened.map_err(|source| LogDirError::Io {
        dir: dir.to_owned(),
        source,
    })?;
    positions.tell_what_is_lost(checkpoint.is_complete);
    Ok(positions)
}

fn identify(io: &dyn Io, options: &LogDirOptions) -> Result<DirIdentity, LogDirError> {
    let file = options.path.join(MetaProperties::FILE);
    let (found, is_new) = match MetaProperties::load(io, &file).map_err(LogDirError::of_identity)? {
        Some(found) => (found, false),
        None => {
            if !is_unused(io, &options.path).unwrap_or(true) {
                tracing::error!(file = %file.display(), "the file is missing although the directory has been used: it gets a new identity");
            }
            let created = MetaProperties {
                cluster_id: options.cluster_id.unwrap_or_else(Uuid::new_v4),
                node_id: options.broker_id,
                directory_id: Uuid::new_v4(),
            };
            io.replace_small(&file, &created.encode())
                .map_err(|source| LogDirError::NotWritable {
                    dir: options.path.clone(),
                    source,
                })?;
            (created, true)
        }
    };
    if found.node_id != options.broker_id {
        return Err(LogDirError::OtherBroker {
            dir: options.path.clone(),
            found: found.node_id,
            expected: options.broker_id,
        });
    }
    if let Some(expected) = options.cluster_id.filter(|id| *id != found.cluster_id) {
        return Err(LogDirError::OtherCluster {
            dir: options.path.clone(),
            found: found.cluster_id,
            expected,
        });
    }
    Ok(DirIdentity {
        cluster_id: found.cluster_id,
        broker_id: found.node_id,
        directory_id: found.directory_id,
        is_new,
    })
}

/// Whether no broker ever got as far as to put a partition here.
fn is_unused(io: &dyn Io, dir: &Path) -> io::Result<bool> {
    let entries = io.list(dir)?;
    let known = [
        DurablePositions::FILE,
        RecoveryPoints::FILE,
        HighWatermarks::FILE,
    ];
    Ok(!entries.iter().any(|entry| {
        entry.is_dir && TopicPartition::from_dir_name(&entry.name).is_some()
            || known.contains(&entry.name.as_str())
    }))
}

/// A checkpoint that is damaged costs time or precision, not the start of the broker.
fn load_or_default<F: SmallFile + Default>(io: &dyn Io, file: &Path) -> Result<F, SmallFileError> {
    match F::load(io, file) {
        Ok(found) => Ok(found.unwrap_or_default()),
        Err(error) if error.is_of_this_file() => {
            tracing::warn!(%error, "checkpoint is ignored");
            Ok(F::default())
        }
        Err(error) => Err(error),
    }
}
