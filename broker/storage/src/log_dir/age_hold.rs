//! `AgeHold`: after a start at which the wall clock is in doubt, ages go on from when the broker was last
//! alive, as if no time had passed since, until a grace has passed. Nothing is deleted early by a clock that
//! is ahead; what was due before goes as ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_model::Timestamp;

/// The hold of all log directories of a broker.
#[derive(Debug)]
pub struct AgeHold {
    last_alive: Timestamp,
    /// On the monotonic clock.
    until: Duration,
    is_for_good: AtomicBool,
}

impl AgeHold {
    /// Ages go on from `last_alive` until the monotonic clock shows `until`.
    pub fn new(last_alive: Timestamp, until: Duration) -> Self {
        Self {
            last_alive,
            until,
            is_for_good: AtomicBool::new(false),
        }
    }

    /// When the broker was last alive.
    pub fn last_alive(&self) -> Timestamp {
        self.last_alive
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
}
