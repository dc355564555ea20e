//! `Headroom`: how much may still be appended in a log directory before its file system has less than
//! the configured room left. The file system is asked now and then; what is appended in between is
//! counted, so that a burst cannot overrun the threshold between two looks.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::DirSpace;
use crate::io::Space;

/// `log.min.free.bytes`: the room that appends leave on the file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinFree {
    /// Records are taken until the disk is full.
    #[default]
    Off,
    /// 5 % of the file system, at most 1 GiB.
    Auto,
    /// So many bytes.
    Bytes(u64),
}

impl MinFree {
    /// The threshold on a file system of this size.
    fn on(self, total: u64) -> u64 {
        match self {
            Self::Off => 0,
            Self::Auto => (total / 20).min(1 << 30),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The file system has less room left than producers have to leave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "log directory {} has {free} bytes free and log.min.free.bytes = {min_free}: delete records or topics, shorten retention, or make room on that disk; writing goes on by itself then",
    .dir.display()
)]
pub struct LowSpace {
    /// The log directory.
    pub dir: PathBuf,
    /// Free bytes of its file system when it was last looked at.
    pub free: u64,
    /// `log.min.free.bytes`, as it comes to on that file system.
    pub min_free: u64,
}

/// The room of one log directory.
pub(crate) struct Headroom {
    dir: PathBuf,
    min_free: MinFree,
    /// Bytes that may be appended until the next look.
    left: AtomicU64,
    seen: Mutex<DirSpace>,
}

impl Headroom {
    pub(crate) fn new(dir: &Path, min_free: MinFree) -> Self {
        Self {
            dir: dir.to_owned(),
            min_free,
            left: AtomicU64::new(u64::MAX),
            seen: Mutex::default(),
        }
    }

    /// Takes `bytes` for an append, or says that there is no room for them.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), LowSpace> {
        if self.min_free == MinFree::Off {
            return Ok(());
        }
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            });
        if taken.is_ok() {
            return Ok(());
        }
        let mut seen = self.lock();
        if !seen.is_low {
            seen.is_low = true;
            self.say_low(&seen);
        }
        // Until the next look nothing smaller gets in either.
        self.left.store(0, Ordering::Relaxed);
        Err(LowSpace {
            dir: self.dir.clone(),
            free: seen.free,
            min_free: seen.min_free,
        })
    }

    /// Takes up what the file system says now.
    pub(crate) fn look(&self, space: Space) -> DirSpace {
        let mut seen = self.lock();
        let min_free = self.min_free.on(space.total);
        // A little more than the threshold has to be free before records are taken again, so that
        // a disk at the threshold does not go back and forth.
        let wanted = match seen.is_low {
            true => min_free.saturating_add(min_free / 16),
            false => min_free,
        };
        let was_low = seen.is_low;
        *seen = DirSpace {
            total: space.total,
            free: space.free,
            min_free,
            is_low: self.min_free != MinFree::Off && space.free < wanted.max(1),
        };
        let left = match seen.is_low {
            true => 0,
            false => space.free - min_free,
        };
        self.left.store(left, Ordering::Relaxed);
        match (was_low, seen.is_low) {
            (false, true) => self.say_low(&seen),
            (true, false) => {
                tracing::info!(dir = %self.dir.display(), free_bytes = seen.free, "there is room again, records are taken");
            }
            _ => {}
        }
        *seen
    }

    /// What the last look has found.
    pub(crate) fn seen(&self) -> DirSpace {
        *self.lock()
    }

    fn say_low(&self, seen: &DirSpace) {
        let (free_bytes, min_free_bytes) = (seen.free, seen.min_free);
        tracing::warn!(dir = %self.dir.display(), free_bytes, min_free_bytes, "no records are taken: the disk has less room than log.min.free.bytes");
    }

    fn lock(&self) -> MutexGuard<'_, DirSpace> {
        // It is replaced as a whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free: u64) -> Space {
        Space { total: 1000, free }
    }

    #[test]
    fn what_is_appended_between_two_looks_is_counted() {
        let room = Headroom::new(Path::new("/data"), MinFree::Bytes(100));
        assert!(!room.look(space(150)).is_low);
        room.take(30).unwrap();
        let refused = room.take(30).unwrap_err();
        assert_eq!((refused.free, refused.min_free), (150, 100));
        assert!(
            room.take(1).is_err(),
            "a smaller one after a larger one was refused"
        );
        assert!(room.seen().is_low);
    }

    #[test]
    fn records_are_taken_again_once_there_is_a_little_more_than_the_threshold() {
        let room = Headroom::new(Path::new("/data"), MinFree::Bytes(160));
        assert!(room.look(space(159)).is_low);
        assert!(room.look(space(169)).is_low);
        assert!(!room.look(space(170)).is_low);
        assert!(!room.look(space(160)).is_low);
        room.take(0).unwrap();
        assert!(room.take(1).is_err());
    }

    #[test]
    fn the_automatic_threshold_is_a_twentieth_and_at_most_a_gibibyte() {
        assert_eq!(MinFree::Auto.on(1000), 50);
        assert_eq!(MinFree::Auto.on(1 << 50), 1 << 30);
        assert_eq!(MinFree::Off.on(1000), 0);
    }

    #[test]
    fn without_a_threshold_nothing_is_refused() {
        let room = Headroom::new(Path::new("/data"), MinFree::Off);
        assert!(!room.look(space(0)).is_low);
        room.take(u64::MAX).unwrap();
    }
}
