//! Looking at a log directory without a broker: what `broker log dump` and `broker log verify` show.
//! Reads only and changes nothing; beside a running broker it may see a batch half
//! written at the end of the active segment.

mod finding;
mod indexes;
mod modules;
mod noted;
mod notes;
mod segment_reader;
mod topics;
mod twice;
mod verify;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use broker_model::{Offset, TopicPartition};

pub use finding::{Finding, FindingKind};
pub use modules::check_modules;
pub use notes::DirNotes;
pub use segment_reader::{Found, SegmentReader};
pub use topics::Topics;
pub use twice::check_twice;
pub use verify::{Summary, Verifier, verify_partition};

use crate::compaction::SwapJournal;
use crate::io::Io;
use crate::log_dir::LOCK_FILE;
use crate::segment::base_of;
use crate::small_file::{CleanerCheckpoint, PartitionMetadata, SmallFile};

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

/// Whether a directory says whose records it holds, as a partition's does. Unlike its name, that is nobody else's.
pub fn is_partition(io: &dyn Io, dir: &Path) -> bool {
    let metadata = io.read_small(&dir.join(PartitionMetadata::FILE));
    matches!(metadata, Ok(Some(_)))
}

/// The segments of a partition directory, oldest first. Where a broker was stopped while it put a
/// cleaning in place, they are those that it goes on with when it is started again.
///
/// # Errors
/// When the directory cannot be listed.
pub fn segments(io: &dyn Io, partition_dir: &Path) -> io::Result<Vec<SegmentFile>> {
    let entries = io.list(partition_dir)?;
    let journal = interrupted_swap(io, partition_dir).unwrap_or_default();
    let mut found = BTreeMap::new();
    for entry in &entries {
        let Some(base) = base_of(&entry.name) else {
            continue;
        };
        if !journal.remove.contains(&base) {
            let path = partition_dir.join(&entry.name);
            found.insert(base, (path, entry.len));
        }
    }
    for base in &journal.put {
        let path = journal.cleaned_data_file(partition_dir, *base);
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(entry) = entries.iter().find(|entry| name == Some(&entry.name)) {
            let len = entry.len;
            found.insert(*base, (path, len));
        }
    }
    let segments = found
        .into_iter()
        .map(|(base, (path, bytes))| SegmentFile { base, path, bytes });
    Ok(segments.collect())
}

/// How often what is wrong beside a running broker is looked at, and how long after the time before.
const LOOKS: u32 = 4;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Looks for what is wrong; where a broker changes it meanwhile, again: only what is found every time is so.
///
/// # Errors
/// What the look has failed with.
pub fn look_again<T>(
    in_use: bool,
    mut look: impl FnMut(&mut dyn FnMut(Finding)) -> io::Result<T>,
) -> io::Result<(T, Vec<Finding>)> {
    let mut found = Vec::new();
    let mut answer = look(&mut |finding| found.push(finding))?;
    for _ in 1..LOOKS {
        if !in_use || found.is_empty() {
            break;
        }
        thread::sleep(LOOK_AGAIN_AFTER);
        let mut again = Vec::new();
        answer = look(&mut |finding| again.push(finding))?;
        found.retain(|finding| again.contains(finding));
    }
    Ok((answer, found))
}

/// Whether a broker has a log directory at this moment.
///
/// # Errors
/// When the directory cannot be listed.
pub fn is_in_use(io: &dyn Io, log_dir: &Path) -> io::Result<bool> {
    let entries = io.list(log_dir)?;
    if !entries.iter().any(|entry| entry.name == LOCK_FILE) {
        return Ok(false);
    }
    // Without the right to write there is no telling.
    let lock = io.lock(&log_dir.join(LOCK_FILE));
    Ok(lock.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock))
}

/// Up to where a partition was cleaned: below it the records that the compaction policy gave up are
/// gone. `None` when it never was, or its checkpoint cannot be read.
pub fn cleaned_to(io: &dyn Io, partition_dir: &Path) -> Option<Offset> {
    let file = partition_dir.join(CleanerCheckpoint::FILE);
    let checkpoint = CleanerCheckpoint::load(io, &file).ok().flatten()?;
    Some(checkpoint.cleaned_to())
}

fn interrupted_swap(io: &dyn Io, partition_dir: &Path) -> Option<SwapJournal> {
    let file = partition_dir.join(SwapJournal::FILE);
    SwapJournal::load(io, &file).ok().flatten()
}
