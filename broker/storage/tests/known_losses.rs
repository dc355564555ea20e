//! What the machine has lost with its power under `flush.mode = async`: told once more at every start, until
//! the records around it are deleted, and never taken for damage.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_storage::inspect::{DirNotes, Finding, FindingKind, Verifier};
use broker_storage::io::Io;
use broker_storage::io::recording::{Fault, RecordingIo, Survival};
use broker_storage::{Damage, FlushMode, LogConfig, RecoveryReport};
use support::{
    DIR, append_numbers, batch_of, edit, numbers, offset, open, partition, partition_dir,
    segment_file, small, sync, values,
};

fn config() -> LogConfig {
    let every = Duration::from_secs(1);
    LogConfig {
        flush: FlushMode::Async { every },
        ..small()
    }
}

/// 10 records that are durable, and 8 more that were acknowledged.
fn written() -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, config());
    append_numbers(&mut log, 0..10);
    sync(&dir, &mut log);
    append_numbers(&mut log, 10..18);
    dir.record_high_watermark(&partition(), log.end());
    dir.write_checkpoints().unwrap();
    drop((dir, log));
    io
}

/// The same, after a loss of power.
fn cut() -> Arc<RecordingIo> {
    written().after_power_loss(Survival::Synced)
}

fn told(report: &RecoveryReport) -> Vec<(u64, u64)> {
    let losses = report.known_losses.iter();
    losses
        .filter_map(|loss| loss.known_lost.clone())
        .map(|lost| (lost.start.get(), lost.end.get()))
        .collect()
}

/// The topic was set to `sync` while the machine was down, or just before its power went.
#[test]
fn what_was_acknowledged_without_a_sync_is_a_loss_whatever_the_topic_is_set_to_now() {
    let stopped = || {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, config());
        append_numbers(&mut log, 0..10);
        sync(&dir, &mut log);
        append_numbers(&mut log, 10..18);
        (io, dir, log)
    };
    for is_noted in [true, false] {
        for is_set_while_up in [true, false] {
            let (io, dir, mut log) = stopped();
            if is_noted {
                dir.record_high_watermark(&partition(), log.end());
                dir.write_checkpoints().unwrap();
            }
            if is_set_while_up {
                log.set_config(small());
            }
            drop((dir, log));
            let io = io.after_power_loss(Survival::Synced);
            let (_dir, log, report) = open(&io, small());
            assert_eq!(report.corruption, []);
            let loss = report.power_loss.expect("it is told");
            let known = is_noted.then(|| offset(10)..offset(18));
            assert_eq!((loss.end, &loss.known_lost), (offset(10), &known));
            assert!(
                loss.to_string().contains("the flush.ms of that time"),
                "{loss}"
            );
            assert_eq!((log.end(), values(&log)), (offset(10), numbers(10)));
            drop((_dir, log));
            let (_dir, log, report) = open(&io.after_kill(), small());
            assert_eq!((report.corruption, report.power_loss), (vec![], None));
            let again: &[(u64, u64)] = if is_noted { &[(10, 18)] } else { &[] };
            assert_eq!(report.known_losses.len(), again.len());
            assert_eq!(log.end(), offset(10));
        }
    }
    // What is written under sync is acknowledged once it is there, and nothing else may be missing.
    let (io, dir, mut log) = stopped();
    log.set_config(small());
    sync(&dir, &mut log);
    append_numbers(&mut log, 18..20);
    sync(&dir, &mut log);
    dir.record_high_watermark(&partition(), log.end());
    dir.write_checkpoints().unwrap();
    drop((dir, log));
    let io = io.after_power_loss(Survival::Synced);
    let (_dir, log, report) = open(&io, small());
    assert_eq!((report.corruption, report.power_loss), (vec![], None));
    assert_eq!(log.end(), offset(20));
}

