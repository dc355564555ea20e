//! Retention by `retention.ms` and `retention.bytes`, but never below a floor, whatever they say: a segment
//! goes only if what remains without it still has `keep.bytes`, and if it has no record younger than
//! `keep.ms`.
//!
//! Options, at least one of them:
//! - `keep.bytes`: a size such as `1GiB`, counted over the whole partition, the active segment included;
//! - `keep.ms`: a duration such as `12h`, or milliseconds.

use plugin_sdk::{Bounds, Config, LogView, RetentionPolicy, Segment};

struct KeepAtLeast {
    bounds: Bounds,
    keep_bytes: Option<u64>,
    keep_ms: Option<u64>,
}

impl RetentionPolicy for KeepAtLeast {
    fn new(config: &Config, bounds: &Bounds) -> Result<Self, String> {
        config.allow_only(&["keep.bytes", "keep.ms"])?;
        let (keep_bytes, keep_ms) = (config.bytes("keep.bytes")?, config.millis("keep.ms")?);
        if keep_bytes.is_none() && keep_ms.is_none() {
            return Err("one of the options keep.bytes and keep.ms is needed".to_owned());
        }
        Ok(KeepAtLeast {
            bounds: *bounds,
            keep_bytes,
            keep_ms,
        })
    }

    fn expired(&mut self, log: &LogView) -> usize {
        let mut remaining = log.log_bytes;
        let may_go = |segment: &&Segment| {
            remaining = remaining.saturating_sub(segment.bytes);
            self.is_expired(log.age_ms(segment), remaining)
        };
        log.segments.iter().take_while(may_go).count()
    }
}

impl KeepAtLeast {
    /// Whether a segment of that age may go, and leave so many bytes.
    fn is_expired(&self, age_ms: u64, remaining: u64) -> bool {
        let too_old = self.bounds.retention_ms.is_some_and(|keep| age_ms > keep);
        let too_much = self
            .bounds
            .retention_bytes
            .is_some_and(|keep| remaining >= keep);
        let above_bytes = self.keep_bytes.is_none_or(|keep| remaining >= keep);
        let above_ms = self.keep_ms.is_none_or(|keep| age_ms > keep);
        (too_old || too_much) && above_bytes && above_ms
    }
}

plugin_sdk::export_retention!(KeepAtLeast);

#[cfg(test)]
mod tests;
