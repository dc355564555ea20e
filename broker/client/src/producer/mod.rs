//! `Producer`: gathers records into batches and sends them, in order within a partition, again when
//! that is safe. What it holds is bounded; each record has a future that says where it was stored.
//!
//! Records wait in lanes (see `lane`): one per partition, and one per topic for records whose
//! partition the topic's partitioner chooses. Order is kept within a lane. Records of one topic that
//! are sent partly with a partition and partly without are in different lanes.

mod attempts;
mod batch;
mod builder;
mod context;
mod delivery;
mod keyed_lane;
mod lane;
mod lanes;
mod partition_lane;
mod record;
mod routed_lane;

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::TryAcquireError;

use self::context::ProducerContext;
use self::lanes::Lanes;
use crate::cluster::Client;
use crate::error::ClientError;

pub use self::builder::ProducerBuilder;
pub use self::delivery::Delivery;
pub use self::record::{Header, ProducerRecord, RecordMetadata};
pub use broker_protocol::api::produce::{Acks, Partial};

/// Sends records; cheap to clone, and clones share batches and buffer.
///
/// ```no_run
/// # async fn example() -> Result<(), broker_client::ClientError> {
/// # let client = broker_client::Client::connect("127.0.0.1:7420").await?;
/// use std::time::Duration;
/// use broker_client::{Codec, Producer, ProducerRecord};
///
/// let producer = Producer::builder(&client)
///     .linger(Duration::from_millis(5))
///     .compression(Codec::Zstd)
///     .build()?;
/// // Hand over without waiting for each ...
/// for number in 0..10_000 {
///     let record = ProducerRecord::new("orders").key(format!("user-{}", number % 7));
///     drop(producer.enqueue(record.value(number.to_string())).await?);
/// }
/// // ... and once for all: the first failure, if there was one.
/// producer.flush().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    context: Arc<ProducerContext>,
    lanes: Arc<Lanes>,
}

/// A record that was handed over, or not for lack of room.
enum Entered {
    Waiting(Delivery),
    NoRoom(ProducerRecord, usize),
}

impl Producer {
    /// Settings of a new producer.
    pub fn builder(client: &Client) -> ProducerBuilder {
        ProducerBuilder::new(client.clone())
    }

    fn new(context: Arc<ProducerContext>, runtime: Handle) -> Self {
        let lanes = Arc::new(Lanes::new(context.clone(), runtime));
        Self {
            inner: Arc::new(Inner { context, lanes }),
        }
    }

    /// Sends a record; the future completes when it was stored, or never will be.
    ///
    /// The record takes its place in the line within this call, whether the future is polled or
    /// not. Only when the buffer is full does it wait for room, from the first poll on; use
    /// [`Producer::enqueue`] where that has to be waited for on its own.
    ///
    /// The error of the future is that of the last attempt, see [`ClientError::is_definite`] for
    /// whether the record may be stored after all.
    pub fn send(
        &self,
        record: ProducerRecord,
    ) -> impl Future<Output = Result<RecordMetadata, ClientError>> + Send + use<> {
        let entered = self.enter(record);
        // Only who waits for room keeps the producer open.
        let producer = match &entered {
            Ok(Entered::NoRoom(..)) => Some(self.clone()),
            _ => None,
        };
        async move {
            let delivery = match (entered?, producer) {
                (Entered::Waiting(delivery), _) => delivery,
                (Entered::NoRoom(record, cost), Some(producer)) => {
                    producer.enter_waiting(record, cost).await?
                }
                (Entered::NoRoom(..), None) => return Err(ClientError::Closed("producer")),
            };
            delivery.await
        }
    }

    /// Waits until there is room in the buffer and puts a record in line. What becomes of it is in
    /// the [`Delivery`], or in [`Producer::flush`].
    ///
    /// # Errors
    /// When the topic's name is not valid, the record cannot be sent by anybody, or the producer is
    /// closed.
    pub async fn enqueue(&self, record: ProducerRecord) -> Result<Delivery, ClientError> {
        match self.enter(record)? {
            Entered::Waiting(delivery) => Ok(delivery),
            Entered::NoRoom(record, cost) => self.enter_waiting(record, cost).await,
        }
    }

    /// Sends everything that is in line now without further waiting, and waits for the answers.
    ///
    /// # Errors
    /// The first failure of any record since the last flush, also of those whose delivery was seen.
    pub async fn flush(&self) -> Result<(), ClientError> {
        self.inner.lanes.flush().await;
        self.inner.context.take_failure().map_or(Ok(()), Err)
    }

    /// Takes no more records, from any clone, and flushes.
    ///
    /// # Errors
    /// As [`Producer::flush`].
    pub async fn close(self) -> Result<(), ClientError> {
        self.inner.context.buffer.close();
        self.inner.lanes.close();
        self.flush().await
    }

    fn enter(&self, mut record: ProducerRecord) -> Result<Entered, ClientError> {
        let context = &self.inner.context;
        record.timestamp.get_or_insert_with(|| context.clock.now());
        let cost = batch::cost_of(&record);
        batch::check(&record, cost)?;
        let limit = context.options.buffer_bytes;
        let Some(room) = u32::try_from(cost).ok().filter(|_| cost <= limit) else {
            return Err(ClientError::RecordTooLarge { bytes: cost, limit });
        };
        match context.buffer.try_acquire_many(room) {
            Ok(permit) => {
                permit.forget();
                self.append(record, cost).map(Entered::Waiting)
            }
            Err(TryAcquireError::NoPermits) => Ok(Entered::NoRoom(record, cost)),
            Err(TryAcquireError::Closed) => Err(ClientError::Closed("producer")),
        }
    }

    async fn enter_waiting(
        &self,
        record: ProducerRecord,
        cost: usize,
    ) -> Result<Delivery, ClientError> {
        // `enter` has compared the cost with a bound that fits.
        let room = u32::try_from(cost).unwrap_or(u32::MAX);
        match self.inner.context.buffer.acquire_many(room).await {
            Ok(permit) => {
                permit.forget();
                self.append(record, cost)
            }
            Err(_) => Err(ClientError::Closed("producer")),
        }
    }

    fn append(&self, record: ProducerRecord, cost: usize) -> Result<Delivery, ClientError> {
        let appended = self.inner.lanes.append(record, cost);
        appended.inspect_err(|_| self.inner.context.give_back(cost))
    }
}

impl Drop for Inner {
    /// What is in line is still sent, as long as the runtime lives.
    fn drop(&mut self) {
        self.lanes.close();
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("options", &self.inner.context.options)
            .finish_non_exhaustive()
    }
}
