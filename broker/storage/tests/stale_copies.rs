//! Batches of this log, whole and with good checksums, that stand where others were: nobody is served
//! past what lies between.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::path::Path;
use std::sync::Arc;

use broker_model::LeaderEpoch;
use broker_storage::inspect::{Found, SegmentReader, Verifier, segments, verify_partition};
use broker_storage::io::recording::RecordingIo;
use broker_storage::io::{Io, OpenMode};
use broker_storage::{LastStop, Log, LogConfig, OpenLogError, Pace, ReadLimit};
use support::{
    BATCH, DIR, TOPIC_ID, append_numbers, at, batch_of, corruption_at, edit, file_bytes, flip,
    killed, numbers, offset, open, open_dir, partition, partition_dir, read_at, segment_file,
    set_file_bytes, small, sync, values,
};

/// Nobody knows any more how far the logs are durable.
fn forget_points(io: &Arc<RecordingIo>) {
    for name in ["durable-positions", "recovery-point-checkpoint"] {
        io.remove_file(&Path::new(DIR).join(name)).unwrap();
    }
}

/// The next offset after what is served of two batches.
fn read_two(log: &Log, from: u64) -> u64 {
    let limit = ReadLimit::OneBatchOr(2 * BATCH);
    let slice = log.read(offset(from), log.end(), limit).unwrap();
    slice.verified().unwrap().next_offset().get()
}

#[test]
fn a_stale_copy_that_recovery_has_read_is_not_served_in_place_of_another() {
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    let io = killed(25, 25, config);
    forget_points(&io);
    edit(&io, &segment_file(0, "log"), |bytes| {
        let (from, to) = (18 * BATCH as usize, 15 * BATCH as usize);
        bytes.copy_within(from..from + BATCH as usize, to);
    });
    let (_dir, log, report) = open(&io, config);
    assert_eq!(report.last_stop, LastStop::Unknown);
    assert!(!report.corruption.is_empty());
    for _ in 0..2 {
        assert_eq!(read_two(&log, 14), 15, "the one behind it is another");
        assert_eq!(corruption_at(&log, 15).position, 15 * BATCH);
    }
}

#[test]
fn nobody_is_served_past_missing_batches_and_who_begins_behind_them_is_served() {
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    let io = killed(25, 25, config);
    forget_points(&io);
    edit(&io, &segment_file(0, "log"), |bytes| {
        bytes.drain(15 * BATCH as usize..16 * BATCH as usize);
    });
    let (_dir, mut log, report) = open(&io, config);
    assert!(!report.corruption.is_empty());
    for scrubbed in [false, true] {
        for _ in 0..2 {
            assert_eq!(read_two(&log, 14), 15, "the one behind it is another");
            let gap = corruption_at(&log, 15);
            assert_eq!(
                (gap.position, gap.next_good),
                (15 * BATCH, Some(offset(16)))
            );
            for good in [14, 16, 17] {
                let slice = log.read(offset(good), log.end(), ReadLimit::OneBatchOr(1));
                let slice = slice.unwrap().verified().unwrap();
                assert_eq!(slice.next_offset(), offset(good + 1), "{scrubbed}");
                slice.read().unwrap();
            }
        }
        for target in log.scrub_targets() {
            log.on_scrubbed(target.run(&Pace::unthrottled()).unwrap());
        }
    }
}

/// Files that are lost besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Nothing,
    Indexes,
    Points,
    All,
}

/// Twenty-five batches in segments of ten. In the second of them the fourth batch is gone, and where the sixth
/// was there is one of the segment behind it.
fn with_a_batch_of_the_next_segment(lost: Lost) -> Arc<RecordingIo> {
    let io = killed(25, 25, small());
    replace_two(&io);
    lose(&io, lost);
    io
}

fn lose(io: &Arc<RecordingIo>, lost: Lost) {
    if matches!(lost, Lost::Indexes | Lost::All) {
        for extension in ["index", "timeindex"] {
            io.remove_file(&segment_file(10, extension)).unwrap();
        }
    }
    if matches!(lost, Lost::Points | Lost::All) {
        forget_points(io);
    }
}

fn replace_two(io: &Arc<RecordingIo>) {
    let later = file_bytes(io, &segment_file(20, "log"));
    edit(io, &segment_file(10, "log"), |bytes| {
        let (fourth, sixth) = (3 * BATCH as usize, 5 * BATCH as usize);
        bytes[fourth..fourth + BATCH as usize].fill(0);
        let stale = &later[BATCH as usize..2 * BATCH as usize];
        bytes[sixth..sixth + BATCH as usize].copy_from_slice(stale);
    });
}

