//! Bytes are changed in what a script has left: no damage is ever taken for a torn tail.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_model::{Clock, ManualClock};
use broker_record::BatchHeader;
use broker_storage::io::recording::RecordingIo;
use broker_storage::io::{DirEntry, Io};
use broker_storage::{Log, PlantedBugs, ReadError};

use super::ledger::{Expect, Presence, World};
use super::recovered::slice;
use super::runner::config;
use super::script::{Part, partition, topic_id};
use super::{Checked, check};
use crate::support::inspected::damage;
use crate::support::{DIR, at, open_dir_at};

/// A batch on the disk.
struct Place {
    file: PathBuf,
    position: u64,
    header: BatchHeader,
}

/// Damages each batch of a disk in turn, once in its header and once in its body, and looks at what
/// is left: everything else, and nothing in its place. Answers how many disks that were.
pub(crate) fn is_never_torn(
    io: &Arc<RecordingIo>,
    world: &World,
    is_restart: bool,
    bugs: PlantedBugs,
) -> Checked<u64> {
    let mut disks = 0;
    for (part, expect) in world.iter().enumerate() {
        if expect.presence != Presence::Yes {
            continue;
        }
        for place in batches(io, part)? {
            let promised = match is_restart {
                true => expect.durable,
                false => expect.written,
            };
            let next = place.header.next_offset().get();
            if next > promised || next <= expect.start.0 {
                continue;
            }
            for at in [30, BatchHeader::LEN as u64 + 1] {
                let damaged = io.after_kill();
                flip(&damaged, &place.file, place.position + at);
                let named = damage(&damaged, &|_| false).map_err(|error| error.to_string())?;
                check!(named.is_some(), "an inspection names no damage");
                looks_damaged(&damaged, (part, expect), &place, (promised, bugs)).map_err(
                    |error| {
                        format!(
                            "partition {part}, {} damaged at byte {}: {error}",
                            place.file.display(),
                            place.position + at
                        )
                    },
                )?;
                disks += 1;
            }
        }
    }
    Ok(disks)
}

fn looks_damaged(
    io: &Arc<RecordingIo>,
    (part, expect): (Part, &Expect),
    place: &Place,
    (promised, bugs): (u64, PlantedBugs),
) -> Checked {
    let clock = Arc::new(ManualClock::at(at(1_500_000))) as Arc<dyn Clock>;
    let dir = open_dir_at(io, bugs, clock).map_err(|error| error.to_string())?;
    let opened = dir.open_or_create_log(&partition(part), topic_id(part), config());
    let (log, _) = opened.map_err(|error| error.to_string())?;
    let end = log.end().get();
    check!(
        end >= promised,
        "the log was cut to {end}, below {promised}"
    );
    let (served, refused) = read_around(&log)?;
    let bad = place.header.base_offset.get()..place.header.next_offset().get();
    for offset in expect.start.0..promised {
        let wanted = &expect.content[offset as usize];
        match (served.get(&offset), bad.contains(&offset)) {
            (Some(found), _) => {
                check!(
                    Some(found) == wanted.as_ref(),
                    "another record at offset {offset}"
                );
                check!(!bad.contains(&offset), "the damaged batch is served");
            }
            (None, true) => check!(
                refused.iter().any(|range| range.contains(&offset)),
                "offset {offset} was passed over without a word"
            ),
            (None, false) => {
                return Err(format!("offset {offset} is sound and is not served"));
            }
        }
    }
    Ok(())
}

type Served = std::collections::BTreeMap<u64, super::ledger::Entry>;

/// What is served, and the offsets that are refused as damaged.
fn read_around(log: &Log) -> Checked<(Served, Vec<Range<u64>>)> {
    let (mut served, mut refused) = (Served::new(), Vec::new());
    let mut next = log.start();
    while next < log.end() {
        match slice(log, next, 1) {
            Ok((entries, behind)) => {
                served.extend(entries);
                next = behind;
            }
            Err(ReadError::Corrupt(corruption)) => {
                let good = corruption.next_good.unwrap_or(log.end());
                check!(good > next, "{corruption}: the way out leads back");
                refused.push(next.get()..good.get());
                next = good;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok((served, refused))
}

/// The batches of a partition, as they stand in its files.
fn batches(io: &Arc<RecordingIo>, part: Part) -> Checked<Vec<Place>> {
    let dir = Path::new(DIR).join(partition(part).to_string());
    let files = io.list(&dir).map_err(|error| error.to_string())?;
    let is_data = |entry: &DirEntry| entry.name.ends_with(".log");
    let mut found = Vec::new();
    for entry in files.into_iter().filter(is_data) {
        let file = dir.join(&entry.name);
        let bytes = crate::support::file_bytes(io, &file);
        let mut at = 0;
        while let Some(Ok(header)) = bytes
            .get(at..at + BatchHeader::LEN)
            .map(BatchHeader::decode)
        {
            found.push(Place {
                file: file.clone(),
                position: at as u64,
                header,
            });
            at += header.batch_len();
        }
    }
    Ok(found)
}

fn flip(io: &Arc<RecordingIo>, file: &Path, position: u64) {
    let file = io.open(file, broker_storage::io::OpenMode::Write).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], position).unwrap();
    file.sync_data().unwrap();
}
