//! What is found after kills and power losses: only what lies above the recovery point is read, torn
//! tails are cut, damage is reported and never cut, and everything else stays readable.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::path::Path;
use std::sync::Arc;

use broker_model::LeaderEpoch;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::{Damage, FlushMode, LastStop, PlantedBugs, RecoveryReport};
use support::{
    BATCH, append, append_numbers, at, batch_of, big, edit, flip, killed, log_bytes_read, numbers,
    offset, open, open_log, read_at, rebooted, segment_file, small, sync, try_open_dir, values,
};

#[test]
fn only_what_lies_above_the_recovery_point_is_read() {
    for (synced, written) in [(40, 40), (40, 43), (0, 7), (39, 40)] {
        let io = killed(synced, written, big());
        let (_dir, log, report) = open(&io, big());
        assert_eq!(report.last_stop, LastStop::SameBoot);
        let above = BATCH * (written - synced) as u64;
        assert_eq!(report.scanned_bytes, above);
        // The index brings the point and the end within its interval; headers behind it are read again.
        let headers = 2 * (4096 + 2 * BATCH);
        assert!(
            log_bytes_read(&io) <= above + headers,
            "{synced}, {written}"
        );
        assert_eq!(values(&log), numbers(written));
    }
}

#[test]
fn recovery_does_not_read_more_when_the_log_is_longer() {
    let read = |synced| {
        let io = killed(synced, synced + 5, small());
        let (_dir, log, _) = open(&io, small());
        assert_eq!(log.end(), offset(synced as u64 + 5));
        log_bytes_read(&io)
    };
    assert!(read(400) <= read(40) + 600);
}

#[test]
fn a_clean_stop_is_followed_by_no_read_of_data_at_all() {
    let io = RecordingIo::new();
    let (dir, mut log, report) = open(&io, small());
    assert_eq!(report.last_stop, LastStop::New);
    append_numbers(&mut log, 0..50);
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    for io in [io.after_kill(), io.after_power_loss(Survival::Synced)] {
        let (dir, log, report) = open(&io, small());
        assert!(dir.was_clean());
        assert_eq!((report.scanned_bytes, report.torn), (0, None));
        assert_eq!(log_bytes_read(&io), 0);
        assert_eq!(values(&log), numbers(50));
    }
}

#[test]
fn a_stop_without_notice_is_not_taken_for_a_clean_one() {
    let io = killed(3, 3, big());
    let (dir, log, _) = open(&io, big());
    assert!(!dir.was_clean());
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    let (dir, _log, _) = open(&io, big());
    assert!(dir.was_clean());
    assert!(!support::open_dir(&io.after_kill()).was_clean());
}

#[test]
fn a_torn_tail_of_any_length_is_cut() {
    for kept in 0..BATCH {
        for io in [killed(2, 4, big()), rebooted(2, 4, big())] {
            let file = segment_file(0, "log");
            edit(&io, &file, |bytes| {
                bytes.truncate((3 * BATCH + kept) as usize)
            });
            let (dir, mut log, report) = open(&io, big());
            assert_eq!(log.end(), offset(3), "{kept} bytes of the last batch");
            assert_eq!(report.corruption, []);
            assert_eq!(
                report.torn.map(|torn| torn.bytes),
                (kept > 0).then_some(kept)
            );
            assert_eq!(values(&log), numbers(3));
            append(&mut log, batch_of("3", 100));
            sync(&dir, &mut log);
            drop((log, dir));
            let (_dir, log, report) = open(&io.after_kill(), big());
            assert_eq!((report.torn, report.corruption), (None, vec![]));
            assert_eq!(values(&log), numbers(4));
        }
    }
}

/// Loses both slots: the checkpoint's older point is used, and nothing above it is taken for torn that
/// may have been acknowledged.
#[test]
fn a_lagging_checkpoint_costs_a_longer_scan_and_is_told() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..10);
    sync(&dir, &mut log);
    dir.write_checkpoints().unwrap();
    append_numbers(&mut log, 10..15);
    sync(&dir, &mut log);
    drop((log, dir));
    for io in [io.after_kill(), io.after_power_loss(Survival::Synced)] {
        edit(
            &io,
            &Path::new(support::DIR).join("durable-positions"),
            |bytes| {
                bytes[128 + 5] ^= 1;
                bytes[192 + 5] ^= 1;
            },
        );
        let (_dir, log, report) = open(&io, big());
        assert_eq!(report.last_stop, LastStop::Unknown);
        assert_eq!(report.scanned_bytes, 5 * BATCH);
        let doubt = report.doubt.unwrap();
        assert_eq!(doubt.damage, Damage::PointLost);
        assert_eq!(
            (doubt.file, doubt.offset),
            (
                Path::new(support::DIR).join("durable-positions"),
                offset(10)
            )
        );
        assert_eq!(log.damage().len(), 1);
        assert_eq!(values(&log), numbers(15));
    }
}