#[test]
fn a_stale_copy_of_a_later_batch_leads_no_reader_past_what_lies_between() {
    for lost in [Lost::Nothing, Lost::Indexes, Lost::Points, Lost::All] {
        let io = with_a_batch_of_the_next_segment(lost);
        let (_dir, mut log, report) = open(&io, small());
        for told in &report.corruption {
            assert!(
                told.next_good <= Some(told.offset.next()),
                "{lost:?} {told}"
            );
        }
        assert_eq!(log.segments()[1].next, offset(20), "{lost:?}");
        for scrubbed in [false, true] {
            let next_good = |at| corruption_at(&log, at).next_good;
            assert_eq!(next_good(13), Some(offset(14)), "{lost:?} {scrubbed}");
            assert_eq!(next_good(15), Some(offset(16)), "{lost:?} {scrubbed}");
            for good in [12, 14, 16, 19, 20, 24] {
                assert!(read_at(&log, good).is_ok(), "{good} {lost:?} {scrubbed}");
            }
            for target in log.scrub_targets() {
                log.on_scrubbed(target.run(&Pace::unthrottled()).unwrap());
            }
        }
    }
}

#[test]
fn leader_epochs_are_not_made_again_from_a_stale_copy() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    for number in 0..25_u32 {
        let epoch = LeaderEpoch::new(1 + number / 20);
        let mut batches = [batch_of(&format!("{number:05}"), 100)];
        log.append(&mut batches, epoch, at(5)).unwrap();
    }
    sync(&dir, &mut log);
    let epochs = log.leader_epochs().clone();
    drop((dir, log));
    let file = partition_dir().join("leader-epoch-checkpoint");
    io.remove_file(&file).unwrap();
    let batch = file_bytes(&io, &segment_file(10, "log")).len() / 10;
    let later = file_bytes(&io, &segment_file(20, "log"));
    edit(&io, &segment_file(10, "log"), |bytes| {
        bytes[5 * batch..6 * batch].copy_from_slice(&later[batch..2 * batch]);
    });
    let (_dir, log, _) = open(&io.after_kill(), small());
    assert_eq!(log.leader_epochs(), &epochs);
}

#[test]
fn a_segment_cut_behind_a_stale_copy_ends_with_its_own_last_batch() {
    let config = LogConfig {
        index_interval_bytes: 1 << 20,
        ..small()
    };
    let io = killed(25, 25, config);
    replace_two(&io);
    let (_dir, log, _) = open(&io, config);
    edit(&io, &segment_file(10, "log"), |bytes| {
        bytes.truncate(7 * BATCH as usize);
    });
    let missing = corruption_at(&log, 17);
    assert_eq!(missing.offset, offset(17), "{missing}");
    assert_eq!(missing.next_good, Some(offset(20)));
    assert!(read_at(&log, 16).is_ok());
}

#[test]
fn a_verification_of_the_files_is_not_led_astray_by_a_stale_copy() {
    let io = with_a_batch_of_the_next_segment(Lost::Nothing);
    let mut found = Vec::new();
    Verifier::new(&*io)
        .partition(&partition_dir(), &mut |finding| found.push(finding))
        .unwrap();
    let offsets: Vec<_> = found.iter().map(|finding| finding.offset).collect();
    assert_eq!(offsets, [Some(offset(13)), Some(offset(15))], "{found:?}");
    assert!(found[1].then.contains("go on at offset 16"), "{found:?}");
}

#[test]
fn whoever_reads_one_file_is_told_which_offsets_it_cannot_have() {
    let io = killed(25, 25, small());
    let later = file_bytes(&io, &segment_file(20, "log"));
    edit(&io, &segment_file(10, "log"), |bytes| {
        let from = 7 * BATCH as usize;
        bytes[from..from + BATCH as usize].fill(0);
        let stale = &later[BATCH as usize..3 * BATCH as usize];
        bytes[from + BATCH as usize..].copy_from_slice(stale);
    });
    let files = segments(&*io, &partition_dir()).unwrap();
    let below = Some(files[2].base);
    let mut reader = SegmentReader::open(&*io, &files[1], below).unwrap();
    let mut offsets = Vec::new();
    while let Some(found) = reader.next_found().unwrap() {
        if let Found::Batch { header, .. } = found {
            offsets.push(header.base_offset.get());
        }
    }
    assert_eq!(offsets, (10..17).collect::<Vec<_>>());
}

#[test]
fn a_stale_copy_of_a_later_batch_of_the_same_segment_is_no_gap() {
    for lost in [Lost::Nothing, Lost::Indexes, Lost::Points, Lost::All] {
        let io = killed(25, 25, small());
        edit(&io, &segment_file(10, "log"), |bytes| {
            let (from, to) = (8 * BATCH as usize, 5 * BATCH as usize);
            bytes.copy_within(from..from + BATCH as usize, to);
        });
        lose(&io, lost);
        let (_dir, mut log, _) = open(&io, small());
        for scrubbed in [false, true] {
            let told = corruption_at(&log, 15);
            assert_eq!(told.next_good, Some(offset(16)), "{lost:?} {scrubbed}");
            for good in (10..25).filter(|good| *good != 15) {
                let next = read_at(&log, good).unwrap();
                assert_eq!(next, offset(good + 1), "{lost:?} {scrubbed}");
            }
            for target in log.scrub_targets() {
                log.on_scrubbed(target.run(&Pace::unthrottled()).unwrap());
            }
        }
    }
}

