//! Recovers a disk and compares what is found with the ledger.

use std::sync::Arc;

use broker_model::{Clock, ManualClock, Offset};
use broker_record::{Batches, Codec};
use broker_storage::io::recording::RecordingIo;
use broker_storage::{Log, LogDir, PlantedBugs, ReadError, ReadLimit};

use super::ledger::{Entry, Expect, Presence, World};
use super::runner::{batch, config};
use super::script::{PARTS, Part, epoch, partition, topic_id};
use super::{Checked, check};
use crate::support::{at, open_dir_at};

/// What a recovery has found of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) entries: Vec<(u64, Entry)>,
}

/// Recovers everything on a disk that only a kill or also a power loss has left; every partition
/// has to agree with the ledger.
pub(crate) fn recovered(
    io: &Arc<RecordingIo>,
    world: &World,
    is_restart: bool,
    bugs: PlantedBugs,
) -> Checked<Vec<Option<Found>>> {
    let (dir, logs) = opened(io, world, bugs)?;
    let mut found = Vec::new();
    for (part, log) in logs.iter().enumerate() {
        let expect = &world[part];
        let agreed = log.as_ref().map(|log| agrees(log, expect, is_restart));
        found.push(
            agreed
                .transpose()
                .map_err(|error| format!("partition {part}: {error}"))?,
        );
    }
    drop(dir);
    Ok(found)
}

type Opened = (LogDir, Vec<Option<Log>>);

/// Opens the directory and every partition as a broker does at its start.
pub(crate) fn opened(io: &Arc<RecordingIo>, world: &World, bugs: PlantedBugs) -> Checked<Opened> {
    let clock = Arc::new(ManualClock::at(at(1_500_000))) as Arc<dyn Clock>;
    let dir = open_dir_at(io, bugs, clock).map_err(|error| error.to_string())?;
    let listed = dir.partitions().map_err(|error| error.to_string())?;
    let mut logs = Vec::new();
    for (part, expect) in world.iter().enumerate() {
        let is_listed = listed.iter().any(|found| {
            found.partition == partition(part) && found.topic_id == Some(topic_id(part))
        });
        let wanted = match expect.presence {
            Presence::No => {
                check!(!is_listed, "partition {part} is there");
                false
            }
            Presence::Maybe => is_listed,
            Presence::Yes => {
                check!(is_listed, "partition {part} is gone");
                true
            }
        };
        if !wanted {
            logs.push(None);
            continue;
        }
        let opened = dir.open_or_create_log(&partition(part), topic_id(part), config());
        let (log, report) = opened.map_err(|error| error.to_string())?;
        check!(
            report.corruption.is_empty(),
            "partition {part}: nothing is damaged, and yet: {}",
            report.corruption[0]
        );
        let high_watermark = report.high_watermark.unwrap_or(Offset::ZERO);
        check!(
            high_watermark <= log.end() && high_watermark.get() >= expect.high_watermark,
            "partition {part}: the high watermark is {high_watermark}, it was {}",
            expect.high_watermark
        );
        logs.push(Some(log));
    }
    Ok((dir, logs))
}

/// Whether a log is what the ledger says.
pub(crate) fn agrees(log: &Log, expect: &Expect, is_restart: bool) -> Checked<Found> {
    let (start, end) = (log.start().get(), log.end().get());
    let (from, to) = expect.start;
    check!(
        (from..=to).contains(&start),
        "the start is {start}, not in {from}..={to}"
    );
    let least = match is_restart {
        true => expect.durable,
        false => expect.written,
    };
    check!(
        end >= least.max(start),
        "it ends at {end}, {least} was promised"
    );
    check!(
        end <= expect.end().max(start),
        "it ends at {end}, {} is all there was",
        expect.end()
    );
    check!(
        expect.boundaries.contains(&end) || end == start,
        "the end {end} is inside a batch"
    );
    check!(
        log.durable_end().get() == end,
        "what recovery found is not all durable"
    );
    let entries = read(log, 700).map_err(|(at, error)| format!("offset {at}: {error}"))?;
    let wanted = (start..end).filter_map(|offset| {
        let entry = expect.content.get(offset as usize)?.as_ref()?;
        Some((offset, entry))
    });
    let mut found = entries.iter();
    for (offset, entry) in wanted {
        match found.next() {
            Some((at, found)) if (*at, found) == (offset, entry) => {}
            other => return Err(format!("at offset {offset} is {other:?}, not {entry:?}")),
        }
    }
    check!(found.next().is_none(), "there are more records");
    epochs_agree(log, &entries)?;
    Ok(Found {
        start,
        end,
        entries,
    })
}

/// Leader epochs begin where the first record of each is.
fn epochs_agree(log: &Log, entries: &[(u64, Entry)]) -> Checked {
    let mut wanted: Vec<(u32, u64)> = Vec::new();
    for (offset, entry) in entries {
        if wanted.last().is_none_or(|(last, _)| *last != entry.epoch) {
            wanted.push((entry.epoch, *offset));
        }
    }
    let stored = log.leader_epochs().entries();
    let found: Vec<(u32, u64)> = stored
        .iter()
        .map(|(epoch, from)| (epoch.get(), from.get()))
        .collect();
    check!(
        entries.is_empty() || found == wanted,
        "leader epochs are {found:?}, not {wanted:?}"
    );
    Ok(())
}