/// Set to `async`, while it was up or while it was down, and back, before anything was synced.
#[test]
fn that_acknowledgements_do_not_wait_is_durable_before_the_first_of_them() {
    for is_set_while_up in [true, false] {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, small());
        append_numbers(&mut log, 0..10);
        sync(&dir, &mut log);
        let io = match is_set_while_up {
            true => {
                log.set_config(config());
                // It is noted by the next sync, though nothing was written, and acknowledgements wait until then.
                assert_eq!(log.flush(), FlushMode::Sync);
                sync(&dir, &mut log);
                assert_eq!(log.flush(), config().flush);
                append_numbers(&mut log, 10..18);
                dir.record_high_watermark(&partition(), log.end());
                dir.write_checkpoints().unwrap();
                log.set_config(small());
                io
            }
            false => {
                log.close().unwrap();
                dir.close_clean().unwrap();
                drop(dir);
                let io = io.after_kill();
                let (dir, mut log, _) = open(&io, config());
                append_numbers(&mut log, 10..18);
                dir.record_high_watermark(&partition(), log.end());
                dir.write_checkpoints().unwrap();
                io
            }
        };
        let io = io.after_power_loss(Survival::Synced);
        let (_dir, log, report) = open(&io, small());
        assert_eq!(report.corruption, [], "set while up: {is_set_while_up}");
        assert_eq!(told(&report), [(10, 18)]);
        assert_eq!((log.end(), values(&log)), (offset(10), numbers(10)));
    }
}

#[test]
fn a_loss_is_no_damage_to_the_next_start_however_soon_it_comes() {
    let io = cut();
    let (dir, _, report) = open(&io, config());
    assert!(report.power_loss.is_some());
    assert_eq!(dir.high_watermark(&partition()), Some(offset(10)));
    for more in [0, 5, 12] {
        let io = cut();
        let (dir, mut log, _) = open(&io, config());
        append_numbers(&mut log, 10..10 + more);
        sync(&dir, &mut log);
        drop((dir, log));
        // No checkpoint was written since.
        let (_dir, log, report) = open(&io.after_kill(), config());
        assert_eq!(report.corruption, [], "{more}");
        assert_eq!(log.end(), offset(10 + more as u64));
        assert_eq!(values(&log), numbers(10 + more));
    }
}

/// What a verification finds of the partition.
fn verified(io: &Arc<RecordingIo>) -> Vec<Finding> {
    let notes = DirNotes::read(&**io, Path::new(DIR), &mut |_| {}).unwrap();
    let mut found = Vec::new();
    let verifier = Verifier::new(&**io).with_notes(&notes);
    let mut report = |finding| found.push(finding);
    verifier.partition(&partition_dir(), &mut report).unwrap();
    found
}

#[test]
fn a_verification_tells_what_went_with_the_power_from_what_was_damaged() {
    let found = verified(&cut());
    assert!(found.iter().all(|found| found.kind != FindingKind::Damage));
    let mut notes = found.iter().filter(|found| found.kind == FindingKind::Note);
    let note = notes.next().unwrap();
    assert_eq!((note.offset, notes.next()), (Some(offset(10)), None));
    assert!(note.what.contains("10 to 18"), "{note}");

    let killed = written().after_kill();
    for base in [10, 0] {
        edit(&killed, &segment_file(base, "log"), |bytes| {
            bytes.truncate(5)
        });
        let found = verified(&killed);
        let damage = found
            .iter()
            .filter(|found| found.kind == FindingKind::Damage);
        assert!(damage.count() > 0, "{found:?}");
    }
    // What was durable is missing whatever took it.
    let lost = cut();
    edit(&lost, &segment_file(0, "log"), |bytes| bytes.truncate(5));
    let found = verified(&lost);
    assert!(
        found.iter().any(|found| found.kind == FindingKind::Damage),
        "{found:?}"
    );
}

#[test]
fn a_loss_is_told_by_every_start_until_the_records_up_to_it_are_deleted() {
    let (_, _, first) = open(&cut(), config());
    assert_eq!(told(&first), [(10, 18)]);
    let io = cut();
    let (dir, mut log, _) = open(&io, config());
    append_numbers(&mut log, 10..30);
    sync(&dir, &mut log);
    dir.record_high_watermark(&partition(), log.end());
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    let io = io.after_kill();
    for (delete_to, expected) in [
        (0, vec![(10, 18)]),
        (17, vec![(10, 18)]),
        (18, vec![]),
        (18, vec![]),
    ] {
        let (_dir, mut log, _) = open(&io, config());
        log.advance_start(offset(delete_to)).unwrap();
        drop((log, _dir));
        let (_dir, _log, report) = open(&io, config());
        assert_eq!(report.power_loss, None);
        assert_eq!(told(&report), expected, "deleted up to {delete_to}");
    }
}

