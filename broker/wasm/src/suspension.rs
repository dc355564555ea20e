//! When a plugin that keeps failing is not asked any more: after three traps within a minute. Pure: time
//! is passed in, and what follows is the caller's.
//!
//! A trap is a call that the guest did not come back from in order: a panic, a time-out, too much memory
//! or stack, an answer that the host could not even read. An answer that can be read and breaks a rule
//! does not count: it cost no more than a good one, and the next batch may get a good one.

use std::collections::VecDeque;
use std::time::Duration;

use broker_model::Timestamp;
use broker_model::limits::{PLUGIN_TRAP_WINDOW, PLUGIN_TRAPS_MAX};

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

/// A plugin's last traps and what came of them.
#[derive(Debug, Default)]
pub(crate) struct Suspension {
    traps: VecDeque<Duration>,
    state: PluginState,
}

impl Suspension {
    /// Counts a trap. Answers whether the plugin is suspended by it.
    pub(crate) fn on_trap(&mut self, monotonic: Duration, now: Timestamp, last: &str) -> bool {
        if self.state != PluginState::Active {
            return false;
        }
        let expired = |trap: &Duration| monotonic.saturating_sub(*trap) >= PLUGIN_TRAP_WINDOW;
        while self.traps.pop_front_if(|trap| expired(trap)).is_some() {}
        self.traps.push_back(monotonic);
        if self.traps.len() < PLUGIN_TRAPS_MAX {
            return false;
        }
        self.state = PluginState::Suspended {
            since: now.as_millis(),
            reason: format!(
                "{PLUGIN_TRAPS_MAX} traps within {PLUGIN_TRAP_WINDOW:?}, the last: {last}"
            ),
        };
        true
    }

    /// Back to active, with no trap behind it. Answers whether it was suspended.
    pub(crate) fn resume(&mut self) -> bool {
        std::mem::take(self).state != PluginState::Active
    }

    pub(crate) fn state(&self) -> &PluginState {
        &self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trap(suspension: &mut Suspension, at_ms: u64) -> bool {
        let now = Timestamp::from_millis(5_000);
        suspension.on_trap(Duration::from_millis(at_ms), now, "panicked")
    }

    #[test]
    fn the_third_trap_within_the_window_suspends() {
        let mut suspension = Suspension::default();
        assert!(!trap(&mut suspension, 0));
        assert!(!trap(&mut suspension, 30_000));
        assert!(trap(&mut suspension, 59_999));
        assert_eq!(
            suspension.state(),
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
