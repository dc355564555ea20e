//! The lane of a topic whose partitions the broker chooses: plain batches without a partition, one
//! at a time. The answer has a fate for each record; those that may be sent again are, in order,
//! before anything behind them.

use std::sync::Arc;

use broker_model::{Offset, PartitionId};
use broker_protocol::WireError;
use broker_protocol::api::produce::{
    Payload, ProduceRequest, ProduceResponse, Routed, split_records,
};
use broker_record::Codec;
use bytes::Bytes;
use tokio::time::Instant;

use super::attempts::Attempts;
use super::batch::{Batch, Gathered, finish};
use super::delivery::Outcome;
use super::lane::Lane;
use crate::error::{Call, ClientError};

type Fate = Result<(PartitionId, Option<Offset>), ClientError>;

/// Sends the lane's batches until it is closed and empty.
pub(super) async fn run(lane: Arc<Lane>) {
    while let Some(batch) = lane.next_batch().await {
        let Batch {
            gathered,
            opened_at,
            sender,
            cost,
            ..
        } = batch;
        let outcome = deliver(&lane, gathered, opened_at).await;
        let outcome = outcome.unwrap_or_else(Outcome::Failed);
        lane.resolve(sender, outcome, cost);
    }
}

async fn deliver(
    lane: &Lane,
    gathered: Gathered,
    opened_at: Instant,
) -> Result<Outcome, ClientError> {
    let context = lane.context();
    let mut attempts = Attempts::new(opened_at, context.options.delivery_timeout);
    let mut backoff = context.backoff();
    let (body, count) = match gathered {
        Gathered::Encoded(builder) => {
            let (body, claims) = finish(*builder, Codec::None)?;
            let count = usize::try_from(claims.record_count).unwrap_or(usize::MAX);
            (body, count)
        }
        Gathered::Values(values) => {
            let count = values.len();
            (values.finish(), count)
        }
        Gathered::Records(_) => {
            return Err(ClientError::invalid("records to be routed are encoded"));
        }
    };
    let mut round = Round::whole(body, count);
    loop {
        let failed = match attempt(lane, round.body.clone(), attempts.deadline()).await {
            Ok((call, routed)) => round.take(&call, routed, lane),
            Err(error) => Some(error),
        };
        let Some(error) = failed else { break };
        let topic = lane.target.topic.as_str();
        context.client.note_topic_failure(topic, None, &error);
        match attempts.after(error, &lane.target, &context.options) {
            Ok(error) => {
                let waiting = attempts.waiting();
                context.notice.sending_again(&lane.target, waiting, &error);
            }
            Err(error) => {
                round.fail_rest(&error);
                break;
            }
        }
        backoff.wait().await;
    }
    Ok(round.outcome())
}

async fn attempt(
    lane: &Lane,
    body: Bytes,
    deadline: Instant,
) -> Result<(Call, Routed), ClientError> {
    let context = lane.context();
    // Also says whether there is such a topic, before anything is sent.
    context.client.topic(lane.target.topic.as_str()).await?;
    let connection = context.client.any_broker().await?;
    let payload = Payload::Plain(body);
    let submitted = context
        .submit(&connection, &lane.target, payload, deadline)
        .await?;
    let call = submitted.call();
    match submitted.decoded::<ProduceRequest>().await? {
        ProduceResponse::Routed(routed) => Ok((call, routed)),
        ProduceResponse::Appended(_) => Err(ClientError::Malformed {
            call,
            reason: "a request without a partition was answered as if it had one".into(),
        }),
    }
}

/// What is left of a batch, and what has become of the rest.
struct Round {
    whole: Bytes,
    fates: Vec<Option<Fate>>,
    /// The records that are still to be stored, by index in the whole batch.
    left: Vec<usize>,
    /// Their bytes.
    body: Bytes,
}

impl Round {
    fn whole(body: Bytes, count: usize) -> Self {
        Self {
            whole: body.clone(),
            fates: vec![None; count],
            left: (0..count).collect(),
            body,
        }
    }

    /// Takes an answer in. What may be sent again is what is left; answers its first error.
    fn take(&mut self, call: &Call, routed: Routed, lane: &Lane) -> Option<ClientError> {
        let refused = |error: WireError| ClientError::Refused {
            call: call.clone(),
            error: Arc::new(error),
        };
        let mut errors: Vec<Option<ClientError>> = vec![None; self.left.len()];
        for failed in routed.errors {
            let shared = refused(failed.error);
            for index in failed.indexes {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                if let Some(error) = errors.get_mut(index) {
                    *error = Some(shared.clone());
                }
            }
        }
        for record in routed.refused {
            let index = usize::try_from(record.index).unwrap_or(usize::MAX);
            if let Some(error) = errors.get_mut(index) {
                error.get_or_insert_with(|| ClientError::record_refused(call, &record));
            }
        }
        let mut again = Vec::new();
        let mut first_error = None;
        let sent = std::mem::take(&mut self.left);
        for (position, (index, error)) in sent.into_iter().zip(errors).enumerate() {
            let fate = match error {
                Some(error) if lane.context().options.may_retry(&error) => {
                    again.push(index);
                    first_error.get_or_insert(error);
                    continue;
                }
                Some(error) => Err(error),
                None => match routed.partitions.get(position).copied().flatten() {
                    Some(partition) => {
                        let offset = routed.offsets.get(position).copied().flatten();
                        Ok((partition, offset))
                    }
                    None => Err(ClientError::Malformed {
                        call: call.clone(),
                        reason: "the answer does not cover all records".into(),
                    }),
                },
            };
            self.settle(index, fate);
        }
        if !again.is_empty() {
            self.keep(again);
        }
        first_error
    }

    fn settle(&mut self, index: usize, fate: Fate) {
        if let Some(slot) = self.fates.get_mut(index) {
            *slot = Some(fate);
        }
    }

    /// Cuts the records that go again out of the batch.
    fn keep(&mut self, again: Vec<usize>) {
        if again.len() < self.fates.len() {
            let raw = split_records(&self.whole).expect("the builders write arrays of records");
            let kept = again.iter().filter_map(|index| raw.get(*index).copied());
            self.body = array_of(again.len(), kept);
        }
        self.left = again;
    }

    fn fail_rest(&mut self, error: &ClientError) {
        for index in std::mem::take(&mut self.left) {
            self.settle(index, Err(error.clone()));
        }
    }

    fn outcome(self) -> Outcome {
        let unsettled = || Err(ClientError::invalid("the record was not settled"));
        let fates = self.fates.into_iter();
        Outcome::Each(fates.map(|fate| fate.unwrap_or_else(unsettled)).collect())
    }
}

/// A MessagePack array of values that are encoded already.
fn array_of<'a>(count: usize, values: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let count = u32::try_from(count).expect("no more than the batch builder takes");
    let mut array = vec![0xDD];
    array.extend_from_slice(&count.to_be_bytes());
    values.for_each(|value| array.extend_from_slice(value));
    array.into()
}
