//! `produce`. The batch is checked here, on the connection's arbiter, and goes to the partition's mailbox
//! before the next frame is looked at; the answer comes from the partition through the `Asker`.

use std::sync::Arc;
use std::time::Duration;

use broker_cluster::{Acks, BatchValidation};
use broker_model::{PartitionId, Timestamp};
use broker_protocol::api::produce::{
    Acks as WireAcks, Appended, OpaqueBody, Payload, ProduceRequest, ProduceResponse,
    RoutedTogether,
};
use broker_protocol::{ErrorCode, Request, WireError};
use broker_record::{BatchHeader, Codec, InvalidBatch, OpaqueClaims, ProducedBatch, Validation};
use bytes::Bytes;

use super::through_plugins::ThroughPlugins;
use super::{lookup, wire};
use crate::arbiters::Shard;
use crate::connection::{Asker, Session, Weight, WorkInOrder};
use crate::context::Context;
use crate::net::unfolding::{UNFOLD_AT_ONCE_BYTES, Unfolding};
use crate::partition::PartitionHandle;
use crate::reply::Reply;
use crate::topic_settings::check_batch_size;
use crate::topics::HostedTopic;

/// Starts a produce request. One that is much work is looked at in the background, before the next request.
pub(super) fn start(
    session: &Session,
    args: Bytes,
    weight: Weight,
    asker: Asker,
) -> Option<WorkInOrder> {
    let context = session.context();
    if weight != Weight::Light {
        let context = context.clone();
        return Some(Box::pin(async move {
            let workers = context.arbiters.background().workers().clone();
            let begun = workers.run(move || begin(&context, &args, asker).0);
            // A panic has answered through the asker.
            if let Ok(Some(Begun { request, asker })) = begun.await
                && let Some(work) = request.go_on(asker)
            {
                work.await;
            }
        }));
    }
    let (begun, noted) = begin(context, &args, asker);
    if let Some(shard) = noted.shard {
        session.note_shard(shard);
    }
    session.note_work(noted.unfolded);
    let Begun { request, asker } = begun?;
    request.go_on(asker)
}

/// A request that could not be carried out at once, and who asks.
struct Begun {
    request: Unfinished,
    asker: Asker,
}

/// What the connection of a request has to know of it.
#[derive(Default)]
struct Noted {
    /// Where it goes.
    shard: Option<Shard>,
    /// Bytes that it was unfolded to.
    unfolded: usize,
}

/// Carries out a request if that can be done at once.
fn begin(context: &Arc<Context>, args: &Bytes, mut asker: Asker) -> (Option<Begun>, Noted) {
    let mut noted = Noted::default();
    let begun = match prepare(context, args, &mut noted) {
        Ok(Prepared::Batch {
            topic,
            partition,
            batch,
            terms,
        }) => {
            asker.was_walked();
            if let Some(place) = asker.place() {
                place.trust();
            }
            match lookup::partition(&topic, partition) {
                Ok(handle) => append(handle, &topic, partition, (batch, terms), asker),
                Err(error) => asker.refuse(error),
            }
            None
        }
        Ok(Prepared::Unfinished(request)) => Some(Begun { request, asker }),
        Err(error) => {
            asker.refuse(error);
            None
        }
    };
    (begun, noted)
}

/// A request of up to this size draws its connection to its partition's thread. Taking in a larger one is more work
/// than waking a thread: then several producers of one partition had better share it among the threads.
const NEIGHBOURS_BYTES_MAX: usize = 64 * 1024;

/// What came of a request so far.
enum Prepared {
    /// A batch that may be appended.
    Batch {
        topic: Arc<HostedTopic>,
        partition: PartitionId,
        batch: ProducedBatch,
        terms: Terms,
    },
    Unfinished(Unfinished),
}

/// A request that takes more than a look.
enum Unfinished {
    ThroughPlugins(Box<ThroughPlugins>),
    Unchecked(Box<Unchecked>),
}

impl Unfinished {
    /// What is left to do, before the next request of the connection.
    fn go_on(self, asker: Asker) -> Option<WorkInOrder> {
        match self {
            Self::ThroughPlugins(request) => request.start(asker),
            Self::Unchecked(unchecked) => Some(Box::pin((*unchecked).append(asker))),
        }
    }
}

