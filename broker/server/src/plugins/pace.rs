//! `Pace`: how long calls of a plugin take for a topic. One that is slow, though within its deadline, is not asked
//! on a thread where others wait for their turn.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Calls that take so long on average are slow: some ten requests of others take as long together.
const SLOW: Duration = Duration::from_micros(500);
/// A call counts for one in so many: what takes a call long now and then is the system, which lets others run.
const CALLS: u64 = 16;

/// The moving average of what calls have taken, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    /// Measures a call.
    pub(super) fn of<R>(&self, call: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let answer = call();
        self.note(began.elapsed());
        answer
    }

    fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / CALLS);
        // Of two threads at once one is not counted.
        let before = self.0.load(Ordering::Relaxed);
        let now = before - before / CALLS + took / CALLS;
        self.0.store(now, Ordering::Relaxed);
    }

    /// Whether calls take long.
    pub(super) fn is_slow(&self) -> bool {
        Duration::from_nanos(self.0.load(Ordering::Relaxed)) >= SLOW
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn calls_that_take_long_again_and_again_are_slow_until_they_are_not() {
        let pace = Pace::default();
        let many = 10 * CALLS;
        for _ in 0..many {
            pace.note(SLOW / 2);
        }
        pace.note(SLOW * 4);
        assert!(!pace.is_slow(), "once says nothing");
        for _ in 0..many {
            pace.note(SLOW * 4);
        }
        assert!(pace.is_slow());
        for _ in 0..many {
            pace.note(SLOW / 2);
        }
        assert!(!pace.is_slow());
    }

    #[test]
    fn a_call_is_measured_and_its_answer_given_back() {
        let pace = Pace::default();
        let answer = pace.of(|| {
            thread::sleep(SLOW * (u32::try_from(CALLS).expect("it is small") + 1));
            7
        });
        assert_eq!(answer, 7);
        assert!(pace.is_slow());
    }
}
