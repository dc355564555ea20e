//! Timing calls of a plugin: a histogram of their durations, and how much of the limits they used.

use std::time::{Duration, Instant};

use broker_wasm::{Plugin, PluginError, PluginErrorKind};
use hdrhistogram::Histogram;
use serde::Serialize;

/// The calls of one batch size.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// The function that was called.
    pub(super) call: &'static str,
    /// Records (segments, for retention) in a call.
    pub(super) batch: u32,
    pub(super) calls: u64,
    /// Those of them that failed: the last one, if any.
    pub(super) failures: u64,
    /// Whether the last one was stopped at the deadline.
    pub(super) stopped: bool,
    pub(super) ns_per_record: f64,
    pub(super) call_p50_ns: u64,
    pub(super) call_p99_ns: u64,
    /// The most memory that an instance had.
    pub(super) memory_bytes: u64,
    /// The 99th percentile as a part of the deadline.
    pub(super) deadline_share: f64,
    pub(super) memory_share: f64,
    /// Why there are no more calls: the plugin failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// How long one batch size is measured at most.
const TIME_MAX: Duration = Duration::from_secs(3);

/// Longest time that is told apart, in nanoseconds: a minute.
const LONGEST_NS: u64 = 60 * 1_000_000_000;

/// Calls that are being timed.
pub(super) struct Timing {
    call: &'static str,
    batch: u32,
    began: Instant,
    total: Duration,
    histogram: Histogram<u64>,
    stopped: bool,
    error: Option<String>,
}

impl Row {
    /// Whether there is a call that was answered.
    pub(super) fn has_answers(&self) -> bool {
        self.calls > self.failures
    }
}

impl Timing {
    pub(super) fn of(call: &'static str, batch: u32) -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3)
            .expect("these bounds and three digits are within what it takes");
        Self {
            call,
            batch,
            began: Instant::now(),
            total: Duration::ZERO,
            histogram,
            stopped: false,
            error: None,
        }
    }

    /// Times one call; false when there should be no further one.
    pub(super) fn call(&mut self, call: impl FnOnce() -> Result<(), PluginError>) -> bool {
        let began = Instant::now();
        let answer = call();
        let took = began.elapsed();
        self.total += took;
        self.histogram
            .saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        let timeout = |error: &PluginError| error.kind == PluginErrorKind::Timeout;
        self.stopped = answer.as_ref().is_err_and(timeout);
        self.error = answer.err().map(|error| error.to_string());
        self.error.is_none() && self.began.elapsed() < TIME_MAX
    }

    /// Whether the plugin failed.
    pub(super) fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// What came out.
    pub(super) fn row(self, plugin: &Plugin) -> Row {
        let calls = self.histogram.len();
        let records = calls as f64 * f64::from(self.batch);
        let call_p99_ns = self.histogram.value_at_quantile(0.99);
        let limits = plugin.limits();
        let memory_bytes = plugin.counters().usage().memory_bytes;
        Row {
            call: self.call,
            batch: self.batch,
            calls,
            stopped: self.stopped,
            failures: u64::from(self.error.is_some()),
            ns_per_record: self.total.as_nanos() as f64 / records.max(1.0),
            call_p50_ns: self.histogram.value_at_quantile(0.5),
            call_p99_ns,
            memory_bytes,
            deadline_share: call_p99_ns as f64 / limits.deadline.as_nanos() as f64,
            memory_share: memory_bytes as f64 / limits.memory_bytes as f64,
            error: self.error,
        }
    }
}
