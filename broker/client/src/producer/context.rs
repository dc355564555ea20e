//! `ProducerContext`: what all lanes of a producer share: its options, the bound on what it holds,
//! the client, and the first failure that nobody may have looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_model::Clock;
use broker_protocol::api::produce::{Acks, Payload, ProduceRequest};
use broker_record::Codec;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::lane::Target;
use crate::cluster::{Backoff, Client, Retries, is_unknown};
use crate::connection::{Connection, Submitted};
use crate::error::{ClientError, Outcome};

/// How much longer than the broker the client waits, so that the broker's own answer comes first.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub(super) struct ProducerOptions {
    pub(super) acks: Acks,
    pub(super) linger: Duration,
    pub(super) batch_bytes: usize,
    pub(super) batch_records: usize,
    pub(super) codec: Codec,
    pub(super) max_in_flight: usize,
    pub(super) delivery_timeout: Duration,
    pub(super) buffer_bytes: usize,
    pub(super) retries: Retries,
}

impl ProducerOptions {
    /// Whether this error alone leaves room for another attempt.
    pub(super) fn may_retry(&self, error: &ClientError) -> bool {
        self.retries.allow(error) || is_unknown(error)
    }
}

pub(super) struct ProducerContext {
    pub(super) client: Client,
    pub(super) options: ProducerOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) buffer: Arc<Semaphore>,
    failure: Mutex<Option<ClientError>>,
}

impl ProducerContext {
    pub(super) fn new(client: Client, options: ProducerOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            buffer: Arc::new(Semaphore::new(options.buffer_bytes)),
            failure: Mutex::new(None),
            client,
            options,
            clock,
        }
    }

    /// Gives room in the buffer back.
    pub(super) fn give_back(&self, cost: usize) {
        self.buffer.add_permits(cost);
    }

    /// Keeps the first failure for `flush`.
    pub(super) fn note_failure(&self, error: &ClientError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| error.clone());
    }

    pub(super) fn take_failure(&self) -> Option<ClientError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.client.options().backoff)
    }

    /// Queues a produce request on a connection.
    pub(super) async fn submit(
        &self,
        connection: &Connection,
        target: &Target,
        payload: Payload,
        deadline: Instant,
    ) -> Result<Submitted, ClientError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = left.min(connection.options().request_timeout);
        let mut request = ProduceRequest::new(target.topic.as_str(), payload);
        request.partition = target.partition;
        request.acks = self.options.acks;
        request.timeout_ms = u32::try_from(patience.as_millis())
            .unwrap_or(u32::MAX)
            .max(1);
        let timeout = patience + ANSWER_GRACE;
        connection.submit_produce(&request, timeout).await
    }
}

/// The attempts of one batch so far.
#[derive(Debug)]
pub(super) struct Attempts {
    deadline: Instant,
    /// Whether one of them may have been carried out.
    outcome: Outcome,
    unknown_topic: u32,
}

/// A broker may hear of a new topic a little later than the client.
const UNKNOWN_TOPIC_ATTEMPTS: u32 = 3;

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
