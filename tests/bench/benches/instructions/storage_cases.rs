//! The log: appending one batch and many at once, finding what a fetch asks for, the offset of a time.
//! It lies in a folder of its own that is removed again; what the kernel does with it is not counted.

use std::hint::black_box;

use broker_client::model::{
    BrokerId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName, TopicPartition,
};
use broker_record::{Codec, ProducedBatch, Validation};
use broker_storage::{Log, LogConfig, LogDir, LogDirOptions, ReadLimit};
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

pub(crate) fn all() -> Vec<Case> {
    vec![
        append(1, 1),
        append(1, 1000),
        append(16, 100),
        Case::new("read/from-the-start", || {
            let filled = Filled::with(200);
            Box::new(move || {
                let end = filled.log.end();
                let found = filled
                    .log
                    .read(Offset::ZERO, end, ReadLimit::OneBatchOr(FETCH_BYTES));
                black_box(found.expect("it is there"));
            })
        }),
        Case::new("read/at-the-end", || {
            let filled = Filled::with(200);
            Box::new(move || {
                let end = filled.log.end();
                let last = Offset::new(end.get() - 1);
                let found = filled
                    .log
                    .read(last, end, ReadLimit::OneBatchOr(FETCH_BYTES));
                black_box(found.expect("it is there"));
            })
        }),
        Case::new("read/a-mib-of-bytes", || {
            let filled = Filled::with(200);
            Box::new(move || {
                let end = filled.log.end();
                let found = filled
                    .log
                    .read(Offset::ZERO, end, ReadLimit::OneBatchOr(FETCH_BYTES));
                black_box(found.expect("it is there").read().expect("it can be read"));
            })
        }),
        Case::new("read/offset-of-a-time", || {
            let filled = Filled::with(200);
            Box::new(move || {
                let time = Timestamp::from_millis(1_700_000_000_000);
                let found = filled.log.offset_for_timestamp(time, filled.log.end());
                black_box(found.expect("the index can be read"));
            })
        }),
    ]
}
