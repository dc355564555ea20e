//! `produce`. The batch is checked here, on the connection's arbiter, and goes to the partition's mailbox
//! before the next frame is looked at; the answer comes from the partition through the `Asker`.

use std::sync::Arc;
use std::time::Duration;

use broker_cluster::{Acks, BatchValidation};
use broker_model::PartitionId;
use broker_protocol::api::produce::{
    Acks as WireAcks, Appended, OpaqueBody, Payload, ProduceRequest, ProduceResponse,
};
use broker_protocol::{ErrorCode, Request, WireError};
use broker_record::{Codec, OpaqueClaims, ProducedBatch, Validation};
use bytes::Bytes;

use super::{lookup, routed_produce, serialized_produce, wire};
use crate::connection::Asker;
use crate::context::Context;
use crate::partition::PartitionHandle;
use crate::reply::Reply;
use crate::topics::HostedTopic;

/// Starts a produce request.
pub(super) fn start(context: &Arc<Context>, args: &Bytes, asker: Asker) {
    let mut asker = Some(asker);
    if let Err(error) = try_start(context, args, &mut asker)
        && let Some(asker) = asker
    {
        asker.refuse(error);
    }
}

/// Who waits for what became of a request, or of a part of one.
pub(super) trait Answerer: Send + 'static {
    /// Takes the answer.
    fn answer(self, result: Result<ProduceResponse, WireError>);
}

impl Answerer for Asker {
    fn answer(self, result: Result<ProduceResponse, WireError>) {
        Asker::answer(self, result);
    }
}

/// How a request wants to be answered.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) acks: Acks,
    pub(super) timeout: Duration,
}

fn try_start(
    context: &Arc<Context>,
    args: &Bytes,
    asker: &mut Option<Asker>,
) -> Result<(), WireError> {
    let request = ProduceRequest::decode(args)?;
    let topic = lookup::topic(context, &request.topic, request.topic_id)?;
    lookup::refuse_reserved(topic.name.as_str())?;
    let terms = Terms {
        acks: match request.acks {
            WireAcks::None => Acks::None,
            WireAcks::Leader => Acks::Leader,
            WireAcks::All => Acks::All,
        },
        timeout: Duration::from_millis(u64::from(request.timeout_ms)),
    };
    let default_timestamp = request.timestamp_ms.unwrap_or_else(|| context.clock.now());
    if topic.plugins.serializes() || request.encode {
        let serialized = serialized_produce::prepare(context, &topic, request, default_timestamp)?;
        if let Some(asker) = asker.take() {
            serialized.append(context, &topic, terms, asker);
        }
        return Ok(());
    }
    match (request.partition, request.payload) {
        (None, Payload::Plain(records)) => {
            let routed = routed_produce::route(context, &topic, records, default_timestamp)?;
            if let Some(asker) = asker.take() {
                routed.append(&topic, terms, asker);
            }
        }
        (None, Payload::Opaque(_)) => {
            let message = "an encoded body needs a partition: ask partition_for, or send records";
            return Err(WireError::new(ErrorCode::InvalidRequest, message));
        }
        (Some(partition), payload) => {
            let handle = lookup::partition(&topic, partition)?;
            let batch = match payload {
                Payload::Plain(records) => ProducedBatch::plain(records, default_timestamp)
                    .map_err(|error| wire::invalid_batch(&error))?,
                Payload::Opaque(opaque) => opaque_batch(&topic, opaque)?,
            };
            if let Some(asker) = asker.take() {
                append(handle, &topic, partition, (batch, terms), asker);
            }
        }
    }
    Ok(())
}

pub(super) fn opaque_batch(
    topic: &HostedTopic,
    opaque: OpaqueBody,
) -> Result<ProducedBatch, WireError> {
    if opaque.producer.is_some() {
        let message =
            "idempotent producers are not available in this version: leave `producer` out";
        return Err(WireError::new(ErrorCode::InvalidRequest, message));
    }
    let codec = Codec::from_name(&opaque.codec)
        .map_err(|error| WireError::new(ErrorCode::UnsupportedCodec, error.to_string()))?;
    let claims = OpaqueClaims {
        codec,
        record_count: opaque.record_count,
        base_timestamp: opaque.base_timestamp_ms,
        max_timestamp: opaque.max_timestamp_ms,
        body_crc: opaque.crc,
        producer: None,
    };
    let validation = match topic.config.batch_validation {
        BatchValidation::Full => Validation::Full,
        BatchValidation::Trust => Validation::Trust,
    };
    ProducedBatch::opaque(opaque.body, claims, validation)
        .map_err(|error| wire::invalid_batch(&error))
}

/// Appends a batch and answers where it is.
pub(super) fn append(
    handle: &PartitionHandle,
    topic: &Arc<HostedTopic>,
    partition: PartitionId,
    (batch, terms): (ProducedBatch, Terms),
    asker: impl Answerer,
) {
    let record_count = batch.header.record_count;
    let topic = topic.clone();
    let reply = Reply::new(move |result: Result<crate::partition::Appended, _>| {
        let result = result
            .map(|appended| {
                let known = terms.acks != Acks::None;
                ProduceResponse::Appended(Appended {
                    partition,
                    base_offset: known.then_some(appended.base_offset),
                    record_count,
                    refused: Vec::new(),
                    log_append_time_ms: appended.log_append_time,
                    log_start: known.then_some(appended.log_start),
                })
            })
            .map_err(|error| wire::partition_error(topic.name.as_str(), partition, error));
        asker.answer(result);
    });
    handle.append(batch, terms.acks, terms.timeout, reply);
}
