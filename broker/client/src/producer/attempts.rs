//! `Attempts`: how often a batch was tried, whether any of that may have stored it, and whether there
//! should be another attempt.
//! `Notice`: says so to whoever wonders why nothing happens.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::context::ProducerOptions;
use super::lane::Target;
use crate::cluster::is_unknown;
use crate::error::{ClientError, Outcome};

/// A broker may hear of a new topic a little later than the client.
const UNKNOWN_TOPIC_ATTEMPTS: u32 = 3;

/// Trying again is said aloud once a batch has waited for so long, and then this often.
const NOTICE_AFTER: Duration = Duration::from_secs(3);
const NOTICE_EVERY: Duration = Duration::from_secs(15);

/// The attempts of one batch so far.
#[derive(Debug)]
pub(super) struct Attempts {
    opened_at: Instant,
    deadline: Instant,
    /// Whether one of them may have been carried out.
    outcome: Outcome,
    unknown_topic: u32,
}

impl Attempts {
    pub(super) fn new(opened_at: Instant, delivery_timeout: Duration) -> Self {
        Self {
            opened_at,
            deadline: opened_at + delivery_timeout,
            outcome: Outcome::Definite,
            unknown_topic: 0,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// After a failed attempt: whether there should be another one, or with which error to end.
    pub(super) fn after(
        &mut self,
        error: ClientError,
        target: &Target,
        options: &ProducerOptions,
    ) -> Result<ClientError, ClientError> {
        if !error.is_definite() {
            self.outcome = Outcome::Unknown;
        }
        let unknown = is_unknown(&error) && {
            self.unknown_topic += 1;
            self.unknown_topic < UNKNOWN_TOPIC_ATTEMPTS
        };
        if !unknown && !options.retries.allow(&error) {
            return Err(error);
        }
        if Instant::now() >= self.deadline {
            return Err(self.timed_out(&error, target, options));
        }
        Ok(error)
    }

    /// Too late for another attempt, or for the first.
    pub(super) fn timed_out(
        &self,
        last: &ClientError,
        target: &Target,
        options: &ProducerOptions,
    ) -> ClientError {
        ClientError::DeliveryTimedOut {
            target: target.name(),
            after: options.delivery_timeout,
            outcome: self.outcome,
            last: last.to_string().into(),
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// How long the batch has been waiting.
    pub(super) fn waiting(&self) -> Duration {
        self.opened_at.elapsed()
    }
}

/// The log's lines about batches that go once more: a warning now and then when one waits for long,
/// however many do; else only for those who look at details.
#[derive(Debug, Default)]
pub(super) struct Notice {
    last: Mutex<Option<Instant>>,
}

impl Notice {
    pub(super) fn sending_again(&self, target: &Target, waiting: Duration, error: &ClientError) {
        let target = target.name();
        if self.is_due(waiting, Instant::now()) {
            let waiting = format!("{waiting:.0?}");
            tracing::warn!(%target, waiting, %error, "not stored yet, trying again");
        } else {
            tracing::debug!(%target, %error, "sending again");
        }
    }

    fn is_due(&self, waiting: Duration, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = waiting >= NOTICE_AFTER && last.is_none_or(|last| now - last >= NOTICE_EVERY);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_now_and_then_and_only_of_what_waits_for_long() {
        let (notice, now) = (Notice::default(), Instant::now());
        assert!(!notice.is_due(Duration::from_secs(2), now));
        assert!(notice.is_due(NOTICE_AFTER, now));
        assert!(!notice.is_due(NOTICE_AFTER, now), "another batch");
        let later = now + NOTICE_EVERY;
        assert!(notice.is_due(Duration::from_secs(18), later));
        assert!(!notice.is_due(Duration::from_secs(18), later));
    }
}
