//! When a plugin that keeps failing a topic is not asked for it any more: after three traps within a minute. What
//! others make of it, with options and records of their own, counts for their topics. Pure: time is passed in, and
//! what follows is the caller's.
//!
//! A trap is a call that the guest did not come back from in order: a panic, a time-out, too much memory
//! or stack, an answer that the host could not even read. An answer that can be read and breaks a rule
//! does not count: it cost no more than a good one, and the next batch may get a good one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use broker_model::Timestamp;
use broker_model::limits::{PLUGIN_TRAP_WINDOW, PLUGIN_TRAPPING_TOPICS_MAX, PLUGIN_TRAPS_MAX};

/// Whether a plugin is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PluginState {
    /// It is.
    #[default]
    Active,
    /// It failed too often and is not asked until it is resumed.
    Suspended {
        /// When that began, in milliseconds since the Unix epoch.
        since: i64,
        /// Why, in one line.
        reason: String,
    },
}

impl PluginState {
    /// The state as it is called on the wire: `active` or `suspended`.
    pub fn name(&self) -> &'static str {
        match self {
            PluginState::Active => "active",
            PluginState::Suspended { .. } => "suspended",
        }
    }
}

/// A plugin's last traps and what came of them, by topic.
#[derive(Debug, Default)]
pub(crate) struct Suspension(BTreeMap<Arc<str>, OfTopic>);

#[derive(Debug, Default)]
struct OfTopic {
    /// Those that count, oldest first; never empty.
    traps: VecDeque<Duration>,
    state: PluginState,
}

impl Suspension {
    /// Counts a trap. Answers whether the plugin is suspended for the topic by it.
    pub(crate) fn on_trap(
        &mut self,
        topic: &Arc<str>,
        (monotonic, now): (Duration, Timestamp),
        last: &str,
    ) -> bool {
        if self.state(topic) != &PluginState::Active {
            return false;
        }
        self.make_room(topic, monotonic);
        let of_topic = self.0.entry(Arc::clone(topic)).or_default();
        of_topic.traps.push_back(monotonic);
        if of_topic.traps.len() < PLUGIN_TRAPS_MAX {
            return false;
        }
        of_topic.state = PluginState::Suspended {
            since: now.as_millis(),
            reason: format!(
                "{PLUGIN_TRAPS_MAX} traps within {PLUGIN_TRAP_WINDOW:?}, the last: {last}"
            ),
        };
        true
    }

    /// Forgets traps that count no more, and the topic whose last one is the oldest if there are too many: three more
    /// would suspend it again.
    fn make_room(&mut self, topic: &Arc<str>, monotonic: Duration) {
        let counts = |trap: &Duration| monotonic.saturating_sub(*trap) < PLUGIN_TRAP_WINDOW;
        self.0.retain(|_, of_topic| {
            if of_topic.state == PluginState::Active {
                of_topic.traps.retain(counts);
            }
            !of_topic.traps.is_empty()
        });
        if self.0.len() < PLUGIN_TRAPPING_TOPICS_MAX || self.0.contains_key(topic) {
            return;
        }
        let oldest = self
            .0
            .iter()
            .min_by_key(|(_, of_topic)| of_topic.traps.back());
        if let Some(oldest) = oldest.map(|(topic, _)| Arc::clone(topic)) {
            self.0.remove(&oldest);
        }
    }

    /// Back to active, with no trap behind it. Answers whether it was suspended for any topic.
    pub(crate) fn resume(&mut self) -> bool {
        let was_suspended = self.suspended().next().is_some();
        self.0.clear();
        was_suspended
    }

    /// The same for one topic.
    pub(crate) fn resume_for(&mut self, topic: &str) -> bool {
        let forgotten = self.0.remove(topic);
        forgotten.is_some_and(|of_topic| of_topic.state != PluginState::Active)
    }

    pub(crate) fn state(&self, topic: &str) -> &PluginState {
        let of_topic = self.0.get(topic);
        of_topic.map_or(&PluginState::Active, |of_topic| &of_topic.state)
    }

    /// The topics for which it is not asked.
    pub(crate) fn suspended(&self) -> impl Iterator<Item = (&Arc<str>, &PluginState)> {
        let all = self
            .0
            .iter()
            .map(|(topic, of_topic)| (topic, &of_topic.state));
        all.filter(|(_, state)| **state != PluginState::Active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trap_of(suspension: &mut Suspension, topic: &str, at_ms: u64) -> bool {
        let now = Timestamp::from_millis(5_000);
        let at = (Duration::from_millis(at_ms), now);
        suspension.on_trap(&topic.into(), at, "panicked")
    }

    fn trap(suspension: &mut Suspension, at_ms: u64) -> bool {
        trap_of(suspension, "t", at_ms)
    }

    #[test]
    fn the_third_trap_within_the_window_suspends() {
        let mut suspension = Suspension::default();
        assert!(!trap(&mut suspension, 0));
        assert!(!trap(&mut suspension, 30_000));
        assert!(trap(&mut suspension, 59_999));
        assert_eq!(
            suspension.state("t"),
            &PluginState::Suspended {
                since: 5_000,
                reason: "3 traps within 60s, the last: panicked".to_owned()
            }
        );
        assert!(!trap(&mut suspension, 59_999), "it is suspended once");
    }

    #[test]
    fn traps_that_lie_apart_do_not_suspend() {
        let mut suspension = Suspension::default();
        for at_s in (0..1_000).step_by(30) {
            assert!(!trap(&mut suspension, at_s * 1_000), "{at_s} s");
        }
    }

    #[test]
    fn traps_of_one_topic_are_not_those_of_another() {
        let mut suspension = Suspension::default();
        for at_ms in 0..2 {
            assert!(!trap_of(&mut suspension, "a", at_ms));
            assert!(!trap_of(&mut suspension, "b", at_ms));
        }
        assert!(trap_of(&mut suspension, "a", 2));
        assert_eq!(suspension.state("b"), &PluginState::Active);
        assert_eq!(suspension.suspended().count(), 1);
    }

    #[test]
    fn no_more_topics_are_known_than_may_be_and_the_oldest_makes_room() {
        let mut suspension = Suspension::default();
        for at_ms in 0..3 {
            trap_of(&mut suspension, "first", at_ms);
        }
        for number in 1..PLUGIN_TRAPPING_TOPICS_MAX {
            trap_of(&mut suspension, &format!("t{number}"), 3);
        }
        assert_eq!(suspension.suspended().count(), 1);
        trap_of(&mut suspension, "one more", 4);
        assert_eq!(suspension.0.len(), PLUGIN_TRAPPING_TOPICS_MAX);
        assert_eq!(suspension.state("first"), &PluginState::Active);
        let later = 5 + PLUGIN_TRAP_WINDOW.as_secs() * 1_000;
        trap_of(&mut suspension, "much later", later);
        assert_eq!(suspension.0.len(), 1, "what counts no more is forgotten");
    }

    #[test]
    fn a_resumed_plugin_starts_from_nothing() {
        let mut suspension = Suspension::default();
        for at_ms in [0, 1, 2] {
            trap(&mut suspension, at_ms);
        }
        assert!(suspension.resume());
        assert!(!suspension.resume());
        assert!(!trap(&mut suspension, 3));
        assert!(!trap(&mut suspension, 4));
        assert!(trap(&mut suspension, 5));
    }
}
