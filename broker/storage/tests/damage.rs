//! Damaged data: reported with file, position and offset, never cut where it may have been
//! acknowledged, and never in the way of anything else.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use broker_model::Offset;
use broker_record::BatchHeader;
use broker_storage::inspect::{DirNotes, Verifier};
use broker_storage::io::Io;
use broker_storage::io::recording::{RecordingIo, Survival};
use broker_storage::{Corruption, Damage, LastStop, Log, OpenLogError, ReadError, ReadLimit};
use support::{
    BATCH, DIR, TOPIC_ID, append, append_numbers, batch_of, big, corruption_at, edit, file_bytes,
    flip, killed, numbers, offset, open, open_dir, open_log, partition, partition_dir, read_at,
    rebooted, segment_file, small, sync, values,
};

#[test]
fn after_a_power_loss_the_log_is_cut_at_the_first_bad_batch_above_the_recovery_point() {
    for position in [0, 7, 12, 40, 66, 70, BATCH - 1] {
        let io = rebooted(2, 30, small());
        // The third batch of the first segment, above the two that were synced.
        flip(&io, &segment_file(0, "log"), 2 * BATCH + position);
        let (_dir, log, report) = open(&io, small());
        assert_eq!(report.last_stop, LastStop::OtherBoot);
        assert_eq!(report.corruption, []);
        let torn = report.torn.unwrap();
        assert_eq!((torn.position, torn.bytes), (2 * BATCH, 28 * BATCH));
        assert_eq!(values(&log), numbers(2));
        assert_eq!(log.segments().len(), 1, "later segments go too");
    }
}

#[test]
fn after_a_kill_a_whole_but_bad_batch_is_damage_and_stays() {
    for position in 0..BATCH {
        let io = killed(2, 5, big());
        let before = file_bytes(&io, &segment_file(0, "log")).len();
        flip(&io, &segment_file(0, "log"), 3 * BATCH + position);
        let (_dir, mut log, report) = open(&io, big());
        assert_eq!(report.torn, None, "position {position}");
        let expected = (3 * BATCH, offset(3), Some(offset(4)));
        let found = report
            .corruption
            .iter()
            .map(|c| (c.position, c.offset, c.next_good));
        assert_eq!(found.collect::<Vec<_>>(), [expected], "position {position}");
        assert_eq!(log.end(), offset(5));
        for good in [0, 1, 2, 4] {
            assert_eq!(
                read_at(&log, good).unwrap(),
                offset(good + 1),
                "position {position}"
            );
        }
        let corruption = corruption_at(&log, 3);
        assert_eq!(
            (corruption.position, corruption.offset),
            (3 * BATCH, offset(3))
        );
        assert_eq!(corruption.next_good, Some(offset(4)), "position {position}");
        assert_eq!(corruption.file, segment_file(0, "log"));
        assert_eq!(file_bytes(&io, &segment_file(0, "log")).len(), before);
        assert_eq!(append(&mut log, batch_of("5", 100)).first, offset(5));
    }
}

#[test]
fn offsets_of_a_bad_last_batch_are_not_given_out_again() {
    for position in 0..BATCH {
        let io = killed(2, 5, big());
        flip(&io, &segment_file(0, "log"), 4 * BATCH + position);
        let (dir, mut log, report) = open(&io, big());
        assert_eq!(report.torn, None, "a complete batch is not torn");
        let appended = append(&mut log, batch_of("after", 100));
        assert!(
            appended.first >= offset(5),
            "position {position}: {appended:?}"
        );
        let corruption = corruption_at(&log, 4);
        assert_eq!(
            (corruption.position, corruption.offset),
            (4 * BATCH, offset(4))
        );
        assert_eq!(
            corruption.next_good,
            Some(appended.first),
            "position {position}"
        );
        sync(&dir, &mut log);
        let end = log.end();
        drop((log, dir));
        for io in [io.after_kill(), io.after_power_loss(Survival::Synced)] {
            let (_dir, log, _) = open(&io, big());
            assert_eq!(log.end(), end);
            assert_eq!(read_at(&log, appended.first.get()).unwrap(), end);
            assert_eq!(read_at(&log, 3).unwrap(), offset(4));
        }
    }
}

