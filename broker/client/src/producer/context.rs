//! `ProducerContext`: what all lanes of a producer share: its options, the bound on what it holds,
//! the client, and the first failure that nobody may have looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_model::Clock;
use broker_protocol::api::produce::{Acks, Partial, Payload, ProduceRequest};
use broker_protocol::feature;
use broker_record::Codec;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::attempts::Notice;
use super::lane::Target;
use crate::cluster::{Backoff, Client, Retries, is_unknown};
use crate::connection::{Connection, Submitted};
use crate::error::ClientError;

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
    /// Keys and values are encoded MessagePack values.
    pub(super) encode: bool,
    pub(super) partial: Partial,
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
    pub(super) notice: Notice,
    failure: Mutex<Option<ClientError>>,
}

impl ProducerContext {
    pub(super) fn new(client: Client, options: ProducerOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            buffer: Arc::new(Semaphore::new(options.buffer_bytes)),
            notice: Notice::default(),
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
        if self.options.encode {
            // An older broker would take them for bytes.
            connection.needs_feature(feature::SERIALIZERS)?;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = left.min(connection.options().request_timeout);
        let mut request = ProduceRequest::new(target.topic.as_str(), payload);
        request.partition = target.partition;
        request.acks = self.options.acks;
        request.encode = self.options.encode;
        request.partial = self.options.partial;
        request.timeout_ms = u32::try_from(patience.as_millis())
            .unwrap_or(u32::MAX)
            .max(1);
        let timeout = patience + ANSWER_GRACE;
        connection.submit_produce(&request, timeout).await
    }
}
