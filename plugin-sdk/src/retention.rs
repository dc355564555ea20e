//! The retention kind: decides how many of a partition's oldest segments go.
//! [`export_retention!`](crate::export_retention) makes a type the plugin.

use std::cell::RefCell;

use crate::generated::retention_plugin::exports::broker::plugin::retention as exported;
use crate::{Bounds, Config, LogView, Segment};

/// A retention policy. One instance serves one topic and may be dropped and made again at any time, so
/// an answer may depend only on the arguments and the configuration.
///
/// A topic uses it with `retention.policy = NAME`; `retention.policy.option.X` sets option X. If it
/// fails, everything is kept.
///
/// ```
/// use plugin_sdk::{Bounds, Config, LogView, RetentionPolicy};
///
/// /// Keeps what is younger than `retention.ms`, and always the newest `segments` segments.
/// struct KeepSegments {
///     segments: usize,
///     retention_ms: Option<u64>,
/// }
///
/// impl RetentionPolicy for KeepSegments {
///     fn new(config: &Config, bounds: &Bounds) -> Result<Self, String> {
///         config.allow_only(&["segments"])?;
///         let segments = config.parse("segments", 1)?;
///         Ok(KeepSegments { segments, retention_ms: bounds.retention_ms })
///     }
///
///     fn expired(&mut self, log: &LogView) -> usize {
///         let Some(retention_ms) = self.retention_ms else {
///             return 0;
///         };
///         let old = log.segments.iter().take_while(|segment| log.age_ms(segment) > retention_ms);
///         old.count().min(log.segments.len().saturating_sub(self.segments))
///     }
/// }
///
/// plugin_sdk::export_retention!(KeepSegments);
///
/// // The author's own test needs no broker: three segments of 10 records and 100 bytes each.
/// let config = Config::new("orders", [("segments", "1")]);
/// let bounds = Bounds { retention_ms: Some(500), retention_bytes: None };
/// let mut policy = KeepSegments::new(&config, &bounds).unwrap();
/// let log = LogView::of(1_000, [(10, 100, 0), (10, 100, 100), (10, 100, 200)]);
/// assert_eq!(policy.expired(&log), 2);
/// ```
pub trait RetentionPolicy: Sized {
    /// Reads the configuration: the options, and what the topic's `retention.ms` and `retention.bytes`
    /// say. Refuse options that you do not know: [`Config::allow_only`].
    ///
    /// # Errors
    /// The text reaches whoever configured the plugin or the topic.
    fn new(config: &Config, bounds: &Bounds) -> Result<Self, String>;

    /// How many of the oldest segments of `log.segments` may go: a prefix, so that a policy cannot leave
    /// a hole. Called again and again; the segments are sealed and lie below the high watermark.
    ///
    /// The active segment, which is being written, is not among them: it cannot go, however old its
    /// records are (`roll.ms` and `segment.bytes` of the topic say when it is sealed), and of it a policy
    /// knows only that `log.log_end` and `log.log_bytes` include it. More than 1,024 segments come in
    /// several calls: where all of the oldest may go, the next are asked about as if those were gone.
    fn expired(&mut self, log: &LogView) -> usize;
}

impl LogView {
    /// How long ago the newest record of a segment was, in milliseconds; 0 if it lies in the future.
    pub fn age_ms(&self, segment: &Segment) -> u64 {
        let age = i128::from(self.now_ms) - i128::from(segment.max_timestamp_ms);
        u64::try_from(age.max(0)).unwrap_or(u64::MAX)
    }

    /// A log for a native test: sealed segments as (records, bytes, newest timestamp), oldest first, and
    /// nothing else.
    pub fn of(now_ms: i64, segments: impl IntoIterator<Item = (u64, u64, i64)>) -> Self {
        let (mut next_offset, mut log_bytes) = (0, 0);
        let segments = segments
            .into_iter()
            .map(|(records, bytes, max_timestamp_ms)| {
                let base_offset = next_offset;
                next_offset += records;
                log_bytes += bytes;
                Segment {
                    base_offset,
                    next_offset,
                    bytes,
                    max_timestamp_ms,
                }
            });
        let segments = segments.collect();
        LogView {
            now_ms,
            high_watermark: next_offset,
            log_start: 0,
            log_end: next_offset,
            log_bytes,
            segments,
        }
    }
}

/// Carries a [`RetentionPolicy`] through the generated bindings.
pub struct Export<R>(RefCell<R>);

impl<R: RetentionPolicy + 'static> exported::Guest for Export<R> {
    type RetentionPolicy = Export<R>;
}

impl<R: RetentionPolicy + 'static> exported::GuestRetentionPolicy for Export<R> {
    fn new(config: Config, bounds: Bounds) -> Result<Self, String> {
        crate::log::report_panics();
        R::new(&config, &bounds).map(|plugin| Export(RefCell::new(plugin)))
    }

    fn expired(&self, log: LogView) -> u32 {
        let expired = self.0.borrow_mut().expired(&log);
        // Too many are refused by the broker either way.
        u32::try_from(expired).unwrap_or(u32::MAX)
    }
}

/// Makes a type that implements [`RetentionPolicy`](crate::RetentionPolicy) the plugin of this crate, and
/// writes the crate's name and version into the module.
#[macro_export]
macro_rules! export_retention {
    ($plugin:ty) => {
        $crate::__export_plugin!(
            $plugin,
            $crate::RetentionPolicy,
            __RetentionExport,
            retention_plugin,
            __export_retention
        );
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_never_negative_and_never_overflows() {
        let log = LogView::of(i64::MAX, [(1, 1, i64::MIN), (1, 1, 0)]);
        assert_eq!(log.age_ms(&log.segments[0]), u64::MAX);
        assert_eq!(log.age_ms(&log.segments[1]), i64::MAX.unsigned_abs());
        let log = LogView::of(0, [(1, 1, 5)]);
        assert_eq!(log.age_ms(&log.segments[0]), 0);
    }
}
