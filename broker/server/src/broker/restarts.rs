//! How often a partition may be started again: an actor that keeps panicking is left offline, so that a
//! request that kills it cannot keep the machine busy with recovery.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use broker_model::TopicPartition;

/// Restarts allowed within the window.
const RESTARTS_MAX: usize = 5;
/// The window restarts are counted in.
const WINDOW: Duration = Duration::from_secs(60);

/// When each partition was restarted lately.
#[derive(Debug, Default)]
pub(super) struct Restarts(BTreeMap<TopicPartition, VecDeque<Duration>>);

impl Restarts {
    /// Counts a death at `now` and says whether the partition may be started again.
    pub(super) fn allow(&mut self, partition: &TopicPartition, now: Duration) -> bool {
        let times = self.0.entry(partition.clone()).or_default();
        while times
            .front()
            .is_some_and(|first| now.saturating_sub(*first) > WINDOW)
        {
            times.pop_front();
        }
        times.push_back(now);
        times.len() <= RESTARTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use broker_model::{PartitionId, TopicName};

    use super::*;

    #[test]
    fn the_sixth_death_within_a_minute_is_final() {
        let name = TopicName::new("t").unwrap();
        let partition = TopicPartition::new(name, PartitionId::new(0));
        let mut restarts = Restarts::default();
        for second in 0..5 {
            assert!(restarts.allow(&partition, Duration::from_secs(second)));
        }
        assert!(!restarts.allow(&partition, Duration::from_secs(5)));
        assert!(restarts.allow(&partition, Duration::from_secs(120)));
    }
}
