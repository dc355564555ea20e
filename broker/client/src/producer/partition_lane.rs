//! The lane of one partition: opaque batches to its leader, up to `max_in_flight` of them at a time.
//!
//! Order is kept whatever happens. When a batch fails and may be sent again, nothing further is sent
//! until all that is under way has been answered; then the failed ones go again, in order. A failed
//! one that has a stored one behind it is not sent again: that would put it behind.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use broker_model::TopicPartition;
use broker_protocol::api::produce::{
    Appended, OpaqueBody, Payload, ProduceRequest, ProduceResponse,
};
use broker_record::OpaqueClaims;
use bytes::Bytes;
use tokio::time::Instant;

use super::attempts::Attempts;
use super::batch::{Batch, Gathered, finish};
use super::delivery::{Outcome, OutcomeSender};
use super::lane::{Lane, Next};
use crate::cluster::Backoff;
use crate::connection::Submitted;
use crate::error::{Call, ClientError};

/// A batch that is encoded and can be sent any number of times.
struct Ready {
    payload: Payload,
    sender: OutcomeSender,
    cost: usize,
    attempts: Attempts,
}

/// Where a batch went, and the records of it that did not.
struct Stored {
    appended: Appended,
    call: Call,
}

type Answer = Pin<Box<dyn Future<Output = Result<Stored, ClientError>> + Send>>;

/// A batch under way.
struct Sent {
    ready: Ready,
    answer: Answer,
    /// It never left: nothing may be sent behind it before that is dealt with.
    held_up: bool,
}

struct PartitionLane {
    lane: Arc<Lane>,
    partition: TopicPartition,
    under_way: VecDeque<Sent>,
    /// To be sent again before anything new.
    again: VecDeque<Ready>,
    backoff: Backoff,
}

/// Sends the lane's batches until it is closed and empty.
pub(super) async fn run(lane: Arc<Lane>, partition: TopicPartition) {
    let backoff = lane.context().backoff();
    let mut lane = PartitionLane {
        lane,
        partition,
        under_way: VecDeque::new(),
        again: VecDeque::new(),
        backoff,
    };
    loop {
        let next = lane.fill().await;
        if !lane.under_way.is_empty() {
            if let Some((ready, result)) = lane.first_answer(next).await {
                lane.settle(ready, result).await;
            }
            continue;
        }
        match next {
            Some(Next::End) => return,
            Some(Next::WaitUntil(until)) => lane.lane.changed(Some(until)).await,
            Some(Next::WaitForRecords) => lane.lane.changed(None).await,
            Some(Next::Send(_)) | None => {}
        }
    }
}

impl PartitionLane {
    /// Sends as many batches as may be under way. Says what to wait for when there is room for
    /// more, `None` when there is not.
    async fn fill(&mut self) -> Option<Next> {
        let max = self.lane.context().options.max_in_flight;
        while self.under_way.len() < max && !self.under_way.back().is_some_and(|last| last.held_up)
        {
            let ready = match self.again.pop_front() {
                Some(ready) => ready,
                None => match self.lane.next() {
                    Next::Send(batch) => match self.ready(batch) {
                        Some(ready) => ready,
                        None => continue,
                    },
                    other => return Some(other),
                },
            };
            let sent = send(&self.lane, &self.partition, ready).await;
            self.under_way.push_back(sent);
        }
        None
    }

    /// Encodes a batch, unless it is too late for it already.
    fn ready(&self, batch: Batch) -> Option<Ready> {
        let options = &self.lane.context().options;
        let Batch {
            gathered,
            opened_at,
            sender,
            cost,
            ..
        } = batch;
        let attempts = Attempts::new(opened_at, options.delivery_timeout);
        let encoded = match gathered {
            _ if Instant::now() >= attempts.deadline() => {
                let last = ClientError::invalid("it waited in line behind others");
                Err(attempts.timed_out(&last, &self.lane.target, options))
            }
            Gathered::Encoded(builder) => finish(*builder, options.codec).map(opaque),
            Gathered::Values(values) => Ok(Payload::Plain(values.finish())),
            Gathered::Records(_) => Err(ClientError::invalid("a partition's records are encoded")),
        };
        match encoded {
            Ok(payload) => Some(Ready {
                payload,
                sender,
                cost,
                attempts,
            }),
            Err(error) => {
                self.lane.resolve(sender, Outcome::Failed(error), cost);
                None
            }
        }
    }