#[test]
fn without_any_recovery_point_nothing_is_cut_but_an_incomplete_end_and_zeros() {
    let lose_points = |io: &Arc<RecordingIo>| {
        for name in ["durable-positions", "recovery-point-checkpoint"] {
            edit(io, &Path::new(support::DIR).join(name), |bytes| {
                bytes.clear()
            });
        }
    };
    let io = rebooted(5, 5, big());
    lose_points(&io);
    flip(&io, &segment_file(0, "log"), 2 * BATCH + 80);
    let (_dir, log, report) = open(&io, big());
    assert_eq!(
        (report.last_stop, log.end()),
        (LastStop::Unknown, offset(5))
    );
    assert_eq!(report.corruption.len(), 1);
    assert_eq!(read_at(&log, 3).unwrap(), offset(4));

    let io = rebooted(5, 5, big());
    lose_points(&io);
    edit(&io, &segment_file(0, "log"), |bytes| {
        bytes.resize(bytes.len() + 5_000, 0)
    });
    let (_dir, log, report) = open(&io, big());
    assert_eq!((report.corruption, log.end()), (vec![], offset(5)));
    assert_eq!(report.torn.map(|torn| torn.bytes), Some(5_000));
}

#[test]
fn a_recovery_that_is_killed_anywhere_is_repeated_with_the_same_result() {
    let torn = || {
        let io = rebooted(12, 30, small());
        flip(&io, &segment_file(10, "log"), 5 * BATCH);
        io
    };
    let killed = || {
        let io = killed(12, 30, small());
        let last = segment_file(20, "log");
        edit(&io, &last, |bytes| bytes.truncate(9 * BATCH as usize + 30));
        io
    };
    type Disk<'a> = &'a dyn Fn() -> Arc<RecordingIo>;
    for (disk, end, power_may_go) in [(&torn as Disk, 15, true), (&killed, 29, false)] {
        let mut number = 0;
        loop {
            let io = disk();
            let first = io.operation_count() + number;
            io.fail_at(first, Fault::Killed(20));
            let opened = support::try_open_dir(&io, Default::default()).map(|dir| {
                dir.open_or_create_log(&support::partition(), support::TOPIC_ID, small())
                    .map(|(log, _)| drop(log))
            });
            let survived = !io.is_killed();
            drop(opened);
            let mut found = vec![io.after_kill()];
            if power_may_go {
                found.push(io.after_power_loss(Survival::Synced));
                found.push(io.after_power_loss(Survival::Everything));
                found.push(io.after_power_loss(Survival::Random(number)));
            }
            for io in found {
                let (_dir, log, report) = open(&io, small());
                assert_eq!(report.corruption, [], "killed at change {number}");
                assert_eq!(log.end(), offset(end), "killed at change {number}");
                assert_eq!(values(&log), numbers(end as usize));
            }
            if survived {
                break;
            }
            number += 1;
        }
        assert!(number > 10, "recovery changes the disk: {number}");
    }
}

#[test]
fn the_high_watermark_of_the_checkpoint_comes_back_within_the_log() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..10);
    sync(&dir, &mut log);
    dir.record_high_watermark(&support::partition(), offset(7));
    dir.write_checkpoints().unwrap();
    dir.record_high_watermark(&support::partition(), offset(9));
    drop((log, dir));
    let report: RecoveryReport = open(&io.after_kill(), big()).2;
    assert_eq!(report.high_watermark, Some(offset(7)));
}

