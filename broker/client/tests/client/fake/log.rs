//! A partition in memory: stored batches one after the other, as a segment file has them.

use broker_client::model::{LeaderEpoch, Offset, Timestamp, TopicId};
use broker_record::{Batches, ProducedBatch};
use bytes::Bytes;

pub(crate) struct FakeTopic {
    pub(crate) id: TopicId,
    pub(crate) partitions: Vec<FakeLog>,
}

impl FakeTopic {
    pub(crate) fn new(partitions: u32) -> Self {
        Self {
            id: TopicId::random(),
            partitions: (0..partitions).map(|_| FakeLog::default()).collect(),
        }
    }
}

#[derive(Default)]
pub(crate) struct FakeLog {
    pub(crate) batches: Vec<StoredBytes>,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
}

pub(crate) struct StoredBytes {
    pub(crate) first: Offset,
    pub(crate) next: Offset,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) bytes: Vec<u8>,
}

impl FakeLog {
    pub(crate) fn append(&mut self, mut batch: ProducedBatch) -> Offset {
        let first = self.end;
        batch.header.base_offset = first;
        batch.header.leader_epoch = LeaderEpoch::new(1);
        self.end = batch.header.next_offset();
        self.batches.push(StoredBytes {
            first,
            next: self.end,
            max_timestamp: batch.header.max_timestamp,
            bytes: [&batch.header.encode()[..], &batch.body].concat(),
        });
        first
    }

    /// Whole batches from the one with `from` on; at least one.
    pub(crate) fn read(&self, from: Offset, max_bytes: usize) -> (Vec<u8>, Offset) {
        let (mut run, mut next) = (Vec::new(), from);
        for batch in self.batches.iter().filter(|batch| batch.next > from) {
            if !run.is_empty() && run.len() + batch.bytes.len() > max_bytes {
                break;
            }
            run.extend_from_slice(&batch.bytes);
            next = batch.next;
        }
        (run, next)
    }

    /// Drops whole batches below an offset.
    pub(crate) fn start_at(&mut self, start: u64) {
        self.start = Offset::new(start);
        let start = self.start;
        self.batches.retain(|batch| batch.next > start);
    }

    pub(crate) fn values(&self) -> Vec<String> {
        let run: Vec<u8> = self
            .batches
            .iter()
            .flat_map(|batch| batch.bytes.clone())
            .collect();
        let mut values = Vec::new();
        for batch in Batches::new(Bytes::from(run)) {
            for record in batch.unwrap().records().unwrap().iter() {
                let value = record.unwrap().value.unwrap_or(b"null").to_vec();
                values.push(String::from_utf8(value).unwrap());
            }
        }
        values
    }
}
