//! `ConsumerRecord`: a record as a consumer gets it, and how a fetched batch becomes records. Keys
//! and values share the memory of the batch they came in: who keeps one record for long, copies it.

use broker_model::{Offset, PartitionId, Timestamp, TopicName, TopicPartition};
use broker_record::{RecordView, Records};
use bytes::Bytes;

use crate::error::ClientError;
use crate::producer::Header;

/// A record read from a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Its topic.
    pub topic: TopicName,
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its key, null or not.
    pub key: Option<Bytes>,
    /// Its value, null or not.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}

/// A verified batch on its way to the consumer.
#[derive(Debug)]
pub(super) struct FetchedBatch {
    pub(super) partition: TopicPartition,
    pub(super) generation: u64,
    pub(super) records: Records,
    /// Records below it were not asked for.
    pub(super) from: Offset,
    /// Records at or above it are beyond the end that was asked for.
    pub(super) below: Option<Offset>,
    /// Where the partition goes on after this batch.
    pub(super) next: Offset,
    /// Bytes of the prefetch budget that it holds.
    pub(super) bytes: usize,
}

impl FetchedBatch {
    /// The records asked for, and the error that ended them early.
    pub(super) fn open(&self) -> (Vec<ConsumerRecord>, Option<ClientError>) {
        let mut opened = Vec::with_capacity(self.records.len());
        for record in self.records.iter() {
            let record = match record {
                Ok(record) => record,
                Err(error) => return (opened, Some(self.damaged(error.to_string()))),
            };
            let wanted =
                record.offset >= self.from && self.below.is_none_or(|below| record.offset < below);
            if wanted {
                opened.push(self.own(&record));
            }
        }
        (opened, None)
    }

    fn own(&self, record: &RecordView<'_>) -> ConsumerRecord {
        let body = self.records.body();
        let own = |part: &[u8]| body.slice_ref(part);
        let headers = record.headers().map(|(name, value)| Header {
            name: name.to_owned(),
            value: value.map(own),
        });
        ConsumerRecord {
            topic: self.partition.topic.clone(),
            partition: self.partition.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(own),
            value: record.value.map(own),
            headers: headers.collect(),
        }
    }

    fn damaged(&self, reason: String) -> ClientError {
        ClientError::CorruptBatch {
            partition: self.partition.clone(),
            offset: self.from,
            next_offset: Some(self.next),
            file: None,
            position: None,
            reason: reason.into(),
        }
    }
}

/// `Bytes` of one record that hold on to nothing else.
impl ConsumerRecord {
    /// The same record with key, value and headers in memory of their own, for keeping it longer
    /// than the batch it came in.
    #[must_use]
    pub fn detached(mut self) -> Self {
        let copy = |bytes: &mut Option<Bytes>| {
            *bytes = bytes.as_deref().map(Bytes::copy_from_slice);
        };
        copy(&mut self.key);
        copy(&mut self.value);
        for header in &mut self.headers {
            copy(&mut header.value);
        }
        self
    }
}
