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
const UNREMARKABLE: Duration = Duration::from_secs(24 * 3600);

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
        if let Some(text) = doubt.warning() {
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
    pub(crate) fn warning(&self) -> Option<String> {
        let hold = self.holding()?;
        if hold.is_for_good() {
            return Some(
                "the wall clock was ahead when the broker was started and has been set back since: restart the broker; until then nothing is deleted for its age, and records get times from the future".to_owned(),
            );
        }
        let left = hold.left(self.clock.clock.monotonic())?;
        let (gap, left) = (rounded(self.gap), rounded(left));
        Some(format!(
            "the wall clock was {gap} ahead of the last sign of life in the log directories when the broker was started: it was off for that long, or the clock is wrong. Nothing is deleted for having become too old since then, for another {left} (log.retention.clock.grace.ms); if the clock is wrong, set it right and restart the broker"
        ))
    }

    fn holding(&self) -> Option<&AgeHold> {
        let hold = self.hold.as_deref()?;
        hold.left(self.clock.clock.monotonic()).map(|_| hold)
    }
}

/// To two units, for people.
fn rounded(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (value, unit) = match seconds {
        0..=119 => (seconds, "s"),
        120..=7_199 => (seconds / 60, "min"),
        7_200..=172_799 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{value} {unit}")
}
