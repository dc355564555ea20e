//! What a log forgets: the policy decides, the log carries out. Whole sealed segments, oldest
//! first, never the active one, never at or above the high watermark.

use std::time::Duration;

use broker_model::{Offset, Timestamp};

use crate::policy_failed::PolicyFailed;
use crate::segment::SegmentInfo;

/// What a retention policy decides on.
#[derive(Clone, Copy, Debug)]
pub struct RetentionView<'a> {
    /// Wall time, made safe against jumps of the clock while the broker runs.
    pub now: Timestamp,
    /// Nothing at or above it may go.
    pub high_watermark: Offset,
    /// The first offset that can be read.
    pub log_start: Offset,
    /// The offset that the next record gets.
    pub log_end: Offset,
    /// The sealed segments, oldest first.
    pub segments: &'a [SegmentInfo],
    /// Bytes of the whole log, the active segment included.
    pub log_bytes: u64,
}

/// Decides how much of a log may go.
pub trait RetentionPolicy {
    /// How many of the view's segments, from the oldest, may go. What is more than may be is
    /// ignored by the log.
    ///
    /// # Errors
    /// When there is no answer; nothing goes then.
    fn expired(&mut self, view: &RetentionView<'_>) -> Result<usize, PolicyFailed>;
}

/// Kafka's `delete` policy: by age of a segment's newest record and by size of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeAndSize {
    /// How old a segment's newest record may get; `None` for ever.
    pub retention: Option<Duration>,
    /// How many bytes the log keeps at least, whatever their age allows; `None` for no bound. A
    /// segment goes when what remains without it still has that many.
    pub bytes: Option<u64>,
}

impl RetentionPolicy for TimeAndSize {
    fn expired(&mut self, view: &RetentionView<'_>) -> Result<usize, PolicyFailed> {
        let mut remaining = view.log_bytes;
        let mut expired = 0;
        for segment in view.segments {
            let too_old = self.retention.is_some_and(|keep| {
                segment.max_timestamp < view.now && view.now.since(segment.max_timestamp) > keep
            });
            let too_much = self
                .bytes
                .is_some_and(|keep| remaining.saturating_sub(segment.bytes) >= keep);
            if !too_old && !too_much {
                break;
            }
            remaining = remaining.saturating_sub(segment.bytes);
            expired += 1;
        }
        Ok(expired)
    }
}

/// What a retention run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionOutcome {
    /// Segments deleted.
    pub segments: usize,
    /// Bytes of their data files.
    pub bytes: u64,
    /// The log start offset now.
    pub start: Offset,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(of: &[(u64, i64)]) -> Vec<SegmentInfo> {
        let mut base = 0;
        of.iter()
            .map(|(bytes, max_timestamp)| {
                base += 10;
                SegmentInfo {
                    base: Offset::new(base - 10),
                    next: Offset::new(base),
                    bytes: *bytes,
                    max_timestamp: Timestamp::from_millis(*max_timestamp),
                    sealed: true,
                }
            })
            .collect()
    }

    fn expired(policy: TimeAndSize, segments: &[SegmentInfo], active_bytes: u64) -> usize {
        let sealed: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let mut policy = policy;
        let view = RetentionView {
            now: Timestamp::from_millis(1_000),
            high_watermark: Offset::MAX,
            log_start: Offset::ZERO,
            log_end: Offset::MAX,
            segments,
            log_bytes: sealed + active_bytes,
        };
        policy.expired(&view).unwrap_or(usize::MAX)
    }

    #[test]
    fn a_young_record_keeps_its_segment_and_those_after_it() {
        let policy = TimeAndSize {
            retention: Some(Duration::from_millis(500)),
            bytes: None,
        };
        assert_eq!(expired(policy, &segments(&[(1, 100), (1, 499)]), 1), 2);
        assert_eq!(
            expired(policy, &segments(&[(1, 100), (1, 500), (1, 0)]), 1),
            1
        );
        assert_eq!(expired(policy, &segments(&[(1, 9_999), (1, 0)]), 1), 0);
    }

    #[test]
    fn size_keeps_at_least_what_was_asked_for() {
        let policy = TimeAndSize {
            retention: None,
            bytes: Some(3),
        };
        assert_eq!(expired(policy, &segments(&[(1, 0); 5]), 1), 3);
        assert_eq!(expired(policy, &segments(&[(1, 0); 2]), 1), 0);
        assert_eq!(expired(policy, &segments(&[(1, 0); 2]), 100), 2);
    }

    #[test]
    fn without_limits_nothing_goes() {
        assert_eq!(
            expired(TimeAndSize::default(), &segments(&[(1, -9_999); 3]), 1),
            0
        );
    }
}
