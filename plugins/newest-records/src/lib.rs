//! Retention by number: each partition keeps its newest records, at least so many, and older segments go.
//! `retention.ms` and `retention.bytes` are not looked at.
//!
//! Option `records` (needed): how many records below the high watermark stay at least. A segment goes
//! when so many offsets lie behind it; where compaction left gaps, fewer records than offsets.

use plugin_sdk::{Bounds, Config, LogView, RetentionPolicy};

struct NewestRecords {
    records: u64,
}

impl RetentionPolicy for NewestRecords {
    fn new(config: &Config, _: &Bounds) -> Result<Self, String> {
        config.allow_only(&["records"])?;
        let records = config.require("records")?;
        Ok(NewestRecords { records })
    }

    fn expired(&mut self, log: &LogView) -> usize {
        let behind = |next_offset: u64| log.high_watermark.saturating_sub(next_offset);
        let segments = log.segments.iter();
        segments
            .take_while(|segment| behind(segment.next_offset) >= self.records)
            .count()
    }
}

plugin_sdk::export_retention!(NewestRecords);

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        retention_ms: Some(1),
        retention_bytes: Some(1),
    };

    fn expired(records: &str) -> usize {
        let config = Config::new("orders", [("records", records)]);
        let log = LogView::of(i64::MAX, [(10, 1, 0), (10, 1, 0), (10, 1, 0)]);
        NewestRecords::new(&config, &BOUNDS).unwrap().expired(&log)
    }

    #[test]
    fn at_least_so_many_records_stay_whatever_the_other_limits_say() {
        assert_eq!(expired("0"), 3);
        assert_eq!(expired("1"), 2);
        assert_eq!(expired("10"), 2);
        assert_eq!(expired("11"), 1);
        assert_eq!(expired("100"), 0);
    }

    #[test]
    fn the_number_is_needed() {
        let error = NewestRecords::new(&Config::default(), &BOUNDS)
            .err()
            .unwrap();
        assert_eq!(error, "option records is missing");
        assert!(NewestRecords::new(&Config::new("t", [("record", "1")]), &BOUNDS).is_err());
    }
}
