//! The checkpoints at the top of a log directory: high watermarks, and recovery points with the mark of a
//! clean stop. Written when there is something new to say; one that cannot be leaves the old one in force.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker_model::{Offset, TopicPartition};

use super::shared::{DirShared, lock};
use super::{AgeHold, age_hold};
use crate::era::Era;
use crate::health::is_no_space;
use crate::small_file::{DoubtedClock, HighWatermarks, RecoveryPoints, SmallFile, SmallFileError};
use crate::sync::record;

/// What the checkpoints on disk hold: they are replaced when there is something else to say.
#[derive(Default)]
pub(super) struct CheckpointsOnDisk {
    /// Whether all high watermarks as they are noted now.
    high_watermarks: bool,
    /// The durable positions after so many changes.
    positions: Option<u64>,
}

impl DirShared {
    /// Takes back what the last stop may have said of being clean, and begins the era.
    pub(super) fn begin_unclean(&self) -> Result<(), SmallFileError> {
        self.begin_high_watermarks()?;
        self.take_back_clean()?;
        if let Err(error) = Era::begun(&*self.io, &self.path) {
            tracing::warn!(dir = %self.path.display(), %error, "the next start will expect that a sync has failed");
        }
        Ok(())
    }

    /// Before anything is noted of a partition there is a file of high watermarks, so that one that is missing was
    /// removed.
    fn begin_high_watermarks(&self) -> Result<(), SmallFileError> {
        let file = self.path.join(HighWatermarks::FILE);
        if !matches!(self.io.read_small(&file), Ok(None)) {
            return Ok(());
        }
        if self.positions.has_any() {
            tracing::warn!(file = %file.display(), "the file is gone and made anew: until then, that a log has lost its end is only noticed by its durable point");
        }
        match self.store_high_watermarks() {
            Err(error) if error.is_no_space() => {
                tracing::warn!(%error, "the disk is full: high watermarks are noted when there is room");
                Ok(())
            }
            done => done,
        }
    }

