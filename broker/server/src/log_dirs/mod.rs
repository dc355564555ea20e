//! `LogDirs`: the broker's log directories, and which partition lives in which. A new partition goes to
//! the directory in service that holds the fewest, of those that have room. All of it
//! blocks: callers are on a blocking thread.

mod opening;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use broker_model::{Offset, TopicId, TopicPartition};
use broker_storage::{
    DeleteLogError, Log, LogConfig, LogDir, LogDirError, OpenLogError, PowerLoss, RecoveryReport,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{error, warn};

use crate::broker::{hanging, is_slow};
use crate::clock_doubt::ClockDoubt;
use crate::cold_reads::{COLD_READS_MAX, ColdReads};
use crate::left_out::LeftOut;
use crate::look::Look;
use crate::moved_log::MovedLog;
use crate::not_opened::NotOpened;

/// Logs of one directory that are opened or deleted at once; recovery of one reads its file, so a few keep the disk
/// busy. On a disk that hangs they keep their threads: as many, and no more.
pub(crate) const LOGS_AT_WORK_MAX: usize = 8;
/// What else has a thread for a directory, one each: its checkpoint, a look at it, a scrub.
const OTHER_THREADS: usize = 3;

/// All log directories of this broker.
pub(crate) struct LogDirs {
    dirs: Vec<LogDir>,
    placed: Mutex<HashMap<TopicPartition, Place>>,
    /// Copies in further directories, of other topics: one of the two should be deleted.
    doubles: Vec<(TopicPartition, Place)>,
    left_out: LeftOut,
    /// Partitions that may be in one of those.
    lost: Mutex<HashSet<(TopicPartition, TopicId)>>,
    /// Acknowledged records that went with the machine's power, by partition.
    lost_records: Mutex<BTreeMap<TopicPartition, Vec<PowerLoss>>>,
    clock_doubt: ClockDoubt,
    /// Held while a directory is looked at.
    looked_at: Vec<Arc<tokio::sync::Mutex<()>>>,
    /// The places for logs that are opened or deleted.
    at_work: Vec<Arc<Semaphore>>,
    cold_reads: Vec<Arc<ColdReads>>,
}

#[derive(Clone, Copy)]
struct Place {
    dir: usize,
    topic_id: Option<TopicId>,
    is_opening: bool,
    /// Its topic is deleted, and its files are not yet: nothing is opened under its name.
    is_doomed: bool,
}

impl Place {
    fn new(dir: usize, topic_id: Option<TopicId>) -> Self {
        Self {
            dir,
            topic_id,
            is_opening: false,
            is_doomed: false,
        }
    }
}

/// While this is there a log is being opened. If its topic is deleted meanwhile, because nobody waits for that any
/// more, the end of it deletes what was made.
struct Opening<'a> {
    dirs: &'a LogDirs,
    partition: &'a TopicPartition,
    topic_id: TopicId,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let partition = self.partition;
        let is_doomed = match self.dirs.places().get_mut(partition) {
            Some(place) => {
                place.is_opening = false;
                place.is_doomed
            }
            None => false,
        };
        if is_doomed && let Err(problem) = self.dirs.delete_log(partition, self.topic_id) {
            error!(%partition, %problem, "files of a deleted partition are left behind");
        }
    }
}

impl LogDirs {
    /// Removes what was left of deleted topics in directories that were left out while others of the same names
    /// were made elsewhere.
    ///
    /// # Errors
    /// When a partition is in two directories all the same.
    pub(crate) fn settle_doubles(&self, deleted: &[TopicId]) -> Result<(), LogDirError> {
        let is_dead = |place: &Place| place.topic_id.filter(|id| deleted.contains(id));
        for (partition, double) in &self.doubles {
            let placed = self.places().get(partition).copied();
            let Some(placed) = placed else { continue };
            let (dead, id, kept) = match (is_dead(double), is_dead(&placed)) {
                (Some(id), _) => (double, id, placed),
                (None, Some(id)) => (&placed, id, *double),
                (None, None) => {
                    return Err(LogDirError::PartitionTwice {
                        partition: partition.clone(),
                        other: self.dirs[placed.dir].path().to_owned(),
                        dir: self.dirs[double.dir].path().to_owned(),
                    });
                }
            };
            if let Err(problem) = self.dirs[dead.dir].delete_log(partition, id) {
                error!(%partition, %problem, "files of a deleted partition are left behind");
            }
            self.places().insert(partition.clone(), kept);
        }
        Ok(())
    }

