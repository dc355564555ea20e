//! `Reserve`: a file of allocated blocks that nobody reads, in every log directory. When the disk is
//! full it is cut shorter step by step, so that the broker's own small writes still find room:
//! deleting records and topics, metadata, the start of the broker. What such a write has not used, or
//! frees when it replaces an older file, is taken back at once, before others can have it; so work that
//! needs no more room than before costs nothing. It grows back with the room. The last step is the file itself, which
//! a file system without inodes needs for any other.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io::{Io, IoFile, OpenMode, Space};

/// What one write that found no room gives back to the file system.
const STEP: u64 = 32 * 1024;
/// The least that is taken back: a block of most file systems.
const BLOCK: u64 = 4096;
/// The least and the most that is kept back.
const BYTES: std::ops::RangeInclusive<u64> = 4 * STEP..=4 << 20;
/// In between, a 32nd of the file system is.
const SHARE: u64 = 32;

/// The reserve of one log directory.
pub(crate) struct Reserve {
    io: Arc<dyn Io>,
    path: PathBuf,
    /// Held while the disk is asked.
    state: Mutex<State>,
    /// So that who asks whether it is low does not wait for the disk.
    is_low: AtomicBool,
}

struct State {
    /// `None` when the file cannot be made, or was given up.
    file: Option<Arc<dyn IoFile>>,
    len: u64,
    /// How long it ought to be, by the last look at the room.
    wanted: u64,
    /// What was given back for writes and may be taken again.
    owed: u64,
    /// Whether the last look at the room has found less than is wanted here.
    is_tight: bool,
}

impl Reserve {
    const FILE: &str = ".reserve";

    /// Takes up what there is; a directory without one gets it with the first look at the room.
    pub(crate) fn open(io: Arc<dyn Io>, dir: &Path) -> Self {
        let path = dir.join(Self::FILE);
        let file = io.open(&path, OpenMode::Create).ok();
        let len = file.as_ref().and_then(|file| file.len().ok()).unwrap_or(0);
        Self {
            io,
            path,
            state: Mutex::new(State {
                file,
                len,
                wanted: 0,
                owed: 0,
                is_tight: false,
            }),
            is_low: AtomicBool::new(false),
        }
    }

    /// Gives a step back to the file system; false when nothing is left.
    pub(super) fn spend(&self) -> bool {
        let mut state = self.lock();
        let Some(file) = state.file.clone() else {
            return false;
        };
        if state.len == 0 {
            state.file = None;
            drop(file);
            return self.io.remove_file(&self.path).is_ok();
        }
        let shorter = state.len.saturating_sub(STEP);
        if file.set_len(shorter).is_err() {
            return false;
        }
        state.owed += state.len - shorter;
        state.len = shorter;
        self.note(&state);
        tracing::debug!(file = %self.path.display(), left = shorter, "the disk is full, the reserve is spent");
        true
    }

    /// Takes back what was given for a write and is free again. Cheap where nothing was.
    pub(super) fn take_back(&self) {
        let mut state = self.lock();
        if state.owed < BLOCK && state.file.is_some() {
            return;
        }
        let Some(file) = self.file(&mut state).filter(|_| state.owed >= BLOCK) else {
            return;
        };
        let mut more = state.owed / BLOCK * BLOCK;
        while more >= BLOCK && state.owed >= BLOCK {
            let longer = state.len + more;
            match file.allocate(longer) {
                Ok(()) => {
                    state.len = longer;
                    state.owed -= more;
                    more = more.min(state.owed / BLOCK * BLOCK);
                }
                Err(_) => {
                    // What part of it was allocated is given back.
                    let _ = file.set_len(state.len);
                    more = more / 2 / BLOCK * BLOCK;
                }
            }
        }
        self.note(&state);
    }

    /// Whether more than half of it is spent, and the disk has no room for it: what is left is for
    /// deletions and for the next start.
    pub(crate) fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    /// Grows back as far as there is room: half of what is free stays free.
    pub(crate) fn refill(&self, space: Space) {
        let mut state = self.lock();
        self.grow(&mut state, space);
        self.note(&state);
    }

    fn note(&self, state: &State) {
        let is_low = state.is_tight && state.len < state.wanted / 2;
        self.is_low.store(is_low, Ordering::Relaxed);
    }

    fn grow(&self, state: &mut State, space: Space) {
        let wanted = (space.total / SHARE).clamp(*BYTES.start(), *BYTES.end()) / STEP * STEP;
        state.wanted = wanted;
        state.is_tight = space.free < wanted;
        let more = wanted.saturating_sub(state.len).min(space.free / 2) / BLOCK * BLOCK;
        let Some(file) = self.file(state).filter(|_| more > 0) else {
            return;
        };
        let longer = state.len + more;
        match file.allocate(longer) {
            Ok(()) => {
                state.len = longer;
                state.owed = state.owed.saturating_sub(more);
            }
            Err(error) => {
                tracing::debug!(file = %self.path.display(), %error, "the reserve cannot grow");
                // What part of it was allocated is given back.
                let _ = file.set_len(state.len);
            }
        }
    }

    /// The file, made anew if it was given up and there can be one again.
    fn file(&self, state: &mut State) -> Option<Arc<dyn IoFile>> {
        if state.file.is_none() {
            state.file = self.io.open(&self.path, OpenMode::Create).ok();
        }
        state.file.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