#[test]
fn damage_below_the_recovery_point_is_met_by_its_readers_alone() {
    for (position, reboot) in (0..BATCH).flat_map(|position| [(position, false), (position, true)])
    {
        let io = match reboot {
            false => killed(30, 30, small()),
            true => rebooted(30, 30, small()),
        };
        // The first segment holds ten batches.
        flip(&io, &segment_file(0, "log"), 4 * BATCH + position);
        let (dir, log, report) = open(&io, small());
        assert_eq!((report.torn, report.scanned_bytes), (None, 0));
        assert_eq!(log.end(), offset(30));
        for good in (0..30).filter(|good| *good != 4) {
            assert_eq!(
                read_at(&log, good).unwrap(),
                offset(good + 1),
                "{position}, {good}"
            );
        }
        assert_eq!(dir.damaged_partitions(), []);
        let corruption = corruption_at(&log, 4);
        assert_eq!(dir.damaged_partitions(), [partition()]);
        assert_eq!(corruption.file, segment_file(0, "log"));
        assert_eq!(
            (corruption.position, corruption.offset),
            (4 * BATCH, offset(4))
        );
        assert_eq!(corruption.next_good, Some(offset(5)), "position {position}");
    }
}

#[test]
fn a_long_read_ends_before_the_damage() {
    let io = killed(30, 30, big());
    flip(&io, &segment_file(0, "log"), 14 * BATCH + 80);
    let (_dir, log, _) = open(&io, big());
    let slice = log
        .read(Offset::ZERO, log.end(), ReadLimit::OneBatchOr(1 << 20))
        .unwrap();
    assert!(slice.needs_verification());
    assert!(slice.verify().is_err());
    let good = slice.verified().unwrap();
    assert_eq!((good.len(), good.next_offset()), (14 * BATCH, offset(14)));
    assert!(
        !good.needs_verification(),
        "what was verified once is not verified again"
    );
    let slice = log
        .read(offset(15), log.end(), ReadLimit::OneBatchOr(1 << 20))
        .unwrap();
    assert_eq!(slice.verified().unwrap().next_offset(), offset(30));
}

#[test]
fn what_this_process_has_written_needs_no_verification() {
    let io = killed(3, 3, big());
    let (_dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 3..6);
    let slice = |log: &Log, from| log.read(offset(from), log.end(), ReadLimit::OneBatchOr(1 << 20));
    assert!(slice(&log, 0).unwrap().needs_verification());
    assert!(!slice(&log, 3).unwrap().needs_verification());
    slice(&log, 0).unwrap().verify().unwrap();
    assert!(!slice(&log, 0).unwrap().needs_verification());
}

#[test]
fn durable_bytes_that_are_gone_are_reported_and_their_offsets_not_given_out_again() {
    for kept in [0, 1, BATCH, 3 * BATCH - 1, 3 * BATCH, 3 * BATCH + 20] {
        for reboot in [false, true] {
            let io = if reboot {
                rebooted(5, 5, big())
            } else {
                killed(5, 5, big())
            };
            edit(&io, &segment_file(0, "log"), |bytes| {
                bytes.truncate(kept as usize)
            });
            let (dir, mut log, report) = open(&io, big());
            let good = kept / BATCH;
            assert_eq!(report.torn, None);
            let [missing] = report.corruption.as_slice() else {
                panic!("{:?}", report.corruption)
            };
            assert_eq!(
                missing.damage,
                Damage::Missing {
                    bytes: 5 * BATCH - kept
                }
            );
            let after = append(&mut log, batch_of("5", 100));
            assert!(after.first > offset(5), "{after:?}");
            assert_eq!(
                (missing.offset, missing.next_good),
                (offset(good), Some(after.first))
            );
            sync(&dir, &mut log);
            for at in 0..good {
                assert_eq!(read_at(&log, at).unwrap(), offset(at + 1));
            }
            let corruption = corruption_at(&log, good);
            assert_eq!(corruption.next_good, Some(after.first));
            drop((log, dir));
            let (_dir, log, _) = open(&io.after_kill(), big());
            assert_eq!(log.end(), after.end);
            assert_eq!(read_at(&log, after.first.get()).unwrap(), after.end);
            assert!(matches!(read_at(&log, good), Err(ReadError::Corrupt(_))));
        }
    }
}

#[test]
fn a_missing_segment_is_a_hole_and_not_an_end() {
    let io = killed(30, 30, small());
    let (_dir, log, _) = open(&io, small());
    let second = log.segments()[1];
    drop((_dir, log));
    let gone = segment_file(second.base.get(), "log");
    broker_storage::io::Io::remove_file(&*io, &gone).unwrap();
    let (_dir, mut log, report) = open(&io, small());
    assert_eq!(log.end(), offset(30));
    let [hole] = report.corruption.as_slice() else {
        panic!("{:?}", report.corruption)
    };
    assert_eq!(hole.damage, Damage::Hole);
    assert_eq!(
        (hole.offset, hole.next_good),
        (second.base, Some(second.next))
    );
    assert_eq!(
        corruption_at(&log, second.base.get()).next_good,
        Some(second.next)
    );
    assert_eq!(
        read_at(&log, second.next.get()).unwrap(),
        second.next.next()
    );
    assert_eq!(append(&mut log, batch_of("30", 100)).first, offset(30));
}

