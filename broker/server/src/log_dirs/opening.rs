//! The start of `LogDirs`: every directory is opened, or left out when its disk is broken and others are there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_model::TopicPartition;
use broker_storage::{FoundPartition, LogDir, LogDirError, LogDirOptions};
use tokio::sync::Semaphore;

use super::{LOGS_AT_WORK_MAX, LogDirs, Place};
use crate::clock::BrokerClock;
use crate::clock_doubt::ClockDoubt;
use crate::cold_reads::ColdReads;
use crate::dir_traces::DirTraces;

impl LogDirs {
    /// Opens and locks every directory, with the options that it is given. The directories that there
    /// were decide the cluster id, a new broker makes one. One that the others know, and whose disk is broken by now,
    /// is left out.
    ///
    /// # Errors
    /// When a directory cannot be used, is of another broker or cluster, is named twice, or is empty
    /// where the broker has kept data.
    pub(crate) fn open(
        paths: &[PathBuf],
        (clock, grace): (&BrokerClock, Duration),
        options_of: &dyn Fn(&Path) -> LogDirOptions,
    ) -> Result<Self, LogDirError> {
        let mut traces = DirTraces::of(paths, options_of)?;
        let clock_doubt = {
            let known = (traces.last_alive(), traces.doubted_clock());
            ClockDoubt::at_start(clock.clone(), known, grace)
        };
        let mut cluster_id = traces.cluster_id();
        let mut dirs: Vec<LogDir> = Vec::new();
        let mut placed: HashMap<TopicPartition, Place> = HashMap::new();
        let mut doubles = Vec::new();
        for path in traces.paths() {
            let mut options = options_of(path);
            options.cluster_id = cluster_id;
            options.age_hold = clock_doubt.hold();
            let (dir, partitions) = match with_partitions(options) {
                Ok(opened) => opened,
                Err(error) => {
                    traces.leave_out(path, error)?;
                    continue;
                }
            };
            cluster_id = Some(dir.identity().cluster_id);
            for found in partitions {
                let place = Place::new(dirs.len(), found.topic_id);
                let Some(other) = placed.get(&found.partition) else {
                    placed.insert(found.partition, place);
                    continue;
                };
                let is_of_another = place.topic_id.is_some()
                    && other.topic_id.is_some()
                    && place.topic_id != other.topic_id;
                if is_of_another && !found.partition.topic.is_reserved() {
                    doubles.push((found.partition, place));
                } else {
                    return Err(LogDirError::PartitionTwice {
                        partition: found.partition,
                        other: dirs[other.dir].path().to_owned(),
                        dir: path.to_owned(),
                    });
                }
            }
            dirs.push(dir);
        }
        traces.store_in(&dirs);
        Ok(Self {
            looked_at: dirs.iter().map(|_| Arc::default()).collect(),
            at_work: dirs
                .iter()
                .map(|_| Arc::new(Semaphore::new(LOGS_AT_WORK_MAX)))
                .collect(),
            cold_reads: dirs.iter().cloned().map(ColdReads::new).collect(),
            dirs,
            placed: Mutex::new(placed),
            doubles,
            left_out: traces.left_out(),
            lost: Mutex::default(),
            lost_records: Mutex::default(),
            clock_doubt,
        })
    }
}

fn with_partitions(options: LogDirOptions) -> Result<(LogDir, Vec<FoundPartition>), LogDirError> {
    let dir = LogDir::open(options)?;
    let partitions = dir.partitions()?;
    Ok((dir, partitions))
}
