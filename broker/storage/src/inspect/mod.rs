//! Looking at a log directory without a broker: what `broker log dump` and `broker log verify` show.
//! Reads only, changes nothing, takes no lock; beside a running broker it may see a batch half
//! written at the end of the active segment.

mod index_check;
mod segment_reader;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use broker_model::{Offset, TopicPartition};

pub use segment_reader::{Found, SegmentReader};
pub use verify::{Finding, Summary, verify_partition};

use crate::io::Io;
use crate::segment::base_of;

/// A partition's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDir {
    /// Which partition, by the directory's name.
    pub partition: TopicPartition,
    /// Where it is.
    pub path: PathBuf,
}

/// A segment's data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// The base offset in its name.
    pub base: Offset,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

/// The partitions of a log directory, sorted.
///
/// # Errors
/// When the directory cannot be listed.
pub fn partitions(io: &dyn Io, log_dir: &Path) -> io::Result<Vec<PartitionDir>> {
    let mut found: Vec<PartitionDir> = io
        .list(log_dir)?
        .into_iter()
        .filter(|entry| entry.is_dir)
        .filter_map(|entry| {
            Some(PartitionDir {
                partition: TopicPartition::from_dir_name(&entry.name)?,
                path: log_dir.join(&entry.name),
            })
        })
        .collect();
    found.sort_by(|a, b| a.partition.cmp(&b.partition));
    Ok(found)
}

/// The segments of a partition directory, oldest first.
///
/// # Errors
/// When the directory cannot be listed.
pub fn segments(io: &dyn Io, partition_dir: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut found: Vec<SegmentFile> = io
        .list(partition_dir)?
        .into_iter()
        .filter_map(|entry| {
            Some(SegmentFile {
                base: base_of(&entry.name)?,
                path: partition_dir.join(&entry.name),
                bytes: entry.len,
            })
        })
        .collect();
    found.sort_by_key(|segment| segment.base);
    Ok(found)
}
