//! `Occasional`: something that may happen thousands of times a second and is told once a minute, with how
//! often it has happened since.

use std::time::Duration;

/// The least time between two of its kind in the log.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How often it happened and was told.
#[derive(Debug, Default)]
pub struct Occasional {
    told: Option<Duration>,
    untold: u64,
}

impl Occasional {
    /// It happened again; `now` is monotonic. Answers how often since the last time it was told when it is
    /// to be told now.
    pub fn happened(&mut self, now: Duration) -> Option<u64> {
        self.untold += 1;
        let is_due = |told: Duration| now.saturating_sub(told) >= TELL_EVERY;
        self.told.is_none_or(is_due).then(|| {
            self.told = Some(now);
            std::mem::take(&mut self.untold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_a_minute_with_a_count() {
        let mut refusals = Occasional::default();
        let at = Duration::from_secs;
        assert_eq!(refusals.happened(at(5)), Some(1));
        for second in 6..64 {
            assert_eq!(refusals.happened(at(second)), None);
        }
        assert_eq!(refusals.happened(at(65)), Some(59));
    }
}
