//! What a stop leaves lawfully is no damage to an inspection, and the same things done by somebody are: deleted
//! segments, a directory half made, indexes and durable points half written.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_model::Offset;
use broker_storage::inspect::{DirNotes, Finding, FindingKind, Verifier};
use broker_storage::io::Io;
use broker_storage::io::recording::{Moment, RecordingIo, Survival};
use broker_storage::{FlushMode, LogConfig, OpenLogError};
use support::inspected::damage;
use support::{
    BATCH, DIR, TOPIC_ID, append_numbers, edit, offset, open, open_dir, partition, partition_dir,
    segment_file, small, sync, values,
};

const LOG_START: &str = "log-start-offset-checkpoint";

fn look(io: &Arc<RecordingIo>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut report = |finding| found.push(finding);
    let notes = DirNotes::read(&**io, Path::new(DIR), &mut report).unwrap();
    let verifier = Verifier::new(&**io).with_notes(&notes);
    verifier.partition(&partition_dir(), &mut report).unwrap();
    found.retain(|finding| !finding.file.ends_with("log-directories"));
    found
}

fn kinds(io: &Arc<RecordingIo>) -> Vec<FindingKind> {
    look(io).into_iter().map(|finding| finding.kind).collect()
}

/// Four segments, all durable, and a broker that is killed.
fn killed() -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..35);
    sync(&dir, &mut log);
    dir.write_checkpoints().unwrap();
    io.after_kill()
}

/// The same, with the first 22 records deleted, and the files of the segments below as they were before.
fn deleted() -> Arc<RecordingIo> {
    let before = killed();
    let io = before.after_kill();
    let (dir, mut log, _) = open(&io, small());
    assert_eq!(log.advance_start(offset(22)).unwrap(), offset(22));
    sync(&dir, &mut log);
    for entry in (&*before as &dyn Io).list(&partition_dir()).unwrap() {
        let file = partition_dir().join(&entry.name);
        if (&*io as &dyn Io).read_small(&file).unwrap().is_none() {
            let bytes = support::file_bytes(&before, &file);
            support::set_file_bytes(&io, &file, &bytes);
        }
    }
    io.after_kill()
}

#[test]
fn what_is_left_of_deleted_segments_is_no_damage_whatever_is_missing_of_it() {
    let io = deleted();
    assert_eq!(kinds(&io), [FindingKind::Unfinished]);
    for (base, extension) in [(0, "log"), (0, "index"), (10, "log"), (10, "timeindex")] {
        let left = io.after_kill();
        left.remove_file(&segment_file(base, extension)).unwrap();
        let found = look(&left);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kind, FindingKind::Unfinished);
        assert!(found[0].what.contains("deleted records"));
        let (_dir, log, report) = open(&left, small());
        assert_eq!((log.start(), values(&log).len()), (offset(22), 13));
        assert_eq!(report.corruption, []);
    }
    // Above the start everything counts.
    io.remove_file(&segment_file(20, "log")).unwrap();
    assert!(damage(&io, &|_| false).unwrap().is_some());
}

#[test]
fn a_directory_half_made_is_no_damage() {
    let io = RecordingIo::new();
    io.keep_moments();
    drop(open_dir(&io));
    let moments = io.moments();
    let mut unfinished = 0;
    let left = |moment: &Moment| {
        let kept: Vec<u32> = moment.undecided().iter().map(|count| count - 1).collect();
        [
            moment.after_kill(),
            moment.after_power_loss(&[]),
            moment.after_power_loss(&kept),
        ]
    };
    for io in moments.iter().flat_map(left) {
        if DirNotes::are_in(&*io, Path::new(DIR)) {
            assert_eq!(damage(&io, &|_| false).unwrap(), None);
            let mut report = |_: Finding| unfinished += 1;
            DirNotes::read(&*io, Path::new(DIR), &mut report).unwrap();
        }
    }
    assert!(unfinished > 10, "what is missing is named: {unfinished}");
}

#[test]
fn notes_that_somebody_has_removed_from_a_directory_in_use_are_missed() {
    // Not even one checkpoint was written, and there was another start since.
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..3);
    sync(&dir, &mut log);
    let io = io.after_kill();
    drop(open_dir(&io));
    let io = io.after_kill();
    assert_eq!(damage(&io, &|_| false).unwrap(), None);
    for name in [
        "replication-offset-checkpoint",
        "meta.properties",
        "durable-positions",
    ] {
        let gone = io.after_kill();
        gone.remove_file(&Path::new(DIR).join(name)).unwrap();
        let damage = damage(&gone, &|_| false).unwrap();
        assert!(damage.is_some_and(|damage| damage.file.ends_with(name)));
    }
    // This one the broker removes itself on a full disk; all it says stands in durable-positions, too.
    let file = Path::new(DIR).join("recovery-point-checkpoint");
    io.remove_file(&file).unwrap();
    assert_eq!(damage(&io, &|_| false).unwrap(), None);
    assert_eq!(look(&io)[0].file, file);
}

