//! `PolicyFaults`: a policy of one topic, retention or compaction, whose plugin gives no usable answer. However many
//! partitions ask it however often, that is one line of the log when it begins and one a minute while it goes
//! on. When it answers in all of them again, that is a line too.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use broker_model::{Occasional, PartitionId, TopicPartition};
use tracing::{info, warn};

/// The policies of one topic, across changes of its settings.
#[derive(Debug)]
pub(crate) struct PolicyFaults {
    pub(crate) retention: PolicyFault,
    pub(crate) compaction: PolicyFault,
}

/// One policy of one topic.
#[derive(Debug)]
pub(crate) struct PolicyFault {
    what: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where it failed when it was asked last.
    failing: BTreeSet<PartitionId>,
    failures: Occasional,
    /// Whether the log says that it fails.
    is_told: bool,
}

impl Default for PolicyFaults {
    fn default() -> Self {
        Self {
            retention: PolicyFault::of("retention"),
            compaction: PolicyFault::of("compaction"),
        }
    }
}

impl PolicyFaults {
    /// Other plugins may be asked from now on: what they fail at is told at once.
    pub(crate) fn settings_changed(&self) {
        for fault in [&self.retention, &self.compaction] {
            fault.state().failures = Occasional::default();
        }
    }
}

impl PolicyFault {
    fn of(what: &'static str) -> Self {
        Self {
            what,
            state: Mutex::default(),
        }
    }

    /// It failed in a partition, where everything is kept; `now` is monotonic.
    pub(crate) fn failed(&self, partition: &TopicPartition, now: Duration, error: &dyn Display) {
        let told = self.state().failed(partition.partition, now);
        if let Some((failures, partitions)) = told {
            warn!(
                %partition, failures, partitions, %error,
                "{} failed, all records are kept; told once a minute while it goes on", self.what
            );
        }
    }

    /// It gave an answer for a partition.
    pub(crate) fn worked(&self, partition: &TopicPartition) {
        if self.state().worked(partition.partition) {
            info!(topic = %partition.topic, "{} works again", self.what);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

impl State {
    /// Answers, if it is to be told now, how often it has failed since the last time and in how many partitions
    /// it does.
    fn failed(&mut self, partition: PartitionId, now: Duration) -> Option<(u64, usize)> {
        self.failing.insert(partition);
        let failures = self.failures.happened(now)?;
        self.is_told = true;
        Some((failures, self.failing.len()))
    }

    /// Answers whether it works everywhere again, and the log has it that it does not.
    fn worked(&mut self, partition: PartitionId) -> bool {
        self.failing.remove(&partition)
            && self.failing.is_empty()
            && std::mem::take(&mut self.is_told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u32) -> PartitionId {
        PartitionId::new(number)
    }

    /// A check of so many partitions, all of which fail; what is told.
    fn failing_check(state: &mut State, partitions: u32, at_s: u64) -> Vec<(u64, usize)> {
        let all = (0..partitions).map(number);
        let now = Duration::from_secs(at_s);
        all.filter_map(|partition| state.failed(partition, now))
            .collect()
    }

    #[test]
    fn what_fails_in_every_partition_is_told_when_it_begins_and_once_a_minute() {
        let mut state = State::default();
        assert_eq!(failing_check(&mut state, 1_000, 7), [(1, 1)]);
        for at_s in 8..67 {
            assert_eq!(failing_check(&mut state, 1_000, at_s), [], "{at_s} s");
        }
        assert_eq!(failing_check(&mut state, 1_000, 67), [(60_000, 1_000)]);
    }

    #[test]
    fn the_end_is_told_once_and_when_the_last_partition_got_its_answer() {
        let mut state = State::default();
        failing_check(&mut state, 3, 0);
        assert!(!state.worked(number(7)), "it never failed there");
        assert!(!state.worked(number(2)));
        assert!(!state.worked(number(0)));
        assert!(state.worked(number(1)));
        assert!(!state.worked(number(1)));
    }

    #[test]
    fn a_policy_that_fails_now_and_then_is_two_lines_a_minute() {
        let mut state = State::default();
        let mut lines = 0;
        for at_s in 0..120 {
            lines += failing_check(&mut state, 1, at_s).len();
            lines += usize::from(state.worked(number(0)));
        }
        assert_eq!(lines, 4);
    }

    #[test]
    fn what_another_plugin_fails_at_is_told_at_once() {
        let faults = PolicyFaults::default();
        let failed = |now| faults.retention.state().failed(number(0), now);
        assert!(failed(Duration::from_secs(1)).is_some());
        assert!(failed(Duration::from_secs(2)).is_none());
        faults.settings_changed();
        assert!(failed(Duration::from_secs(3)).is_some());
    }
}