#[test]
fn damage_in_one_partition_does_not_touch_another() {
    let io = killed(5, 5, big());
    flip(&io, &segment_file(0, "log"), 80);
    let (dir, log, _) = open(&io, big());
    assert!(matches!(read_at(&log, 0), Err(ReadError::Corrupt(_))));
    let topic = broker_model::TopicName::new("other").unwrap();
    let other = broker_model::TopicPartition::new(topic, broker_model::PartitionId::new(0));
    let (mut other, _) = dir
        .open_or_create_log(&other, broker_model::TopicId::from_bytes([7; 16]), big())
        .unwrap();
    append(&mut other, batch_of("fine", 10));
    sync(&dir, &mut other);
    assert_eq!(values(&other), ["fine"]);
    assert_eq!(dir.is_failed(), None);
}

#[test]
fn bytes_behind_the_end_of_a_clean_stop_are_cut_and_burn_no_offset() {
    let stopped = || {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, small());
        append_numbers(&mut log, 0..25);
        log.close().unwrap();
        dir.store_siblings(&BTreeMap::new()).unwrap();
        dir.close_clean().unwrap();
        drop(dir);
        io
    };
    let file = segment_file(20, "log");
    let own_beginning = file_bytes(&stopped(), &file)[..300].to_vec();
    let garbage: Vec<u8> = (0..777_u32).map(|number| (number * 131) as u8).collect();
    for added in [garbage, vec![0; 600], own_beginning, vec![7; 30]] {
        let io = stopped();
        edit(&io, &file, |bytes| bytes.extend_from_slice(&added));
        let mut findings = Vec::new();
        let notes = DirNotes::read(&*io, Path::new(DIR), &mut |finding| findings.push(finding));
        Verifier::new(&*io)
            .with_notes(&notes.unwrap())
            .partition(&partition_dir(), &mut |finding| findings.push(finding))
            .unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].then.contains("cuts it off"), "{findings:?}");
        for io in [io.after_kill(), io.after_power_loss(Survival::Everything)] {
            let (dir, mut log, report) = open(&io, small());
            assert_eq!(report.corruption, []);
            let torn = report.torn.unwrap();
            assert_eq!((torn.bytes, torn.offset), (added.len() as u64, offset(25)));
            assert_eq!(append(&mut log, batch_of("25", 100)).first, offset(25));
            sync(&dir, &mut log);
            drop((dir, log));
            let (_dir, log, _) = open(&io.after_kill(), small());
            assert_eq!(values(&log), numbers(26));
        }
    }
}

#[test]
fn a_good_batch_behind_a_clean_end_says_that_the_notes_are_old_and_nothing_is_cut() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, big());
    append_numbers(&mut log, 0..5);
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    let old = io.after_kill();
    let later = io.after_kill();
    let (dir, mut log, _) = open(&later, big());
    append_numbers(&mut log, 5..9);
    sync(&dir, &mut log);
    // The notes of the first stop beside the data of the second, whose last batch is damaged.
    let written = file_bytes(&later, &segment_file(0, "log"));
    edit(&old, &segment_file(0, "log"), |bytes| {
        *bytes = written;
        let last = bytes.len() - 10;
        bytes[last] ^= 1;
    });
    drop((dir, log));
    let (_dir, log, report) = open(&old, big());
    assert_eq!((report.torn, report.corruption.len()), (None, 1));
    assert!(log.end() > offset(8));
    assert!(read_at(&log, 7).is_ok() && read_at(&log, 8).is_err());
}

#[test]
fn what_an_emptied_directory_had_stays_known_until_somebody_deletes_it() {
    let io = killed(25, 25, small());
    for entry in io.list(&partition_dir()).unwrap() {
        io.remove_file(&partition_dir().join(entry.name)).unwrap();
    }
    let (mut io, mut first_end) = (io, None);
    for start in 0..3 {
        let (dir, mut log, report) = open(&io, small());
        assert!(!report.corruption.is_empty(), "start {start}");
        assert_eq!(log.start(), offset(0), "start {start}");
        let damage = corruption_at(&log, 3);
        let end = *first_end.get_or_insert(log.end());
        assert!(end > offset(25));
        assert_eq!(damage.next_good, Some(end), "start {start}");
        assert!(!log.damage().is_empty(), "start {start}");
        append(&mut log, batch_of("more", 100));
        sync(&dir, &mut log);
        match start {
            0 => drop((log, dir)),
            _ => {
                log.close().unwrap();
                dir.close_clean().unwrap();
                drop(dir);
            }
        }
        io = io.after_kill();
    }
    let (dir, mut log, _) = open(&io, small());
    let end = first_end.unwrap();
    log.advance_start(end).unwrap();
    drop((log, dir));
    let (_dir, log, report) = open(&io.after_kill(), small());
    assert_eq!((report.corruption, log.damage()), (vec![], vec![]));
    assert_eq!((log.start(), log.end()), (end, end.plus(3)));
}

