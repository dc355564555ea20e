//! The partition directories of a log directory: finding, opening, deleting them.
//!
//! A partition is created by making its directory and then `partition.metadata` in it: a directory
//! with neither that file nor data is half a creation and is used or swept away. It is deleted by
//! renaming the directory first: what has such a name is half a deletion and is swept away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_model::{LeaderEpoch, Offset, PartitionId, TopicId, TopicName, TopicPartition};

use super::{DeleteLogError, DirShared, LogDirError, OpenLogError};
use crate::durable_positions::{DurablePoint, PartitionKey};
use crate::health::is_exhausted;
use crate::io::{Io, OpenMode};
use crate::log::{Log, LogConfig};
use crate::recovery::{OpenRequest, RecoveryReport, behind_unnoted, recover};
use crate::segment::base_of;
use crate::small_file::{PartitionMetadata, SmallFile, SmallFileError};

/// A partition that has a log in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPartition {
    /// Which.
    pub partition: TopicPartition,
    /// Of which topic; `None` when `partition.metadata` is missing or damaged.
    pub topic_id: Option<TopicId>,
}

pub(super) fn found(shared: &DirShared) -> Result<Vec<FoundPartition>, LogDirError> {
    let failed = |source| LogDirError::Io {
        dir: shared.path.clone(),
        source,
    };
    let io = &*shared.io;
    let (mut found, mut of_version_1) = (Vec::new(), Vec::new());
    for entry in io.list(&shared.path).map_err(failed)? {
        let dir = shared.path.join(&entry.name);
        if !entry.is_dir {
            continue;
        }
        if let Some(key) = doomed_key(&entry.name) {
            tracing::info!(dir = %dir.display(), "the deletion of a partition was interrupted: it is completed");
            shared.positions.release(&key).map_err(failed)?;
            shared.forget_log(&key);
            remove_tree(shared, &dir).map_err(failed)?;
            continue;
        }
        if entry.name.ends_with(DELETE_SUFFIX) {
            tracing::warn!(dir = %dir.display(), "not what a deletion of this broker leaves: left alone");
        }
        let Some(partition) = TopicPartition::from_dir_name(&entry.name) else {
            continue;
        };
        let topic_id = match PartitionMetadata::load(io, &dir.join(PartitionMetadata::FILE)) {
            Ok(Some(metadata)) => {
                if metadata.partition.is_none() {
                    let partition = Some(partition.partition);
                    let complete = PartitionMetadata {
                        partition,
                        ..metadata
                    };
                    of_version_1.push((dir.join(PartitionMetadata::FILE), complete));
                }
                Some(metadata.topic_id)
            }
            Ok(None) if is_stand_in(shared, &dir, &partition).map_err(failed)? => None,
            Ok(None) if !has_data(io, &dir).map_err(failed)? => {
                if is_half_created(io, &dir).map_err(failed)? {
                    remove_tree(shared, &dir).map_err(failed)?;
                } else {
                    tracing::warn!(dir = %dir.display(), "not a partition of this broker: left alone");
                }
                continue;
            }
            Ok(None) => None,
            Err(error @ SmallFileError::Damaged { .. }) => {
                tracing::warn!(%error, "topic id is not known");
                None
            }
            // Its log cannot be opened; that costs nobody else anything.
            Err(SmallFileError::Io { file, source }) if !is_exhausted(&source) => {
                tracing::error!(file = %file.display(), error = %source, "topic id is not known: the file cannot be read");
                None
            }
            Err(error) => return Err(error.into()),
        };
        found.push(FoundPartition {
            partition,
            topic_id,
        });
    }
    complete_together(shared, &of_version_1);
    found.sort_by(|a, b| a.partition.cmp(&b.partition));
    share_names(&mut found);
    Ok(found)
}

/// Lets those of one topic, which stand together, have one name: they are remembered, and may be many thousand.
fn share_names(found: &mut [FoundPartition]) {
    let mut last: Option<TopicName> = None;
    for FoundPartition { partition, .. } in found {
        match &last {
            Some(name) if *name == partition.topic => partition.topic = name.clone(),
            _ => last = Some(partition.topic.clone()),
        }
    }
}

pub(super) fn open(
    shared: &Arc<DirShared>,
    partition: &TopicPartition,
    topic_id: TopicId,
    config: LogConfig,
) -> Result<(Log, RecoveryReport), OpenLogError> {
    shared.health.check()?;
    let Some(guard) = shared.guard_open(partition, topic_id) else {
        return Err(OpenLogError::AlreadyOpen {
            partition: partition.clone(),
        });
    };
    {
        // An earlier owner of this log may have panicked with a sync under way: what that one has
        // still to write is not written any more once this one looks at the files.
        let _none_under_way = shared.replacing();
        shared.positions.retire(&(topic_id, partition.partition));
    }
    let dir = shared.path.join(partition.to_string());
    let is_new = claim(shared, &dir, partition, topic_id)?;
    let is_reopened = shared.note_opened((topic_id, partition.partition));
    let (parts, report) = recover(OpenRequest {
        shared: Arc::clone(shared),
        guard,
        partition: partition.clone(),
        topic_id,
        dir,
        config,
        is_new,
        is_reopened,
    })?;
    Ok((Log::new(parts), report))
}