    fn take_back_clean(&self) -> Result<(), SmallFileError> {
        match self.store_recovery_points(false) {
            Err(SmallFileError::Io { file, source }) if is_no_space(&source) => {
                // Its points are in the file of durable positions too; one that says nothing of a clean
                // stop is as good as none, and none needs no room.
                tracing::warn!(file = %file.display(), "the disk is full: the checkpoint is removed until there is room for another");
                let removed = match self.io.remove_file(&file) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    done => done,
                };
                let synced = removed.and_then(|()| self.io.sync_dir(&self.path));
                synced.map_err(|source| SmallFileError::Io { file, source })
            }
            done => done,
        }
    }

    /// After a failed sync of data: the era is over, so that the next start expects what a power loss leaves. If that
    /// cannot be noted, the next start finds damage where nothing was acknowledged.
    pub(crate) fn note_lost_writes(&self) {
        if self.health.has_lost_writes()
            && let Err(error) = Era::end(&*self.io, &self.path)
        {
            let dir = self.path.display();
            tracing::error!(%dir, %error, "it could not be noted that a sync has failed");
        }
    }

    pub(crate) fn write_checkpoints(&self, clean: bool) -> Result<(), SmallFileError> {
        record(self);
        let _one_at_a_time = self.replacing();
        self.store_high_watermarks()?;
        let written = lock(&self.checkpointed).positions;
        if clean || written != Some(self.positions.changes()) {
            self.store_recovery_points(clean)?;
        }
        self.note_age_hold()
    }

    /// While ages are held: how long they were, for the next start; and once that it is over. While the wall clock
    /// is far ahead: until when it was not.
    fn note_age_hold(&self) -> Result<(), SmallFileError> {
        let is_ahead = self.noted_ahead.load(Ordering::Relaxed);
        match self.age_hold.is_some() || is_ahead {
            true => self.note_doubt(is_ahead),
            false => Ok(()),
        }
    }

    /// Notes once that the wall clock has got far ahead of the broker's, and once that it no longer is. It is for the
    /// next start, which begins with the wall clock, so it comes before anything whose time is a sign of life by it.
    pub(crate) fn note_clock_ahead(&self) -> Result<(), SmallFileError> {
        let is_ahead = || {
            let wall = self.wall_clock.as_ref();
            wall.is_some_and(|wall| wall.now().since(self.clock.now()) > AgeHold::UNREMARKABLE)
        };
        if is_ahead() == self.noted_ahead.load(Ordering::Relaxed) {
            return Ok(());
        }
        let _one_at_a_time = self.replacing();
        let is_ahead = is_ahead();
        self.note_doubt(is_ahead)?;
        self.noted_ahead.store(is_ahead, Ordering::Relaxed);
        Ok(())
    }

    fn note_doubt(&self, is_ahead: bool) -> Result<(), SmallFileError> {
        let hold = self.age_hold.as_ref();
        let doubt = match is_ahead {
            // The time that it is by the broker, which no start has waited for yet.
            true => Some(DoubtedClock {
                last_alive: self.steady(self.clock.now()),
                held: Duration::ZERO,
            }),
            false => hold.and_then(|hold| hold.doubt(self.clock.monotonic())),
        };
        let noted = age_hold::note(&*self.io, &self.path, doubt);
        noted.inspect_err(|error| self.observe_small(error))
    }

    /// Notes a high watermark for the next checkpoint.
    pub(super) fn note_high_watermark(&self, partition: &TopicPartition, offset: Offset) {
        let mut known = self.high_watermarks();
        match known.0.get_mut(partition) {
            Some(known) if *known == offset => return,
            Some(known) => *known = offset,
            None => drop(known.0.insert(partition.clone(), offset)),
        }
        lock(&self.checkpointed).high_watermarks = false;
    }

    /// A log is about to be cut, or was by a power loss that is noted: a recovery must not look for what is
    /// above.
    pub(crate) fn lower_high_watermark(
        &self,
        partition: &TopicPartition,
        end: Offset,
    ) -> Result<(), SmallFileError> {
        match self.high_watermarks().0.get_mut(partition) {
            Some(noted) if *noted > end => *noted = end,
            _ => return Ok(()),
        }
        lock(&self.checkpointed).high_watermarks = false;
        let _one_at_a_time = self.replacing();
        self.store_high_watermarks()
    }

    /// Forgets the high watermark of a deleted partition.
    pub(super) fn forget_high_watermark(&self, partition: &TopicPartition) {
        if self.high_watermarks().0.remove(partition).is_some() {
            lock(&self.outdated).insert(partition.clone());
            lock(&self.checkpointed).high_watermarks = false;
        }
    }

    /// A new partition of this name comes into being: what the checkpoint says of an older one must
    /// not be taken for its own.
    pub(super) fn disown_high_watermark(
        &self,
        partition: &TopicPartition,
    ) -> Result<(), SmallFileError> {
        self.forget_high_watermark(partition);
        let is_outdated = lock(&self.outdated).contains(partition);
        match is_outdated {
            true => {
                let _one_at_a_time = self.replacing();
                self.store_high_watermarks()
            }
            false => Ok(()),
        }
    }

    fn store_high_watermarks(&self) -> Result<(), SmallFileError> {
        let high_watermarks = {
            let noted = self.high_watermarks();
            let is_written = &mut lock(&self.checkpointed).high_watermarks;
            if *is_written {
                return Ok(());
            }
            // What is noted from here on is for the next one.
            *is_written = true;
            noted.clone()
        };
        let outdated = std::mem::take(&mut *lock(&self.outdated));
        let file = self.path.join(HighWatermarks::FILE);
        high_watermarks
            .store(&*self.io, &file)
            .inspect_err(|error| {
                lock(&self.outdated).extend(outdated);
                lock(&self.checkpointed).high_watermarks = false;
                self.observe_small(error);
            })
    }

    fn store_recovery_points(&self, clean: bool) -> Result<(), SmallFileError> {
        let (points, changes) = self.positions.snapshot();
        let points = RecoveryPoints {
            clean,
            era: self.era.clone(),
            points,
        };
        let file = self.path.join(RecoveryPoints::FILE);
        points
            .store(&*self.io, &file)
            .inspect_err(|error| self.observe_small(error))?;
        lock(&self.checkpointed).positions = Some(changes);
        Ok(())
    }
}
