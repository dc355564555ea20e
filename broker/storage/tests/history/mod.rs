//! The model of a compacted log, and the runner that drives a real one beside it: what survives is
//! worked out record by record, from the rules and not from the code.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod checks;
mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use broker_model::ManualClock;
use broker_storage::io::recording::RecordingIo;
use broker_storage::{CompactionSettings, Log, LogConfig, LogDir, PlantedBugs};

use crate::cleaning::Keyed;

/// One step of a history. Percentages are of the log's extent.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Batches of records: key (0 is null), value length (0 is null); and the codec.
    Append {
        batches: Vec<Vec<(u8, u8)>>,
        codec: u8,
    },
    Sync,
    Wait {
        seconds: u64,
    },
    Clean {
        policy: Which,
        high_watermark: u8,
    },
    DeleteRecords {
        to: u8,
    },
    /// Records are deleted, and more are appended, between the run of a cleaning and its end.
    CleanBesideDeletion {
        to: u8,
    },
    Reopen,
    Kill,
    PowerLoss {
        seed: u64,
    },
    /// The process dies in one of the next changes of the disk, which a cleaning makes.
    CleanKilledAt {
        after: u8,
        torn: u16,
        power: Option<u64>,
    },
    /// One of the next writes of a cleaning finds the disk full.
    CleanOnFullDisk {
        after: u8,
    },
}

/// What decides.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    LatestByKey,
    /// The same with room for so many records.
    Bounded(u8),
    /// The last `n` of each key, with the whole log looked at. `bound` is for how many records there is
    /// room, and for the model below which offset they were taken in.
    LastN {
        n: u8,
        bound: u64,
    },
    /// Chosen by a hash of offset and seed.
    Random(u64),
}

/// How long tombstones stay.
const DELETE_RETENTION: Duration = Duration::from_secs(100);

#[derive(Clone, Debug, Default)]
struct Model {
    /// By offset; `None` where compaction took the record.
    records: Vec<Option<Keyed>>,
    boundaries: Vec<u64>,
    start: u64,
    durable: u64,
    cleaned_to: u64,
    /// When cleanings ended, and what they covered.
    covered: Vec<(u64, i64)>,
    cleanings: u64,
}

impl Model {
    fn end(&self) -> u64 {
        self.records.len() as u64
    }

    fn survivors(&self) -> Vec<Keyed> {
        let from = self.start as usize;
        self.records[from..].iter().flatten().cloned().collect()
    }

    /// A cleaning up to `to` that began at `began` and ends at `ended`.
    fn clean(&mut self, which: Which, to: u64, began: i64, ended: i64) {
        // Whole batches are observed, and with bounded room some records behind the last one covered.
        let first_dirty = self.cleaned_to.max(self.start).min(to);
        let from = self
            .boundaries
            .iter()
            .rfind(|boundary| **boundary <= first_dirty);
        let dirty = self.records.iter().skip(*from.unwrap() as usize).flatten();
        let mut newest = BTreeMap::new();
        for (number, record) in (0..).zip(dirty) {
            let observed = match which {
                Which::Bounded(observed) => number < u64::from(observed),
                _ => record.offset < to,
            };
            if let Some(key) = record.key.as_ref().filter(|_| observed) {
                newest.insert(key.clone(), record.offset);
            }
        }
        let retention = i64::try_from(DELETE_RETENTION.as_millis()).unwrap();
        let expired_below = self
            .covered
            .iter()
            .filter(|(_, at)| at + retention <= began)
            .map(|(to, _)| *to)
            .max()
            .unwrap_or(0);
        let last = match which {
            Which::LastN { n, bound } => self.last(usize::from(n), bound),
            _ => BTreeSet::new(),
        };
        for place in &mut self.records[..to as usize] {
            let Some(record) = place else { continue };
            let stays = match which {
                Which::LatestByKey | Which::Bounded(_) => record
                    .key
                    .as_ref()
                    .and_then(|key| newest.get(key))
                    .is_none_or(|newest| *newest <= record.offset),
                Which::LastN { .. } => record.key.is_none() || last.contains(&record.offset),
                Which::Random(seed) => chance(record.offset, seed),
            };
            if !stays || (record.is_tombstone() && record.offset < expired_below) {
                *place = None;
            }
        }
        self.cleaned_to = self.cleaned_to.max(to);
        self.covered.push((to, ended));
        self.cleanings += 1;
    }
}

impl Model {
    /// The offsets of the last `n` records of each key below an offset.
    fn last(&self, n: usize, below: u64) -> BTreeSet<u64> {
        let mut last: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        let records = self.records.iter().flatten();
        for record in records.filter(|record| record.key.is_some() && record.offset < below) {
            last.entry(&record.key).or_default().push(record.offset);
        }
        let of_keys = last.into_values();
        of_keys
            .flat_map(|offsets| offsets.into_iter().rev().take(n))
            .collect()
    }
}

fn chance(offset: u64, seed: u64) -> bool {
    let mixed = (offset + 1)
        .wrapping_mul(seed | 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed >> 61 != 0
}

/// Runs histories.
pub(crate) struct Runner {
    io: Arc<RecordingIo>,
    clock: Arc<ManualClock>,
    bugs: PlantedBugs,
    dir: Option<LogDir>,
    log: Option<Log>,
    model: Model,
    stamp: i64,
    count: u64,
}

type Checked<T = ()> = Result<T, String>;

macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1_500,
        index_interval_bytes: 200,
        ..LogConfig::default()
    }
}

fn settings() -> CompactionSettings {
    CompactionSettings {
        delete_retention: DELETE_RETENTION,
        ..CompactionSettings::default()
    }
}

pub(crate) use check;
