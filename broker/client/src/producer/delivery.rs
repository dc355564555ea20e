//! `Delivery`: the future of one record. Records of a batch share the batch's outcome, so that a
//! thousand records cost one channel; each picks its own part out of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use broker_model::{Offset, PartitionId, Timestamp};
use futures::FutureExt;
use futures::future::Shared;
use tokio::sync::oneshot;

use super::record::RecordMetadata;
use crate::error::ClientError;

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it is in one partition, one offset after the other.
    Appended {
        partition: PartitionId,
        base: Option<Offset>,
        append_time: Option<Timestamp>,
        /// Those that are not, by index in the batch, rising.
        refused: Vec<(usize, ClientError)>,
    },
    /// Each record has its own fate.
    Each(Vec<Result<(PartitionId, Option<Offset>), ClientError>>),
    /// Each record went on to the batch of its partition.
    Moved(Vec<Delivery>),
    /// None of it was acknowledged.
    Failed(ClientError),
}

impl Outcome {
    /// The first failure in it.
    pub(super) fn failure(&self) -> Option<&ClientError> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Each(fates) => fates.iter().find_map(|fate| fate.as_ref().err()),
            Self::Appended { refused, .. } => refused.first().map(|(_, error)| error),
            Self::Moved(_) => None,
        }
    }
}

pub(super) type OutcomeSender = oneshot::Sender<Arc<Outcome>>;
type OutcomeFuture = Shared<oneshot::Receiver<Arc<Outcome>>>;

/// Makes the deliveries of a batch.
#[derive(Debug)]
pub(super) struct Deliveries {
    outcome: OutcomeFuture,
    next: usize,
}

impl Deliveries {
    pub(super) fn new() -> (OutcomeSender, Self) {
        let (sender, receiver) = oneshot::channel();
        let outcome = receiver.shared();
        (sender, Self { outcome, next: 0 })
    }

    /// The delivery of the next record.
    pub(super) fn next(&mut self, timestamp: Timestamp) -> Delivery {
        let index = self.next;
        self.next += 1;
        Delivery {
            outcome: self.outcome.clone(),
            index,
            timestamp,
        }
    }
}

/// A record on its way: completes when it was acknowledged, or never will be. Dropping it does not
/// take the record back.
#[derive(Clone, Debug)]
#[must_use = "only the delivery says whether the record was stored"]
pub struct Delivery {
    outcome: OutcomeFuture,
    index: usize,
    timestamp: Timestamp,
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let Poll::Ready(outcome) = self.outcome.poll_unpin(context) else {
                return Poll::Pending;
            };
            // The sender is dropped unused only when the runtime went away under the producer.
            let Ok(outcome) = outcome else {
                return Poll::Ready(Err(ClientError::Closed("producer")));
            };
            if let Outcome::Moved(deliveries) = &*outcome
                && let Some(next) = deliveries.get(self.index)
            {
                *self = next.clone();
                continue;
            }
            return Poll::Ready(self.pick(&outcome));
        }
    }
}

impl Delivery {
    fn pick(&self, outcome: &Outcome) -> Result<RecordMetadata, ClientError> {
        match outcome {
            Outcome::Appended {
                partition,
                base,
                append_time,
                refused,
            } => {
                let before = refused.partition_point(|(index, _)| *index < self.index);
                if let Some((_, error)) = refused.get(before).filter(|(at, _)| *at == self.index) {
                    return Err(error.clone());
                }
                // Offsets go on without gaps for those that went in.
                let nth = (self.index - before) as u64;
                Ok(RecordMetadata {
                    partition: *partition,
                    offset: base.and_then(|base| base.checked_plus(nth)),
                    timestamp: append_time.unwrap_or(self.timestamp),
                })
            }
            Outcome::Each(fates) => {
                let (partition, offset) = fates.get(self.index).cloned().unwrap_or_else(|| {
                    Err(ClientError::invalid(
                        "the outcome does not cover this record",
                    ))
                })?;
                Ok(RecordMetadata {
                    partition,
                    offset,
                    timestamp: self.timestamp,
                })
            }
            Outcome::Failed(error) => Err(error.clone()),
            Outcome::Moved(_) => Err(ClientError::invalid("the record was lost on its way")),
        }
    }
}
