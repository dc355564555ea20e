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
struct Group {
    partition: PartitionId,
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
        let groups = self.group(partitions);
        let bodies = self.copy_bodies(&groups);
        groups
            .into_iter()
            .zip(bodies)
            .map(|(group, body)| {
                let facts = BodyFacts {
                    record_count: group.record_count(),
                    timestamps: group.timestamps,
                };
                Ok(PartitionBatch {
                    partition: group.partition,
                    batch: ProducedBatch::from_facts(body, &facts, default_timestamp)?,
                    indexes: group.indexes,
                })
            })
            .collect()
    }

    /// Which records go together, ordered by partition.
    fn group(&self, partitions: &[Option<PartitionId>]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut group_of = GroupOf::default();
        for ((index, place), partition) in (0..).zip(&self.places).zip(partitions) {
            let Some(partition) = *partition else {
                continue;
            };
            let at = group_of.at(partition, groups.len());
            match groups.get_mut(at) {
                Some(group) => group.add(index, place),
                None => groups.push(Group::of(partition, (index, place), self.len())),
            }
        }
        groups.sort_unstable_by_key(|group| group.partition);
        groups
    }

    /// The body of every group, all of them in one allocation.
    fn copy_bodies(&self, groups: &[Group]) -> Vec<Bytes> {
        if groups.iter().any(|group| group.indexes.len() == self.len()) {
            // Everything goes to one partition: the request's own bytes are its body.
            return vec![self.body.clone()];
        }
        let bytes = groups.iter().map(|group| ARRAY_LEN_BYTES_MAX + group.bytes);
        let mut all = Vec::with_capacity(bytes.sum());
        let mut ends = Vec::with_capacity(groups.len());
        for group in groups {
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

/// Partitions below this are looked up in a table: which of them it is cannot be foreseen from record to record,
/// so a search costs more than it looks.
const TABLE_PARTITIONS: u32 = 4096;
/// Stands in the table for no group.
const NO_GROUP: usize = usize::MAX;

/// Which group a partition has.
#[derive(Default)]
struct GroupOf {
    table: Vec<usize>,
    others: BTreeMap<PartitionId, usize>,
}

impl GroupOf {
    /// That of a partition; `next` if it has none yet.
    #[inline(always)]
    fn at(&mut self, partition: PartitionId, next: usize) -> usize {
        if partition.get() >= TABLE_PARTITIONS {
            return *self.others.entry(partition).or_insert(next);
        }
        let at = partition.get() as usize;
        if at >= self.table.len() {
            self.table.resize(at + 1, NO_GROUP);
        }
        match self.table.get_mut(at) {
            Some(group) if *group == NO_GROUP => {
                *group = next;
                next
            }
            Some(group) => *group,
            None => next,
        }
    }
}

impl Group {
    /// With its first record, and room for some of so many.
    fn of(partition: PartitionId, (index, place): (u32, &RecordPlace), records: usize) -> Self {
        let mut group = Self {
            partition,
            indexes: Vec::with_capacity(records.min(INDEXES_AT_FIRST)),
            bytes: 0,
            timestamps: TimestampSpan::default(),
        };
        group.add(index, place);
        group
    }

    #[inline(always)]
    fn add(&mut self, index: u32, place: &RecordPlace) {
        self.indexes.push(index);
        self.bytes += (place.end - place.start) as usize;
        self.timestamps.add(place.timestamp);
    }

    fn record_count(&self) -> u32 {
        u32::try_from(self.indexes.len()).expect("no more records than the request's u32 count")
    }
}

#[cfg(test)]
#[path = "regroup_tests.rs"]
mod tests;