#[test]
fn a_log_that_ends_below_its_noted_high_watermark_goes_on_behind_it() {
    let noted = || {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, big());
        append_numbers(&mut log, 0..10);
        sync(&dir, &mut log);
        dir.record_high_watermark(&support::partition(), offset(10));
        dir.write_checkpoints().unwrap();
        drop((log, dir));
        // Durable points that know of less: those of a truncation, which lowers the high watermark too.
        let checkpoint = Path::new(support::DIR).join("replication-offset-checkpoint");
        let high_watermarks = support::file_bytes(&io, &checkpoint);
        let (dir, mut log, _) = open(&io, big());
        log.truncate_to(offset(7)).unwrap();
        drop((log, dir));
        support::set_file_bytes(&io, &checkpoint, &high_watermarks);
        io
    };
    let io = noted();
    let (dir, mut log, report) = open(&io.after_kill(), big());
    let [missing] = report.corruption.as_slice() else {
        panic!("{:?}", report.corruption)
    };
    assert_eq!(missing.damage, Damage::BelowHighWatermark);
    assert_eq!((missing.position, missing.offset), (7 * BATCH, offset(7)));
    assert_eq!(missing.file, segment_file(0, "log"));
    let run = append(&mut log, batch_of("after", 100));
    assert!(run.first > offset(10), "more may have been acknowledged");
    assert_eq!(missing.next_good, Some(run.first));
    sync(&dir, &mut log);
    assert_eq!(read_at(&log, 6).unwrap(), offset(7));
    assert!(read_at(&log, 7).is_err());
    assert_eq!(read_at(&log, run.first.get()).unwrap(), run.end);

    // What an asynchronous log may lose with the power is told, and goes on where it ends.
    let io = noted().after_power_loss(Survival::Synced);
    let mut config = big();
    let every = std::time::Duration::from_secs(1);
    config.flush = FlushMode::Async { every };
    let (_dir, log, report) = open(&io, config);
    assert_eq!(report.corruption, []);
    let loss = report.power_loss.expect("it is told");
    assert_eq!(loss.known_lost, Some(offset(7)..offset(10)));
    assert_eq!((loss.end, loss.window), (offset(7), Some(every)));
    for said in [
        "offsets 7 to 9 were acknowledged",
        "ends at 7",
        "flush.ms = 1000",
    ] {
        assert!(loss.to_string().contains(said), "{said} in {loss}");
    }
    assert_eq!(log.end(), offset(7));
    drop((_dir, log));

    // A stop that was no power loss has lost nothing.
    let (_dir, _log, report) = open(&io.after_kill(), config);
    assert_eq!(report.power_loss, None);
}

#[test]
fn the_high_watermark_of_a_deleted_partition_is_not_taken_for_its_successors() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..10);
    sync(&dir, &mut log);
    dir.record_high_watermark(&support::partition(), offset(10));
    dir.write_checkpoints().unwrap();
    log.close().unwrap();
    dir.delete_log(&support::partition(), support::TOPIC_ID)
        .unwrap();
    let next = broker_model::TopicId::from_bytes([7; 16]);
    let open_next = |dir: &broker_storage::LogDir| {
        dir.open_or_create_log(&support::partition(), next, big())
            .unwrap()
    };
    let killed = io.after_kill();
    drop(open_next(&dir));
    for io in [io.after_kill(), killed] {
        let dir = support::open_dir(&io);
        drop(open_next(&dir));
        drop(dir);
        let io = io.after_kill();
        let (log, report) = open_next(&support::open_dir(&io));
        assert_eq!((report.corruption, log.end()), (vec![], offset(0)));
    }
}

#[test]
fn leader_epochs_are_made_again_from_the_batches() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    for number in 0..30_u32 {
        let mut batches = [batch_of(&number.to_string(), 100)];
        log.append(&mut batches, LeaderEpoch::new(number / 7), at(5))
            .unwrap();
    }
    sync(&dir, &mut log);
    let epochs = log.leader_epochs().clone();
    assert_eq!(epochs.entries().len(), 5);
    drop((log, dir));
    let file = support::partition_dir().join("leader-epoch-checkpoint");
    for damage in [0, 1] {
        let io = io.after_kill();
        match damage {
            0 => broker_storage::io::Io::remove_file(&*io, &file).unwrap(),
            _ => flip(&io, &file, 12),
        }
        let (_dir, log, _) = open(&io, small());
        assert_eq!(log.leader_epochs(), &epochs);
    }
}

