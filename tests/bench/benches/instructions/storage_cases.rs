//! The log: appending one batch and many at once, finding what a fetch asks for, the offset of a time.
//! It lies in a folder of its own that is removed again; what the kernel does with it is not counted.

use std::hint::black_box;

use broker_client::model::{
    BrokerId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName, TopicPartition,
};
use broker_record::{Codec, ProducedBatch, Validation};
use broker_storage::{FileSlice, Log, LogConfig, LogDir, LogDirOptions, ReadLimit};
use tempfile::TempDir;

use crate::cases::Case;
use crate::record_cases::built;

const FETCH_BYTES: u64 = 1 << 20;

/// A log with so many batches of a hundred records each. The folder goes with it.
struct Filled {
    log: Log,
    _dir: LogDir,
    _folder: TempDir,
}

impl Filled {
    fn with(batches: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let dir = LogDir::open(LogDirOptions::new(folder.path(), BrokerId::new(1)));
        let dir = dir.expect("an empty folder can be opened");
        let name = TopicName::new("bench").expect("a valid name");
        let partition = TopicPartition::new(name, PartitionId::new(0));
        let opened = dir.open_or_create_log(&partition, TopicId::random(), LogConfig::default());
        let (log, _) = opened.expect("an empty log can be made");
        let mut filled = Self {
            log,
            _dir: dir,
            _folder: folder,
        };
        for _ in 0..batches {
            filled.append(&mut [produced(100)]);
        }
        filled
    }

    fn append(&mut self, batches: &mut [ProducedBatch]) {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let appended = self.log.append(batches, LeaderEpoch::new(0), now);
        black_box(appended.expect("there is room"));
    }

    fn read(&self, from: Offset) -> FileSlice {
        let limit = ReadLimit::OneBatchOr(FETCH_BYTES);
        let found = self.log.read(from, self.log.end(), limit);
        found.expect("it is there")
    }
}

fn produced(records: u32) -> ProducedBatch {
    let (body, claims) = built(records, Codec::None);
    ProducedBatch::opaque(body, claims, Validation::Full).expect("valid")
}

fn append(count: usize, records: u32) -> Case {
    Case::new(format!("append/{count}-of-{records}"), move || {
        let (mut filled, mut batches) = (Filled::with(10), vec![produced(records); count]);
        Box::new(move || filled.append(&mut batches))
    })
}

/// Something that is done with a log while it lies in its folder.
fn reading(name: &str, read: fn(&Filled)) -> Case {
    Case::new(name, move || {
        let filled = Filled::with(200);
        Box::new(move || read(&filled))
    })
}

pub(crate) fn all() -> Vec<Case> {
    vec![
        append(1, 1),
        append(1, 1000),
        append(16, 100),
        reading("read/from-the-start", |filled| {
            black_box(filled.read(Offset::ZERO));
        }),
        reading("read/at-the-end", |filled| {
            let last = Offset::new(filled.log.end().get() - 1);
            black_box(filled.read(last));
        }),
        reading("read/a-mib-of-bytes", |filled| {
            let found = filled.read(Offset::ZERO);
            black_box(found.read().expect("it can be read"));
        }),
        reading("read/offset-of-a-time", |filled| {
            let time = Timestamp::from_millis(1_700_000_000_000);
            let found = filled.log.offset_for_timestamp(time, filled.log.end());
            black_box(found.expect("the index can be read"));
        }),
    ]
}