#[test]
fn an_index_that_was_just_begun_is_no_damage_and_one_below_the_durable_point_is() {
    let io = killed();
    assert_eq!(kinds(&io), []);
    for (base, wanted) in [(30, FindingKind::Unfinished), (20, FindingKind::Damage)] {
        for len in [0, 20, 40] {
            let left = io.after_kill();
            edit(&left, &segment_file(base, "index"), |bytes| {
                bytes.truncate(len)
            });
            let kinds = kinds(&left);
            let all = kinds.iter().all(|kind| *kind == wanted);
            assert!(all && !kinds.is_empty(), "{base}, {len}: {kinds:?}");
        }
        // What a kill never does to it.
        let left = io.after_kill();
        edit(&left, &segment_file(base, "index"), |bytes| bytes[4] ^= 1);
        assert_eq!(kinds(&left), [FindingKind::Damage]);
    }
}

#[test]
fn a_slot_that_was_being_written_is_no_damage_as_long_as_its_twin_is_sound() {
    let io = killed();
    let file = Path::new(DIR).join("durable-positions");
    edit(&io, &file, |bytes| bytes[128 + 40] ^= 1);
    assert_eq!(kinds(&io), [FindingKind::Unfinished]);
    let (_, log, report) = open(&io.after_kill(), small());
    assert_eq!((log.end(), report.doubt), (offset(35), None));
    edit(&io, &file, |bytes| bytes[192 + 40] ^= 1);
    assert!(kinds(&io).contains(&FindingKind::Damage));
    let (_, _, report) = open(&io, small());
    assert!(
        report
            .doubt
            .is_some_and(|doubt| doubt.offset > Offset::ZERO)
    );
}

/// The log start is noted at this offset, whatever the log has.
fn begins_at(io: &Arc<RecordingIo>, start: u64) -> Arc<RecordingIo> {
    let other = RecordingIo::new();
    let (dir, mut log, _) = open(&other, small());
    append_numbers(&mut log, 0..60);
    log.advance_start(offset(start)).unwrap();
    drop((dir, log));
    let file = partition_dir().join(LOG_START);
    let io = io.after_kill();
    support::set_file_bytes(&io, &file, &support::file_bytes(&other, &file));
    io
}

#[test]
fn a_log_start_beyond_the_end_is_damage_and_excuses_nothing_of_what_lies_below() {
    let stopped = killed();
    let (dir, log, _) = open(&stopped, small());
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    for io in [killed(), stopped.after_kill()] {
        assert_eq!(kinds(&begins_at(&io, 35)), [FindingKind::Unfinished]);
        let io = begins_at(&io, 36);
        let found = look(&io);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kind, FindingKind::Damage);
        assert_eq!(found[0].file, partition_dir().join(LOG_START));
        assert_eq!(found[0].offset, Some(offset(36)));
        assert!(found[0].what.contains("end at offset 35"), "{}", found[0]);
        let dir = open_dir(&io.after_kill());
        let opened = dir.open_or_create_log(&partition(), TOPIC_ID, small());
        assert!(matches!(opened, Err(OpenLogError::StartBeyondEnd { .. })));
        // Of the log and its index, below the durable point and at it.
        let damage = |change: &dyn Fn(&Arc<RecordingIo>)| {
            let io = io.after_kill();
            change(&io);
            let files = look(&io).into_iter().map(|finding| finding.file);
            files.skip(1).collect::<BTreeSet<_>>()
        };
        let (below, last) = (segment_file(10, "log"), segment_file(30, "log"));
        let index = below.with_extension("index");
        let found = damage(&|io| {
            support::flip(io, &below, 200);
            support::flip(io, &index, 4);
        });
        assert_eq!(found, BTreeSet::from([below, index]));
        let cut = |bytes: &mut Vec<u8>| bytes.truncate(BATCH as usize);
        assert!(damage(&|io| edit(io, &last, cut)).contains(&last));
    }
}

#[test]
fn a_log_start_beyond_an_end_that_went_with_the_power_is_no_damage() {
    let every = Duration::from_secs(1);
    let config = LogConfig {
        flush: FlushMode::Async { every },
        ..small()
    };
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, config);
    append_numbers(&mut log, 0..25);
    sync(&dir, &mut log);
    append_numbers(&mut log, 25..35);
    log.advance_start(offset(33)).unwrap();
    drop((dir, log));
    let io = io.after_power_loss(Survival::Synced);
    assert_eq!(damage(&io, &|_| false).unwrap(), None);
    let (_dir, log, report) = open(&io, config);
    assert_eq!((report.corruption, log.start()), (vec![], offset(33)));
}