/// Who waits for what became of a request, or of a part of one.
pub(super) trait Answerer: Send + 'static {
    /// Takes the answer.
    fn answer(self, result: Result<ProduceResponse, WireError>);

    /// Takes the answer about records that were routed to one partition.
    fn answer_together(self, together: RoutedTogether)
    where
        Self: Sized,
    {
        self.answer(Ok(ProduceResponse::Routed(together.into())));
    }
}

impl Answerer for Asker {
    fn answer(self, result: Result<ProduceResponse, WireError>) {
        Asker::answer(self, result);
    }

    fn answer_together(self, together: RoutedTogether) {
        Asker::answer(self, Ok(together));
    }
}

/// How a request wants to be answered.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) acks: Acks,
    pub(super) timeout: Duration,
}

/// Looks at a request.
fn prepare(context: &Arc<Context>, args: &Bytes, noted: &mut Noted) -> Result<Prepared, WireError> {
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
    let (Some(partition), false) = (request.partition, ThroughPlugins::is_for(&topic, &request))
    else {
        let request = ThroughPlugins {
            context: context.clone(),
            topic,
            timestamp: default_timestamp(context, request.timestamp_ms),
            request,
            terms,
        };
        return Ok(Prepared::Unfinished(Unfinished::ThroughPlugins(Box::new(
            request,
        ))));
    };
    let handle = lookup::partition(&topic, partition)?;
    if args.len() <= NEIGHBOURS_BYTES_MAX {
        noted.shard = Some(handle.shard());
    }
    let batch = match request.payload {
        Payload::Plain(records) => {
            let timestamp = default_timestamp(context, request.timestamp_ms);
            ProducedBatch::plain(records, timestamp).map_err(|error| wire::invalid_batch(&error))?
        }
        Payload::Opaque(opaque) => {
            let opaque = Opaque::new(&topic, opaque)?;
            // The partition says so too, after everything was unfolded.
            check_batch_size(&topic.config, BatchHeader::LEN + opaque.body.len())
                .map_err(|error| wire::partition_error(topic.name.as_str(), partition, error))?;
            match opaque.check_at_once(&mut noted.unfolded) {
                Err(error) if error.is_for_lack_of_room() => {
                    let unchecked = Unchecked {
                        unfolding: context.requests.unfolding().clone(),
                        topic,
                        partition,
                        opaque,
                        terms,
                    };
                    return Ok(Prepared::Unfinished(Unfinished::Unchecked(Box::new(
                        unchecked,
                    ))));
                }
                checked => checked.map_err(|error| wire::invalid_batch(&error))?,
            }
        }
    };
    Ok(Prepared::Batch {
        topic,
        partition,
        batch,
        terms,
    })
}

/// The time of records that bring none.
fn default_timestamp(context: &Context, stated: Option<Timestamp>) -> Timestamp {
    stated.unwrap_or_else(|| context.clock.now())
}

/// A batch that unfolds to more than is looked at on an arbiter.
struct Unchecked {
    unfolding: Unfolding,
    topic: Arc<HostedTopic>,
    partition: PartitionId,
    opaque: Opaque,
    terms: Terms,
}

impl Unchecked {
    async fn append(self, mut asker: Asker) {
        if let Some(place) = asker.place() {
            place.set_aside();
        }
        let opaque = self.opaque;
        let check = move |unfolded_max| opaque.check(unfolded_max);
        let too_low = |checked: &Result<_, InvalidBatch>| matches!(checked, Err(error) if error.is_for_lack_of_room());
        let checked = self.unfolding.in_steps(check, too_low).await;
        if let Some(place) = asker.place() {
            match &checked {
                Ok(Ok(batch)) => {
                    let records = usize::try_from(batch.header.record_count);
                    place.judge(records.unwrap_or(usize::MAX), batch.unfolded_bytes);
                }
                _ => {
                    place.distrust();
                }
            }
        }
        let batch = match checked {
            Ok(Ok(batch)) => batch,
            Ok(Err(invalid)) => return asker.refuse(wire::invalid_batch(&invalid)),
            Err(panicked) => {
                return asker.refuse(WireError::new(ErrorCode::Unknown, panicked.to_string()));
            }
        };
        match lookup::partition(&self.topic, self.partition) {
            Ok(handle) => append(
                handle,
                &self.topic,
                self.partition,
                (batch, self.terms),
                asker,
            ),
            Err(error) => asker.refuse(error),
        }
    }
}

