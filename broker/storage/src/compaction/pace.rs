//! `Pace`: how quickly a cleaning may go, how far it is, and whether it is to stop. Shared between the
//! thread that cleans and whoever watches; a `Throttle` bounds several cleanings together.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use broker_model::Clock;

/// How often a waiting cleaning looks whether it is to stop.
const NAP: Duration = Duration::from_millis(50);
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A bound on bytes read and written per second by all cleanings that share it.
#[derive(Debug, Default)]
pub struct Throttle {
    /// 0 for no bound.
    bytes_per_second: AtomicU64,
    /// When, on the monotonic clock, what was moved so far may have been moved.
    busy_until: Mutex<Duration>,
}

impl Throttle {
    /// A bound; `None` for none.
    pub fn new(bytes_per_second: Option<u64>) -> Arc<Self> {
        let throttle = Self::default();
        throttle.set(bytes_per_second);
        Arc::new(throttle)
    }

    /// Sets another bound, from the next bytes on.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        let raw = bytes_per_second.map_or(0, |rate| rate.max(1));
        self.bytes_per_second.store(raw, Ordering::Relaxed);
    }

    /// Accounts for bytes; answers how long to wait before the next ones.
    fn take(&self, bytes: u64, now: Duration) -> Duration {
        let rate = self.bytes_per_second.load(Ordering::Relaxed);
        if rate == 0 {
            return Duration::ZERO;
        }
        let nanos = u128::from(bytes) * NANOS_PER_SECOND / u128::from(rate);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // Nothing panics while it is held.
        let mut busy_until = self
            .busy_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *busy_until = (*busy_until).max(now).saturating_add(cost);
        busy_until.saturating_sub(now)
    }
}

/// The pace of one cleaning.
#[derive(Debug, Default)]
pub struct Pace {
    throttle: Arc<Throttle>,
    moved: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
}

impl Pace {
    /// A pace under a bound that others may share.
    pub fn new(throttle: Arc<Throttle>) -> Self {
        Self {
            throttle,
            ..Self::default()
        }
    }

    /// As quick as it goes.
    pub fn unthrottled() -> Self {
        Self::default()
    }

    /// Ends the cleaning soon.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to end.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Bytes of stored batches read so far, in both passes.
    pub fn done(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Bytes of stored batches to read in all; 0 before it has begun.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self, total: u64) {
        self.moved.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Bytes were read. Blocks for as long as the bound says.
    pub fn read(&self, bytes: u64, clock: &dyn Clock) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        self.wait(bytes, clock);
    }

    /// Bytes were written.
    pub(super) fn written(&self, bytes: u64, clock: &dyn Clock) {
        self.wait(bytes, clock);
    }

    fn wait(&self, bytes: u64, clock: &dyn Clock) {
        let mut left = self.throttle.take(bytes, clock.monotonic());
        while !left.is_zero() && !self.is_cancelled() {
            let nap = left.min(NAP);
            thread::sleep(nap);
            left -= nap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_cost_time_and_idle_time_is_not_saved_up() {
        let throttle = Throttle::new(Some(1_000));
        assert_eq!(throttle.take(500, SECOND), SECOND / 2);
        assert_eq!(throttle.take(500, SECOND), SECOND);
        assert_eq!(throttle.take(1_000, 60 * SECOND), SECOND);
        throttle.set(None);
        assert_eq!(throttle.take(1 << 40, 60 * SECOND), Duration::ZERO);
        throttle.set(Some(0));
        assert_eq!(throttle.take(2, 90 * SECOND), 2 * SECOND);
    }
}