    /// Notes, before the first log is opened, which partitions there are. One that is in no directory
    /// is not made anew while a directory is left out: it may be there. If all are here, what is left out is forgotten.
    pub(crate) fn expect<'a>(
        &self,
        partitions: impl Iterator<Item = (TopicPartition, TopicId)> + 'a,
    ) {
        if self.left_out.is_empty() {
            return;
        }
        let placed = self.places();
        let is_missing = |(partition, id): &(TopicPartition, TopicId)| {
            let remembered = self.dirs.iter().any(|dir| dir.remembers(partition, *id));
            !placed.contains_key(partition) && !remembered
        };
        let missing: HashSet<_> = partitions.filter(is_missing).collect();
        drop(placed);
        self.left_out.tell(missing.len());
        if missing.is_empty() && self.left_out.may_be_forgotten() {
            self.left_out.forget(&self.dirs);
        }
        *self.lost() = missing;
    }

    /// A log of the broker's own that is in no directory is not made anew while a directory is left out: it may be
    /// there, and two of them could not be told apart later.
    ///
    /// # Errors
    /// When that is so.
    pub(crate) fn check_not_left_out(&self, partition: &TopicPartition) -> Result<(), NotOpened> {
        if self.left_out.is_empty() || self.places().contains_key(partition) {
            return Ok(());
        }
        let left_out = self.left_out.clone();
        Err(NotOpened::LeftOut { left_out })
    }

    /// The directory of a log of the broker's own: where it is, or else the first.
    pub(crate) fn home_of(&self, partition: &TopicPartition) -> &LogDir {
        let place = self.places().get(partition).copied();
        &self.dirs[place.map_or(0, |place| place.dir)]
    }

    /// The number of the directory that a partition is in, or else of the first.
    pub(crate) fn index_of(&self, partition: &TopicPartition) -> usize {
        let place = self.places().get(partition).copied();
        place.map_or(0, |place| place.dir)
    }

    /// The first directory; all are of the same cluster.
    pub(crate) fn first(&self) -> &LogDir {
        &self.dirs[0]
    }

    /// What was lost with the machine's power before this start or an earlier one, of partitions that begin
    /// below it.
    pub(crate) fn lost_records(
        &self,
        start_of: impl Fn(&TopicPartition) -> Option<Offset>,
    ) -> Vec<String> {
        let mut told = Vec::new();
        for (partition, losses) in self.losses().iter() {
            let start = start_of(partition).unwrap_or_default();
            for loss in losses.iter().filter(|loss| loss.is_told_from(start)) {
                told.push(format!(
                    "partition {partition}: {loss}. This is told until the records up to there are deleted, or the file known-losses in the partition's directory is removed before a start"
                ));
            }
        }
        told
    }

    /// What the clock at the start means for what is deleted.
    pub(crate) fn clock_doubt(&self) -> &ClockDoubt {
        &self.clock_doubt
    }

    /// A look at every directory that is not being looked at: one at a time, for on a disk that hangs it may
    /// take for ever.
    pub(crate) fn looks(&self) -> Vec<Look> {
        let each = self.dirs.iter().zip(&self.looked_at);
        let begun = each.filter_map(|(dir, alone)| {
            let alone = alone.clone().try_lock_owned().ok()?;
            Some(Look::new(dir.clone(), alone))
        });
        begun.collect()
    }

    /// Every directory.
    pub(crate) fn all(&self) -> &[LogDir] {
        &self.dirs
    }

    /// What was found on disk at start and what was placed since.
    pub(crate) fn partitions(&self) -> Vec<(TopicPartition, Option<TopicId>)> {
        self.places()
            .iter()
            .map(|(name, place)| (name.clone(), place.topic_id))
            .collect()
    }

    /// Opens a partition's log in its place, or creates it there.
    pub(crate) fn open_log(
        &self,
        dir: &LogDir,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<(Log, RecoveryReport), NotOpened> {
        if self.lost().contains(&(partition.clone(), topic_id)) {
            let left_out = self.left_out.clone();
            return Err(NotOpened::LeftOut { left_out });
        }
        let _opening = self.begin_opening(dir, partition, topic_id)?;
        let moved = MovedLog::taken_along(&self.dirs, dir, (partition, topic_id));
        let (log, report) = dir.open_or_create_log(partition, topic_id, config)?;
        moved.iter().for_each(MovedLog::forget);
        if let Some(place) = self.places().get_mut(partition) {
            // Its file that says so may have been lost, and is there again.
            place.topic_id = Some(topic_id);
        }
        self.note_loss(partition, &report);
        Ok((log, report))
    }

    fn begin_opening<'a>(
        &'a self,
        dir: &LogDir,
        partition: &'a TopicPartition,
        topic_id: TopicId,
    ) -> Result<Opening<'a>, NotOpened> {
        let mut placed = self.places();
        match placed.get_mut(partition) {
            Some(place) if place.is_opening => return Err(NotOpened::UnderWay),
            Some(place) if place.is_doomed => return Err(NotOpened::NameInUse),
            // Begun for a topic that is deleted meanwhile: the place is its successor's.
            Some(Place {
                topic_id: Some(found),
                ..
            }) if *found != topic_id => {
                return Err(NotOpened::Log(OpenLogError::OtherTopic {
                    dir: dir.path().join(partition.to_string()),
                    found: *found,
                    asked: topic_id,
                }));
            }
            Some(place) if self.dirs[place.dir].path() == dir.path() => {
                place.is_opening = true;
            }
            // It was another topic's until now, and is to be placed again.
            _ => return Err(NotOpened::NameInUse),
        }
        Ok(Opening {
            dirs: self,
            partition,
            topic_id,
        })
    }

    /// Threads that may have to wait for disks at once, with so many for cleaning one directory.
    pub(crate) fn threads(&self, cleaning: usize) -> usize {
        self.dirs.len() * (LOGS_AT_WORK_MAX + OTHER_THREADS + cleaning)
    }

    /// Threads of one arbiter that reads may have to wait for disks with.
    pub(crate) fn reading_threads(&self) -> usize {
        self.dirs.len() * COLD_READS_MAX
    }

    /// What reads of a partition go through that wait for the disk.
    pub(crate) fn cold_reads(&self, partition: &TopicPartition) -> Arc<ColdReads> {
        self.cold_reads[self.index_of(partition)].clone()
    }

    /// A place, to be had before a thread is and kept for as long, for opening or deleting a log in its directory:
    /// if the disk hangs, those threads are gone, and no others. `None` is as good as one.
    pub(crate) async fn place_at_work(
        &self,
        partition: &TopicPartition,
    ) -> Option<OwnedSemaphorePermit> {
        let places = self.at_work[self.index_of(partition)].clone();
        // They are never taken out of service.
        places.acquire_owned().await.ok()
    }

    fn note_loss(&self, partition: &TopicPartition, report: &RecoveryReport) {
        if !report.known_losses.is_empty() {
            let losses = report.known_losses.clone();
            self.losses().insert(partition.clone(), losses);
        }
    }

    /// Notes a high watermark for the next checkpoint.
    pub(crate) fn record_high_watermark(&self, partition: &TopicPartition, offset: Offset) {
        let place = self.places().get(partition).copied();
        if let Some(place) = place {
            self.dirs[place.dir].record_high_watermark(partition, offset);
        }
    }

    /// Notes that a partition's files are to be deleted: until they are, nothing is opened under its name.
    /// `None` when this broker has none of them.
    pub(crate) fn begin_deletion(&self, partition: &TopicPartition, id: TopicId) -> Option<LogDir> {
        let mut placed = self.places();
        let place = placed.get_mut(partition);
        let place = place.filter(|place| place.topic_id == Some(id))?;
        place.is_doomed = true;
        Some(self.dirs[place.dir].clone())
    }

    /// Forgets what is known of topics that are deleted, files and all.
    pub(crate) fn forget(&self, deleted: &[TopicId]) {
        for dir in &self.dirs {
            if let Err(error) = dir.forget(deleted) {
                warn!(dir = %dir.path().display(), %error, "deleted topics are remembered until the next start");
            }
        }
    }

    /// Removes a partition's files. Nothing happens when this broker has none; while its log is still being
    /// opened, the end of that does it.
    pub(crate) fn delete_log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
    ) -> Result<(), DeleteLogError> {
        let dir = {
            let mut placed = self.places();
            let place = placed.get_mut(partition);
            let Some(place) = place.filter(|place| place.topic_id == Some(topic_id)) else {
                return Ok(());
            };
            place.is_doomed = true;
            if place.is_opening {
                return Ok(());
            }
            &self.dirs[place.dir]
        };
        let deleted = dir.delete_log(partition, topic_id);
        {
            let mut placed = self.places();
            match (&deleted, placed.get_mut(partition)) {
                (Ok(()), _) => drop(placed.remove(partition)),
                (Err(_), Some(place)) => place.is_doomed = false,
                (Err(_), None) => {}
            }
        }
        deleted?;
        self.losses().remove(partition);
        Ok(())
    }

    /// The directory that a partition's log is in, or else the one where it is best placed, which is its own
    /// from then on. Asks no disk.
    pub(crate) fn place(&self, partition: &TopicPartition, topic_id: TopicId) -> LogDir {
        let mut placed = self.places();
        if let Some(place) = placed.get(partition) {
            return self.dirs[place.dir].clone();
        }
        // Its directory may be gone: it is missed where it was.
        let home = self
            .dirs
            .iter()
            .position(|dir| dir.remembers(partition, topic_id));
        let dir = home.unwrap_or_else(|| self.best_place(&placed));
        placed.insert(partition.clone(), Place::new(dir, Some(topic_id)));
        self.dirs[dir].clone()
    }

    fn best_place(&self, placed: &HashMap<TopicPartition, Place>) -> usize {
        let mut counts = vec![0_usize; self.dirs.len()];
        for place in placed.values() {
            counts[place.dir] += 1;
        }
        let in_service = |index: &usize| self.dirs[*index].is_failed().is_none();
        // One that does not answer, or takes no records for want of room, only when all are like that.
        let emptiest = (0..self.dirs.len()).filter(in_service).min_by_key(|index| {
            let dir = &self.dirs[*index];
            let hangs = hanging(dir).is_some();
            (hangs, dir.space().is_low, is_slow(dir), counts[*index])
        });
        emptiest.unwrap_or(0)
    }

    fn losses(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Vec<PowerLoss>>> {
        self.lost_records
            .lock()
            .expect("no code panics while it holds this lock")
    }

    fn lost(&self) -> MutexGuard<'_, HashSet<(TopicPartition, TopicId)>> {
        self.lost
            .lock()
            .expect("no code panics while it holds this lock")
    }

    fn places(&self) -> MutexGuard<'_, HashMap<TopicPartition, Place>> {
        self.placed
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests;
