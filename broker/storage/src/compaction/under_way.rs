//! `CleaningToken`: what a log and a cleaning of it know of each other. A log has one cleaning at a
//! time; the cleaning is over when its last token is gone, whatever became of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use broker_model::{Offset, Timestamp};

/// Shared by a log and the cleaning under way.
#[derive(Debug)]
pub(crate) struct CleaningToken {
    /// The offset after the last segment it may replace.
    pub(crate) end: Offset,
    /// When it began, on the monotonic clock.
    pub(crate) began: Duration,
    /// Since when the policy is in force by which it chooses.
    pub(crate) policy_since: Option<Timestamp>,
    cancelled: AtomicBool,
    /// The log start, which moves on meanwhile.
    start: AtomicU64,
}

impl CleaningToken {
    /// For what lies between two offsets.
    pub(crate) fn new(
        (start, end): (Offset, Offset),
        began: Duration,
        policy_since: Option<Timestamp>,
    ) -> Arc<Self> {
        Arc::new(Self {
            end,
            began,
            policy_since,
            cancelled: AtomicBool::new(false),
            start: AtomicU64::new(start.get()),
        })
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// The log start by now.
    pub(crate) fn start(&self) -> Offset {
        Offset::new(self.start.load(Ordering::Acquire))
    }
}

/// The log's side.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Weak<CleaningToken>);

impl UnderWay {
    pub(crate) fn begin(&mut self, token: &Arc<CleaningToken>) {
        self.0 = Arc::downgrade(token);
    }

    /// Whether a cleaning is under way.
    pub(crate) fn is_some(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Whether this is the one, and it still counts.
    pub(crate) fn is(&self, token: &Arc<CleaningToken>) -> bool {
        self.0.as_ptr() == Arc::as_ptr(token) && !token.is_cancelled()
    }

    /// The log start moved.
    pub(crate) fn advance_start(&self, to: Offset) {
        if let Some(token) = self.0.upgrade() {
            token.start.store(to.get(), Ordering::Release);
        }
    }

    /// The log was cut at `end`: what a cleaning has read above it is not there any more.
    pub(crate) fn truncate_to(&mut self, end: Offset) {
        if self.0.upgrade().is_some_and(|token| token.end > end) {
            self.cancel();
        }
    }

    /// What the cleaning has done does not count any more.
    pub(crate) fn cancel(&mut self) {
        if let Some(token) = std::mem::take(&mut self.0).upgrade() {
            token.cancelled.store(true, Ordering::Release);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.cancel();
    }
}
