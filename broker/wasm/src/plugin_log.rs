//! Lines that a plugin writes, and what the broker says about it: cut, cleaned of control characters,
//! rate-limited per plugin (not per instance: a trap makes a new instance), handed to `tracing` with
//! the plugin's name and topic, and the last of them kept for `broker plugin logs`.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_model::limits::{
    PLUGIN_LOG_LINES_KEPT, PLUGIN_LOG_LINES_PER_SECOND, PLUGIN_MESSAGE_BYTES_MAX,
};
use broker_model::{Clock, Timestamp};

use crate::abi::LogLevel;
use crate::plugin_error::PluginError;

/// The last lines of a plugin.
#[derive(Debug, Default)]
pub struct PluginLog(Mutex<Lines>);

/// One line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its place in the log, counted from 1.
    pub sequence: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// `error`, `warn`, `info` or `debug`.
    pub level: &'static str,
    /// The topic that the plugin was at work for; empty where there is none.
    pub topic: String,
    /// What it says: one line of at most 256 bytes.
    pub message: String,
}

#[derive(Debug, Default)]
struct Lines {
    /// For the plugin's own lines.
    own: Window,
    /// For the failures of its calls, which a plugin cannot drown in lines of its own.
    failures: Window,
    kept: VecDeque<LogLine>,
    written: u64,
}

/// How many lines may still be written in the current second.
#[derive(Debug, Default)]
struct Window {
    began: Option<Duration>,
    lines: u32,
    dropped: u64,
}

impl PluginLog {
    /// The lines behind `sequence`, the oldest first and `max` at most. Lines that are not kept any
    /// more are left out, which shows in a first sequence above `sequence + 1`.
    pub fn after(&self, sequence: u64, max: usize) -> Vec<LogLine> {
        let lines = self.lines();
        let behind = lines.kept.iter().filter(|line| line.sequence > sequence);
        behind.take(max).cloned().collect()
    }

    /// The sequence of the newest line; 0 while there is none.
    pub fn last_sequence(&self) -> u64 {
        self.lines().written
    }

    /// A line of the plugin's own.
    pub(crate) fn write(&self, from: Origin<'_>, level: LogLevel, text: &str) {
        let (plugin, topic) = (from.plugin, from.topic);
        {
            let mut lines = self.lines();
            if !lines.own.admits(from.clock.monotonic()) {
                return;
            }
            lines.add(from, level, text);
        }
        match level {
            LogLevel::Error => tracing::error!(plugin, topic, "{text}"),
            LogLevel::Warn => tracing::warn!(plugin, topic, "{text}"),
            LogLevel::Info => tracing::info!(plugin, topic, "{text}"),
            LogLevel::Debug => tracing::debug!(plugin, topic, "{text}"),
        }
    }

    /// The line of a call that failed: as many a second as the plugin may write, and not handed to
    /// `tracing`. None for a panic whose own text is the newest line.
    pub(crate) fn write_failure(&self, from: Origin<'_>, level: LogLevel, error: &PluginError) {
        let mut lines = self.lines();
        let newest = lines.kept.back();
        if newest.is_some_and(|line| line.topic == from.topic && line.message == error.message) {
            return;
        }
        if lines.failures.admits(from.clock.monotonic()) {
            lines.add(from, level, &clean(&error.reason()));
        }
    }

    /// A line of the broker's about the plugin: never dropped, and not handed to `tracing`.
    pub(crate) fn note(&self, from: Origin<'_>, level: LogLevel, text: &str) {
        self.lines().add(from, level, &clean(text));
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a line comes from.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) plugin: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) clock: &'a dyn Clock,
}

impl Lines {
    /// Adds a line, behind one that says how many were dropped since the last.
    fn add(&mut self, from: Origin<'_>, level: LogLevel, text: &str) {
        let (plugin, topic, now) = (from.plugin, from.topic, from.clock.now());
        let dropped = mem::take(&mut self.own.dropped) + mem::take(&mut self.failures.dropped);
        if dropped > 0 {
            let note = format!(
                "{dropped} lines dropped: a plugin may write {PLUGIN_LOG_LINES_PER_SECOND} a second"
            );
            self.keep(now, LogLevel::Warn, topic, &note);
            tracing::warn!(
                plugin,
                topic,
                dropped,
                "plugin wrote too many lines, some were dropped"
            );
        }
        self.keep(now, level, topic, text);
    }

