//! `Backoff`: how long to wait before the next attempt: longer each time up to a bound, and never
//! the same for two clients, so that they do not come back all at once.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// First and longest wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffBounds {
    /// Before the second attempt; up to twice that because of the jitter.
    pub min: Duration,
    /// Never longer than twice this.
    pub max: Duration,
}

impl Default for BackoffBounds {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(25),
            max: Duration::from_secs(1),
        }
    }
}

/// The waits of one sequence of attempts; it never ends.
#[derive(Debug)]
pub(crate) struct Backoff {
    waits: ExponentialBackoff,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(bounds: BackoffBounds) -> Self {
        // backon without std starts its generator from a constant, which would be no jitter at all.
        let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
        let waits = ExponentialBuilder::new()
            .with_min_delay(bounds.min)
            .with_max_delay(bounds.max)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(seed)
            .build();
        Self {
            waits,
            max: bounds.max,
        }
    }

    pub(crate) fn next_wait(&mut self) -> Duration {
        self.waits.next().unwrap_or(self.max)
    }

    pub(crate) async fn wait(&mut self) {
        let wait = self.next_wait();
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_differ_between_clients() {
        let bounds = BackoffBounds {
            min: Duration::from_millis(10),
            max: Duration::from_millis(80),
        };
        let waits = || {
            let mut backoff = Backoff::new(bounds);
            (0..200).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        let (one, two) = (waits(), waits());
        assert_ne!(one, two, "no jitter");
        assert!(one[0] >= bounds.min && one[0] <= 2 * bounds.min);
        assert!(one[199] >= bounds.max);
        assert!(one.iter().all(|wait| *wait <= 2 * bounds.max));
    }
}
