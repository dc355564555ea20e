//! The processor time of one call, put together from what the ticker sees of it.
//!
//! The clock of a thread can jump: a virtual machine that did not run for a while has the pause
//! counted to whatever was running, now or a little later. A guest that really computes is seen at
//! every tick, so what lies between two looks counts for a part of the deadline at most.

use std::time::Duration;

use crate::ticker::TICK;

/// The part of a deadline that may pass between two looks.
const LOOKS_MIN: u32 = 4;

/// What a call has used so far.
#[derive(Debug, Default)]
pub(crate) struct CallTime {
    used: Duration,
    /// The thread's clock at the last look.
    looked_at: Option<Duration>,
}

impl CallTime {
    /// For a call that begins; without the thread's clock its time begins with the first look.
    pub(crate) fn begun_at(now: Option<Duration>) -> Self {
        CallTime {
            used: Duration::ZERO,
            looked_at: now,
        }
    }

    /// What the call has used when the thread's clock stands at `now`, beginning with a whole tick.
    pub(crate) fn look(&mut self, now: Duration, deadline: Duration) -> Duration {
        let most = (deadline / LOOKS_MIN).max(TICK);
        let passed = self
            .looked_at
            .map_or(Duration::ZERO, |then| now.saturating_sub(then));
        self.looked_at = Some(now);
        self.used += passed.min(most);
        self.used + TICK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_millis(100);

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn a_clock_that_jumps_ends_no_call() {
        for begun in [None, Some(ms(5))] {
            let mut time = CallTime::begun_at(begun);
            assert!(time.look(ms(5), DEADLINE) <= ms(1));
            assert!(time.look(ms(5_000), DEADLINE) < DEADLINE);
            assert!(time.look(ms(5_001), DEADLINE) < DEADLINE);
        }
        let mut time = CallTime::begun_at(Some(ms(5)));
        assert!(time.look(ms(400), DEADLINE) < DEADLINE);
    }

    #[test]
    fn a_clock_that_goes_back_counts_nothing() {
        let mut time = CallTime::begun_at(None);
        time.look(ms(50), DEADLINE);
        assert_eq!(time.look(ms(40), DEADLINE), ms(1));
        assert_eq!(time.look(ms(43), DEADLINE), ms(4));
    }

    #[test]
    fn a_guest_that_computes_is_ended_at_its_deadline() {
        for (deadline, step) in [(ms(1), 1), (ms(5), 1), (DEADLINE, 1), (DEADLINE, 25)] {
            let mut time = CallTime::begun_at(None);
            let looks = (0..)
                .map(|look| ms(70 + look * step))
                .take_while(|now| time.look(*now, deadline) <= deadline)
                .count() as u128;
            let wanted = deadline.as_millis() / u128::from(step);
            assert_eq!(looks, wanted, "{deadline:?}");
        }
    }

    #[test]
    fn one_that_is_seen_seldom_is_ended_all_the_same() {
        let mut time = CallTime::begun_at(None);
        let looks = (0..)
            .map(|look| ms(look * 500))
            .take_while(|now| time.look(*now, DEADLINE) <= DEADLINE)
            .count();
        assert_eq!(looks, 4);
    }
}
