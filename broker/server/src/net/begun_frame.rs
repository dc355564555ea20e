//! A frame that was begun: until when it has to be complete, and whether it goes on. What is sent before `hello` was
//! answered has the time of the handshake as a whole, however it is cut into frames and bytes.

use std::time::Duration;

use tokio::time::Instant;

use super::budget::{ConnectionBudget, Incomplete, TINY_FRAME_BYTES};
use super::read_error::ReadError;

/// So many bytes more and a frame does not stand still.
const PROGRESS_BYTES: usize = 64 * 1024;

/// How long the next frame may take to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Until then: `hello` has not been answered.
    Handshake(Instant),
    /// So long with nothing under way.
    Idle(Duration),
}

/// Until when a frame has to be complete.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deadline {
    /// It is part of the handshake.
    Handshake(Instant),
    Frame(Instant),
}

impl Deadline {
    /// Of a frame that begins now and may take so long.
    pub(super) fn of_frame(patience: Patience, time_max: Duration) -> Self {
        let by = Instant::now() + time_max;
        match patience {
            Patience::Handshake(until) if until <= by => Self::Handshake(until),
            _ => Self::Frame(by),
        }
    }

    pub(super) fn at(self) -> Instant {
        match self {
            Self::Handshake(at) | Self::Frame(at) => at,
        }
    }

    /// What to say when it has passed and so many bytes are missing.
    pub(super) fn passed(self, missing: usize) -> ReadError {
        match self {
            Self::Handshake(_) => ReadError::HandshakeTime,
            Self::Frame(_) => ReadError::FrameTime { missing },
        }
    }
}

/// A frame that was begun and is not complete.
pub(super) struct Begun {
    frame_bytes: usize,
    pub(super) deadline: Deadline,
    /// How many bytes it had when it last went on, and how long its peer was waited for since.
    progress: (usize, Duration),
    /// Counts it as long as it holds no place.
    pub(super) incomplete: Option<Incomplete>,
}

impl Begun {
    /// A frame of so many bytes, of which some were read, that has to be complete by then.
    pub(super) fn new(
        budget: &ConnectionBudget,
        (frame_bytes, read): (usize, usize),
        by: Deadline,
    ) -> Self {
        Self {
            frame_bytes,
            deadline: by,
            progress: (read, Duration::ZERO),
            incomplete: (frame_bytes <= TINY_FRAME_BYTES).then(|| budget.begin(read)),
        }
    }

    /// Notes that so many bytes of it are there now.
    pub(super) fn has(&mut self, read: usize) {
        if read >= self.progress.0 + PROGRESS_BYTES {
            self.progress = (read, Duration::ZERO);
        }
        if let Some(incomplete) = &mut self.incomplete {
            incomplete.has(read);
        }
    }

    /// Notes that its peer was waited for, and came late or not at all. Bytes that lie in the socket while others
    /// have their turn on this thread are not late.
    pub(super) fn waited(&mut self, time: Duration) {
        self.progress.1 += time;
    }

    pub(super) fn stands_still(&self, budget: &ConnectionBudget) -> bool {
        let stall_max = budget.stall_max(self.frame_bytes);
        stall_max.is_some_and(|max| self.progress.1 >= max)
    }
}
