//! `DirHealth`: whether a log directory is still in service. One failed sync or a disk error takes
//! it out for good: after a failed fsync the page cache lies, so nothing is retried.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::io::Errno;

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
}

impl DirHealth {
    pub(crate) fn new(dir: &Path) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            failure: OnceLock::new(),
            has_lost_writes: AtomicBool::new(false),
            damaged: Mutex::default(),
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

    /// Looks at an error of a read or a write: the disk's own take the directory out of service.
    pub(crate) fn observe(&self, file: &Path, error: &io::Error) {
        if is_of_the_disk(error) {
            self.fail(format_args!("{}: {error}", file.display()));
        }
    }
}

/// Whether an error speaks of the disk itself: of a file system, too, that was found damaged, or has become one that
/// is only read for that.
fn is_of_the_disk(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::IO | Errno::ROFS | Errno::UCLEAN)
    )
}

/// Whether a failed write says nothing about the disk's health: there is no room, or the process has
/// no file descriptor left to open a file with. A sync is never the one nor the other.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    is_no_space(error) || is_out_of_files(error)
}

/// What a sync has failed with, as it counts. One that speaks of no room has lost writes that had found theirs.
pub(crate) fn of_sync(error: io::Error) -> io::Error {
    match is_no_space(&error) {
        true => io::Error::other(format!("a sync failed: {error}")),
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

/// Whether the disk, a quota or a limit on file sizes is exhausted: that passes, nothing is broken.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
