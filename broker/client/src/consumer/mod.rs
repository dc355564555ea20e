//! `Consumer`: a stream of records from the partitions it was given, fetched ahead in stored
//! batches, verified, in order within each partition. Knows nothing of groups: who reads what, and
//! where a position is kept, is the caller's business.

mod assignment;
mod builder;
mod decode;
mod driver;
mod record;
mod reset;

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use broker_model::{Offset, TopicPartition};
use futures::Stream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::AbortHandle;

use self::assignment::Item;
use self::driver::Shared;
use self::record::FetchedBatch;
use crate::cluster::Client;
use crate::error::ClientError;

pub use self::builder::{ConsumerBuilder, StartAt};
pub use self::record::ConsumerRecord;
pub use broker_protocol::api::fetch::{FieldError, FieldErrors};

pub use self::reset::{OffsetReset, ResetPolicy};

/// Reads records; a `Stream`, and `next` without any trait.
///
/// An error of the stream is about one partition. The others go on, and so does this one, if the
/// error says where ([`ClientError::CorruptBatch`] with a next offset); otherwise it waits for a
/// [`Consumer::seek`]. What a broker can recover from is retried and never shows.
///
/// ```no_run
/// # async fn example() -> Result<(), broker_client::ClientError> {
/// # let client = broker_client::Client::connect("127.0.0.1:7420").await?;
/// use broker_client::{ClientError, Consumer};
///
/// let mut consumer = Consumer::builder(&client).topic("orders").build().await?;
/// while let Some(record) = consumer.next().await {
///     match record {
///         Ok(record) => println!("{}-{} {:?}", record.partition, record.offset, record.value),
///         Err(damage @ ClientError::CorruptBatch { .. }) => eprintln!("{damage}"),
///         Err(error) => return Err(error),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Consumer {
    shared: Arc<Shared>,
    items: UnboundedReceiver<Item>,
    open: Option<Open>,
    /// Where each partition goes on once the open batch is done.
    positions: HashMap<TopicPartition, Offset>,
    task: AbortHandle,
}

/// The batch that is being handed out.
struct Open {
    partition: TopicPartition,
    records: std::vec::IntoIter<ConsumerRecord>,
    /// What ended it early.
    error: Option<ClientError>,
    at: Offset,
    next: Offset,
    bytes: usize,
}

impl Consumer {
    /// Settings of a new consumer.
    pub fn builder(client: &Client) -> ConsumerBuilder {
        ConsumerBuilder::new(client.clone())
    }

    fn new(shared: Arc<Shared>, items: UnboundedReceiver<Item>, task: AbortHandle) -> Self {
        Self {
            shared,
            items,
            open: None,
            positions: HashMap::new(),
            task,
        }
    }

    /// The next record; `None` when there will be no more, which only happens with
    /// [`ConsumerBuilder::stop_at_end`] or when every partition has failed. Can be dropped and
    /// called again without losing a record.
    pub async fn next(&mut self) -> Option<Result<ConsumerRecord, ClientError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The partitions that are read at present.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.shared.assignment().partitions().cloned().collect()
    }

    /// Offset of the next record of a partition; `None` when it is not read.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        match &self.open {
            Some(open) if open.partition == *partition => Some(open.at),
            _ => match self.positions.get(partition) {
                Some(position) => Some(*position),
                None => self.shared.assignment().start_of(partition),
            },
        }
    }

    /// The high watermark of a partition, as of the last answer; `None` before the first.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.shared.assignment().high_watermark(partition)
    }

    /// Goes on at another offset of a partition.
    ///
    /// # Errors
    /// When the partition is not read by this consumer.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), ClientError> {
        let sought = self.shared.assignment().seek(partition, offset);
        if sought.is_none() {
            return Err(ClientError::UnknownPartition(
                format!("partition {partition} in this consumer").into(),
            ));
        }
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.partition == *partition)
            && let Some(open) = self.open.take()
        {
            self.shared.assignment().released(open.bytes);
        }
        self.positions.insert(partition.clone(), offset);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Positions that were not in the log since the last call, where reading went on, and how many
    /// offsets were skipped by that.
    pub fn take_resets(&mut self) -> Vec<OffsetReset> {
        self.shared.assignment().take_resets()
    }

    /// Takes an item in; an error of it goes to the caller.
    fn take(&mut self, item: Item) -> Option<ClientError> {
        let mut assignment = self.shared.assignment();
        assignment.taken();
        match item {
            Item::CheckEnd => None,
            Item::Failed {
                partition,
                generation,
                error,
            } => {
                if assignment.generation(&partition) != Some(generation) {
                    return None;
                }
                if let ClientError::CorruptBatch {
                    next_offset: Some(next),
                    ..
                } = error
                {
                    self.positions.insert(partition, next);
                }
                Some(error)
            }
            Item::Batch(batch) => {
                if assignment.generation(&batch.partition) == Some(batch.generation) {
                    drop(assignment);
                    self.open = Some(Open::new(batch));
                } else {
                    assignment.released(batch.bytes);
                }
                None
            }
        }
    }

    /// The open batch has been handed out.
    fn finish_open(&mut self) -> Option<ClientError> {
        let open = self.open.take()?;
        self.shared.assignment().released(open.bytes);
        self.shared.work.notify_one();
        self.positions.insert(open.partition, open.next);
        open.error
    }
}

impl Open {
    fn new(batch: FetchedBatch) -> Self {
        let (records, error) = batch.open();
        let next = batch
            .below
            .map_or(batch.next, |below| batch.next.min(below));
        Self {
            at: batch.from,
            next,
            bytes: batch.bytes,
            records: records.into_iter(),
            error,
            partition: batch.partition,
        }
    }
}

impl Stream for Consumer {
    type Item = Result<ConsumerRecord, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(record) = open.records.next() {
                    open.at = record.offset.next();
                    return Poll::Ready(Some(Ok(record)));
                }
                if let Some(error) = self.finish_open() {
                    return Poll::Ready(Some(Err(error)));
                }
            }
            match self.items.poll_recv(context) {
                Poll::Ready(Some(item)) => {
                    if let Some(error) = self.take(item) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.shared.assignment().is_at_end() => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("partitions", &self.partitions())
            .finish_non_exhaustive()
    }
}