#[test]
fn an_append_under_an_old_epoch_is_refused() {
    let io = RecordingIo::new();
    let (_dir, mut log, _) = open(&io, small());
    log.append(&mut [batch_of("x", 10)], LeaderEpoch::new(3), at(5))
        .unwrap();
    let refused = log.append(&mut [batch_of("y", 10)], LeaderEpoch::new(2), at(5));
    assert!(refused.is_err_and(|error| error.is_definite()));
    assert_eq!(log.end(), offset(1));
}

#[test]
fn a_log_cut_below_its_noted_high_watermark_misses_nothing_at_the_next_start() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..12);
    sync(&dir, &mut log);
    dir.record_high_watermark(&support::partition(), offset(12));
    dir.write_checkpoints().unwrap();
    log.truncate_to(offset(7)).unwrap();
    for io in [io.after_kill(), io.after_power_loss(Survival::Synced)] {
        let (_dir, log, report) = open(&io, small());
        assert_eq!(report.corruption, []);
        assert_eq!(log.end(), offset(7));
    }
}

/// Whether it is of a data file.
fn is_sync_of_data(operation: &Operation) -> bool {
    let is_data = operation.path().extension().is_some_and(|of| of == "log");
    operation.is_sync() && is_data
}

/// Two records that are durable and three whose sync has failed, on a disk that did not get them; then a kill.
fn after_a_failed_sync(is_failing: fn(&Operation) -> bool) -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..2);
    sync(&dir, &mut log);
    append_numbers(&mut log, 2..5);
    io.set_faults(move |_, operation| is_failing(operation).then_some(Fault::EIO));
    let _ = dir.sync_now(log.sync_request().unwrap());
    drop((dir, log));
    let io = io.after_kill();
    io.let_cache_be_dropped();
    io
}

#[test]
fn what_a_failed_sync_has_left_in_the_page_cache_is_not_taken_for_durable() {
    let io = after_a_failed_sync(is_sync_of_data);
    let (dir, mut log, report) = open(&io, big());
    assert_eq!(report.last_stop, LastStop::OtherBoot);
    assert_eq!((report.corruption, log.end()), (Vec::new(), offset(2)));
    append_numbers(&mut log, 2..4);
    sync(&dir, &mut log);
    append_numbers(&mut log, 4..5);
    drop((dir, log));
    // What is written since is there after a kill: that is an era of its own.
    let killed = io.after_kill();
    flip(&killed, &segment_file(0, "log"), 4 * BATCH + 80);
    let (_dir, log, report) = open(&killed, big());
    assert_eq!(report.last_stop, LastStop::SameBoot);
    assert_eq!(report.corruption.len(), 1, "{report:?}");
    assert_eq!(read_at(&log, 3).unwrap(), offset(4));
    let (_dir, log, _) = open(&io.after_power_loss(Survival::Synced), big());
    assert_eq!(log.end(), offset(4));
}

#[test]
fn what_a_failed_sync_has_lost_is_known_by_its_zeros_where_the_failure_could_not_be_noted() {
    let io = after_a_failed_sync(|operation| {
        let path = operation.path().to_string_lossy();
        is_sync_of_data(operation) || path.contains("sync-failed")
    });
    let (dir, mut log, report) = open(&io, big());
    assert_eq!((report.corruption, log.end()), (Vec::new(), offset(2)));
    append_numbers(&mut log, 2..3);
    sync(&dir, &mut log);
    drop((dir, log));
    let (_dir, log, _) = open(&io.after_power_loss(Survival::Synced), big());
    assert_eq!(values(&log), numbers(3));
}

#[test]
fn a_failure_of_the_disk_that_is_told_at_the_start_is_a_failed_sync() {
    for (failures, opens) in [(1, true), (2, false)] {
        let io = killed(2, 5, big());
        let mut left = failures;
        io.set_faults(move |_, operation| {
            let fails = matches!(operation, Operation::SyncAll { .. }) && left > 0;
            left -= usize::from(fails);
            fails.then_some(Fault::EIO)
        });
        let dir = try_open_dir(&io, PlantedBugs::default());
        assert_eq!(dir.is_ok(), opens, "{failures}");
        let Ok(dir) = dir else { continue };
        let (log, report) = open_log(&dir, big());
        assert_eq!(report.last_stop, LastStop::OtherBoot);
        assert_eq!((report.corruption, log.end()), (Vec::new(), offset(5)));
    }
}
