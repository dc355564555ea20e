//! `ProducerBuilder`: the settings of a producer, with their defaults and bounds. Settings that do not
//! go together are refused when the producer is built, not when the first record is sent.

use std::sync::Arc;
use std::time::Duration;

use broker_model::{Clock, SystemClock, limits};
use broker_protocol::api::produce::{Acks, Partial};
use broker_record::Codec;

use super::Producer;
use super::context::{ProducerContext, ProducerOptions};
use crate::cluster::{Client, Retries};
use crate::error::ClientError;

/// Sets up a [`Producer`].
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct ProducerBuilder {
    client: Client,
    clock: Arc<dyn Clock>,
    options: ProducerOptions,
}

impl ProducerBuilder {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            clock: Arc::new(SystemClock::new()),
            options: ProducerOptions {
                acks: Acks::All,
                linger: Duration::ZERO,
                batch_bytes: 256 * 1024,
                batch_records: 10_000,
                codec: Codec::None,
                max_in_flight: 1,
                delivery_timeout: Duration::from_secs(120),
                buffer_bytes: 32 * 1024 * 1024,
                retries: Retries::AtLeastOnce,
                encode: false,
                partial: Partial::Accept,
            },
        }
    }

    /// When a record counts as stored. Default all in-sync replicas.
    pub fn acks(mut self, acks: Acks) -> Self {
        self.options.acks = acks;
        self
    }

    /// How long a batch waits for more records. Default zero: a batch gathers what arrives while
    /// the one before it is under way, and an idle producer sends at once.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.options.linger = linger;
        self
    }

    /// A batch is sent when it has this many bytes before compression. Default 256 KiB; keep it
    /// below the topic's `max.message.bytes`. A record that is larger travels alone.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.options.batch_bytes = bytes;
        self
    }

    /// A batch is sent when it has this many records. Default 10,000; at most 100,000.
    pub fn batch_records(mut self, records: usize) -> Self {
        self.options.batch_records = records;
        self
    }

    /// How batches are compressed. Default not at all. Records without a partition cost one more
    /// request for a batch then, because a compressed batch has exactly one partition.
    pub fn compression(mut self, codec: Codec) -> Self {
        self.options.codec = codec;
        self
    }

    /// How many batches to one partition may be under way at once. Default 1. With more, a batch
    /// that fails while one behind it is stored ends in an error instead of being sent again:
    /// order comes first. Records without a partition always have one batch under way.
    pub fn max_in_flight(mut self, batches: usize) -> Self {
        self.options.max_in_flight = batches;
        self
    }

    /// How long after it was handed over a record may still be tried for. Default two minutes.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.options.delivery_timeout = timeout;
        self
    }

    /// Bytes of records that may wait for their acknowledgement; whoever sends more waits for room.
    /// Default 32 MiB.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.options.buffer_bytes = bytes;
        self
    }

    /// What to do when it cannot be known whether a batch was stored. Default to send it again,
    /// which may store it twice.
    pub fn retries(mut self, retries: Retries) -> Self {
        self.options.retries = retries;
        self
    }

    /// Keys and values are MessagePack values, encoded by the caller, which the topic's serializers
    /// turn into the bytes that are stored. Cannot be combined with compression, which is then the
    /// broker's affair; needs a broker with the feature `serializers`.
    pub fn encode_values(mut self) -> Self {
        self.options.encode = true;
        self
    }

    /// What becomes of the other records of a batch when a serializer refuses some. Default
    /// [`Partial::Accept`]: records share a batch by chance, so each has its own fate. With
    /// [`Partial::Refuse`] all of the batch fails.
    pub fn partial(mut self, partial: Partial) -> Self {
        self.options.partial = partial;
        self
    }

    /// Where timestamps of records without one come from. Default the machine's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the producer. Must be called within a tokio runtime, where its tasks will live.
    ///
    /// # Errors
    /// When a setting is zero that may not be, or too large.
    pub fn build(self) -> Result<Producer, ClientError> {
        let mut options = self.options;
        let zero = [
            (options.batch_bytes, "batch_bytes"),
            (options.batch_records, "batch_records"),
            (options.max_in_flight, "max_in_flight"),
            (options.buffer_bytes, "buffer_bytes"),
        ];
        if let Some((_, name)) = zero.iter().find(|(value, _)| *value == 0) {
            return Err(ClientError::invalid(format!(
                "{name} is 0, it has to be at least 1"
            )));
        }
        if options.batch_bytes > limits::BATCH_DECOMPRESSED_BYTES_MAX / 2 {
            let limit = limits::BATCH_DECOMPRESSED_BYTES_MAX / 2;
            return Err(ClientError::invalid(format!(
                "batch_bytes is {}, at most {limit} make sense",
                options.batch_bytes
            )));
        }
        if options.encode && options.codec != Codec::None {
            return Err(ClientError::invalid(
                "values to be encoded cannot be compressed: leave out compression",
            ));
        }
        options.batch_records = options.batch_records.min(limits::PARTITION_FOR_KEYS_MAX);
        // A record's room is asked for in u32 pieces.
        options.buffer_bytes = options.buffer_bytes.min(u32::MAX as usize);
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| ClientError::invalid(error.to_string()))?;
        let context = ProducerContext::new(self.client, options, self.clock);
        Ok(Producer::new(Arc::new(context), runtime))
    }
}
