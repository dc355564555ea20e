//! `ProducerRecord` and `RecordMetadata`: what goes in, and where it ended up.

use std::sync::Arc;

use broker_model::{Offset, PartitionId, Timestamp};
use bytes::Bytes;

/// A header of a record. Names may repeat; order is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value, null or not.
    pub value: Option<Bytes>,
}

/// A record to be sent.
///
/// ```
/// use broker_client::ProducerRecord;
///
/// let record = ProducerRecord::new("orders")
///     .key("user-7")
///     .value(r#"{"total": 12}"#)
///     .header("trace", "42");
/// assert_eq!(record.headers.len(), 1);
/// assert_eq!(record.partition, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerRecord {
    /// The topic. Cloning an `Arc<str>` for each record saves an allocation.
    pub topic: Arc<str>,
    /// The partition; `None` leaves the choice to the topic's partitioner.
    pub partition: Option<PartitionId>,
    /// The key; null is not the same as empty.
    pub key: Option<Bytes>,
    /// The value; null marks a deletion in a compacted topic.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<Header>,
    /// Its timestamp; `None` means the time at which it is handed to the producer.
    pub timestamp: Option<Timestamp>,
}

impl ProducerRecord {
    /// A record without key, value and headers.
    pub fn new(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp: None,
        }
    }

    /// The same record with this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same record with this value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// The same record with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header {
            name: name.into(),
            value: Some(value.into()),
        });
        self
    }

    /// The same record for this partition.
    #[must_use]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(PartitionId::new(partition));
        self
    }

    /// The same record with this timestamp.
    #[must_use]
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Headers in the shape that the batch builder takes.
    pub(super) fn header_slices(
        &self,
    ) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> + Clone {
        let headers = self.headers.iter();
        headers.map(|header| (header.name.as_str(), header.value.as_deref()))
    }
}

/// Where a record was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset; with [`Acks::None`](crate::Acks::None) nobody waits to learn it.
    pub offset: Option<Offset>,
    /// The timestamp it was sent with, or that of the append when the topic says so. (A record
    /// without a partition always reports the former: the answer does not carry the latter.)
    pub timestamp: Timestamp,
}
