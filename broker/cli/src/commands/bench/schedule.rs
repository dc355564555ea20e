//! `Schedule`: when a run begins, when measuring begins, when it is over; shared by its threads. A
//! run begins when every connection stands, so that none has a head start.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Barrier;

use super::arguments::RunLimits;

/// The common clock of a run.
#[derive(Debug)]
pub(super) struct Schedule {
    limits: RunLimits,
    barrier: Barrier,
    begun: OnceLock<Instant>,
    measured: AtomicU64,
    stopped: AtomicBool,
}

impl Schedule {
    /// For so many threads.
    pub(super) fn new(limits: RunLimits, threads: usize) -> Self {
        Self {
            limits,
            barrier: Barrier::new(threads),
            begun: OnceLock::new(),
            measured: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// Waits for all threads; every thread calls it, also one that has failed: then `ready` is
    /// false, and the run is over before it has begun.
    pub(super) async fn begin(&self, ready: bool) -> Instant {
        if !ready {
            self.stop();
        }
        self.barrier.wait().await;
        *self.begun.get_or_init(Instant::now)
    }

    /// When measuring begins; now, if nothing has begun.
    pub(super) fn warm_until(&self) -> Instant {
        self.begun
            .get()
            .map_or_else(Instant::now, |begun| *begun + self.limits.warm_up)
    }

    /// Whether no further batch is to be sent.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let end = self
            .limits
            .duration
            .map(|duration| self.warm_until() + duration);
        self.stopped.load(Ordering::Relaxed) || end.is_some_and(|end| now >= end)
    }

    /// Whether an answer that came at `now` counts. Takes one off the batches that are to be
    /// measured.
    pub(super) fn counts(&self, now: Instant) -> bool {
        if now < self.warm_until() || self.is_over(now) {
            return false;
        }
        let Some(wanted) = self.limits.batches else {
            return true;
        };
        let so_far = self.measured.fetch_add(1, Ordering::Relaxed) + 1;
        if so_far >= wanted {
            self.stop();
        }
        so_far <= wanted
    }

    /// Ends the run.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn warm_up(&self) -> Duration {
        self.limits.warm_up
    }
}

/// When the batches of an open loop should be sent: every `interval`, taken in turn by `slots`
/// senders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    begun: Instant,
    interval: Duration,
    slots: u32,
}

impl Pace {
    /// So many records a second in batches of so many.
    pub(super) fn new(begun: Instant, records_per_second: f64, batch: u32, slots: u32) -> Self {
        let interval = Duration::try_from_secs_f64(f64::from(batch) / records_per_second);
        Self {
            begun,
            interval: interval.unwrap_or(Duration::MAX),
            slots: slots.max(1),
        }
    }

    /// When a slot should send its batch of that number, both from 0. Far beyond any run when that
    /// cannot be told.
    pub(super) fn due(&self, slot: u32, number: u64) -> Instant {
        let turn = number
            .saturating_mul(u64::from(self.slots))
            .saturating_add(u64::from(slot));
        let seconds = self.interval.as_secs_f64() * turn as f64;
        let after = Duration::try_from_secs_f64(seconds).ok();
        let due = after.and_then(|after| self.begun.checked_add(after));
        due.unwrap_or_else(|| self.begun + Duration::from_secs(365 * 24 * 3600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(duration: Option<Duration>, batches: Option<u64>) -> Schedule {
        let limits = RunLimits {
            warm_up: Duration::from_secs(1),
            duration,
            batches,
        };
        Schedule::new(limits, 1)
    }

    #[tokio::test]
    async fn warm_up_and_what_comes_after_the_end_do_not_count() {
        let schedule = schedule(Some(Duration::from_secs(2)), None);
        let begun = schedule.begin(true).await;
        let at = |millis| begun + Duration::from_millis(millis);
        assert!(!schedule.counts(at(999)) && schedule.counts(at(1000)));
        assert!(!schedule.is_over(at(2999)) && schedule.is_over(at(3000)));
        assert!(!schedule.counts(at(3000)));
    }

    #[tokio::test]
    async fn so_many_batches_are_measured_and_no_more() {
        let schedule = schedule(None, Some(3));
        let late = schedule.begin(true).await + Duration::from_secs(60);
        let counted = (0..5).filter(|_| schedule.counts(late)).count();
        assert_eq!(counted, 3);
        assert!(schedule.is_over(late));
    }

    #[tokio::test]
    async fn a_thread_that_fails_ends_the_run() {
        let schedule = schedule(None, None);
        let begun = schedule.begin(false).await;
        assert!(schedule.is_over(begun));
    }

    #[test]
    fn slots_take_turns_at_an_even_pace() {
        let begun = Instant::now();
        let pace = Pace::new(begun, 1000.0, 10, 2);
        let due = |slot, number| pace.due(slot, number).duration_since(begun).as_millis();
        assert_eq!(
            [due(0, 0), due(1, 0), due(0, 1), due(1, 1)],
            [0, 10, 20, 30]
        );
    }
}
