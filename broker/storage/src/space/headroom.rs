//! `Headroom`: how much may still be appended in a log directory before its file system has less than
//! the configured room left. The file system is asked now and then; what is appended in between is
//! counted, so that a burst cannot overrun the threshold between two looks.

use std::io;
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

/// Less than this is no room at all.
const FULL_BELOW: u64 = 64 * 1024;
/// A disk that had no room for a record has some again when so many looks in a row have passed without
/// another refusal.
const QUIET_LOOKS: u32 = 2;

/// The file system has less room left than producers have to leave, or would have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "log directory {} would be left with {free} bytes free and takes no records below {wanted} (log.min.free.bytes): {}",
    .dir.display(),
    advice(*.wanted, *.total)
)]
pub struct LowSpace {
    /// The log directory.
    pub dir: PathBuf,
    /// What is free on its file system, or would be after the append: less than `wanted`.
    pub free: u64,
    /// What has to stay free: `log.min.free.bytes`, as it comes to on that file system; a sixteenth
    /// more when there is that much again after there was too little.
    pub wanted: u64,
    /// Size of its file system.
    pub total: u64,
}

/// What an operator can do.
fn advice(wanted: u64, total: u64) -> String {
    match wanted > total {
        true => format!(
            "its disk has {total} bytes in all, so that nothing makes room enough; set log.min.free.bytes below that"
        ),
        false => "delete records or topics, shorten retention, or make room on that disk; writing goes on by itself then".to_owned(),
    }
}

/// The room of one log directory.
pub(crate) struct Headroom {
    dir: PathBuf,
    min_free: MinFree,
    /// Bytes that may be appended until the next look.
    left: AtomicU64,
    /// Appends refused since the last look.
    refused: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seen: DirSpace,
    /// Looks since the disk had no room for a record; none when it had.
    quiet_looks: Option<u32>,
    /// Appends refused since there was room, as far as looks have counted them.
    refused: u64,
}

impl Headroom {
    pub(crate) fn new(dir: &Path, min_free: MinFree) -> Self {
        Self {
            dir: dir.to_owned(),
            min_free,
            left: AtomicU64::new(u64::MAX),
            refused: AtomicU64::new(0),
            state: Mutex::default(),
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
        let Err(left) = taken else {
            return Ok(());
        };
        self.refused.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        let min_free = state.seen.min_free;
        if left > 0 || !state.seen.is_low {
            // As far as is known since the last look.
            state.seen.free = min_free.saturating_add(left).saturating_sub(bytes);
        }
        if !state.seen.is_low {
            state.seen.is_low = true;
            self.say_low(&state);
        }
        // Until the next look nothing smaller gets in either.
        self.left.store(0, Ordering::Relaxed);
        let free = state.seen.free;
        Err(LowSpace {
            dir: self.dir.clone(),
            free,
            wanted: match free < min_free {
                true => min_free,
                false => to_go_on(min_free),
            },
            total: state.seen.total,
        })
    }

    /// The disk had no room for an append; `refusal` is what the system said.
    pub(crate) fn note_full(&self, refusal: &io::Error) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        let is_news = !state.seen.is_low;
        state.quiet_looks = Some(0);
        state.seen.is_low = true;
        if is_news && state.seen.lacks_inodes {
            self.say_low(&state);
        } else if is_news {
            let dir = self.dir.display();
            tracing::warn!(%dir, %refusal, "the disk is full: records that do not fit are refused");
        }
    }