/// A body that the producer built, with what it states about it.
#[derive(Clone)]
pub(super) struct Opaque {
    body: Bytes,
    claims: OpaqueClaims,
    validation: Validation,
}

impl Opaque {
    pub(super) fn new(topic: &HostedTopic, opaque: OpaqueBody) -> Result<Self, WireError> {
        if opaque.producer.is_some() {
            let message =
                "idempotent producers are not available in this version: leave `producer` out";
            return Err(WireError::new(ErrorCode::InvalidRequest, message));
        }
        let codec = Codec::from_name(&opaque.codec)
            .map_err(|error| WireError::new(ErrorCode::UnsupportedCodec, error.to_string()))?;
        Ok(Self {
            claims: OpaqueClaims {
                codec,
                record_count: opaque.record_count,
                base_timestamp: opaque.base_timestamp_ms,
                max_timestamp: opaque.max_timestamp_ms,
                body_crc: opaque.crc,
                producer: None,
            },
            body: opaque.body,
            validation: match topic.config.batch_validation {
                BatchValidation::Full => Validation::Full,
                BatchValidation::Trust => Validation::Trust,
            },
        })
    }

    /// The batch, if all is true and it unfolds to so little that this is done on the spot; `unfolded` is raised by
    /// as much.
    fn check_at_once(&self, unfolded: &mut usize) -> Result<ProducedBatch, InvalidBatch> {
        let checked = self.check(UNFOLD_AT_ONCE_BYTES);
        if self.claims.codec != Codec::None && self.validation == Validation::Full {
            *unfolded += match &checked {
                Ok(batch) => batch.unfolded_bytes,
                Err(_) => UNFOLD_AT_ONCE_BYTES,
            };
        }
        checked
    }

    /// The batch, if all is true and it unfolds to at most so many bytes.
    pub(super) fn check(&self, unfolded_max: usize) -> Result<ProducedBatch, InvalidBatch> {
        let body = self.body.clone();
        ProducedBatch::opaque_within(body, self.claims, self.validation, unfolded_max)
    }
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

#[cfg(test)]
mod tests {
    use broker_record::BatchBuilder;

    use super::*;

    /// A batch of one record of so many bytes, most of them zeros: with nothing else it would pack too well.
    fn opaque(value_bytes: usize, codec: Codec) -> Opaque {
        let mut builder = BatchBuilder::new();
        let mut value = vec![0; value_bytes];
        for (byte, number) in value.iter_mut().step_by(64).zip(1_u32..) {
            [*byte, ..] = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
        }
        builder
            .push(None, Some(&value), Timestamp::from_millis(1), [])
            .expect("it is small");
        let (body, claims) = builder.build(codec).expect("a body");
        Opaque {
            body,
            claims,
            validation: Validation::Full,
        }
    }

    #[test]
    fn what_a_batch_unfolds_to_is_work_of_its_connection() {
        let half = UNFOLD_AT_ONCE_BYTES / 2;
        let mut noted = 0;
        let batch = opaque(half, Codec::Zstd).check_at_once(&mut noted);
        assert!(batch.is_ok() && noted >= half, "{noted}");

        let mut noted = 0;
        let refused = opaque(2 * UNFOLD_AT_ONCE_BYTES, Codec::Zstd).check_at_once(&mut noted);
        assert!(matches!(refused, Err(error) if error.is_for_lack_of_room()));
        assert_eq!(noted, UNFOLD_AT_ONCE_BYTES, "it was tried in vain");

        let mut noted = 0;
        let batch = opaque(half, Codec::None).check_at_once(&mut noted);
        assert!(batch.is_ok());
        assert_eq!(
            noted, 0,
            "the bytes of the frame itself count when it is read"
        );
    }
}
