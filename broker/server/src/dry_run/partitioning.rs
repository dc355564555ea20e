//! A dry run of a partitioner: where the topic's records lie and where they would have gone, and the keys that
//! most of them have. Batches without keys are asked about as on produce: as a whole, if the plugin knows how.

use std::collections::HashMap;

use broker_model::{Offset, PartitionId};
use broker_protocol::api::dry_run_status::{DryRunReport, HotKey, PartitionerReport};
use broker_record::Records;
use broker_wasm::{Layout, Partitioner};

use super::records::for_each_batch;
use super::{DryRun, Progress, Stopped, shown_key};
use crate::plugins::Columns;

/// Keys that are counted, and bytes of them; further ones are not, so that memory is bounded.
const KEYS_MAX: usize = 100_000;
const KEYS_BYTES_MAX: usize = 16 << 20;

struct Tally {
    before: Vec<u64>,
    after: Vec<u64>,
    moved: u64,
    keys: HashMap<Option<Vec<u8>>, KeyTally>,
    key_bytes: usize,
}

#[derive(Clone, Copy)]
struct KeyTally {
    records: u64,
    before: u32,
    after: u32,
}

pub(super) fn run(dry_run: &DryRun, progress: &Progress) -> Result<DryRunReport, Stopped> {
    let topic = &dry_run.topic;
    let slot = &dry_run.slot;
    let (engine, name) = (dry_run.plugins.engine(), topic.name.as_str());
    let partitioner = Partitioner::new(engine, &slot.plugin, name, &slot.options);
    let mut partitioner = partitioner.map_err(Stopped::plugin)?;
    let partitions = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    let mut tally = Tally {
        before: vec![0; topic.partitions.len()],
        after: vec![0; topic.partitions.len()],
        moved: 0,
        keys: HashMap::new(),
        key_bytes: 0,
    };
    let mut columns = Columns::default();
    let mut layout = Layout {
        partitions,
        counts: &topic.partition_counts,
        sequence: 0,
        batches: 0,
    };
    for_each_batch(dry_run, progress, |partition, from, records| {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return Ok(());
        }
        let assigned = assign(&mut partitioner, &mut columns, records, &layout)?;
        layout.sequence += u64::from(count);
        layout.batches += 1;
        tally.add(partition, from, records, &assigned);
        Ok(())
    })?;
    Ok(DryRunReport {
        partitioner: Some(tally.report(dry_run.sample)),
        ..DryRunReport::default()
    })
}

/// Where the records of a batch would go, asked as on produce.
fn assign(
    partitioner: &mut Partitioner,
    columns: &mut Columns,
    records: &Records,
    layout: &Layout<'_>,
) -> Result<Vec<u32>, Stopped> {
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let mut keys = records.iter().map(|record| record.map(|record| record.key));
    if partitioner.knows_keyless() && keys.all(|key| matches!(key, Ok(None))) {
        let together = partitioner.keyless(count, layout);
        if let Some(partition) = together.map_err(Stopped::plugin)? {
            return Ok(vec![partition; records.len()]);
        }
    }
    let needs = partitioner.needs();
    columns.clear();
    // Offsets are not assigned yet.
    let gathered = columns.gather_stored(needs, 0, records);
    gathered.map_err(Stopped::failed)?;
    let assigned = partitioner.assign(&columns.batch(count, needs), layout);
    assigned.map_err(Stopped::plugin)
}

impl Tally {
    fn add(&mut self, partition: PartitionId, from: Offset, records: &Records, assigned: &[u32]) {
        let before = partition.get();
        for (record, after) in records.iter().map_while(Result::ok).zip(assigned) {
            if record.offset < from {
                continue;
            }
            count(&mut self.before, before);
            count(&mut self.after, *after);
            self.moved += u64::from(before != *after);
            let key = record.key.map(<[u8]>::to_vec);
            if !self.keys.contains_key(&key) {
                let bytes = self.key_bytes + key.as_ref().map_or(0, Vec::len);
                if self.keys.len() >= KEYS_MAX || bytes > KEYS_BYTES_MAX {
                    continue;
                }
                self.key_bytes = bytes;
            }
            let tally = self.keys.entry(key).or_insert(KeyTally {
                records: 0,
                before,
                after: *after,
            });
            tally.records += 1;
            (tally.before, tally.after) = (before, *after);
        }
    }

    fn report(self, sample: usize) -> PartitionerReport {
        let mut keys: Vec<_> = self.keys.into_iter().collect();
        keys.sort_by(|(a_key, a), (b_key, b)| b.records.cmp(&a.records).then(a_key.cmp(b_key)));
        keys.truncate(sample);
        PartitionerReport {
            records: self.before.iter().sum(),
            moved: self.moved,
            before: self.before,
            after: self.after,
            hottest: keys
                .into_iter()
                .map(|(key, tally)| HotKey {
                    key: shown_key(key.as_deref()),
                    records: tally.records,
                    before: PartitionId::new(tally.before),
                    after: PartitionId::new(tally.after),
                })
                .collect(),
        }
    }
}

fn count(counts: &mut [u64], partition: u32) {
    let index = usize::try_from(partition).unwrap_or(usize::MAX);
    if let Some(count) = counts.get_mut(index) {
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use broker_model::Timestamp;
    use broker_record::{BatchBuilder, Codec, ProducedBatch, StoredBatch, Validation};

    use super::*;

    fn batch_of(keys: &[Vec<u8>]) -> Records {
        let mut builder = BatchBuilder::new();
        for key in keys {
            let pushed = builder.push(Some(key), None, Timestamp::from_millis(1), []);
            pushed.expect("it is small");
        }
        let (body, claims) = builder.build(Codec::None).expect("a body");
        let batch = ProducedBatch::opaque(body, claims, Validation::Full).expect("it is valid");
        let (header, body) = (batch.header, batch.body);
        let batch = StoredBatch { header, body };
        batch.records().expect("they can be read")
    }

    #[test]
    fn keys_are_counted_as_long_as_they_are_few_bytes() {
        let keys: Vec<_> = (0..20_u8).map(|key| vec![key; 1 << 20]).collect();
        let mut tally = Tally {
            before: vec![0; 1],
            after: vec![0; 1],
            moved: 0,
            keys: HashMap::new(),
            key_bytes: 0,
        };
        for keys in [&keys[..10], &keys[10..], &keys[..1]] {
            let records = batch_of(keys);
            tally.add(PartitionId::new(0), Offset::ZERO, &records, &[0; 10]);
        }
        assert_eq!(tally.keys.len(), KEYS_BYTES_MAX >> 20);
        let report = tally.report(1);
        assert_eq!(report.records, 21, "all are");
        assert_eq!(report.hottest.len(), 1);
        assert_eq!(report.hottest[0].records, 2, "one that was counted before");
    }
}
