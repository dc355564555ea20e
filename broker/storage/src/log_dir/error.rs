//! Why a log directory or a log in it could not be opened, or a log not deleted. Each text names the
//! directory and what an operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

use broker_model::{BrokerId, Offset, PartitionId, TopicId, TopicPartition};
use uuid::Uuid;

use crate::corruption::Corruption;
use crate::durable_positions::DurablePositions;
use crate::health::{DirFailed, is_exhausted, is_of_the_disk, is_passing};
use crate::small_file::SmallFileError;

/// Why a log directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum LogDirError {
    /// Another process has it.
    #[error("log directory {} is in use by another process: stop that broker or give this one another `log.dirs`", .dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// It cannot be created or written to.
    #[error("log directory {} is not writable: {source}", .dir.display())]
    NotWritable {
        /// The directory.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is another broker's.
    #[error("log directory {} belongs to broker {found}, this is broker {expected}: correct `broker.id` or `log.dirs`", .dir.display())]
    OtherBroker {
        /// The directory.
        dir: PathBuf,
        /// The broker in `meta.properties`.
        found: BrokerId,
        /// This broker.
        expected: BrokerId,
    },
    /// It is of another cluster.
    #[error("log directory {} belongs to cluster {found}, this broker is of {expected}", .dir.display())]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// The cluster in `meta.properties`.
        found: Uuid,
        /// This broker's cluster.
        expected: Uuid,
    },
    /// Two of `log.dirs` say that they are the same.
    #[error("log directories {} and {} have the same directory id {directory_id}: one is named twice, or is a copy of the other; take one out of `log.dirs`", .dir.display(), .other.display())]
    SameDirectory {
        /// One.
        other: PathBuf,
        /// The other.
        dir: PathBuf,
        /// The id of both.
        directory_id: Uuid,
    },
    /// One of `log.dirs` lies inside another.
    #[error("log directory {} is inside of {}, or the same: each of `log.dirs` has to be a directory of its own, beside the others", .dir.display(), .outer.display())]
    Nested {
        /// The inner one.
        dir: PathBuf,
        /// The outer one.
        outer: PathBuf,
    },
    /// A partition is in two directories.
    #[error("partition {partition} is in {} and in {}: move one of the two away", .other.display(), .dir.display())]
    PartitionTwice {
        /// Which.
        partition: TopicPartition,
        /// One directory.
        other: PathBuf,
        /// The other.
        dir: PathBuf,
    },
    /// A directory that the broker has kept data in is not what it was.
    #[error("log directory {} is empty, and this broker has kept data in it (directory id {directory_id}): is its disk mounted? If that data is gone for good, take the directory out of `log.dirs`, or delete the file `log-directories` in the other directories to begin with it anew", .dir.display())]
    NotMounted {
        /// Its path.
        dir: PathBuf,
        /// The id it had.
        directory_id: Uuid,
    },
    /// `meta.properties` is damaged or cannot be read.
    #[error("{} {problem}. It says whose the directory is: cluster.id, node.id (`broker.id`) and directory.id. Put a copy back; or, if you are certain that the directory is this broker's, remove the file: it is made anew, with the cluster id of the other `log.dirs` or a new one, and all data stays", .file.display())]
    NoIdentity {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// `durable-positions` cannot be read.
    #[error("{} cannot be read: {source}. It says up to where acknowledged records are on the disk. Make it readable, or put a copy of the same time back; or, if it is gone for good, move away what stands in its place: the broker then goes by its last checkpoint, cuts nothing off that may have been acknowledged, and names the partitions in doubt in its log", .file.display())]
    PointsUnreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// One of several directories cannot be used, and the others can.
    #[error("{problem}. The broker can be started without it: leave {} out of `log.dirs`; partitions that are in it are offline until it is named there again", .dir.display())]
    OneOfSeveral {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        problem: Box<Self>,
    },
    /// One of the files at its top cannot be used.
    #[error(transparent)]
    SmallFile(#[from] SmallFileError),
    /// Something else went wrong.
    #[error("log directory {}: {source}", .dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl LogDirError {
    /// The same of one directory among others: what is wrong with its disk does not keep the others from being used.
    #[must_use]
    pub fn of_one(self, dir: &Path, others: usize) -> Self {
        match self {
            Self::NotWritable { .. }
            | Self::NoIdentity { .. }
            | Self::PointsUnreadable { .. }
            | Self::SmallFile(_)
            | Self::Io { .. }
                if others > 0 =>
            {
                Self::OneOfSeveral {
                    dir: dir.to_owned(),
                    problem: Box::new(self),
                }
            }
            other => other,
        }
    }

    /// Whether it speaks of a broken disk, and of nothing that somebody could put right in the directory.
    pub fn is_of_the_disk(&self) -> bool {
        match self {
            Self::NotWritable { source, .. }
            | Self::PointsUnreadable { source, .. }
            | Self::SmallFile(SmallFileError::Io { source, .. })
            | Self::Io { source, .. } => is_of_the_disk(source),
            Self::OneOfSeveral { problem, .. } => problem.is_of_the_disk(),
            _ => false,
        }
    }

    /// A `meta.properties` that cannot be used.
    pub(super) fn of_identity(error: SmallFileError) -> Self {
        match error {
            SmallFileError::Damaged { file, reason } => Self::NoIdentity {
                file,
                problem: format!("is damaged: {reason}"),
            },
            SmallFileError::Io { file, source }
                if !is_exhausted(&source) && !is_of_the_disk(&source) =>
            {
                Self::NoIdentity {
                    file,
                    problem: format!("cannot be read: {source}"),
                }
            }
            other => Self::SmallFile(other),
        }
    }

    /// A `durable-positions` that cannot be read. It is not taken for a missing one: writing it anew would throw away
    /// what may be readable again.
    pub(super) fn of_points(dir: &Path, source: io::Error) -> Self {
        match is_exhausted(&source) {
            true => Self::Io {
                dir: dir.to_owned(),
                source,
            },
            false => Self::PointsUnreadable {
                file: dir.join(DurablePositions::FILE),
                source,
            },
        }
    }
}

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// The directory of that name holds another topic's data.
    #[error("{} holds the data of topic id {found}, not of {asked}: directories were swapped or copied. Stop the broker, give each directory its own name again and start it; nothing in it was changed", .dir.display())]
    OtherTopic {
        /// The partition's directory.
        dir: PathBuf,
        /// The topic id in `partition.metadata`.
        found: TopicId,
        /// The topic id asked for.
        asked: TopicId,
    },
    /// The directory of that name holds another partition's data.
    #[error("{} holds the data of partition {found} of its topic, as its partition.metadata says: directories were swapped or copied. Stop the broker, give each directory its own name again and start it; nothing in it was changed", .dir.display())]
    OtherPartition {
        /// The partition's directory.
        dir: PathBuf,
        /// The number in `partition.metadata`.
        found: PartitionId,
    },
    /// A segment is another partition's.
    #[error("segment {} is another partition's, as both its index files say: segments were swapped or copied between partitions. Stop the broker, put the files of each back where they were written and start it; nothing was changed", .file.display())]
    OtherSegment {
        /// The segment's data file.
        file: PathBuf,
    },
    /// The log start is noted behind the log's end.
    #[error("{} says that the log begins at offset {start}, and its segments end at offset {end}: the file is another partition's, or segments are missing. Nothing was deleted. Stop the broker and put back what belongs here; or move the file away, and deleted records may come back. Then start it", .file.display())]
    StartBeyondEnd {
        /// The file that says so.
        file: PathBuf,
        /// The log start in it.
        start: Offset,
        /// The offset after the last record of the log.
        end: Offset,
    },
    /// There is data without `partition.metadata`, and no trace that it is this topic's.
    #[error("{} has data but no partition.metadata that says whose: restore that file, or move the directory away", .dir.display())]
    UnknownTopic {
        /// The partition's directory.
        dir: PathBuf,
    },
    /// The directory is gone, and it had data.
    #[error(
        "{} is gone, and it held records up to offset {end}: put it back and restart the broker. To go on without it, make an empty directory of this name: the log then begins at offset {end}, and those who read below are told what is missing", .dir.display()
    )]
    Gone {
        /// The partition's directory.
        dir: PathBuf,
        /// The offset after its last record that was durable.
        end: Offset,
    },
    /// The log is open already.
    #[error("the log of {partition} is open already")]
    AlreadyOpen {
        /// The partition.
        partition: TopicPartition,
    },
    /// A data file larger than any segment.
    #[error("{} has {bytes} bytes, a segment has less than 4 GiB", .file.display())]
    SegmentTooLarge {
        /// The data file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A log of the broker's own is damaged, and was left as it is.
    #[error("{0}")]
    Damaged(Corruption),
    /// The directory is out of service.
    #[error(transparent)]
    DirFailed(#[from] DirFailed),
    /// A small file cannot be used.
    #[error(transparent)]
    SmallFile(#[from] SmallFileError),
    /// A file could not be read or written.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl OpenLogError {
    /// Whether it says nothing about the log: there was no room, no file descriptor or no permission, or an earlier
    /// owner has not let go of it yet, which passes.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::SmallFile(SmallFileError::Io { source, .. }) | Self::Io { source, .. } => {
                is_passing(source)
            }
            Self::AlreadyOpen { .. } => true,
            _ => false,
        }
    }
}

/// Why a log was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteLogError {
    /// The directory of that name holds another topic's data.
    #[error("{} holds the data of topic id {found}, not of {asked}", .dir.display())]
    OtherTopic {
        /// The partition's directory.
        dir: PathBuf,
        /// The topic id in `partition.metadata`.
        found: TopicId,
        /// The topic id asked for.
        asked: TopicId,
    },
    /// A small file cannot be used.
    #[error(transparent)]
    SmallFile(#[from] SmallFileError),
    /// A file could not be renamed or removed.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
