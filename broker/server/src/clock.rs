//! The broker's clock: the machine's wall clock without its jumps. What passes while the machine is
//! suspended counts. Everything in this process that stamps, ages or deletes goes by it.

use std::sync::Arc;
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

/// The clock, and the wall clock, which may go its own ways.
#[derive(Clone)]
pub(crate) struct BrokerClock {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wall: Arc<dyn Clock>,
}

impl BrokerClock {
    /// How far the wall clock is behind, if it is: it was set back since the start.
    pub(crate) fn set_back(&self) -> Duration {
        self.clock.now().since(self.wall.now())
    }

    /// How far the wall clock is ahead, if it is: it was set forward since the start, or the machine stood still.
    pub(crate) fn ahead(&self) -> Duration {
        self.wall.now().since(self.clock.now())
    }
}

/// A clock that begins with the wall clock as it is now.
pub(crate) fn start() -> BrokerClock {
    let clock = SteadyClock::new(Machine(SystemClock::new()), |jump| warn!("{jump}"));
    BrokerClock {
        clock: Arc::new(clock),
        wall: Arc::new(SystemClock::new()),
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
