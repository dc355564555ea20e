//! `Target`: what a path given to `broker log` means: a data directory, a partition, or a segment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_client::model::TopicPartition;
use broker_storage::inspect::{
    DirNotes, PartitionDir, SegmentFile, is_partition, partitions, segments,
};
use broker_storage::io::{Io, RealIo};

use crate::failure::Failure;

/// Partitions to look at.
pub(super) struct Target {
    pub(super) io: Arc<RealIo>,
    pub(super) partitions: Vec<PartitionFiles>,
    /// The log directory they are in, as far as it can be told.
    pub(super) log_dir: Option<PathBuf>,
}

/// A partition directory with its segments.
pub(super) struct PartitionFiles {
    /// Topic and partition by the name of the directory, or the directory's own name.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) segments: Vec<SegmentFile>,
}

impl PartitionFiles {
    /// Whether there is something in it that only a partition has.
    fn has_files(&self, io: &dyn Io) -> bool {
        !self.segments.is_empty() || is_partition(io, &self.path)
    }

    /// Bytes of its data files.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

impl Target {
    /// Finds out what a path is.
    pub(super) fn find(path: &Path) -> Result<Self, Failure> {
        let io = RealIo::new();
        let mut partitions = find(&*io, path)?;
        let absolute = path.canonicalize().ok();
        let mut above = absolute.iter().flat_map(|path| path.ancestors()).take(3);
        let log_dir = above
            .find(|dir| DirNotes::are_in(&*io, dir))
            .map(Path::to_owned);
        if log_dir.is_none() {
            // A name alone may be anybody's.
            partitions.retain(|partition| partition.has_files(&*io));
        }
        let is_log_dir = log_dir.is_some() && log_dir == absolute;
        if partitions.is_empty() && !is_log_dir {
            return Err(Failure::failed(format!("there is no partition in {}", path.display()))
                .with_hint("name the data directory (log.dir) or a partition in it, such as broker-data/orders-0"));
        }
        Ok(Self {
            io,
            partitions,
            log_dir,
        })
    }

    /// Bytes of all data files.
    pub(super) fn bytes(&self) -> u64 {
        self.partitions.iter().map(PartitionFiles::bytes).sum()
    }
}

fn find(io: &dyn Io, path: &Path) -> Result<Vec<PartitionFiles>, Failure> {
    let failed = |error: std::io::Error| Failure::from(error).after(path.display());
    // `orders-0` as it is named in a directory has no parent, `.` has no name.
    let path = &path.canonicalize().map_err(failed)?;
    if path.is_file() {
        let dir = path.parent().unwrap_or(path);
        let mut partition = files(io, dir)?;
        partition.segments.retain(|segment| segment.path == *path);
        let found = !partition.segments.is_empty();
        return Ok(if found { vec![partition] } else { Vec::new() });
    }
    let own = files(io, path)?;
    if !own.segments.is_empty() || is_partition_name(path) {
        return Ok(vec![own]);
    }
    let found = partitions(io, path).map_err(failed)?;
    let found = found.into_iter().map(|PartitionDir { path, .. }| {
        // What cannot be listed is told when it is looked at.
        files(io, &path).unwrap_or_else(|_| PartitionFiles {
            name: name_of(&path).unwrap_or_default(),
            path,
            segments: Vec::new(),
        })
    });
    Ok(found.collect())
}

fn is_partition_name(path: &Path) -> bool {
    name_of(path).is_some_and(|name| TopicPartition::from_dir_name(&name).is_some())
}

fn name_of(path: &Path) -> Option<String> {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
}

fn files(io: &dyn Io, path: &Path) -> Result<PartitionFiles, Failure> {
    let failed = |error: std::io::Error| Failure::from(error).after(path.display());
    Ok(PartitionFiles {
        name: name_of(path).unwrap_or_default(),
        segments: segments(io, path).map_err(failed)?,
        path: path.to_owned(),
    })
}
