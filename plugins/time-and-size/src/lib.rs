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
mod tests;
