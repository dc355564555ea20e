//! Records whose values are batches, headers, checksums and all: they stay values, also when the header of the batch
//! they are in is damaged and the way on behind it is looked for.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::path::Path;
use std::sync::Arc;

use broker_storage::io::Io;
use broker_storage::io::recording::RecordingIo;
use broker_storage::{Log, LogConfig, Pace, ReadLimit};
use support::{
    DIR, Record, append, append_numbers, batch, batch_of, corruption_at, edit, offset, open,
    read_at, segment_file, small, sync,
};

/// The first offset of the batch with such values, and the one behind it.
const HOSTILE: u64 = 12;
const BEHIND: u64 = HOSTILE + 4;
/// The end of the log.
const END: u64 = BEHIND + 10;

/// What a value is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forged {
    /// Two batches that follow each other, with the offsets of the batch that they are in.
    Near,
    /// The same with offsets far behind the log's end.
    Far,
    /// One with nearly the last offset that there is.
    Last,
    /// One whose offsets are those of all that follow as well.
    Wide,
    /// One that says that it is longer than the file.
    Long,
}

const ALL: [Forged; 5] = [
    Forged::Near,
    Forged::Far,
    Forged::Last,
    Forged::Wide,
    Forged::Long,
];

impl Forged {
    fn value(self) -> Vec<u8> {
        let one = |base: u64, delta: u32, longer: u32| {
            let mut made = batch_of("forged", 100);
            made.header.base_offset = offset(base);
            made.header.last_offset_delta = delta;
            made.header.body_len += longer;
            [&made.header.encode()[..], &made.body[..]].concat()
        };
        let near = HOSTILE + 1;
        match self {
            Self::Near => [one(near, 0, 0), one(near + 1, 0, 0)].concat(),
            Self::Far => [one(1_000, 0, 0), one(1_001, 0, 0)].concat(),
            Self::Last => one(1 << 60, 0, 0),
            Self::Wide => one(near, 10_000, 0),
            Self::Long => one(near, 0, 1 << 20),
        }
    }

    /// A log with such a batch in its middle, or at its end.
    fn log(self, config: LogConfig, end: u64) -> Arc<RecordingIo> {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, config);
        append_numbers(&mut log, 0..HOSTILE as usize);
        let plain = |number| Record::new(&format!("value {number}"), 1_000);
        let mut records: Vec<Record> = (0..4).map(plain).collect();
        records[1].value = self.value();
        append(&mut log, batch(&records));
        append_numbers(&mut log, 0..(end - BEHIND) as usize);
        assert_eq!(log.end(), offset(end));
        sync(&dir, &mut log);
        drop((dir, log));
        io.after_kill()
    }
}

/// What happens to the header of that batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// One bit of its checksum.
    Bit,
    /// All of it.
    Header,
}

fn damage(io: &Arc<RecordingIo>, config: LogConfig, kind: Damage) {
    let base = match config.segment_bytes < 10_000 {
        true => 10,
        false => 0,
    };
    let at = ((HOSTILE - base) * support::BATCH) as usize;
    edit(io, &segment_file(base, "log"), |bytes| match kind {
        Damage::Bit => bytes[at + 12] ^= 1,
        Damage::Header => bytes[at..at + 68].fill(0),
    });
}

fn lose_notes(io: &Arc<RecordingIo>) {
    for name in ["durable-positions", "recovery-point-checkpoint"] {
        io.remove_file(&Path::new(DIR).join(name)).unwrap();
    }
    for base in [0, 10] {
        for extension in ["index", "timeindex"] {
            let _ = io.remove_file(&segment_file(base, extension));
        }
    }
}

/// Whether a batch that was forged is served from an offset on.
fn is_forged(log: &Log, from: u64) -> bool {
    let slice = log.read(offset(from), log.end(), ReadLimit::OneBatchOr(1));
    let bytes = slice.unwrap().verified().unwrap().read().unwrap();
    bytes.windows(6).any(|window| window == b"forged")
}

#[test]
fn a_batch_in_a_value_is_not_served_in_place_of_what_others_have_written() {
    let large = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    for (forged, config) in ALL.into_iter().flat_map(|f| [(f, small()), (f, large)]) {
        for (kind, are_lost) in [Damage::Bit, Damage::Header]
            .into_iter()
            .flat_map(|kind| [(kind, false), (kind, true)])
        {
            let what = format!("{forged:?} {kind:?} {are_lost} {}", config.segment_bytes);
            let io = forged.log(config, END);
            damage(&io, config, kind);
            if are_lost {
                lose_notes(&io);
            }
            let (_dir, mut log, report) = open(&io, config);
            assert_eq!(log.end(), offset(END), "{what} {report:?}");
            for scrubbed in [false, true] {
                for good in (0..HOSTILE).chain(BEHIND..END) {
                    let next = read_at(&log, good);
                    assert_eq!(next.unwrap(), offset(good + 1), "{what} {scrubbed}");
                    assert!(!is_forged(&log, good), "{what} {scrubbed}");
                }
                let told = corruption_at(&log, HOSTILE);
                // Where nothing is left that says how long the batch was, it may lose its own offsets to its values.
                if (forged, kind) != (Forged::Near, Damage::Header) {
                    assert_eq!(told.next_good, Some(offset(BEHIND)), "{what} {scrubbed}");
                }
                for target in log.scrub_targets() {
                    log.on_scrubbed(target.run(&Pace::unthrottled()).unwrap());
                }
            }
        }
    }
}

#[test]
fn a_batch_in_the_last_value_of_a_log_does_not_use_up_its_offsets() {
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    for kind in [Damage::Bit, Damage::Header] {
        let io = Forged::Last.log(config, BEHIND);
        damage(&io, config, kind);
        lose_notes(&io);
        let (_dir, mut log, _) = open(&io, config);
        assert!(log.end() >= offset(BEHIND), "{kind:?}");
        assert!(log.end() < offset(1 << 40), "{kind:?} {}", log.end());
        append(&mut log, batch_of("on it goes", 100));
    }
}