/// A killed directory without any note of how far its logs are durable.
fn without_points() -> Arc<RecordingIo> {
    let io = killed(25, 25, small());
    for name in ["durable-positions", "recovery-point-checkpoint"] {
        io.remove_file(&Path::new(DIR).join(name)).unwrap();
    }
    io
}

#[test]
fn indexes_tell_of_a_lost_end_when_the_durable_points_are_lost_too() {
    for is_removed in [false, true] {
        let io = without_points();
        match is_removed {
            true => io.remove_file(&segment_file(20, "log")).unwrap(),
            false => edit(&io, &segment_file(20, "log"), |bytes| {
                bytes.truncate(BATCH as usize);
            }),
        }
        let (_dir, log, report) = open(&io, small());
        let told = |damage: &Corruption| damage.damage == Damage::BelowIndex;
        assert!(report.corruption.iter().any(told), "{report:?}");
        assert!(log.end() >= offset(23), "{}", log.end());
        let kept = if is_removed { 20 } else { 21 };
        assert_eq!(corruption_at(&log, kept).next_good, Some(log.end()));
        assert!(read_at(&log, kept - 1).is_ok());
    }
}

#[test]
fn a_log_of_which_only_the_high_watermark_is_left_is_not_taken_for_a_new_one() {
    let io = without_points();
    let dir = open_dir(&io);
    dir.record_high_watermark(&partition(), offset(25));
    dir.write_checkpoints().unwrap();
    drop(dir);
    let io = io.after_kill();
    for name in ["durable-positions", "recovery-point-checkpoint"] {
        io.remove_file(&Path::new(DIR).join(name)).unwrap();
    }
    for entry in io.list(&partition_dir()).unwrap() {
        io.remove_file(&partition_dir().join(entry.name)).unwrap();
    }
    io.remove_dir(&partition_dir()).unwrap();
    let mut io = io;
    for _ in 0..2 {
        let dir = open_dir(&io);
        let opened = dir.open_or_create_log(&partition(), TOPIC_ID, small());
        assert!(matches!(opened, Err(OpenLogError::Gone { .. })));
        dir.write_checkpoints().unwrap();
        drop(dir);
        io = io.after_kill();
    }
    // Given up by an operator.
    io.create_dir_all(&partition_dir()).unwrap();
    let dir = open_dir(&io);
    assert_eq!(dir.partitions().unwrap().len(), 1);
    let (log, _) = open_log(&dir, small());
    assert!(log.end() > offset(25), "more may have been acknowledged");
    assert_eq!(corruption_at(&log, 0).next_good, Some(log.end()));
}

#[test]
fn a_batch_of_far_away_in_the_middle_of_a_segment_is_no_reason_to_panic() {
    for base in [10, 20] {
        let io = killed(25, 25, small());
        edit(&io, &segment_file(base, "log"), |bytes| {
            let last = bytes.len() - BATCH as usize;
            let mut header = BatchHeader::decode(&bytes[last..last + BatchHeader::LEN]).unwrap();
            header.base_offset = offset(1 << 40);
            bytes[last..last + BatchHeader::LEN].copy_from_slice(&header.encode());
        });
        for extension in ["index", "timeindex"] {
            io.remove_file(&segment_file(base, extension)).unwrap();
        }
        for name in ["durable-positions", "recovery-point-checkpoint"] {
            io.remove_file(&Path::new(DIR).join(name)).unwrap();
        }
        let (dir, mut log, _) = open(&io, small());
        assert!(read_at(&log, 3).is_ok() && read_at(&log, base + 1).is_ok());
        let run = append(&mut log, batch_of("more", 100));
        assert!(run.first >= offset(24));
        sync(&dir, &mut log);
        log.close().unwrap();
        drop(dir);
        let (_dir, log, _) = open(&io.after_kill(), small());
        assert_eq!(log.end(), run.end);
    }
}

#[test]
fn a_disk_that_fails_while_damage_is_looked_for_is_out_of_service() {
    let io = killed(2, 5, big());
    flip(&io, &segment_file(0, "log"), 4 * BATCH + 3);
    let (dir, log, _) = open(&io, big());
    io.fail_reads(Some(5));
    assert!(matches!(read_at(&log, 4), Err(ReadError::Io { .. })));
    assert!(dir.is_failed().is_some());

    let io = killed(30, 30, small());
    let (dir, mut log, _) = open(&io, small());
    io.fail_reads(Some(5));
    assert!(log.truncate_to(offset(5)).is_err());
    assert!(dir.is_failed().is_some());
}