/// Makes sure that the directory is there and this topic's; says whether it is new.
fn claim(
    shared: &DirShared,
    dir: &Path,
    partition: &TopicPartition,
    topic_id: TopicId,
) -> Result<bool, OpenLogError> {
    let failed = |source| OpenLogError::Io {
        file: dir.to_owned(),
        source,
    };
    let io = &*shared.io;
    let file = dir.join(PartitionMetadata::FILE);
    let metadata = match PartitionMetadata::load(io, &file) {
        Err(SmallFileError::Damaged { .. }) => None,
        other => other?,
    };
    if let Some(found) = metadata {
        check_owner(dir, found, partition, topic_id)?;
        complete(shared, &file, found, partition);
        return Ok(false);
    }
    let found = has_data(io, dir);
    let known_end = match shared.positions.known(&(topic_id, partition.partition)) {
        Some(point) => point.end,
        None if matches!(found, Ok(true)) => Offset::ZERO,
        None => end_by_high_watermark(shared, partition, topic_id).map_err(failed)?,
    };
    let had_data = known_end > Offset::ZERO;
    let is_new = match found {
        Ok(has_data) => !has_data && !had_data,
        Err(error) if error.kind() == io::ErrorKind::NotFound && had_data => {
            return Err(OpenLogError::Gone {
                dir: dir.to_owned(),
                end: known_end,
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed(error)),
    };
    // Data without a name is this topic's when a durable point of it says so.
    if !is_new && !had_data {
        return Err(OpenLogError::UnknownTopic {
            dir: dir.to_owned(),
        });
    }
    shared.check_place()?;
    match is_new {
        true => shared.disown_high_watermark(partition)?,
        false => tracing::warn!(dir = %dir.display(), "partition.metadata is made anew"),
    }
    let metadata = PartitionMetadata {
        topic_id,
        partition: Some(partition.partition),
    };
    io.create_dir_all(dir).map_err(failed)?;
    let stored = metadata.store(io, &file);
    stored.inspect_err(|error| shared.observe_small(error))?;
    match shared.planted.create_without_directory_sync {
        true => Ok(is_new),
        false => io.sync_dir(&shared.path).map_err(failed).map(|()| is_new),
    }
}

fn check_owner(
    dir: &Path,
    found: PartitionMetadata,
    partition: &TopicPartition,
    topic_id: TopicId,
) -> Result<(), OpenLogError> {
    if found.topic_id != topic_id {
        return Err(OpenLogError::OtherTopic {
            dir: dir.to_owned(),
            found: found.topic_id,
            asked: topic_id,
        });
    }
    match found.other_than(partition.partition) {
        None => Ok(()),
        Some(found) => Err(OpenLogError::OtherPartition {
            dir: dir.to_owned(),
            found,
        }),
    }
}

/// The end of a log of which nothing is left, not even its durable point: behind what may have been acknowledged
/// above its high watermark. That is remembered as a durable point from then on, until an operator acts.
fn end_by_high_watermark(
    shared: &DirShared,
    partition: &TopicPartition,
    topic_id: TopicId,
) -> io::Result<Offset> {
    let key: PartitionKey = (topic_id, partition.partition);
    let noted = shared.high_watermarks().0.get(partition).copied();
    let end = noted.filter(|noted| *noted > Offset::ZERO && shared.positions.is_doubtful(&key));
    let end = end.map(behind_unnoted);
    if let Some(end) = end {
        let point = DurablePoint {
            segment: end,
            position: 0,
            end,
            epoch: LeaderEpoch::default(),
            is_async: false,
        };
        shared.positions.reset(key, point)?;
    }
    Ok(end.unwrap_or_default())
}

/// Adds the numbers that files of version 1 do not have, with one sync for all of them: there may be many
/// thousand. Any that cannot be made has time until its log is opened.
fn complete_together(shared: &DirShared, all: &[(PathBuf, PartitionMetadata)]) {
    let io = &*shared.io;
    let mut made = Vec::new();
    for (file, complete) in all {
        let temporary = file.with_extension("metadata.tmp");
        let opened = io.open(&temporary, OpenMode::Truncate);
        let written = opened.and_then(|new| new.write_all_at(&complete.encode(), 0));
        match written {
            Ok(()) => made.push((temporary, file)),
            Err(_) => drop(io.remove_file(&temporary)),
        }
    }
    if made.is_empty() {
        return;
    }
    let failed = |file: &Path, error: io::Error| {
        shared.observe_write(file, &error);
        tracing::warn!(%error, file = %file.display(), "it does not say yet which partition it is of");
    };
    let synced = io.sync_all(&shared.path);
    let is_synced = synced.map_err(|error| failed(&shared.path, error)).is_ok();
    for (temporary, file) in made {
        if is_synced {
            match io.rename(&temporary, file) {
                Ok(()) => continue,
                Err(error) => failed(file, error),
            }
        }
        // On a full disk every byte counts.
        let _ = io.remove_file(&temporary);
    }
}

/// Adds the number that a file of version 1 does not have. Without room it has time until the next start.
fn complete(shared: &DirShared, file: &Path, found: PartitionMetadata, partition: &TopicPartition) {
    let complete = PartitionMetadata {
        partition: Some(partition.partition),
        ..found
    };
    if found != complete
        && let Err(error) = complete.store(&*shared.io, file)
    {
        shared.observe_small(&error);
        tracing::warn!(%error, "it does not say which partition it is of");
    }
}

/// Ends the name of a directory that is being deleted. No partition's directory ends like it.
const DELETE_SUFFIX: &str = ".delete";

pub(super) fn delete(
    shared: &DirShared,
    partition: &TopicPartition,
    topic_id: TopicId,
) -> Result<(), DeleteLogError> {
    let io = &*shared.io;
    let dir = shared.path.join(partition.to_string());
    let failed = |source| {
        shared.health.observe(&dir, &source);
        DeleteLogError::Io {
            file: dir.clone(),
            source,
        }
    };
    let metadata = match PartitionMetadata::load(io, &dir.join(PartitionMetadata::FILE)) {
        Err(SmallFileError::Damaged { .. }) => None,
        Err(SmallFileError::Io { source, .. }) => return Err(failed(source)),
        other => other?,
    };
    if let Some(found) = metadata.filter(|found| found.topic_id != topic_id) {
        return Err(DeleteLogError::OtherTopic {
            dir,
            found: found.topic_id,
            asked: topic_id,
        });
    }
    let key = (topic_id, partition.partition);
    let doomed = shared.path.join(doomed_name(&key));
    shared.positions.retire(&key);
    remove_tree(shared, &doomed).map_err(failed)?;
    let renamed = io
        .rename(&dir, &doomed)
        .and_then(|()| io.sync_dir(&shared.path));
    match renamed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    shared.positions.release(&key).map_err(failed)?;
    shared.forget_log(&key);
    shared.forget_high_watermark(partition);
    remove_tree(shared, &doomed).map_err(failed)
}

pub(super) fn forget(shared: &DirShared, deleted: &[TopicId]) -> io::Result<()> {
    let known = shared.positions.snapshot().0;
    for key in known
        .keys()
        .filter(|(topic_id, _)| deleted.contains(topic_id))
    {
        shared.positions.release(key)?;
        shared.forget_log(key);
    }
    Ok(())
}

/// Takes over what another directory has noted of a log that was moved here from there.
pub(super) fn adopt(
    shared: &DirShared,
    from: &DirShared,
    partition: &TopicPartition,
    key: PartitionKey,
) -> io::Result<()> {
    let Some(point) = from.positions.known(&key) else {
        return Ok(());
    };
    let noted = from.high_watermarks().0.get(partition).copied();
    if let Some(high_watermark) = noted {
        shared.note_high_watermark(partition, high_watermark);
    }
    shared.positions.adopt(key, point)
}

/// Forgets what is noted of a log that has its place in another directory by now: it would be wrong if the log came
/// back.
pub(super) fn forget_moved(shared: &DirShared, key: &PartitionKey) -> io::Result<()> {
    shared.positions.release(key)?;
    shared.forget_log(key);
    Ok(())
}

/// What a partition's directory is called while it is deleted. The topic's name may be as long as a
/// file name can be, so it is left out.
fn doomed_name(key: &PartitionKey) -> String {
    format!("{}-{}{DELETE_SUFFIX}", key.0, key.1)
}

pub(crate) fn doomed_key(name: &str) -> Option<PartitionKey> {
    let (topic_id, partition) = name.strip_suffix(DELETE_SUFFIX)?.rsplit_once('-')?;
    let key = (
        topic_id.parse().ok()?,
        PartitionId::new(partition.parse().ok()?),
    );
    // Nothing that is only like it.
    Some(key).filter(|key| doomed_name(key) == name)
}

fn has_data(io: &dyn Io, dir: &Path) -> io::Result<bool> {
    let entries = io.list(dir)?;
    Ok(entries
        .iter()
        .any(|entry| base_of(&entry.name).is_some() && entry.len > 0))
}

/// Whether an operator has made this empty directory in place of one that had data and is gone.
fn is_stand_in(shared: &DirShared, dir: &Path, partition: &TopicPartition) -> io::Result<bool> {
    Ok(shared.positions.had_data(partition.partition) && shared.io.list(dir)?.is_empty())
}

/// Whether all that is in a directory without data is what the creation of a partition leaves behind.
fn is_half_created(io: &dyn Io, dir: &Path) -> io::Result<bool> {
    let entries = io.list(dir)?;
    Ok(entries.iter().all(|entry| {
        let ours =
            entry.name.starts_with(PartitionMetadata::FILE) || base_of(&entry.name).is_some();
        ours && !entry.is_dir
    }))
}

/// Removes a directory of files; fine when it is not there.
fn remove_tree(shared: &DirShared, dir: &Path) -> io::Result<()> {
    let io = &*shared.io;
    let entries = match io.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            remove_tree(shared, &path)?;
        } else {
            io.remove_file(&path)?;
        }
    }
    io.remove_dir(dir)
}
