//! `ClockDoubt`: whether the wall clock can be believed at the start. Compared with when this broker was last
//! alive, as its files tell, it may be far ahead: the broker was off for long, or the clock is wrong. Nobody
//! can tell from here, so what is deleted for its age waits for a while, and an operator is told.

use std::sync::Arc;
use std::time::Duration;

use broker_model::Timestamp;
use broker_storage::{AgeHold, DoubtedClock};
use tracing::{error, warn};

use crate::clock::BrokerClock;

/// Off for so long is nothing to wonder about.
const UNREMARKABLE: Duration = AgeHold::UNREMARKABLE;

/// What was made of the clock at the start.
pub(crate) struct ClockDoubt {
    clock: BrokerClock,
    gap: Duration,
    hold: Option<Arc<AgeHold>>,
}

impl ClockDoubt {
    /// Compares the clock with when the broker was last alive, by its files and by what it has noted if
    /// their times are in doubt themselves. Ages are held back for `grace` if the clock is in doubt, restarts
    /// included.
    pub(crate) fn at_start(
        clock: BrokerClock,
        (last_alive, doubted): (Option<Timestamp>, Option<DoubtedClock>),
        grace: Duration,
    ) -> Self {
        let now = clock.clock.now();
        let last_alive = last_alive.unwrap_or(now);
        let is_news = now.since(last_alive) > UNREMARKABLE;
        let doubt = DoubtedClock {
            last_alive: doubted.map_or(last_alive, |doubted| doubted.last_alive),
            held: match doubted {
                // The same doubt goes on after a restart.
                Some(doubted) if !is_news => doubted.held,
                _ => Duration::ZERO,
            },
        };
        let last_alive = doubt.last_alive;
        let behind = last_alive.since(now);
        if behind > UNREMARKABLE {
            let by = rounded(behind);
            warn!(
                "the wall clock is {by} behind the last sign of life in the log directories: records get times from before, and wait that much longer for their retention"
            );
        }
        let gap = now.since(last_alive);
        let is_in_doubt = gap > UNREMARKABLE && grace > doubt.held;
        let hold = is_in_doubt.then(|| {
            let begun = clock.clock.monotonic();
            Arc::new(AgeHold::new(doubt, begun, grace))
        });
        let doubt = Self { clock, gap, hold };
        if let Some(text) = doubt.of_the_start() {
            warn!("{text}");
        }
        doubt
    }

    /// What keeps ages back, if something does.
    pub(crate) fn hold(&self) -> Option<Arc<AgeHold>> {
        self.hold.clone()
    }

    /// Looks whether the clock was set right meanwhile: then ages wait for the restart that takes it.
    pub(crate) fn look(&self) {
        // Lets it notice a jump also when nobody asks for the time.
        let _ = self.clock.clock.now();
        let Some(hold) = self.holding().filter(|hold| !hold.is_for_good()) else {
            return;
        };
        if self.clock.set_back() > self.gap / 2 {
            hold.hold_for_good();
            error!(
                "the wall clock was ahead when the broker was started and has been set back: nothing is deleted for its age until the broker is restarted"
            );
        }
    }

    /// What an operator has to know.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        self.of_the_start().into_iter().chain(self.of_a_jump())
    }

    fn of_a_jump(&self) -> Option<String> {
        let (ahead, behind) = (self.clock.ahead(), self.clock.set_back());
        if ahead > UNREMARKABLE {
            let by = rounded(ahead);
            return Some(format!(
                "the wall clock has got {by} ahead of the broker's time, which goes on as before until a restart: it was moved, or the machine stood still. If it is wrong now, set it right. If it is right, restart the broker: nothing is deleted for having become too old by it until log.retention.clock.grace.ms after that, and then what was written before counts as {by} older"
            ));
        }
        // That one is told as what it means for ages that are held.
        let is_told = self.holding().is_some_and(AgeHold::is_for_good);
        (behind > UNREMARKABLE && !is_told).then(|| {
            let by = rounded(behind);
            format!(
                "the wall clock was set back and is {by} behind the broker's time, which goes on as before until a restart. If it is wrong now, set it right. If it is right, restart the broker: until then records get times from the future, and those that come with a right time count as {by} old"
            )
        })
    }

    fn of_the_start(&self) -> Option<String> {
        let hold = self.holding()?;
        if hold.is_for_good() {
            return Some(
                "the wall clock was ahead when the broker was started and has been set back since: restart the broker; until then nothing is deleted for its age, and records get times from the future".to_owned(),
            );
        }
        let left = hold.left(self.clock.clock.monotonic())?;
        let (gap, left) = (rounded(self.gap), rounded(left));
        Some(format!(
            "the wall clock was {gap} ahead of the last sign of life in the log directories when the broker was started: it was off for that long, or the clock was moved or is wrong. Nothing is deleted for having become too old since then, for another {left} (log.retention.clock.grace.ms); if the clock is wrong, set it right and restart the broker"
        ))
    }

    fn holding(&self) -> Option<&AgeHold> {
        let hold = self.hold.as_deref()?;
        hold.left(self.clock.clock.monotonic()).map(|_| hold)
    }
}

