//! The default retention policy: a segment goes when its newest record is older than `retention.ms`, or
//! when what remains without it still has `retention.bytes`. The oldest segments first; the first one
//! that stays ends it. No options: the limits are the topic's own.

use plugin_sdk::{Bounds, Config, LogView, RetentionPolicy};

struct TimeAndSize(Bounds);

impl RetentionPolicy for TimeAndSize {
    fn new(config: &Config, bounds: &Bounds) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(TimeAndSize(*bounds))
    }

    fn expired(&mut self, log: &LogView) -> usize {
        let mut remaining = log.log_bytes;
        let is_expired = |segment: &&plugin_sdk::Segment| {
            let without = remaining.saturating_sub(segment.bytes);
            let too_old = self
                .0
                .retention_ms
                .is_some_and(|keep| log.age_ms(segment) > keep);
            let too_much = self.0.retention_bytes.is_some_and(|keep| without >= keep);
            remaining = without;
            too_old || too_much
        };
        log.segments.iter().take_while(is_expired).count()
    }
}

plugin_sdk::export_retention!(TimeAndSize);

#[cfg(test)]
mod tests {
    use super::*;

    fn expired(ms: Option<u64>, bytes: Option<u64>, segments: &[(u64, i64)], active: u64) -> usize {
        let bounds = Bounds {
            retention_ms: ms,
            retention_bytes: bytes,
        };
        let segments = segments.iter().map(|(bytes, newest)| (10, *bytes, *newest));
        let mut log = LogView::of(1_000, segments);
        log.log_bytes += active;
        TimeAndSize::new(&Config::default(), &bounds)
            .unwrap()
            .expired(&log)
    }

    #[test]
    fn a_young_record_keeps_its_segment_and_those_after_it() {
        assert_eq!(expired(Some(500), None, &[(1, 100), (1, 499)], 1), 2);
        assert_eq!(
            expired(Some(500), None, &[(1, 100), (1, 500), (1, 0)], 1),
            1
        );
        assert_eq!(expired(Some(500), None, &[(1, 9_999), (1, 0)], 1), 0);
        assert_eq!(expired(Some(0), None, &[(1, 999), (1, 1_000)], 1), 1);
    }

    #[test]
    fn size_keeps_at_least_what_was_asked_for() {
        assert_eq!(expired(None, Some(3), &[(1, 0); 5], 1), 3);
        assert_eq!(expired(None, Some(3), &[(1, 0); 2], 1), 0);
        assert_eq!(expired(None, Some(3), &[(1, 0); 2], 100), 2);
    }

    #[test]
    fn either_limit_is_enough_and_without_limits_nothing_goes() {
        assert_eq!(
            expired(Some(500), Some(2), &[(1, 0), (1, 900), (1, 900)], 1),
            2
        );
        assert_eq!(expired(None, None, &[(1, -9_999); 3], 1), 0);
    }

    #[test]
    fn an_option_is_refused() {
        let bounds = Bounds {
            retention_ms: None,
            retention_bytes: None,
        };
        assert!(TimeAndSize::new(&Config::new("t", [("ms", "1")]), &bounds).is_err());
    }
}
