//! `clock-doubt` at the top of a log directory, while the wall clock is in doubt: what was known of the time
//! before. Every start writes files with the time of the clock in doubt, so without it a second start would
//! take that for the last sign of life.

use std::time::Duration;

use broker_model::Timestamp;

use super::{SmallFile, value_of};

/// What is believed instead of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoubtedClock {
    /// When the broker was last alive, without what it was off since the doubt began.
    pub last_alive: Timestamp,
    /// For how long what is deleted for its age has waited already.
    pub held: Duration,
}

impl DoubtedClock {
    pub(crate) const FILE: &str = "clock-doubt";
}

impl SmallFile for DoubtedClock {
    fn write_lines(&self, text: &mut String) {
        let (alive, held) = (self.last_alive.as_millis(), self.held.as_millis());
        text.push_str(&format!("last.alive={alive}\nheld.ms={held}\n"));
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        let number = |key| {
            let value = value_of(lines, key)?.parse::<i64>();
            value.map_err(|_| format!("its {key} is no number"))
        };
        let held = u64::try_from(number("held.ms")?).map_err(|_| "its held.ms is below 0")?;
        Ok(Self {
            last_alive: Timestamp::from_millis(number("last.alive")?),
            held: Duration::from_millis(held),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let file = Path::new("/data/clock-doubt");
        for (alive, held) in [(0, 0), (1_700_000_000_123, 86_400_000), (-5, 1)] {
            let written = DoubtedClock {
                last_alive: Timestamp::from_millis(alive),
                held: Duration::from_millis(held),
            };
            let read = DoubtedClock::decode(file, &written.encode());
            assert_eq!(read.unwrap(), written);
        }
        assert!(DoubtedClock::from_lines(&["last.alive=1", "held.ms=-1"]).is_err());
        assert!(DoubtedClock::from_lines(&["last.alive=1"]).is_err());
    }
}
