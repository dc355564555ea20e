//! The broker's clock: the machine's wall clock without its jumps. What passes while the machine is
//! suspended counts. Everything in this process that stamps, ages or deletes goes by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use broker_model::{Clock, SteadyClock, SystemClock, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

/// The machine's wall clock, and its time since boot.
struct Machine(SystemClock);

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        let since_boot = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(since_boot.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(since_boot.tv_nsec).unwrap_or(0);
        Duration::new(seconds, nanos)
    }
}

/// The clock, and where the wall clock has gone since.
#[derive(Clone)]
pub(crate) struct BrokerClock {
    pub(crate) clock: Arc<dyn Clock>,
    wall_ahead_ms: Arc<AtomicI64>,
}

impl BrokerClock {
    /// How far the wall clock was set back since the start, if it was.
    pub(crate) fn set_back(&self) -> Duration {
        let ahead = self.wall_ahead_ms.load(Ordering::Relaxed);
        match ahead < 0 {
            true => Duration::from_millis(ahead.unsigned_abs()),
            false => Duration::ZERO,
        }
    }
}

/// A clock that begins with the wall clock as it is now.
pub(crate) fn start() -> BrokerClock {
    let wall_ahead_ms = Arc::new(AtomicI64::new(0));
    let ahead = wall_ahead_ms.clone();
    let clock = SteadyClock::new(Machine(SystemClock::new()), move |jump| {
        ahead.store(jump.ahead_ms(), Ordering::Relaxed);
        warn!("{jump}");
    });
    BrokerClock {
        clock: Arc::new(clock),
        wall_ahead_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_the_time() {
        let (clock, machine) = (start().clock, SystemClock::new());
        let before = machine.now();
        let shown = clock.now();
        assert!(shown.since(before) < Duration::from_secs(60));
        assert!(before.since(shown) < Duration::from_secs(60));
        assert!(clock.monotonic() > Duration::ZERO);
    }
}