    fn keep(&mut self, now: Timestamp, level: LogLevel, topic: &str, text: &str) {
        self.written += 1;
        if self.kept.len() == PLUGIN_LOG_LINES_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(LogLine {
            sequence: self.written,
            at_ms: now.as_millis(),
            level: level.name(),
            topic: topic.to_owned(),
            message: text.to_owned(),
        });
    }
}

impl Window {
    /// Whether one more line may be written now; if not, it is counted as dropped.
    fn admits(&mut self, now: Duration) -> bool {
        let over = |began| now.saturating_sub(began) >= Duration::from_secs(1);
        if self.began.is_none_or(over) {
            self.began = Some(now);
            self.lines = 0;
        }
        let admitted = self.lines < PLUGIN_LOG_LINES_PER_SECOND;
        if admitted {
            self.lines += 1;
        } else {
            self.dropped += 1;
        }
        admitted
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
    use broker_model::ManualClock;

    fn write(log: &PluginLog, clock: &ManualClock, text: &str) {
        let from = Origin {
            plugin: "p",
            topic: "orders",
            clock,
        };
        log.write(from, LogLevel::Info, text);
    }

    #[test]
    fn lines_above_the_rate_are_dropped_and_counted() {
        let (log, clock) = (
            PluginLog::default(),
            ManualClock::at(Timestamp::from_millis(7)),
        );
        for line in 0..PLUGIN_LOG_LINES_PER_SECOND + 2 {
            write(&log, &clock, &line.to_string());
        }
        assert_eq!(log.last_sequence(), u64::from(PLUGIN_LOG_LINES_PER_SECOND));
        clock.advance(Duration::from_secs(1));
        write(&log, &clock, "later");
        let new = log.after(u64::from(PLUGIN_LOG_LINES_PER_SECOND), 10);
        let texts: Vec<_> = new.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(
            texts,
            ["2 lines dropped: a plugin may write 10 a second", "later"]
        );
        assert_eq!(
            (new[1].at_ms, new[1].level, new[1].topic.as_str()),
            (1_007, "info", "orders")
        );
    }

    #[test]
    fn a_line_of_the_brokers_says_as_well_how_many_were_dropped_before_it() {
        let (log, clock) = (PluginLog::default(), ManualClock::default());
        for _ in 0..PLUGIN_LOG_LINES_PER_SECOND + 3 {
            write(&log, &clock, "again");
        }
        let from = Origin {
            plugin: "p",
            topic: "",
            clock: &clock,
        };
        log.note(from, LogLevel::Info, "resumed");
        log.note(from, LogLevel::Info, "once more");
        let new = log.after(u64::from(PLUGIN_LOG_LINES_PER_SECOND), 10);
        let texts: Vec<_> = new.iter().map(|line| line.message.as_str()).collect();
        let dropped = "3 lines dropped: a plugin may write 10 a second";
        assert_eq!(texts, [dropped, "resumed", "once more"]);
    }

    #[test]
    fn the_last_thousand_lines_are_kept_and_read_from_a_sequence_on() {
        let (log, clock) = (PluginLog::default(), ManualClock::default());
        for line in 1..=1_005 {
            clock.advance(Duration::from_secs(1));
            write(&log, &clock, &line.to_string());
        }
        let sequences = |after, max| {
            let lines = log.after(after, max);
            lines.iter().map(|line| line.sequence).collect::<Vec<_>>()
        };
        assert_eq!(sequences(0, 2), [6, 7]);
        assert_eq!(sequences(1_003, 10), [1_004, 1_005]);
        assert!(sequences(1_005, 10).is_empty());
        assert_eq!(log.after(0, usize::MAX).len(), 1_000);
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
