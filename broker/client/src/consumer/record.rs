//! `ConsumerRecord`: a record as a consumer gets it, and how a fetched batch becomes records. Keys
//! and values share the memory of the batch they came in: who keeps one record for long, copies it.

use broker_model::{Offset, PartitionId, Timestamp, TopicName, TopicPartition};
use broker_protocol::InvalidValue;
use broker_protocol::api::fetch::{
    DecodedField, DecodedRecord, FetchedRecords, FieldError, FieldErrors,
};
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
    /// Its key, null or not; with decoding one encoded MessagePack value, null for nil.
    pub key: Option<Bytes>,
    /// Its value, null or not; with decoding one encoded MessagePack value, null for nil.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<Header>,
    /// With [`ConsumerBuilder::decode`](super::ConsumerBuilder::decode): why its key or its value could
    /// not be decoded. That one is the stored bytes then, and no MessagePack value.
    pub undecoded: Option<Box<FieldErrors>>,
}

/// The records of a batch.
#[derive(Debug)]
pub(super) enum BatchRecords {
    /// As they are stored.
    Stored(Records),
    /// As the topic's serializers decoded them.
    Decoded(FetchedRecords),
}

/// A verified batch on its way to the consumer.
#[derive(Debug)]
pub(super) struct FetchedBatch {
    pub(super) partition: TopicPartition,
    pub(super) generation: u64,
    pub(super) records: BatchRecords,
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
        match &self.records {
            BatchRecords::Stored(records) => {
                let own = |record: RecordView<'_>| Ok(self.own(records.body(), &record));
                self.gather(records.iter().map(|record| record.map(own)))
            }
            BatchRecords::Decoded(records) => {
                let own = |record: DecodedRecord<'_>| self.own_decoded(records, record);
                self.gather(records.iter_decoded().map(|record| record.map(own)))
            }
        }
    }

    fn gather<E: ToString>(
        &self,
        records: impl Iterator<Item = Result<Result<ConsumerRecord, InvalidValue>, E>>,
    ) -> (Vec<ConsumerRecord>, Option<ClientError>) {
        let mut opened = Vec::with_capacity(records.size_hint().0);
        for record in records {
            let record = match record {
                Ok(Ok(record)) => record,
                Ok(Err(error)) => return (opened, Some(self.damaged(error.to_string()))),
                Err(error) => return (opened, Some(self.damaged(error.to_string()))),
            };
            let wanted =
                record.offset >= self.from && self.below.is_none_or(|below| record.offset < below);
            if wanted {
                opened.push(record);
            }
        }
        (opened, None)
    }

    fn own_decoded(
        &self,
        records: &FetchedRecords,
        record: DecodedRecord<'_>,
    ) -> Result<ConsumerRecord, InvalidValue> {
        let own = |part: &[u8]| records.share(part);
        let mut errors = FieldErrors::default();
        let field = |field, error: &mut Option<FieldError>| match field {
            DecodedField::Null => None,
            DecodedField::Value(value) => Some(own(value)),
            DecodedField::Undecoded { bytes, error: why } => {
                *error = Some(why);
                Some(own(bytes))
            }
        };
        let headers = record.headers();
        let (key, value) = (
            field(record.key, &mut errors.key),
            field(record.value, &mut errors.value),
        );
        let headers: Result<Vec<Header>, InvalidValue> = headers
            .map(|header| {
                let (name, value) = header?;
                Ok(Header {
                    name: name.to_owned(),
                    value: value.map(own),
                })
            })
            .collect();
        Ok(ConsumerRecord {
            topic: self.partition.topic.clone(),
            partition: self.partition.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key,
            value,
            headers: headers?,
            undecoded: (errors != FieldErrors::default()).then(|| Box::new(errors)),
        })
    }

    fn own(&self, body: &Bytes, record: &RecordView<'_>) -> ConsumerRecord {
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
            undecoded: None,
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