/// All records; an error says behind which offset.
pub(crate) fn read(log: &Log, at_once: u64) -> Result<Vec<(u64, Entry)>, (u64, String)> {
    let mut found = Vec::new();
    let mut next = log.start();
    while next < log.end() {
        match slice(log, next, at_once) {
            Ok((entries, behind)) => {
                found.extend(entries);
                next = behind;
            }
            Err(error) => return Err((next.get(), error.to_string())),
        }
    }
    Ok(found)
}

/// The records of one slice from an offset on, and the offset behind it.
pub(crate) fn slice(
    log: &Log,
    from: Offset,
    at_once: u64,
) -> Result<(Vec<(u64, Entry)>, Offset), ReadError> {
    let slice = log.read(from, log.end(), ReadLimit::OneBatchOr(at_once))?;
    let slice = slice.verified()?;
    assert!(slice.next_offset() > from, "a read goes on");
    let mut found = Vec::new();
    for batch in Batches::new(slice.read().unwrap()) {
        let batch = batch.unwrap();
        let epoch = batch.header.leader_epoch.get();
        for record in &batch.records().unwrap() {
            let record = record.unwrap();
            if record.offset < from {
                continue;
            }
            let entry = Entry {
                value: record.value.unwrap_or_default().to_vec(),
                timestamp: record.timestamp.as_millis(),
                epoch,
            };
            found.push((record.offset.get(), entry));
        }
    }
    Ok((found, slice.next_offset()))
}

/// A recovered log is one like any other: it is appended to, stopped, started, and loses nothing.
pub(crate) fn goes_on(io: &Arc<RecordingIo>, world: &World, bugs: PlantedBugs) -> Checked {
    let (dir, logs) = opened(io, world, bugs)?;
    let mut then: Vec<(Part, Expect)> = Vec::new();
    for (part, log) in logs.into_iter().enumerate().take(PARTS) {
        let Some(mut log) = log else { continue };
        let mut expect = world[part].clone();
        let (start, end) = (log.start().get(), log.end().get());
        time_is_found(&log)?;
        let latest = log.leader_epochs().latest().map_or(1, |epoch| epoch.get());
        let entries: Vec<Entry> = (0..2)
            .map(|number| Entry {
                value: format!("one more {number} of {part}").into_bytes(),
                timestamp: 1_400_000 + number,
                epoch: latest,
            })
            .collect();
        let run = log.append(&mut [batch(&entries, Codec::Lz4)], epoch(latest), at(5));
        let run = run.map_err(|error| error.to_string())?;
        check!(run.first.get() == end, "offset {end} is skipped");
        expect.start = (start, start);
        expect.cut(end);
        Arc::make_mut(&mut expect.content).extend(entries.into_iter().map(Some));
        Arc::make_mut(&mut expect.boundaries).push(end + 2);
        expect.presence = Presence::Yes;
        expect.high_watermark = 0;
        (expect.durable, expect.written) = (end + 2, end + 2);
        agrees_after_append(&dir, &mut log, &expect)?;
        log.close().map_err(|error| error.to_string())?;
        then.push((part, expect));
    }
    dir.close_clean().map_err(|error| error.to_string())?;
    drop(dir);
    let mut after: World = vec![Expect::default(); PARTS];
    for (part, expect) in then {
        after[part] = expect;
    }
    // Once after the clean stop, and once more after a power loss.
    for io in [
        io.after_kill(),
        io.after_power_loss(broker_storage::io::recording::Survival::Synced),
    ] {
        recovered(&io, &after, true, bugs).map_err(|error| format!("used again: {error}"))?;
    }
    Ok(())
}

fn agrees_after_append(dir: &LogDir, log: &mut Log, expect: &Expect) -> Checked {
    if let Some(request) = log.sync_request() {
        let durable = log.on_synced(&dir.sync_now(request));
        durable.map_err(|error| error.to_string())?;
    }
    agrees(log, expect, false).map_err(|error| format!("appended to: {error}"))?;
    Ok(())
}

/// The first record of a time and later is found by the index as by reading everything.
fn time_is_found(log: &Log) -> Checked {
    let entries = read(log, 4_000).map_err(|(_, error)| error)?;
    let times = entries.iter().map(|(_, entry)| entry.timestamp);
    let (min, max) = (times.clone().min(), times.max());
    if let (Some(min), Some(max)) = (min, max) {
        for time in [min, min + (max - min) / 2, max, max + 1] {
            let wanted = entries.iter().find(|(_, entry)| entry.timestamp >= time);
            let wanted = wanted.map(|(offset, entry)| (*offset, entry.timestamp));
            let found = log.offset_for_timestamp(at(time), log.end());
            let found = found.map_err(|error| error.to_string())?;
            let found = found.map(|(offset, time)| (offset.get(), time.as_millis()));
            check!(
                found == wanted,
                "time {time} is at {found:?}, not {wanted:?}"
            );
        }
    }
    Ok(())
}
