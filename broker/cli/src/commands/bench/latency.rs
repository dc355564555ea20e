//! `Recorder` and `Latency`: what one thread measures, and what all of them together amount to.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::duration;

/// Longest time that is told apart, in nanoseconds: ten minutes.
const LONGEST_NS: u64 = 600 * 1_000_000_000;

/// Answers of the measured part of a run.
#[derive(Debug)]
pub(super) struct Recorder {
    times: Histogram<u64>,
    pub(super) records: u64,
    pub(super) payload_bytes: u64,
    last: Option<Instant>,
}

impl Recorder {
    pub(super) fn new() -> Result<Self, Failure> {
        let times = Histogram::new_with_bounds(1, LONGEST_NS, 3);
        let times = times.map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Self {
            times,
            records: 0,
            payload_bytes: 0,
            last: None,
        })
    }

    /// Something took from `since` to `now`.
    pub(super) fn answered(&mut self, since: Instant, now: Instant) {
        let nanos = now.saturating_duration_since(since).as_nanos();
        self.times
            .saturating_record(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
    }

    /// Adds what another thread has measured.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Failure> {
        let added = self.times.add(&other.times);
        added.map_err(|error| Failure::failed(error.to_string()))?;
        self.records += other.records;
        self.payload_bytes += other.payload_bytes;
        self.last = self.last.max(other.last);
        Ok(())
    }

    /// From the end of the warm-up to the last answer.
    pub(super) fn measured_since(&self, warm_until: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| {
            last.saturating_duration_since(warm_until)
        })
    }

    pub(super) fn latency(&self) -> Latency {
        let at = |quantile| self.times.value_at_quantile(quantile) as f64 / 1000.0;
        Latency {
            samples: self.times.len(),
            mean: self.times.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: self.times.max() as f64 / 1000.0,
        }
    }
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) samples: u64,
    mean: f64,
    pub(super) p50: f64,
    p90: f64,
    pub(super) p99: f64,
    p99_9: f64,
    max: f64,
}

impl Latency {
    /// On one line.
    pub(super) fn text(&self) -> String {
        let show = |micros: f64| duration(Duration::from_secs_f64(micros.max(0.0) / 1e6));
        format!(
            "p50 {}   p90 {}   p99 {}   p99.9 {}   max {}",
            show(self.p50),
            show(self.p90),
            show(self.p99),
            show(self.p99_9),
            show(self.max)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorders_add_up_and_the_last_answer_ends_the_measurement() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let (mut one, mut two) = (Recorder::new().unwrap(), Recorder::new().unwrap());
        for millis in 1..=99 {
            one.answered(start, at(millis));
        }
        two.answered(start, at(1000));
        one.merge(&two).unwrap();
        let latency = one.latency();
        assert_eq!(latency.samples, 100);
        assert!((latency.p50 - 50_000.0).abs() < 100.0, "{latency:?}");
        assert!((latency.max - 1_000_000.0).abs() < 1_000.0, "{latency:?}");
        assert_eq!(one.measured_since(at(500)), Duration::from_millis(500));
    }
}