#[test]
fn a_copy_of_the_very_next_batch_is_not_served_once_a_scrub_has_found_it() {
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, config);
    append_numbers(&mut log, 0..25);
    sync(&dir, &mut log);
    let file = segment_file(0, "log");
    let copied = &file_bytes(&io, &file)[16 * BATCH as usize..17 * BATCH as usize];
    let file = io.open(&file, OpenMode::Write).unwrap();
    file.write_all_at(copied, 15 * BATCH).unwrap();
    for target in log.scrub_targets() {
        log.on_scrubbed(target.run(&Pace::unthrottled()).unwrap());
    }
    let told = corruption_at(&log, 15);
    assert_eq!(told.position, 15 * BATCH);
    assert_eq!(told.next_good, Some(offset(16)));
    assert_eq!(read_two(&log, 14), 15);
    assert_eq!(read_at(&log, 16).unwrap(), offset(17));
}

/// What another log has in a file of its directory that begins at an offset.
fn from_another_log(name: &str, start: u64) -> Vec<u8> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..60);
    log.advance_start(offset(start)).unwrap();
    sync(&dir, &mut log);
    file_bytes(&io, &partition_dir().join(name))
}

#[test]
fn a_log_start_of_another_log_deletes_nothing() {
    let name = "log-start-offset-checkpoint";
    let stopped = killed(35, 35, small());
    let (dir, log, _) = open(&stopped, small());
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    for io in [killed(35, 35, small()), stopped] {
        let file = partition_dir().join(name);
        set_file_bytes(&io, &file, &from_another_log(name, 50));
        let dir = open_dir(&io);
        let opened = dir.open_or_create_log(&partition(), TOPIC_ID, small());
        let Err(OpenLogError::StartBeyondEnd { start, end, .. }) = opened else {
            panic!("{opened:?}");
        };
        assert_eq!((start, end), (offset(50), offset(35)));
        drop(dir);
        io.remove_file(&file).unwrap();
        let (_dir, log, report) = open(&io, small());
        assert_eq!(report.corruption, []);
        assert_eq!(values(&log), numbers(35));
    }
}

#[test]
fn leader_epochs_of_a_log_that_begins_later_delete_nothing_and_are_made_anew() {
    let name = "leader-epoch-checkpoint";
    for start in [20, 50] {
        let io = killed(35, 35, small());
        let file = partition_dir().join(name);
        let own = file_bytes(&io, &file);
        set_file_bytes(&io, &file, &from_another_log(name, start));
        let (_dir, log, report) = open(&io, small());
        assert_eq!(report.corruption, [], "{start}");
        assert_eq!(values(&log), numbers(35), "{start}");
        assert_eq!(file_bytes(&io, &file), own, "{start}");
    }
}

#[test]
fn a_log_start_that_is_gone_is_missed_where_the_leader_epochs_know_it() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..35);
    log.advance_start(offset(14)).unwrap();
    sync(&dir, &mut log);
    drop((dir, log));
    let io = io.after_kill();
    let verified = || {
        let mut found = Vec::new();
        verify_partition(&*io, &partition_dir(), &mut |finding| found.push(finding)).unwrap();
        found
    };
    assert_eq!(verified(), []);
    let file = partition_dir().join("log-start-offset-checkpoint");
    io.remove_file(&file).unwrap();
    let found = verified();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0].file, found[0].offset), (&file, Some(offset(14))));
    assert_eq!(open(&io, small()).1.start(), offset(10));
}

#[test]
fn a_log_start_that_is_damaged_is_no_damage_to_what_was_deleted_below_it() {
    // With the leader epochs that tell it, too, and as a kill just behind the deletion leaves them.
    for (is_synced, start) in [(true, 14), (false, 10)] {
        let io = RecordingIo::new();
        let (dir, mut log, _) = open(&io, small());
        append_numbers(&mut log, 0..35);
        sync(&dir, &mut log);
        log.advance_start(offset(14)).unwrap();
        if is_synced {
            sync(&dir, &mut log);
        }
        drop((dir, log));
        let io = io.after_kill();
        let file = partition_dir().join("log-start-offset-checkpoint");
        flip(&io, &file, 20);
        let mut found = Vec::new();
        verify_partition(&*io, &partition_dir(), &mut |finding| found.push(finding)).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].file, file);
        let (_dir, log, report) = open(&io, small());
        assert_eq!(report.corruption, []);
        assert_eq!(log.start(), offset(start));
        assert_eq!(values(&log), numbers(35)[start as usize..]);
    }
}
