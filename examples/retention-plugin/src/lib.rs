//! A retention policy of one's own: `retention.ms` and `retention.bytes` as ever, but nothing goes outside of
//! the hours `from` to `to` (UTC), when somebody is there to notice.

use plugin_sdk::{Bounds, Config, LogView, RetentionPolicy};

struct WorkingHours {
    bounds: Bounds,
    from: i64,
    to: i64,
}

const HOUR_MS: i64 = 3_600_000;

impl RetentionPolicy for WorkingHours {
    fn new(config: &Config, bounds: &Bounds) -> Result<Self, String> {
        config.allow_only(&["from", "to"])?;
        let (from, to) = (config.parse("from", 9)?, config.parse("to", 17)?);
        if !(0..to).contains(&from) || to > 24 {
            return Err(format!("from = {from}, to = {to}: hours of one day, one after the other"));
        }
        Ok(WorkingHours { bounds: *bounds, from, to })
    }

    fn expired(&mut self, log: &LogView) -> usize {
        let hour = log.now_ms.rem_euclid(24 * HOUR_MS) / HOUR_MS;
        if !(self.from..self.to).contains(&hour) {
            return 0;
        }
        let mut remaining = log.log_bytes;
        let expired = log.segments.iter().take_while(|segment| {
            remaining = remaining.saturating_sub(segment.bytes);
            let too_old = self.bounds.retention_ms.is_some_and(|keep| log.age_ms(segment) > keep);
            let too_much = self.bounds.retention_bytes.is_some_and(|keep| remaining >= keep);
            too_old || too_much
        });
        expired.count()
    }
}

plugin_sdk::export_retention!(WorkingHours);

#[cfg(test)]
mod tests {
    use super::*;

    fn expired_at(hour: i64) -> usize {
        let bounds = Bounds { retention_ms: Some(1_000), retention_bytes: None };
        let mut policy = WorkingHours::new(&Config::default(), &bounds).unwrap();
        let now_ms = 20_000 * 24 * HOUR_MS + hour * HOUR_MS;
        policy.expired(&LogView::of(now_ms, [(10, 100, 0), (10, 100, now_ms)]))
    }

    #[test]
    fn old_segments_go_in_working_hours_only() {
        assert_eq!([8, 9, 16, 17].map(expired_at), [0, 1, 1, 0]);
    }

    #[test]
    fn hours_that_are_none_are_refused() {
        let bounds = Bounds { retention_ms: None, retention_bytes: None };
        for options in [[("from", "17"), ("to", "9")], [("from", "0"), ("to", "25")]] {
            assert!(WorkingHours::new(&Config::new("orders", options), &bounds).is_err());
        }
    }
}
