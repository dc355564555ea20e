//! The model of a log, and the runner that drives a real one beside it.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod crash;
mod damage;
mod steps;
mod syncs;

use std::sync::Arc;
use std::time::Duration;

use broker_model::ManualClock;
use broker_storage::io::recording::RecordingIo;
use broker_storage::{FlushMode, Log, LogConfig, LogDir, PlantedBugs, SyncRequest};

use crate::support::Record;

/// One step of a script. Percentages are of the log's extent.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Append {
        batches: Vec<(u8, u16, i8)>,
        new_epoch: bool,
        codec: u8,
    },
    Sync,
    TakeRequest,
    RunRequest,
    Read {
        from: u8,
        below: u8,
        limit: u16,
    },
    ReadTime {
        time: u8,
        below: u8,
    },
    Truncate {
        to: u8,
    },
    DeleteRecords {
        to: u8,
    },
    Retention {
        keep: u16,
        age: Option<u16>,
    },
    /// From now on a sync is due so long after a write, or (0) with every write.
    FlushEvery {
        millis: u16,
    },
    /// The same from the next start on: the topic, or the broker, is set anew while it is down.
    FlushAfterStart {
        millis: u16,
    },
    /// What another process would find if one of the batches were damaged now.
    LookAtDamage {
        at: u8,
        byte: u16,
    },
    Checkpoint,
    ReleaseIdle,
    Wait {
        millis: u64,
    },
    CloseAndReopen,
    Kill,
    PowerLoss {
        seed: u64,
    },
    /// The process dies in one of the next changes of the disk; maybe the power goes with it.
    KillAt {
        after: u8,
        torn: u16,
        power: Option<u64>,
    },
    /// One of the next writes to a data file finds the disk full after some bytes.
    DiskFullAt {
        after: u8,
        short: u16,
    },
}

/// What the log must hold.
#[derive(Clone, Debug, Default)]
struct Model {
    /// Records by offset, from offset 0 on; `None` for offsets that were lost with a power loss
    /// after they had been deleted.
    records: Vec<Option<Record>>,
    /// Offsets at which batches begin, and the end.
    boundaries: Vec<u64>,
    start: u64,
    /// What must survive a power loss.
    durable: u64,
}

impl Model {
    fn end(&self) -> u64 {
        self.records.len() as u64
    }

    /// Ends the log at `end`, which is a batch boundary or the log start.
    fn cut(&mut self, end: u64) {
        self.records.truncate(end as usize);
        self.boundaries.retain(|boundary| *boundary <= end);
        if self.boundaries.last() != Some(&end) {
            self.records.clear();
            self.records.resize(end as usize, None);
            self.boundaries = vec![end];
        }
    }
}

/// Where an interrupted operation may have left the log.
#[derive(Clone, Debug)]
struct Bounds {
    end_min: u64,
    start_max: u64,
    /// The model with everything that was attempted.
    most: Model,
}

/// Runs scripts.
pub(crate) struct Runner {
    io: Arc<RecordingIo>,
    clock: Arc<ManualClock>,
    bugs: PlantedBugs,
    dir: Option<LogDir>,
    log: Option<Log>,
    model: Model,
    /// Requests to be carried out, and below what the log is durable then: a truncation makes that 0.
    requests: Vec<(SyncRequest, u64)>,
    epoch: u32,
    stamp: i64,
    count: u64,
    power: Option<u64>,
    flush: FlushMode,
    /// What it is from the next start on.
    flush_after_start: Option<FlushMode>,
    /// Below it everything was acknowledged; and what of that the last checkpoint has noted.
    high_watermark: u64,
    noted: u64,
    /// When the oldest write was made that no sync was asked for.
    written_at: Option<Duration>,
    /// Where what was appended in a row begins.
    own_from: Option<u64>,
}

type Checked<T = ()> = Result<T, String>;

macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

pub(crate) use check;

fn config(flush: FlushMode) -> LogConfig {
    LogConfig {
        flush,
        segment_bytes: 2_000,
        roll_after: Duration::from_secs(8),
        index_interval_bytes: 200,
        index_bytes_max: 32 + 16 * 7,
        ..LogConfig::default()
    }
}