    /// The answer to the oldest batch under way; `None` when there may be another one to send.
    async fn first_answer(
        &mut self,
        next: Option<Next>,
    ) -> Option<(Ready, Result<Stored, ClientError>)> {
        let first = self.under_way.front_mut()?;
        let until = match next {
            Some(Next::WaitUntil(until)) => Some(Some(until)),
            Some(Next::WaitForRecords) => Some(None),
            _ => None,
        };
        let result = match until {
            Some(until) => tokio::select! {
                biased;
                result = &mut first.answer => result,
                () = self.lane.changed(until) => return None,
            },
            None => (&mut first.answer).await,
        };
        let sent = self.under_way.pop_front()?;
        Some((sent.ready, result))
    }

    async fn settle(&mut self, ready: Ready, result: Result<Stored, ClientError>) {
        let error = match result {
            Ok(stored) => {
                self.backoff = self.lane.context().backoff();
                return self.stored(ready, stored);
            }
            Err(error) => error,
        };
        self.lane
            .context()
            .client
            .note_failure(&self.partition, &error);
        if !self.lane.context().options.may_retry(&error) {
            return self.failed(ready, error);
        }
        // Stop: what is behind it is on its way already, and its fate decides.
        let mut answered = vec![(ready, Err(error))];
        for sent in std::mem::take(&mut self.under_way) {
            answered.push((sent.ready, sent.answer.await));
        }
        let last_stored = answered.iter().rposition(|(_, result)| result.is_ok());
        for (index, (mut ready, result)) in answered.into_iter().enumerate() {
            let error = match result {
                Ok(stored) => {
                    self.stored(ready, stored);
                    continue;
                }
                Err(error) => error,
            };
            let options = &self.lane.context().options;
            let target = &self.lane.target;
            match ready.attempts.after(error, target, options) {
                Err(last) => self.failed(ready, last),
                Ok(last) if last_stored.is_some_and(|stored| index < stored) => {
                    let error = ClientError::WouldReorder {
                        target: target.name(),
                        outcome: ready.attempts.outcome(),
                        last: last.to_string().into(),
                    };
                    self.failed(ready, error);
                }
                Ok(last) => {
                    let notice = &self.lane.context().notice;
                    notice.sending_again(target, ready.attempts.waiting(), &last);
                    self.again.push_back(ready);
                }
            }
        }
        if !self.again.is_empty() {
            self.backoff.wait().await;
        }
    }

    fn stored(&self, ready: Ready, stored: Stored) {
        let Stored { appended, call } = stored;
        let mut refused: Vec<(usize, ClientError)> = appended
            .refused
            .iter()
            .map(|record| {
                let index = usize::try_from(record.index).unwrap_or(usize::MAX);
                (index, ClientError::record_refused(&call, record))
            })
            .collect();
        // A record of which both key and value were refused is listed twice.
        refused.sort_by_key(|(index, _)| *index);
        refused.dedup_by_key(|(index, _)| *index);
        let outcome = Outcome::Appended {
            partition: appended.partition,
            base: appended.base_offset,
            append_time: appended.log_append_time_ms,
            refused,
        };
        self.lane.resolve(ready.sender, outcome, ready.cost);
    }

    fn failed(&self, ready: Ready, error: ClientError) {
        self.lane
            .resolve(ready.sender, Outcome::Failed(error), ready.cost);
    }
}

fn opaque((body, claims): (Bytes, OpaqueClaims)) -> Payload {
    Payload::Opaque(OpaqueBody {
        body,
        codec: claims.codec.name().to_owned(),
        record_count: claims.record_count,
        base_timestamp_ms: claims.base_timestamp,
        max_timestamp_ms: claims.max_timestamp,
        crc: claims.body_crc,
        producer: None,
    })
}

async fn send(lane: &Lane, partition: &TopicPartition, ready: Ready) -> Sent {
    match submit(
        lane,
        partition,
        ready.payload.clone(),
        ready.attempts.deadline(),
    )
    .await
    {
        Ok(submitted) => Sent {
            ready,
            answer: Box::pin(appended(submitted)),
            held_up: false,
        },
        Err(error) => Sent {
            ready,
            answer: Box::pin(std::future::ready(Err(error))),
            held_up: true,
        },
    }
}

async fn submit(
    lane: &Lane,
    partition: &TopicPartition,
    payload: Payload,
    deadline: Instant,
) -> Result<Submitted, ClientError> {
    let context = lane.context();
    let leader = context.client.leader(partition).await?;
    context
        .submit(&leader.connection, &lane.target, payload, deadline)
        .await
}

async fn appended(submitted: Submitted) -> Result<Stored, ClientError> {
    let call = submitted.call();
    match submitted.decoded::<ProduceRequest>().await? {
        ProduceResponse::Appended(appended) => Ok(Stored { appended, call }),
        ProduceResponse::Routed(_) => Err(ClientError::Malformed {
            call,
            reason: "a request with a partition was answered as if it had none".into(),
        }),
    }
}
