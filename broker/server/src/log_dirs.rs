//! `LogDirs`: the broker's log directories, and which partition lives in which. A new partition goes to
//! the directory in service that holds the fewest. All of it blocks: callers are on a blocking thread.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use broker_model::{Offset, TopicId, TopicPartition};
use broker_storage::{
    DeleteLogError, Log, LogConfig, LogDir, LogDirError, LogDirOptions, OpenLogError,
    RecoveryReport,
};
use uuid::Uuid;

/// All log directories of this broker.
pub(crate) struct LogDirs {
    dirs: Vec<LogDir>,
    placed: Mutex<HashMap<TopicPartition, Place>>,
}

#[derive(Clone, Copy)]
struct Place {
    dir: usize,
    topic_id: Option<TopicId>,
}

impl LogDirs {
    /// Opens and locks every directory, with the options that it is given. The first decides the cluster id, or
    /// makes one; a directory of another cluster is refused.
    pub(crate) fn open(
        paths: &[PathBuf],
        options_of: &dyn Fn(&Path) -> LogDirOptions,
    ) -> Result<Self, LogDirError> {
        let mut cluster_id: Option<Uuid> = None;
        let mut dirs = Vec::new();
        let mut placed = HashMap::new();
        for (index, path) in paths.iter().enumerate() {
            let mut options = options_of(path);
            options.cluster_id = cluster_id;
            let dir = LogDir::open(options)?;
            cluster_id = Some(dir.identity().cluster_id);
            for found in dir.partitions()? {
                let place = Place {
                    dir: index,
                    topic_id: found.topic_id,
                };
                placed.insert(found.partition, place);
            }
            dirs.push(dir);
        }
        Ok(Self {
            dirs,
            placed: Mutex::new(placed),
        })
    }

    /// The directory of a log of the broker's own: where it is, or else the first.
    pub(crate) fn home_of(&self, partition: &TopicPartition) -> &LogDir {
        let place = self.places().get(partition).copied();
        &self.dirs[place.map_or(0, |place| place.dir)]
    }

    /// The first directory; all are of the same cluster.
    pub(crate) fn first(&self) -> &LogDir {
        &self.dirs[0]
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

    /// Opens a partition's log where it is, or creates it where there is most room.
    pub(crate) fn open_log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<(Log, LogDir, RecoveryReport), OpenLogError> {
        let dir = self.place(partition, topic_id);
        let (log, report) = dir.open_or_create_log(partition, topic_id, config)?;
        Ok((log, dir, report))
    }

    /// Notes a high watermark for the next checkpoint.
    pub(crate) fn record_high_watermark(&self, partition: &TopicPartition, offset: Offset) {
        let place = self.places().get(partition).copied();
        if let Some(place) = place {
            self.dirs[place.dir].record_high_watermark(partition, offset);
        }
    }

    /// Removes a partition's files. Nothing happens when this broker has none.
    pub(crate) fn delete_log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
    ) -> Result<(), DeleteLogError> {
        let place = self.places().get(partition).copied();
        let Some(place) = place.filter(|place| place.topic_id == Some(topic_id)) else {
            return Ok(());
        };
        self.dirs[place.dir].delete_log(partition, topic_id)?;
        self.places().remove(partition);
        Ok(())
    }

    fn place(&self, partition: &TopicPartition, topic_id: TopicId) -> LogDir {
        let mut placed = self.places();
        if let Some(place) = placed.get(partition) {
            return self.dirs[place.dir].clone();
        }
        // Its directory may be gone: it is missed where it was.
        let home = self
            .dirs
            .iter()
            .find(|dir| dir.remembers(partition, topic_id));
        if let Some(dir) = home {
            return dir.clone();
        }
        let mut counts = vec![0_usize; self.dirs.len()];
        for place in placed.values() {
            counts[place.dir] += 1;
        }
        let in_service = |index: &usize| self.dirs[*index].is_failed().is_none();
        let emptiest = (0..self.dirs.len())
            .filter(in_service)
            .min_by_key(|index| counts[*index]);
        let dir = emptiest.unwrap_or(0);
        placed.insert(
            partition.clone(),
            Place {
                dir,
                topic_id: Some(topic_id),
            },
        );
        self.dirs[dir].clone()
    }

    fn places(&self) -> MutexGuard<'_, HashMap<TopicPartition, Place>> {
        self.placed
            .lock()
            .expect("no code panics while it holds this lock")
    }
}
