//! Records whose values are batches, headers, checksums and all: they stay values, also when the header of the batch
//! they are in is damaged and the way on behind it is looked for.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::path::Path;
use std::sync::Arc;

use broker_record::BatchHeader;
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
fn a_batch_in_the_last_value_of_a_log_neither_uses_up_nor_gives_back_its_offsets() {
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    for (forged, kind, are_lost) in ALL.into_iter().flat_map(|forged| {
        let kinds = [(Damage::Bit, false), (Damage::Header, false)];
        let lost = [(Damage::Bit, true), (Damage::Header, true)];
        kinds
            .into_iter()
            .chain(lost)
            .map(move |(kind, are_lost)| (forged, kind, are_lost))
    }) {
        let what = format!("{forged:?} {kind:?} {are_lost}");
        let io = forged.log(config, BEHIND);
        damage(&io, config, kind);
        if are_lost {
            lose_notes(&io);
        }
        let (_dir, mut log, _) = open(&io, config);
        assert!(log.end() >= offset(BEHIND), "{what} {}", log.end());
        assert!(log.end() < offset(1 << 40), "{what} {}", log.end());
        if kind == Damage::Bit {
            corruption_at(&log, HOSTILE);
        }
        let at = log.end();
        append(&mut log, batch_of("on it goes", 100));
        assert_eq!(read_at(&log, at.get()).unwrap(), log.end(), "{what}");
    }
}

#[test]
fn a_batch_alone_between_damaged_ones_is_found_behind_values_that_are_batches() {
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    let io = Forged::Near.log(config, END);
    damage(&io, config, Damage::Bit);
    edit(&io, &segment_file(0, "log"), |bytes| {
        let hostile = (HOSTILE * support::BATCH) as usize;
        let len = BatchHeader::stated_batch_len(&bytes[hostile..]).unwrap();
        bytes[hostile + len as usize + support::BATCH as usize + 12] ^= 1;
    });
    lose_notes(&io);
    let (_dir, log, _) = open(&io, config);
    assert_eq!(corruption_at(&log, HOSTILE).next_good, Some(offset(BEHIND)));
    assert_eq!(read_at(&log, BEHIND).unwrap(), offset(BEHIND + 1));
    assert_eq!(
        corruption_at(&log, BEHIND + 1).next_good,
        Some(offset(BEHIND + 2))
    );
}

#[test]
fn a_header_in_a_value_that_claims_more_than_any_batch_has_hides_nothing() {
    const LARGE: u64 = 300;
    let config = LogConfig {
        segment_bytes: 1 << 26,
        ..small()
    };
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, config);
    append_numbers(&mut log, 0..HOSTILE as usize);
    let mut records: Vec<Record> = (0..4).map(|_| Record::new("value", 1_000)).collect();
    let mut forged = batch_of("forged", 100);
    forged.header.base_offset = offset(HOSTILE + 1);
    forged.header.body_len = 17 << 20;
    records[1].value = forged.header.encode().to_vec();
    append(&mut log, batch(&records));
    for _ in 0..LARGE {
        append(&mut log, batch_of(&"x".repeat(60_000), 100));
    }
    sync(&dir, &mut log);
    drop((dir, log));
    let io = io.after_kill();
    damage(&io, config, Damage::Header);
    lose_notes(&io);
    let (_dir, log, _) = open(&io, config);
    for good in BEHIND..BEHIND + LARGE {
        assert_eq!(read_at(&log, good).unwrap(), offset(good + 1));
    }
}
