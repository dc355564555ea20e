//! Lines that a plugin writes: cut, cleaned of control characters, rate-limited per plugin (not per
//! instance: a trap makes a new instance), and handed to `tracing` with the plugin's name and topic.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use broker_model::limits::{PLUGIN_LOG_LINES_PER_SECOND, PLUGIN_MESSAGE_BYTES_MAX};

use crate::abi::LogLevel;

/// How many lines a plugin may still write in the current second.
#[derive(Debug, Default)]
pub(crate) struct LogBudget(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    dropped: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is written; so many lines were dropped before it.
    Write {
        dropped: u64,
    },
    Drop,
}

impl LogBudget {
    pub(crate) fn write(&self, plugin: &str, topic: &str, level: LogLevel, text: &str) {
        let Verdict::Write { dropped } = self.judge(Instant::now()) else {
            return;
        };
        if dropped > 0 {
            tracing::warn!(
                plugin,
                topic,
                dropped,
                "plugin wrote too many lines, some were dropped"
            );
        }
        match level {
            LogLevel::Error => tracing::error!(plugin, topic, "{text}"),
            LogLevel::Warn => tracing::warn!(plugin, topic, "{text}"),
            LogLevel::Info => tracing::info!(plugin, topic, "{text}"),
            LogLevel::Debug => tracing::debug!(plugin, topic, "{text}"),
        }
    }

    fn judge(&self, now: Instant) -> Verdict {
        let mut window = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let over = |began| now.saturating_duration_since(began) >= Duration::from_secs(1);
        let dropped = window.dropped;
        if window.began.is_none_or(over) {
            *window = Window {
                began: Some(now),
                lines: 1,
                dropped: 0,
            };
            return Verdict::Write { dropped };
        }
        if window.lines < PLUGIN_LOG_LINES_PER_SECOND {
            window.lines += 1;
            return Verdict::Write { dropped };
        }
        window.dropped += 1;
        Verdict::Drop
    }
}

/// A plugin's text as the broker hands it on: one line without control characters, at most
/// [`PLUGIN_MESSAGE_BYTES_MAX`] bytes.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::new();
    for character in text.trim().chars() {
        let shown = if character.is_control() {
            ' '
        } else {
            character
        };
        if clean.len() + shown.len_utf8() > PLUGIN_MESSAGE_BYTES_MAX {
            break;
        }
        clean.push(shown);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_above_the_rate_are_dropped_and_counted() {
        let budget = LogBudget::default();
        let now = Instant::now();
        for _ in 0..PLUGIN_LOG_LINES_PER_SECOND {
            assert_eq!(budget.judge(now), Verdict::Write { dropped: 0 });
        }
        assert_eq!(budget.judge(now), Verdict::Drop);
        assert_eq!(
            budget.judge(now + Duration::from_millis(999)),
            Verdict::Drop
        );
        let later = now + Duration::from_secs(1);
        assert_eq!(budget.judge(later), Verdict::Write { dropped: 2 });
        assert_eq!(budget.judge(later), Verdict::Write { dropped: 0 });
    }

    #[test]
    fn a_text_is_one_line_and_cut_between_characters() {
        assert_eq!(
            clean(" panicked at x:\nno\u{1b}[31m "),
            "panicked at x: no [31m"
        );
        let long = clean(&"ü".repeat(PLUGIN_MESSAGE_BYTES_MAX));
        assert_eq!(long.len(), PLUGIN_MESSAGE_BYTES_MAX);
    }
}
