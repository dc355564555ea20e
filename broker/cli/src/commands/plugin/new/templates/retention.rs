//! A retention policy: decides how many of a partition's oldest segments go. This one follows
//! `retention.ms`, and keeps the newest `segments` segments however old they are.

use plugin_sdk::{Bounds, Config, LogView, RetentionPolicy};

/// What the options and the topic say. Keep nothing else here: the broker may drop an instance.
struct Plugin {
    segments: usize,
    retention_ms: Option<u64>,
}

impl RetentionPolicy for Plugin {
    /// Options come from the topic: `retention.policy.option.segments`. Refuse what you do not
    /// know. `bounds` are the topic's `retention.ms` and `retention.bytes`, where they are set.
    fn new(config: &Config, bounds: &Bounds) -> Result<Self, String> {
        config.allow_only(&["segments"])?;
        Ok(Plugin {
            segments: config.parse("segments", 1)?,
            retention_ms: bounds.retention_ms,
        })
    }

    /// How many of `log.segments` go: always the oldest ones, so that there is never a hole.
    /// There is no clock in here; `log.now_ms` is the time, and `log.age_ms` counts from it.
    fn expired(&mut self, log: &LogView) -> usize {
        let Some(retention_ms) = self.retention_ms else {
            return 0;
        };
        let old = log.segments.iter().take_while(|segment| log.age_ms(segment) > retention_ms);
        old.count().min(log.segments.len().saturating_sub(self.segments))
    }
}

plugin_sdk::export_retention!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;

    fn expired(segments: &str, retention_ms: Option<u64>) -> usize {
        let config = Config::new("orders", [("segments", segments)]);
        let bounds = Bounds { retention_ms, retention_bytes: None };
        // Three segments of 10 records and 100 bytes, the newest records 1000, 900 and 800 ms ago.
        let log = LogView::of(1_000, [(10, 100, 0), (10, 100, 100), (10, 100, 200)]);
        Plugin::new(&config, &bounds).unwrap().expired(&log)
    }

    #[test]
    fn old_segments_go_but_never_the_newest_ones() {
        assert_eq!(expired("0", Some(850)), 2);
        assert_eq!(expired("2", Some(850)), 1);
        assert_eq!(expired("5", Some(0)), 0);
    }

    #[test]
    fn without_a_limit_everything_stays() {
        assert_eq!(expired("0", None), 0);
    }
}
