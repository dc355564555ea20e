//! `Batch`: records gathered for one lane until it is full, old enough, or asked for. Where the
//! partition is known, or the broker chooses it, records are encoded as they come; where they have
//! to be told apart first, they are kept as they are.

use broker_model::{Timestamp, limits};
use broker_protocol::api::produce::ValueRecords;
use broker_record::{BatchBuilder, Codec, OpaqueClaims, PushError};
use bytes::Bytes;
use tokio::time::Instant;

use super::delivery::{Deliveries, Delivery, OutcomeSender};
use super::record::ProducerRecord;
use crate::error::ClientError;

/// Above this size a batch may be so compressible that a broker refuses it.
const RATIO_FREE_BYTES: usize = 1024 * 1024;

/// How records are kept until they are sent.
#[derive(Debug)]
pub(super) enum Gathered {
    /// Encoded already.
    Encoded(Box<BatchBuilder>),
    /// Keys and values are MessagePack values.
    Values(ValueRecords),
    /// With what they cost and how they are waited for.
    Records(Vec<KeptRecord>),
}

/// A record that waits to learn its partition.
#[derive(Debug)]
pub(super) struct KeptRecord {
    pub(super) record: ProducerRecord,
    pub(super) cost: usize,
}

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchBounds {
    pub(super) bytes: usize,
    pub(super) records: usize,
}

#[derive(Debug)]
pub(super) struct Batch {
    pub(super) gathered: Gathered,
    pub(super) opened_at: Instant,
    /// Takes no more records.
    pub(super) sealed: bool,
    pub(super) sender: OutcomeSender,
    /// Bytes of the producer's buffer that it holds.
    pub(super) cost: usize,
    deliveries: Deliveries,
    records: usize,
}

impl Batch {
    pub(super) fn new(gathered: Gathered, opened_at: Instant) -> Self {
        let (sender, deliveries) = Deliveries::new();
        Self {
            gathered,
            opened_at,
            sealed: false,
            sender,
            cost: 0,
            deliveries,
            records: 0,
        }
    }

    /// Whether a record of this cost belongs here and not into the next batch.
    pub(super) fn has_room(&self, cost: usize, bounds: BatchBounds) -> bool {
        !self.sealed
            && (self.records == 0
                || (self.records < bounds.records && self.cost + cost <= bounds.bytes))
    }

    pub(super) fn is_full(&self, bounds: BatchBounds) -> bool {
        self.sealed || self.records >= bounds.records || self.cost >= bounds.bytes
    }

    /// Adds a record; its timestamp has been set by now.
    pub(super) fn push(
        &mut self,
        record: ProducerRecord,
        cost: usize,
    ) -> Result<Delivery, ClientError> {
        let timestamp = record.timestamp.unwrap_or_default();
        match &mut self.gathered {
            Gathered::Encoded(builder) => push_encoded(builder, &record, timestamp)?,
            Gathered::Values(values) => push_value(values, &record, timestamp)?,
            Gathered::Records(records) => records.push(KeptRecord { record, cost }),
        }
        self.records += 1;
        self.cost += cost;
        Ok(self.deliveries.next(timestamp))
    }
}

fn push_encoded(
    builder: &mut BatchBuilder,
    record: &ProducerRecord,
    timestamp: Timestamp,
) -> Result<(), ClientError> {
    let pushed = builder.push(
        record.key.as_deref(),
        record.value.as_deref(),
        timestamp,
        record.header_slices(),
    );
    pushed.map_err(|error: PushError| ClientError::invalid(error.to_string()))
}

fn push_value(
    values: &mut ValueRecords,
    record: &ProducerRecord,
    timestamp: Timestamp,
) -> Result<(), ClientError> {
    let pushed = values.push(
        record.key.as_deref(),
        record.value.as_deref(),
        timestamp,
        record.header_slices(),
    );
    pushed.map_err(|error| ClientError::invalid(format!("not a MessagePack value: {error}")))
}

/// What a record takes of the producer's buffer: an upper bound of its encoded size.
pub(super) fn cost_of(record: &ProducerRecord) -> usize {
    BatchBuilder::record_bytes_max(
        record.key.as_deref(),
        record.value.as_deref(),
        record.header_slices(),
    )
}

/// What no batch could carry is refused before it takes a place in the buffer.
pub(super) fn check(record: &ProducerRecord, cost: usize) -> Result<(), ClientError> {
    let headers = u32::try_from(record.headers.len()).unwrap_or(u32::MAX);
    if headers > limits::RECORD_HEADERS_MAX {
        let error = PushError::TooManyHeaders { headers };
        return Err(ClientError::invalid(error.to_string()));
    }
    // Room for the array marker in front.
    let bytes = cost.saturating_add(8);
    if bytes > limits::BATCH_DECOMPRESSED_BYTES_MAX {
        let error = PushError::TooLarge { bytes };
        return Err(ClientError::invalid(error.to_string()));
    }
    Ok(())
}

/// Ends a batch body: compressed as asked, unless that makes it look like a decompression bomb.
pub(super) fn finish(
    builder: BatchBuilder,
    codec: Codec,
) -> Result<(Bytes, OpaqueClaims), ClientError> {
    let spare = (codec != Codec::None && builder.size_estimate() > RATIO_FREE_BYTES)
        .then(|| builder.clone());
    let built = match (builder.build(codec), spare) {
        (Err(broker_record::BuildError::TooCompressible { .. }), Some(spare)) => {
            spare.build(Codec::None)
        }
        (built, _) => built,
    };
    built.map_err(|error| ClientError::invalid(error.to_string()))
}
