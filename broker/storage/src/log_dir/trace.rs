//! `DirTrace`: what earlier brokers have left at the top of a log directory, looked at before anything
//! in it is touched.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_model::{Timestamp, TopicPartition};
use uuid::Uuid;

use super::LogDirError;
use crate::durable_positions::DurablePositions;
use crate::io::Io;
use crate::small_file::{DoubtedClock, LogDirectories, MetaProperties, RecoveryPoints, SmallFile};

/// What a log directory says of itself. A directory that is not there says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirTrace {
    /// The cluster it is of, by `meta.properties`.
    pub cluster_id: Option<Uuid>,
    /// Its own id, by `meta.properties`.
    pub directory_id: Option<Uuid>,
    /// Whether there are directories of partitions in it.
    pub has_partitions: bool,
    /// When a broker has last written here what every one writes at its start, while it runs and at its
    /// end; by the wall clock of then.
    pub last_alive: Option<Timestamp>,
    /// What is believed instead, if that clock was in doubt.
    pub doubted_clock: Option<DoubtedClock>,
    /// All directories of its broker, with the paths they had last.
    pub siblings: BTreeMap<Uuid, PathBuf>,
}

impl DirTrace {
    /// Looks at a directory and changes nothing.
    ///
    /// # Errors
    /// When it cannot be read, or `meta.properties` is damaged.
    pub fn of(io: &dyn Io, dir: &Path) -> Result<Self, LogDirError> {
        let failed = |source| LogDirError::NotWritable {
            dir: dir.to_owned(),
            source,
        };
        let entries = match io.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(failed)?,
        };
        let meta = MetaProperties::load(io, &dir.join(MetaProperties::FILE))
            .map_err(LogDirError::of_identity)?;
        let is_partition = |name: &str| TopicPartition::from_dir_name(name).is_some();
        let has_partitions = entries
            .iter()
            .any(|entry| entry.is_dir && is_partition(&entry.name));
        let file = dir.join(LogDirectories::FILE);
        let siblings = match LogDirectories::load(io, &file) {
            Err(error) if error.is_of_this_file() => {
                tracing::warn!(%error, "it is made anew: a missing directory may not be noticed");
                None
            }
            // The first start may have ended before it was made.
            Ok(None) if meta.is_some() && has_partitions => {
                tracing::warn!(file = %file.display(), "the file is gone, and is made anew: a missing directory may not be noticed");
                None
            }
            other => other?,
        };
        let doubted_clock = match DoubtedClock::load(io, &dir.join(DoubtedClock::FILE)) {
            Err(error) if error.is_of_this_file() => {
                tracing::warn!(%error, "the wall clock was in doubt, and since when is not known");
                // Before all records: none is too old while it is believed.
                Some(DoubtedClock {
                    last_alive: Timestamp::from_millis(0),
                    held: Duration::ZERO,
                })
            }
            other => other?,
        };
        let signs_of_life = [RecoveryPoints::FILE, DurablePositions::FILE];
        let signs = entries
            .iter()
            .filter(|entry| signs_of_life.contains(&entry.name.as_str()));
        Ok(Self {
            cluster_id: meta.map(|meta| meta.cluster_id),
            directory_id: meta.map(|meta| meta.directory_id),
            last_alive: signs.filter_map(|entry| entry.modified).max(),
            doubted_clock,
            has_partitions,
            siblings: siblings.unwrap_or_default().0,
        })
    }
}
