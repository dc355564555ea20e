//! `Attempts`: how often a batch was tried, whether any of that may have stored it, and whether there
//! should be another attempt.

use std::time::Duration;

use tokio::time::Instant;

use super::context::ProducerOptions;
use super::lane::Target;
use crate::cluster::is_unknown;
use crate::error::{ClientError, Outcome};

/// A broker may hear of a new topic a little later than the client.
const UNKNOWN_TOPIC_ATTEMPTS: u32 = 3;

/// The attempts of one batch so far.
#[derive(Debug)]
pub(super) struct Attempts {
    deadline: Instant,
    /// Whether one of them may have been carried out.
    outcome: Outcome,
    unknown_topic: u32,
}

impl Attempts {
    pub(super) fn new(opened_at: Instant, delivery_timeout: Duration) -> Self {
        Self {
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
}