/// To the nearest of a fitting unit, for people.
fn rounded(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (size, unit) = match seconds {
        0..=119 => (1, "s"),
        120..=7_199 => (60, "min"),
        7_200..=172_799 => (3_600, "h"),
        _ => (86_400, "days"),
    };
    let value = seconds.saturating_add(size / 2) / size;
    format!("{value} {unit}")
}

#[cfg(test)]
mod tests {
    use broker_model::{Clock, ManualClock};

    use super::*;

    const NOW: i64 = 1_750_000_000_000;
    const HOUR: i64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR;
    const GRACE: Duration = Duration::from_secs(3_600);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// What is made of a start at `now`, and its clocks: the broker's and the machine's.
    fn start(
        now: i64,
        known: (Option<Timestamp>, Option<DoubtedClock>),
    ) -> (ClockDoubt, Arc<ManualClock>, Arc<ManualClock>) {
        let [clock, wall] = [now; 2].map(|now| Arc::new(ManualClock::at(at(now))));
        let clocks = BrokerClock {
            clock: clock.clone(),
            wall: wall.clone(),
        };
        (ClockDoubt::at_start(clocks, known, GRACE), clock, wall)
    }

    fn told(doubt: &ClockDoubt) -> Vec<String> {
        doubt.warnings().collect()
    }

    #[test]
    fn a_jump_of_more_than_a_day_is_told_until_it_is_taken_back() {
        let (doubt, clock, wall) = start(NOW, (Some(at(NOW)), None));
        for ahead in [0, HOUR, -HOUR, 24 * HOUR, -24 * HOUR] {
            wall.set_wall(at(NOW + ahead));
            assert_eq!(told(&doubt), [""; 0], "{ahead}");
        }
        for (ahead, text) in [(YEAR, "365 days ahead of"), (-YEAR, "365 days behind")] {
            wall.set_wall(at(NOW + ahead));
            let said = told(&doubt);
            assert_eq!(said.len(), 1);
            assert!(said[0].contains(text), "{said:?}");
        }
        clock.set_wall(wall.now());
        assert_eq!(told(&doubt), [""; 0]);
    }

    #[test]
    fn what_a_jump_has_left_counts_more_than_the_times_of_files() {
        let noted = DoubtedClock {
            last_alive: at(NOW),
            held: Duration::ZERO,
        };
        let jumped = at(NOW + YEAR);
        let (doubt, clock, wall) = start(NOW + YEAR + 1_000, (Some(jumped), Some(noted)));
        let hold = doubt.hold().expect("ages are held");
        assert_eq!(hold.last_alive(), at(NOW));
        assert_eq!(hold.left(clock.monotonic()), Some(GRACE));
        assert!(told(&doubt)[0].contains("365 days ahead of the last sign of life"));
        wall.set_wall(at(NOW + 1_000));
        doubt.look();
        let said = told(&doubt);
        assert!(said[0].contains("restart the broker; until then nothing is deleted"));
        assert_eq!(said.len(), 1, "once");
        let (doubt, ..) = start(NOW + 1_000, (Some(jumped), Some(noted)));
        assert!(doubt.hold().is_none(), "it was set right");
        assert_eq!(told(&doubt), [""; 0]);
    }
}
