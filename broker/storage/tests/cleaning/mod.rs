//! What the tests of compaction share: keyed records, policies written by hand, whole cleanings.
#![allow(dead_code, clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;
use std::time::Duration;

use broker_model::{LeaderEpoch, Offset, Timestamp};
use broker_record::{BatchBuilder, Batches, Codec, ProducedBatch, StoredBatch, Validation};
use broker_storage::{
    Cleaned, Cleaning, CleaningFailed, CleaningOutcome, CompactionPolicy, CompactionSettings, Log,
    LogDir, ObserveScope, Pace, PolicyFailed, ReadLimit,
};

use crate::support::at;

/// A record as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) offset: u64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Keyed {
    pub(crate) fn is_tombstone(&self) -> bool {
        self.key.is_some() && self.value.is_none()
    }
}

/// A key and a value; `None` for null.
pub(crate) type Pair<'a> = (Option<&'a str>, Option<&'a str>);

/// A batch of these records, one millisecond apart.
pub(crate) fn keyed_batch(records: &[Pair<'_>], timestamp: i64, codec: Codec) -> ProducedBatch {
    let mut builder = BatchBuilder::new();
    for (index, (key, value)) in (0..).zip(records) {
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        builder.push(key, value, at(timestamp + index), []).unwrap();
    }
    let (body, claims) = builder.build(codec).unwrap();
    ProducedBatch::opaque(body, claims, Validation::Full).unwrap()
}

/// Appends one batch of one record with a value of about 100 bytes.
pub(crate) fn put(log: &mut Log, key: &str, value: &str) {
    let value = format!("{value:.<100}");
    append_batch(
        log,
        keyed_batch(&[(Some(key), Some(&value))], 1_000, Codec::None),
    );
}

/// Appends a tombstone.
pub(crate) fn delete(log: &mut Log, key: &str) {
    append_batch(log, keyed_batch(&[(Some(key), None)], 1_000, Codec::None));
}

pub(crate) fn append_batch(log: &mut Log, batch: ProducedBatch) {
    log.append(&mut [batch], LeaderEpoch::new(1), at(5))
        .unwrap();
}

/// All records from an offset on, every slice verified.
pub(crate) fn records_from(log: &Log, from: Offset) -> Vec<Keyed> {
    let mut found = Vec::new();
    let mut next = from;
    while next < log.end() {
        let slice = log
            .read(next, log.end(), ReadLimit::OneBatchOr(500))
            .unwrap();
        let slice = slice.verified().unwrap();
        assert!(slice.next_offset() > next, "a read goes on");
        for batch in Batches::new(slice.read().unwrap()) {
            found.extend(keyed(&batch.unwrap()).filter(|record| record.offset >= from.get()));
        }
        next = slice.next_offset();
    }
    found
}

pub(crate) fn records(log: &Log) -> Vec<Keyed> {
    records_from(log, log.start())
}

pub(crate) fn keyed(batch: &StoredBatch) -> impl Iterator<Item = Keyed> {
    let records = batch.records().unwrap();
    let keyed: Vec<Keyed> = records
        .iter()
        .map(|record| {
            let record = record.unwrap();
            Keyed {
                offset: record.offset.get(),
                timestamp: record.timestamp.as_millis(),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
            }
        })
        .collect();
    keyed.into_iter()
}

/// Keys and first characters of the values, for reading by eye: `a1 b- c3`.
pub(crate) fn shape(records: &[Keyed]) -> String {
    let words = records.iter().map(|record| {
        let text = |bytes: &Option<Vec<u8>>| match bytes {
            Some(bytes) => {
                let text = String::from_utf8(bytes.clone()).unwrap();
                text.trim_end_matches('.').to_owned()
            }
            None => "-".to_owned(),
        };
        format!("{}{}", text(&record.key), text(&record.value))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Keeps the newest record of every key; takes in a bounded number of records.
#[derive(Default)]
pub(crate) struct LatestByKey {
    pub(crate) newest: BTreeMap<Vec<u8>, u64>,
    pub(crate) room: Option<u64>,
    pub(crate) observed: u64,
    pub(crate) retained: u64,
}

impl LatestByKey {
    pub(crate) fn with_room_for(records: u64) -> Self {
        Self {
            room: Some(records),
            ..Self::default()
        }
    }
}

impl CompactionPolicy for LatestByKey {
    fn observe(&mut self, run: &[StoredBatch]) -> Result<u64, PolicyFailed> {
        let mut taken = 0;
        for record in run.iter().flat_map(keyed) {
            if self.room.is_some_and(|room| self.observed >= room) {
                break;
            }
            if let Some(key) = record.key {
                self.newest.insert(key, record.offset);
            }
            self.observed += 1;
            taken += 1;
        }
        Ok(taken)
    }

    fn retain(&mut self, run: &[StoredBatch], keep: &mut Vec<u8>) -> Result<(), PolicyFailed> {
        assert!(keep.is_empty());
        assert!(run.iter().all(|batch| batch.header.record_count > 0));
        let stays = run.iter().flat_map(keyed).map(|record| {
            let newest = record.key.as_ref().and_then(|key| self.newest.get(key));
            newest.is_none_or(|newest| *newest <= record.offset)
        });
        let stays: Vec<bool> = stays.collect();
        self.retained += stays.len() as u64;
        set_bits(&stays, keep);
        Ok(())
    }
}

/// Keeps the last `n` records of every key, counted over the whole log; takes in a bounded number of
/// records.
pub(crate) struct LastN {
    pub(crate) n: u64,
    pub(crate) room: u64,
    /// The offset behind the last record that it took in.
    pub(crate) observed_below: u64,
    /// Of each key: its records that the second pass has not come to yet.
    left: BTreeMap<Vec<u8>, u64>,
}

impl LastN {
    pub(crate) fn new(n: u64) -> Self {
        Self::with_room_for(u64::MAX, n)
    }

    pub(crate) fn with_room_for(room: u64, n: u64) -> Self {
        Self {
            n,
            room,
            observed_below: 0,
            left: BTreeMap::new(),
        }
    }
}

impl CompactionPolicy for LastN {
    fn scope(&self) -> ObserveScope {
        ObserveScope::WholeLog
    }

    fn observe(&mut self, run: &[StoredBatch]) -> Result<u64, PolicyFailed> {
        let mut taken = 0;
        for record in run.iter().flat_map(keyed) {
            if self.room == 0 {
                break;
            }
            self.room -= 1;
            self.observed_below = record.offset + 1;
            if let Some(key) = record.key {
                *self.left.entry(key).or_default() += 1;
            }
            taken += 1;
        }
        Ok(taken)
    }

    fn retain(&mut self, run: &[StoredBatch], keep: &mut Vec<u8>) -> Result<(), PolicyFailed> {
        let stays = run.iter().flat_map(keyed).map(|record| {
            let Some(key) = record.key else { return true };
            let left = self.left.get_mut(&key).unwrap();
            let is_among_the_last = *left <= self.n;
            *left = left.checked_sub(1).unwrap();
            is_among_the_last
        });
        let stays: Vec<bool> = stays.collect();
        set_bits(&stays, keep);
        Ok(())
    }
}

/// Puts one bit a record, least significant first.
pub(crate) fn set_bits(stays: &[bool], keep: &mut Vec<u8>) {
    for chunk in stays.chunks(8) {
        let bits = chunk.iter().enumerate();
        keep.push(bits.fold(0, |byte, (bit, stays)| byte | u8::from(*stays) << bit));
    }
}

/// Keeps what a function says yes to.
pub(crate) struct KeepIf<F>(pub(crate) F);

impl<F: FnMut(&Keyed) -> bool> CompactionPolicy for KeepIf<F> {
    fn observe(&mut self, run: &[StoredBatch]) -> Result<u64, PolicyFailed> {
        Ok(run
            .iter()
            .map(|batch| u64::from(batch.header.record_count))
            .sum())
    }

    fn retain(&mut self, run: &[StoredBatch], keep: &mut Vec<u8>) -> Result<(), PolicyFailed> {
        let stays = run.iter().flat_map(keyed).map(|record| self.0(&record));
        set_bits(&stays.collect::<Vec<bool>>(), keep);
        Ok(())
    }
}

/// Tombstones stay for an hour, nothing else holds a cleaning up.
pub(crate) fn settings() -> CompactionSettings {
    CompactionSettings {
        delete_retention: Duration::from_secs(3_600),
        ..CompactionSettings::default()
    }
}

/// Makes everything durable, and recorded as that.
pub(crate) fn settle(dir: &LogDir, log: &mut Log) {
    crate::support::sync(dir, log);
}

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000);

pub(crate) fn begin(log: &mut Log) -> Cleaning {
    let end = log.end();
    log.force_cleaning(&settings(), end, NOW).unwrap()
}

pub(crate) fn run(
    cleaning: Cleaning,
    policy: &mut dyn CompactionPolicy,
) -> Result<Cleaned, CleaningFailed> {
    cleaning.run(policy, &Pace::unthrottled())
}

/// A whole cleaning, due or not.
pub(crate) fn clean_with(log: &mut Log, policy: &mut dyn CompactionPolicy) -> CleaningOutcome {
    let cleaned = run(begin(log), policy).unwrap();
    log.finish_cleaning(cleaned).unwrap()
}

/// The same with the newest record of every key kept.
pub(crate) fn clean(log: &mut Log) -> CleaningOutcome {
    clean_with(log, &mut LatestByKey::default())
}
