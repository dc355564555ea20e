//! `SteadyClock`: wall time that does not jump. It begins with the wall clock and goes on with the
//! monotonic one; where the wall clock says otherwise later, it is followed as slowly as `adjtime(3)`
//! does, and a jump is told once. Starting again takes the wall clock as it is.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// How often the wall clock is looked at.
const LOOK_EVERY_MS: u64 = 2_000;
/// Time that passes for one unit of difference made up: 500 parts per million.
const SLEW: u64 = 2_000;
/// What counts as a jump; smaller steps are followed without a word.
const JUMP_MS: u64 = 10_000;

/// The wall clock was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockJump {
    by_ms: i64,
    ahead_ms: i64,
}

impl ClockJump {
    /// How far the wall clock is ahead of the steady one now, in milliseconds; negative when behind.
    pub const fn ahead_ms(&self) -> i64 {
        self.ahead_ms
    }
}

impl fmt::Display for ClockJump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: i64| Duration::from_secs(ms.unsigned_abs() / 1_000);
        let way = if self.by_ms < 0 { "back" } else { "forward" };
        let side = if self.ahead_ms < 0 { "behind" } else { "ahead" };
        write!(
            f,
            "the wall clock jumped {way} by {}; it is {} {side} of the broker's time, which goes on as before until a restart",
            humantime::format_duration(seconds(self.by_ms)),
            humantime::format_duration(seconds(self.ahead_ms)),
        )
    }
}

/// Another clock without its jumps.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use broker_model::{Clock, ManualClock, SteadyClock, Timestamp};
///
/// let wall = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
/// let steady = SteadyClock::new(wall.clone(), |_| {});
/// wall.set_wall(Timestamp::from_millis(99_000_000));
/// wall.advance(Duration::from_millis(5));
/// assert_eq!(steady.now(), Timestamp::from_millis(1_005));
/// ```
pub struct SteadyClock<C> {
    raw: C,
    /// Our wall time minus monotonic time.
    offset_ms: AtomicI64,
    /// When the wall clock was last looked at, on the monotonic clock.
    looked_at_ms: AtomicU64,
    /// How far it was ahead of ours then.
    ahead_ms: AtomicI64,
    on_jump: Box<dyn Fn(ClockJump) + Send + Sync>,
}

impl<C: Clock> SteadyClock<C> {
    /// Begins with what `raw` shows now; `on_jump` hears when its wall clock is moved.
    pub fn new(raw: C, on_jump: impl Fn(ClockJump) + Send + Sync + 'static) -> Self {
        let monotonic = millis(raw.monotonic());
        let wall = raw.now().as_millis();
        Self {
            raw,
            offset_ms: AtomicI64::new(wall.saturating_sub_unsigned(monotonic)),
            looked_at_ms: AtomicU64::new(monotonic),
            ahead_ms: AtomicI64::new(0),
            on_jump: Box::new(on_jump),
        }
    }

    /// Compares with the wall clock after `passed` milliseconds.
    fn look(&self, monotonic: u64, passed: u64) {
        let wall = self.raw.now().as_millis();
        let offset = self.offset_ms.load(Ordering::Relaxed);
        let ahead = wall.saturating_sub(offset.saturating_add_unsigned(monotonic));
        let by = ahead.saturating_sub(self.ahead_ms.load(Ordering::Relaxed));
        let step_max = i64::try_from(passed / SLEW).unwrap_or(i64::MAX);
        let step = ahead.clamp(-step_max, step_max);
        self.offset_ms.fetch_add(step, Ordering::Relaxed);
        self.ahead_ms
            .store(ahead.saturating_sub(step), Ordering::Relaxed);
        if by.unsigned_abs() >= JUMP_MS {
            (self.on_jump)(ClockJump {
                by_ms: by,
                ahead_ms: ahead,
            });
        }
    }
}

impl<C: Clock> Clock for SteadyClock<C> {
    fn now(&self) -> Timestamp {
        let monotonic = millis(self.raw.monotonic());
        let looked_at = self.looked_at_ms.load(Ordering::Relaxed);
        let passed = monotonic.saturating_sub(looked_at);
        if passed >= LOOK_EVERY_MS {
            // One of those who find that it is time does it.
            let won = self.looked_at_ms.compare_exchange(
                looked_at,
                monotonic,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if won.is_ok() {
                self.look(monotonic, passed);
            }
        }
        let offset = self.offset_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(offset.saturating_add_unsigned(monotonic))
    }

    fn monotonic(&self) -> Duration {
        self.raw.monotonic()
    }
}

impl<C: fmt::Debug> fmt::Debug for SteadyClock<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteadyClock")
            .field("raw", &self.raw)
            .field("ahead_ms", &self.ahead_ms)
            .finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::ManualClock;

    const HOUR: i64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR;
    const START: i64 = 1_750_000_000_000;

    type Told = Arc<Mutex<Vec<i64>>>;

    fn steady() -> (Arc<ManualClock>, SteadyClock<Arc<ManualClock>>, Told) {
        let raw = Arc::new(ManualClock::at(Timestamp::from_millis(START)));
        let told = Told::default();
        let tell = told.clone();
        let steady = SteadyClock::new(raw.clone(), move |jump| {
            tell.lock().unwrap().push(jump.ahead_ms());
        });
        (raw, steady, told)
    }

    fn jump(raw: &ManualClock, by: i64) {
        raw.set_wall(Timestamp::from_millis(raw.now().as_millis() + by));
    }

    #[test]
    fn jumps_of_an_hour_and_a_year_either_way_are_told_once_and_not_followed() {
        for by in [HOUR, -HOUR, YEAR, -YEAR, i64::MAX - 2 * START] {
            let (raw, steady, told) = steady();
            jump(&raw, by);
            let day = 24 * HOUR / 10_000;
            let mut last = steady.now();
            for _ in 0..day {
                raw.advance(Duration::from_secs(10));
                let now = steady.now();
                let passed = now.as_millis() - last.as_millis();
                assert!((9_995..=10_005).contains(&passed), "{passed} ms of 10 s");
                last = now;
            }
            let told = told.lock().unwrap();
            assert_eq!(told.as_slice(), [by], "a jump by {by}");
            let made_up = last.as_millis() - START - 24 * HOUR;
            assert_eq!(made_up, by.signum() * 43_200, "500 ppm of a day");
        }
    }

    #[test]
    fn a_small_step_is_made_up_without_a_word() {
        let (raw, steady, told) = steady();
        jump(&raw, -1_000);
        for _ in 0..1_000 {
            raw.advance(Duration::from_secs(2));
            steady.now();
        }
        assert_eq!(steady.now(), raw.now());
        assert_eq!(told.lock().unwrap().as_slice(), []);
    }

    #[test]
    fn there_and_back_is_told_twice_and_leaves_nothing_behind() {
        let (raw, steady, told) = steady();
        jump(&raw, -YEAR);
        raw.advance(Duration::from_secs(2));
        steady.now();
        jump(&raw, YEAR);
        raw.advance(Duration::from_secs(2));
        assert!(steady.now().since(raw.now()) <= Duration::from_millis(1));
        assert_eq!(told.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_jump_reads_well() {
        let jump = ClockJump {
            by_ms: -7_200_500,
            ahead_ms: -3_600_000,
        };
        let text = jump.to_string();
        assert!(
            text.starts_with("the wall clock jumped back by 2h; it is 1h behind"),
            "{text}"
        );
    }
}
