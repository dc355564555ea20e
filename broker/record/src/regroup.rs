//! Regrouping: from records with a partition each to one batch per partition, by copying each
//! record's bytes once. A record keeps its bytes, but for an offset delta: that one said where the
//! record was in the request and is left out.

use std::collections::BTreeMap;

use broker_model::{PartitionId, Timestamp};
use bytes::Bytes;

use crate::body_facts::BodyFacts;
use crate::msgpack::{ARRAY_LEN_BYTES_MAX, Cursor, put_array_len};
use crate::routable_records::RecordPlace;
use crate::scanned_record::ScannedRecord;
use crate::timestamp_span::TimestampSpan;
use crate::{InvalidBatch, ProducedBatch, RoutableRecords};

/// The batch that goes to one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBatch {
    /// Where it goes.
    pub partition: PartitionId,
    /// The batch, ready to be appended.
    pub batch: ProducedBatch,
    /// For each of its records the index that the record had in the request, rising.
    pub indexes: Vec<u32>,
}

/// Room for indexes that a group starts with: growing to it would cost more than the records do.
const INDEXES_AT_FIRST: usize = 32;

/// What goes to one partition, while it is gathered.
#[derive(Default)]
struct Group {
    indexes: Vec<u32>,
    bytes: usize,
    timestamps: TimestampSpan,
}

impl RoutableRecords {
    /// One batch per partition, ordered by partition; within one, records keep their order. A
    /// record whose partition is `None` goes nowhere. Records without a timestamp get
    /// `default_timestamp`.
    ///
    /// # Errors
    /// When a batch would be larger than a header can count, which takes 4 GiB.
    ///
    /// # Panics
    /// When `partitions` does not have one element a record.
    pub fn regroup(
        &self,
        partitions: &[Option<PartitionId>],
        default_timestamp: Timestamp,
    ) -> Result<Vec<PartitionBatch>, InvalidBatch> {
        assert_eq!(partitions.len(), self.len(), "one partition a record");
        let mut groups: BTreeMap<PartitionId, Group> = BTreeMap::new();
        let mut done = 0;
        for run in partitions.chunk_by(PartialEq::eq) {
            let places = &self.places[done..done + run.len()];
            if let [Some(partition), ..] = run {
                let group = groups
                    .entry(*partition)
                    .or_insert_with(|| Group::for_some_of(self.len()));
                group.add(places, done);
            }
            done += run.len();
        }
        let bodies = self.copy_bodies(&groups);
        groups
            .into_iter()
            .zip(bodies)
            .map(|((partition, group), body)| {
                let facts = BodyFacts {
                    record_count: group.record_count(),
                    timestamps: group.timestamps,
                };
                Ok(PartitionBatch {
                    partition,
                    batch: ProducedBatch::from_facts(body, &facts, default_timestamp)?,
                    indexes: group.indexes,
                })
            })
            .collect()
    }

    /// The body of every group, all of them in one allocation.
    fn copy_bodies(&self, groups: &BTreeMap<PartitionId, Group>) -> Vec<Bytes> {
        if groups
            .values()
            .any(|group| group.indexes.len() == self.len())
        {
            // Everything goes to one partition: the request's own bytes are its body.
            return vec![self.body.clone()];
        }
        let bytes = groups
            .values()
            .map(|group| ARRAY_LEN_BYTES_MAX + group.bytes);
        let mut all = Vec::with_capacity(bytes.sum());
        let mut ends = Vec::with_capacity(groups.len());
        for group in groups.values() {
            put_array_len(&mut all, group.record_count());
            for index in &group.indexes {
                self.copy_record(&self.places[*index as usize], &mut all);
            }
            ends.push(all.len());
        }
        let mut all = Bytes::from(all);
        let mut taken = 0;
        let mut take = |end| {
            let body = all.split_to(end - taken);
            taken = end;
            body
        };
        ends.into_iter().map(&mut take).collect()
    }

    fn copy_record(&self, place: &RecordPlace, body: &mut Vec<u8>) {
        let raw = &self.body[place.start as usize..place.end as usize];
        if !place.has_offset_delta {
            return body.extend_from_slice(raw);
        }
        let record = ScannedRecord::scan(&mut Cursor::new(raw));
        let record = record.expect("walk has read these very bytes without a fault");
        put_array_len(body, 4);
        body.extend_from_slice(record.before_delta);
    }
}

impl Group {
    /// With room for some of so many records.
    fn for_some_of(records: usize) -> Self {
        Self {
            indexes: Vec::with_capacity(records.min(INDEXES_AT_FIRST)),
            ..Self::default()
        }
    }

    /// Takes in records that stand side by side, from that index on.
    fn add(&mut self, places: &[RecordPlace], first: usize) {
        let narrow = |index| u32::try_from(index).expect("no more records than a u32 counts");
        self.indexes
            .extend(narrow(first)..narrow(first + places.len()));
        for place in places {
            self.bytes += (place.end - place.start) as usize;
            self.timestamps.add(place.timestamp);
        }
    }

    fn record_count(&self) -> u32 {
        u32::try_from(self.indexes.len()).expect("no more records than the request's u32 count")
    }
}

#[cfg(test)]
#[path = "regroup_tests.rs"]
mod tests;
