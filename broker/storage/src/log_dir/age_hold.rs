//! `AgeHold`: after a start at which the wall clock is in doubt, ages go on from when the broker was last
//! alive, as if no time had passed since, until a grace has passed. Nothing is deleted early by a clock that
//! is ahead; what was due before goes as ever. It is noted in the directories, so that it outlasts a restart;
//! a clock that gets ahead while the broker runs is noted there as well, for the next start.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_model::Timestamp;

use crate::io::Io;
use crate::small_file::{DoubtedClock, SmallFile, SmallFileError};

/// The hold of all log directories of a broker.
#[derive(Debug)]
pub struct AgeHold {
    /// As it was when this hold began, and that on the monotonic clock.
    doubt: DoubtedClock,
    begun: Duration,
    /// On the monotonic clock.
    until: Duration,
    is_for_good: AtomicBool,
}

impl AgeHold {
    /// Off for so long is nothing to wonder about; a clock that is further ahead is in doubt.
    pub const UNREMARKABLE: Duration = Duration::from_secs(24 * 3_600);

    /// Ages go on from where the doubt left them until they were held for `grace` in all; `begun` is now, on
    /// the monotonic clock.
    pub fn new(doubt: DoubtedClock, begun: Duration, grace: Duration) -> Self {
        Self {
            doubt,
            begun,
            until: begun.saturating_add(grace.saturating_sub(doubt.held)),
            is_for_good: AtomicBool::new(false),
        }
    }

    /// When the broker was last alive.
    pub fn last_alive(&self) -> Timestamp {
        self.doubt.last_alive
    }

    /// The clock was wrong: it goes on until the broker is started again.
    pub fn hold_for_good(&self) {
        self.is_for_good.store(true, Ordering::Relaxed);
    }

    /// Whether it is held for good.
    pub fn is_for_good(&self) -> bool {
        self.is_for_good.load(Ordering::Relaxed)
    }

    /// For how long it still goes on, at least; nothing when it is over.
    pub fn left(&self, monotonic: Duration) -> Option<Duration> {
        let left = self.until.saturating_sub(monotonic);
        (self.is_for_good() || !left.is_zero()).then_some(left)
    }

    /// What the next start has to know; nothing when it is over.
    pub(super) fn doubt(&self, monotonic: Duration) -> Option<DoubtedClock> {
        let passed = monotonic.saturating_sub(self.begun);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let alive = self.doubt.last_alive.as_millis().saturating_add(passed_ms);
        self.left(monotonic).map(|_| DoubtedClock {
            last_alive: Timestamp::from_millis(alive),
            held: self.doubt.held.saturating_add(passed),
        })
    }
}

/// Notes a doubt in a directory, or that there is none.
pub(super) fn note(
    io: &dyn Io,
    dir: &Path,
    doubt: Option<DoubtedClock>,
) -> Result<(), SmallFileError> {
    let file = dir.join(DoubtedClock::FILE);
    if let Some(doubt) = doubt {
        return doubt.store(io, &file);
    }
    let removed = match io.read_small(&file) {
        Ok(None) => Ok(()),
        _ => io.remove_file(&file).and_then(|()| io.sync_dir(dir)),
    };
    removed.map_err(|source| SmallFileError::Io { file, source })
}