    /// Takes up what the file system says now.
    pub(crate) fn look(&self, space: Space) -> DirSpace {
        let refused = self.refused.swap(0, Ordering::Relaxed);
        let mut state = self.lock();
        state.refused += refused;
        let quiet = state.quiet_looks.map(|looks| match refused {
            0 => looks + 1,
            _ => 0,
        });
        state.quiet_looks = quiet.filter(|looks| *looks < QUIET_LOOKS);
        let min_free = self.min_free.on(space.total);
        let was_low = state.seen.is_low;
        let lacked_inodes = state.seen.lacks_inodes;
        let is_below = self.min_free != MinFree::Off
            && match was_low {
                // A little more than the threshold has to be free before records are taken again,
                // so that a disk at the threshold does not go back and forth.
                true => space.free < to_go_on(min_free).max(1),
                false => space.free < min_free.max(1),
            };
        let has_none = space.free < FULL_BELOW.min(space.total / 4);
        let is_full = state.quiet_looks.is_some() || (self.min_free == MinFree::Off && has_none);
        state.seen = DirSpace {
            total: space.total,
            free: space.free,
            min_free,
            lacks_inodes: space.lacks_inodes,
            is_low: is_below || is_full,
        };
        let left = match is_below {
            true => 0,
            false => space.free.saturating_sub(min_free),
        };
        self.left.store(left, Ordering::Relaxed);
        match (was_low, state.seen.is_low) {
            (false, true) => self.say_low(&state),
            // What was said at the refusal was by an earlier look.
            (true, true) if space.lacks_inodes && !lacked_inodes => self.say_low(&state),
            (true, false) => {
                let refused = std::mem::take(&mut state.refused);
                tracing::info!(dir = %self.dir.display(), free_bytes = state.seen.free, refused, "there is room again, records are taken");
            }
            _ => {}
        }
        state.seen
    }

    /// What the last look has found.
    pub(crate) fn seen(&self) -> DirSpace {
        self.lock().seen
    }

    fn say_low(&self, state: &State) {
        let (dir, free_bytes) = (self.dir.display(), state.seen.free);
        if state.seen.lacks_inodes && state.quiet_looks.is_some() {
            tracing::warn!(%dir, free_bytes, "the file system has no inodes left, however many bytes are free: no file can be made on it, and records that need one are refused");
        } else if self.min_free == MinFree::Off || state.quiet_looks.is_some() {
            tracing::warn!(%dir, free_bytes, "the disk is full: records that do not fit are refused");
        } else {
            let min_free_bytes = state.seen.min_free;
            tracing::warn!(%dir, free_bytes, min_free_bytes, "no records are taken: the disk has less room than log.min.free.bytes");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has to be free again before records are taken.
fn to_go_on(min_free: u64) -> u64 {
    min_free.saturating_add(min_free / 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free: u64) -> Space {
        Space {
            total: 1000,
            free,
            lacks_inodes: false,
        }
    }

    #[test]
    fn what_is_appended_between_two_looks_is_counted() {
        let room = Headroom::new(Path::new("/data"), MinFree::Bytes(100));
        assert!(!room.look(space(150)).is_low);
        room.take(30).unwrap();
        let refused = room.take(30).unwrap_err();
        assert_eq!(
            (refused.free, refused.wanted),
            (90, 100),
            "what would be left"
        );
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
    fn a_refusal_never_contradicts_itself() {
        let room = Headroom::new(Path::new("/data"), MinFree::Bytes(160));
        for (free, bytes) in [
            (900, 800),
            (161, 2),
            (159, 1),
            (169, 1),
            (165, 1),
            (10, 500),
        ] {
            room.look(space(free));
            let refused = room.take(bytes).unwrap_err();
            assert!(refused.free < refused.wanted, "{refused:?}");
            assert!((160..=170).contains(&refused.wanted), "{refused:?}");
        }
    }

    #[test]
    fn a_threshold_that_no_disk_can_meet_is_what_is_to_be_changed() {
        for (threshold, advice) in [
            (500, "delete records or topics"),
            (1001, "set log.min.free.bytes below"),
        ] {
            let room = Headroom::new(Path::new("/data"), MinFree::Bytes(threshold));
            room.look(space(400));
            let refused = room.take(1).unwrap_err().to_string();
            assert!(refused.contains(advice), "{refused}");
        }
    }

    #[test]
    fn without_a_threshold_nothing_is_refused_and_a_full_disk_is_told() {
        let room = Headroom::new(Path::new("/data"), MinFree::Off);
        assert!(room.look(space(0)).is_low);
        room.take(u64::MAX).unwrap();
        assert!(!room.look(space(500)).is_low);
        // There is some room, and not enough for what came.
        room.note_full(&io::ErrorKind::StorageFull.into());
        assert!(room.seen().is_low);
        assert!(room.look(space(500)).is_low);
        room.note_full(&io::ErrorKind::StorageFull.into());
        assert!(room.look(space(500)).is_low, "it goes on");
        assert!(room.look(space(500)).is_low);
        assert!(
            !room.look(space(500)).is_low,
            "for a while nothing was refused"
        );
    }
}