#[test]
fn a_second_loss_is_told_beside_the_first() {
    let io = cut();
    let (dir, mut log, _) = open(&io, config());
    append_numbers(&mut log, 10..14);
    sync(&dir, &mut log);
    append_numbers(&mut log, 14..21);
    dir.record_high_watermark(&partition(), log.end());
    dir.write_checkpoints().unwrap();
    drop((dir, log));
    let io = io.after_power_loss(Survival::Synced);
    let (_dir, log, report) = open(&io, config());
    assert_eq!(log.end(), offset(14));
    assert_eq!(told(&report), [(10, 18), (14, 21)]);
}

#[test]
fn wherever_a_start_is_stopped_that_finds_a_loss_the_next_one_tells_it() {
    let io = cut();
    io.keep_moments();
    drop(open(&io, config()));
    for moment in io.moments() {
        let lost = moment.after_power_loss(&[]);
        for left in [moment.after_kill(), lost] {
            let (_dir, log, report) = open(&left, config());
            assert_eq!(told(&report), [(10, 18)]);
            assert_eq!(report.corruption, []);
            assert_eq!(values(&log), numbers(10));
        }
    }
}

#[test]
fn records_that_are_lost_from_where_a_loss_ended_are_missed_like_any_others() {
    let io = cut();
    let (dir, mut log, _) = open(&io, config());
    // The producer sends again what was lost: the log ends where it ended before.
    append_numbers(&mut log, 10..18);
    sync(&dir, &mut log);
    dir.record_high_watermark(&partition(), log.end());
    dir.write_checkpoints().unwrap();
    drop((dir, log));
    let io = io.after_kill();
    let top = std::path::Path::new(support::DIR);
    support::edit(&io, &top.join("durable-positions"), |bytes| {
        bytes.fill(0x5a)
    });
    io.remove_file(&top.join("recovery-point-checkpoint"))
        .unwrap();
    support::edit(&io, &support::segment_file(10, "log"), |bytes| {
        bytes.truncate(4 * support::BATCH as usize);
    });
    let (_dir, log, report) = open(&io, config());
    let missed = report.corruption.iter();
    let missed: Vec<_> = missed
        .map(|missed| (missed.offset.get(), missed.next_good, &missed.damage))
        .collect();
    let below = &Damage::BelowHighWatermark;
    assert_eq!(missed, [(14, Some(log.end()), below)]);
    assert!(log.end() > offset(18), "no offset is given out again");
    assert_eq!(told(&report), [(10, 18)]);
}

#[test]
fn a_file_of_losses_that_is_damaged_is_no_reason_not_to_serve() {
    let io = cut();
    drop(open(&io, config()));
    let io = io.after_kill();
    support::edit(&io, &partition_dir().join("known-losses"), |bytes| {
        bytes[12] ^= 1
    });
    let (dir, mut log, report) = open(&io, config());
    assert_eq!(told(&report), []);
    support::append(&mut log, batch_of("goes on", 100));
    sync(&dir, &mut log);
}

#[test]
fn a_full_disk_is_no_reason_not_to_open_what_has_lost_something() {
    for note in ["known-losses.tmp", "replication-offset-checkpoint.tmp"] {
        let io = cut();
        let dir = support::open_dir(&io);
        io.set_faults(move |_, operation| {
            operation.path().ends_with(note).then_some(Fault::ENOSPC)
        });
        let (log, report) = support::open_log(&dir, config());
        assert_eq!(told(&report), [(10, 18)]);
        assert_eq!(values(&log), numbers(10));
        assert_eq!(dir.is_failed(), None);
        io.clear_faults();
        dir.write_checkpoints().unwrap();
        drop((log, dir));
        let (_dir, log, report) = open(&io.after_kill(), config());
        assert_eq!(report.corruption, [], "{note}");
        assert_eq!(values(&log), numbers(10));
    }
}
