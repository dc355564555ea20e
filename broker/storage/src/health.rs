//! `DirHealth`: whether a log directory is still in service. One failed sync or a disk error takes
//! it out for good: after a failed fsync the page cache lies, so nothing is retried.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::io::Errno;

use crate::io::Io;

/// A log directory is out of service until the broker is started again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log directory {} is out of service: {reason}", .dir.display())]
pub struct DirFailed {
    /// The directory.
    pub dir: PathBuf,
    /// What went wrong first.
    pub reason: Arc<str>,
}

/// The state of one directory, shared by everything that works in it.
#[derive(Debug)]
pub(crate) struct DirHealth {
    dir: PathBuf,
    failure: OnceLock<Arc<str>>,
    /// Whether that, or what came after it, was a sync of data: what was not synced may be gone.
    has_lost_writes: AtomicBool,
    /// Partition directories in which damage was found since the start.
    damaged: Mutex<BTreeSet<PathBuf>>,
    denied: Mutex<Option<NotPermitted>>,
}

/// The user that the broker runs as may not use a file or a directory. It passes once the permission is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker may not use {}: {reason}. Give the user that it runs as the permission, on that and on the directories above it (chown, chmod); it goes on by itself then", .file.display())]
pub struct NotPermitted {
    /// The file or directory.
    pub file: PathBuf,
    /// What the operating system said.
    pub reason: Arc<str>,
}

impl NotPermitted {
    /// What an error says, if it is of that kind.
    pub(crate) fn of(file: &Path, error: &io::Error) -> Option<Self> {
        is_not_permitted(error).then(|| Self {
            file: file.to_owned(),
            reason: error.to_string().into(),
        })
    }
}

impl DirHealth {
    pub(crate) fn new(dir: &Path) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            failure: OnceLock::new(),
            has_lost_writes: AtomicBool::new(false),
            damaged: Mutex::default(),
            denied: Mutex::default(),
        })
    }

    /// Whether writes may go on.
    pub(crate) fn check(&self) -> Result<(), DirFailed> {
        match self.failure.get() {
            None => Ok(()),
            Some(reason) => Err(DirFailed {
                dir: self.dir.clone(),
                reason: Arc::clone(reason),
            }),
        }
    }

    /// Takes the directory out of service; the first reason stays.
    pub(crate) fn fail(&self, reason: impl Display) -> DirFailed {
        let reason = self.failure.get_or_init(|| {
            let reason: Arc<str> = reason.to_string().into();
            tracing::error!(dir = %self.dir.display(), %reason, "log directory is out of service");
            reason
        });
        DirFailed {
            dir: self.dir.clone(),
            reason: Arc::clone(reason),
        }
    }

    /// The same for a failed sync of data. The page cache has what the disk may never get, and nothing tells of it
    /// later: what was not synced is as uncertain as after a power loss.
    pub(crate) fn fail_sync(&self, reason: impl Display) -> DirFailed {
        self.has_lost_writes.store(true, Ordering::SeqCst);
        self.fail(reason)
    }

    /// Whether a sync of data has failed.
    pub(crate) fn has_lost_writes(&self) -> bool {
        self.has_lost_writes.load(Ordering::SeqCst)
    }

    /// Damage was found in a file of the partition that has this directory.
    pub(crate) fn note_damage(&self, partition_dir: &Path) {
        self.lock_damaged().insert(partition_dir.to_owned());
    }

    /// Where damage was found since the start; it may be gone meanwhile.
    pub(crate) fn damaged(&self) -> Vec<PathBuf> {
        self.lock_damaged().iter().cloned().collect()
    }

    fn lock_damaged(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        // Nothing panics while it is held.
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the broker may not use, as far as it has met it.
    pub(crate) fn denied(&self) -> Option<NotPermitted> {
        self.lock_denied().clone()
    }

    /// Asks again for the permission that was missing, and for that to write to the directory itself.
    pub(crate) fn look_for_permission(&self, io: &dyn Io) {
        let met = self.denied().map(|denied| denied.file);
        let asked = [Some(self.dir.clone()), met];
        let denied = asked.into_iter().flatten().find_map(|file| {
            // What could not be made takes a permission of the directory it is to be in.
            let may_use = match (io.may_write(&file), file.parent()) {
                (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                    io.may_write(parent)
                }
                (answer, _) => answer,
            };
            NotPermitted::of(&file, &may_use.err()?)
        });
        self.tell_denied(denied);
    }

    fn tell_denied(&self, denied: Option<NotPermitted>) {
        let before = std::mem::replace(&mut *self.lock_denied(), denied.clone());
        match (before, denied) {
            (before, Some(denied)) if before.as_ref() != Some(&denied) => {
                tracing::error!(dir = %self.dir.display(), "{denied}");
            }
            (Some(before), None) => {
                tracing::info!(dir = %self.dir.display(), file = %before.file.display(), "the permission that was missing is there");
            }
            _ => {}
        }
    }

    fn lock_denied(&self) -> MutexGuard<'_, Option<NotPermitted>> {
        // Nothing panics while it is held.
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at an error of a read or a write: the disk's own take the directory out of service, a permission
    /// that is missing is told.
    pub(crate) fn observe(&self, file: &Path, error: &io::Error) {
        // One is told at a time: there may be many thousand files of one wrong owner.
        let denied = NotPermitted::of(file, error).filter(|_| self.denied().is_none());
        if denied.is_some() {
            self.tell_denied(denied);
        }
        if is_of_the_disk(error) {
            self.fail(format_args!("{}: {error}", file.display()));
        }
    }
}

/// Whether an error speaks of the disk itself: of a file system, too, that was found damaged, or has become one that
/// is only read for that.
pub(crate) fn is_of_the_disk(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::IO | Errno::ROFS | Errno::UCLEAN)
    )
}

/// Whether a failed write says nothing about the disk's health: there is no room, or no file could be opened to
/// write to. A sync is never the one nor the other.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    is_no_space(error) || is_not_opened(error)
}

/// Whether nothing was opened, made or removed, for want of a file descriptor or of a permission.
pub(crate) fn is_not_opened(error: &io::Error) -> bool {
    is_out_of_files(error) || is_not_permitted(error)
}

/// Whether the user that the broker runs as may not do it.
pub(crate) fn is_not_permitted(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::ACCESS | Errno::PERM)
    )
}

/// Whether a resource is used up, so that a file that could not be read says nothing of itself.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    is_no_space(error) || is_out_of_files(error)
}

/// What a sync has failed with, as it counts. One that speaks of no room has lost writes that had found theirs, and
/// one of a permission, as network file systems have it, writes that had been allowed.
pub(crate) fn of_sync(error: io::Error) -> io::Error {
    match is_no_space(&error) || is_not_permitted(&error) {
        true => io::Error::other(format!("a sync failed: {error}")),
        false => error,
    }
}

/// What the sync of a file has failed with that is open: not for lack of descriptors, whatever it says, or it would
/// be done again.
pub(crate) fn of_open_file(error: io::Error) -> io::Error {
    match is_out_of_files(&error) {
        true => io::Error::other(error.to_string()),
        false => error,
    }
}

/// Whether the process or the machine has run out of file descriptors: nothing was opened.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

/// Whether a file may not grow any further, for a limit of the process or of the file system.
pub(crate) fn is_file_limit(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge
}

/// Whether the disk, a quota or a limit on file sizes is exhausted: that passes, nothing is broken.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
