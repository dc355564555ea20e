//! `Reserve`: a file of allocated blocks that nobody reads, in every log directory. When the disk is
//! full it is cut shorter step by step, so that the broker's own small writes still find room:
//! deleting records and topics, metadata, the start of the broker. It grows back with the room.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io::{Io, IoFile, OpenMode, Space};

/// What one write that found no room gives back to the file system.
const STEP: u64 = 32 * 1024;
/// The least and the most that is kept back.
const BYTES: std::ops::RangeInclusive<u64> = 4 * STEP..=4 << 20;
/// In between, a 32nd of the file system is.
const SHARE: u64 = 32;

/// The reserve of one log directory.
pub(crate) struct Reserve {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// `None` when the file cannot be made.
    file: Option<Arc<dyn IoFile>>,
    len: u64,
}

impl Reserve {
    const FILE: &str = ".reserve";

    /// Takes up what there is; a directory without one gets it with the first look at the room.
    pub(crate) fn open(io: &dyn Io, dir: &Path) -> Self {
        let path = dir.join(Self::FILE);
        let file = io.open(&path, OpenMode::Create).ok();
        let len = file.as_ref().and_then(|file| file.len().ok()).unwrap_or(0);
        Self {
            path,
            state: Mutex::new(State { file, len }),
        }
    }

    /// Gives a step back to the file system; false when nothing is left.
    pub(super) fn spend(&self) -> bool {
        let mut state = self.lock();
        let Some(file) = state.file.clone().filter(|_| state.len > 0) else {
            return false;
        };
        let shorter = state.len.saturating_sub(STEP);
        if file.set_len(shorter).is_err() {
            return false;
        }
        state.len = shorter;
        tracing::debug!(file = %self.path.display(), left = shorter, "the disk is full, the reserve is spent");
        true
    }

    /// Grows back as far as there is room: half of what is free stays free.
    pub(crate) fn refill(&self, space: Space) {
        let mut state = self.lock();
        let wanted = (space.total / SHARE).clamp(*BYTES.start(), *BYTES.end()) / STEP * STEP;
        let more = wanted.saturating_sub(state.len).min(space.free / 2) / STEP * STEP;
        let Some(file) = state.file.clone().filter(|_| more > 0) else {
            return;
        };
        let longer = state.len + more;
        match file.allocate(longer) {
            Ok(()) => state.len = longer,
            Err(error) => {
                tracing::debug!(file = %self.path.display(), %error, "the reserve cannot grow");
                // What part of it was allocated is given back.
                let _ = file.set_len(state.len);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
