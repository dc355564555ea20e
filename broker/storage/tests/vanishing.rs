//! Files and directories that somebody removes or cuts while the log is open: noticed by the next read or
//! append, answered with offsets to go on at, and never appended behind.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::path::Path;
use std::sync::Arc;

use broker_model::{LeaderEpoch, PartitionId, TopicId, TopicName, TopicPartition};
use broker_storage::io::recording::RecordingIo;
use broker_storage::io::{Io, OpenMode};
use broker_storage::{
    AppendError, ChangeError, Corruption, Damage, Log, LogDir, ReadError, ReadLimit, Vanished,
};
use support::{
    BATCH, append_numbers, at, batch_of, corruption_at, file_bytes, offset, open, open_dir,
    open_log, partition, partition_dir, read_at, segment_file, small, sync, try_read_from,
};

/// 25 records in three segments, from 0, 10 and 20.
fn filled() -> (Arc<RecordingIo>, LogDir, Log) {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..25);
    sync(&dir, &mut log);
    // Everything was verified, as it would be after having been served.
    assert_eq!(try_read_from(&log, offset(0)).unwrap().len(), 25);
    (io, dir, log)
}

fn cut(io: &Arc<RecordingIo>, path: &Path, len: u64) {
    let io: Arc<dyn Io> = Arc::clone(io) as _;
    io.open(path, OpenMode::Write)
        .unwrap()
        .set_len(len)
        .unwrap();
}

fn remove_dir(io: &Arc<RecordingIo>, dir: &Path) {
    for entry in io.list(dir).unwrap() {
        io.remove_file(&dir.join(entry.name)).unwrap();
    }
    io.remove_dir(dir).unwrap();
}

fn try_append(log: &mut Log) -> Result<u64, AppendError> {
    let run = log.append(&mut [batch_of("more", 100)], LeaderEpoch::new(9), at(5));
    run.map(|run| run.first.get())
}

#[test]
fn a_sealed_segment_that_is_cut_is_damage_from_the_cut_on_and_the_rest_is_served() {
    // In the middle of a batch, between two, and at the very beginning.
    for (len, whole) in [
        (BATCH * 4 + 77, 4),
        (BATCH * 4, 4),
        (BATCH * 9 + 1, 9),
        (1, 0),
        (0, 0),
    ] {
        let (io, dir, mut log) = filled();
        cut(&io, &segment_file(10, "log"), len);
        let missing = 10 + whole;
        for from in [missing, 15.max(missing), 19] {
            let damage = corruption_at(&log, from);
            assert_eq!(damage.offset, offset(missing), "cut to {len}");
            assert_eq!(damage.next_good, Some(offset(20)));
            assert_eq!(damage.position, len);
            assert!(matches!(damage.damage, Damage::Missing { .. }));
        }
        for from in (0..25).filter(|from| !(missing..20).contains(from)) {
            let next = read_at(&log, from).unwrap().get();
            assert!(next > from && (from >= 20 || next <= missing), "{from}");
            let more = log.read(offset(from), log.end(), ReadLimit::OneBatchOr(1 << 20));
            let read = more.unwrap().verified().unwrap();
            assert_eq!(read.read().unwrap().len() as u64, read.len());
        }
        assert_eq!(log.damage().len(), 1, "it is told once");
        assert!(matches!(
            log.offset_for_timestamp(at(1_001), log.end()),
            Ok(None)
        ));
        assert_eq!(try_append(&mut log).unwrap(), 25);
        sync(&dir, &mut log);
        assert!(dir.is_failed().is_none());
        // The next start finds the same.
        drop((log, dir));
        let (_dir, log, _) = open(&io.after_kill(), small());
        assert_eq!(corruption_at(&log, 19).next_good, Some(offset(20)));
        assert_eq!(log.end(), offset(26));
    }
}

#[test]
fn a_sealed_segment_that_is_removed_is_damage_as_a_whole() {
    let (io, _dir, mut log) = filled();
    for extension in ["log", "index", "timeindex"] {
        io.remove_file(&segment_file(10, extension)).unwrap();
    }
    for from in 10..20 {
        let damage = corruption_at(&log, from);
        assert_eq!(
            (damage.offset, damage.next_good),
            (offset(10), Some(offset(20)))
        );
    }
    assert!(read_at(&log, 9).is_ok() && read_at(&log, 20).is_ok());
    assert_eq!(log.damage().len(), 1);
    assert_eq!(try_append(&mut log).unwrap(), 25);
}

#[test]
fn a_sealed_segment_that_is_put_back_is_served_again_once_it_is_verified() {
    for is_removed in [true, false] {
        for is_damaged in [false, true] {
            let (io, _dir, log) = filled();
            let file = segment_file(10, "log");
            let copy = file_bytes(&io, &file);
            match is_removed {
                true => io.remove_file(&file).unwrap(),
                false => cut(&io, &file, 5),
            }
            let missing = corruption_at(&log, 12);
            assert!(matches!(missing.damage, Damage::Missing { .. }));
            let put = |bytes: &[u8]| {
                let io: Arc<dyn Io> = Arc::clone(&io) as _;
                let open = io.open(&file, OpenMode::Create).unwrap();
                open.write_all_at(bytes, 0).unwrap();
            };
            // Half of it first: what is not there yet is still refused.
            put(&copy[..copy.len() / 2]);
            assert_eq!(corruption_at(&log, 19).next_good, Some(offset(20)));
            let mut copy = copy.clone();
            if is_damaged {
                copy[BATCH as usize * 3 + 70] ^= 1;
            }
            put(&copy);
            for from in (10..20).filter(|from| !is_damaged || *from != 13) {
                assert!(read_at(&log, from).is_ok(), "{from}");
            }
            match is_damaged {
                true => assert!(
                    matches!(corruption_at(&log, 13).damage, Damage::Body),
                    "{:?}",
                    corruption_at(&log, 13)
                ),
                false => assert_eq!(log.damage(), []),
            }
        }
    }
}

#[test]
fn nothing_is_appended_to_an_active_segment_that_was_cut_or_removed() {
    for len in [Some(BATCH * 2 + 5), Some(0), None] {
        let (io, _dir, mut log) = filled();
        let file = segment_file(20, "log");
        match len {
            Some(len) => cut(&io, &file, len),
            None => io.remove_file(&file).unwrap(),
        }
        let error = try_append(&mut log).unwrap_err();
        assert!(error.is_definite());
        let AppendError::Vanished(vanished) = error else {
            panic!("{error}");
        };
        assert!(vanished.to_string().contains(&file.display().to_string()));
        assert!(matches!(vanished, Vanished::ActiveSegment { .. }));
        let read = read_at(&log, 22);
        assert!(matches!(read, Err(ReadError::Vanished(_))), "{read:?}");
        assert!(read_at(&log, 3).is_ok());
        if let Some(len) = len {
            assert_eq!(
                file_bytes(&io, &file).len() as u64,
                len,
                "nothing was written"
            );
        }
        assert_eq!(log.end(), offset(25));
        // What was durable is missed by the next start, and no offset given out again.
        drop(log);
        let io = io.after_kill();
        let (_dir, mut log, report) = open(&io, small());
        let end = log.end();
        assert!(end >= offset(25));
        let missed = |damage: &Corruption| damage.next_good == Some(end);
        assert!(report.corruption.iter().any(missed));
        assert_eq!(try_append(&mut log).unwrap(), end.get());
    }
}

#[test]
fn a_partition_whose_directory_is_removed_acknowledges_nothing_and_no_other_notices() {
    let (io, dir, mut log) = filled();
    let other = TopicPartition::new(TopicName::new("other").unwrap(), PartitionId::new(0));
    let opened = dir.open_or_create_log(&other, TopicId::from_bytes([7; 16]), small());
    let mut beside = opened.unwrap().0;
    append_numbers(&mut beside, 0..5);
    // Written, and neither synced nor acknowledged yet; under a new epoch, which a file has to tell.
    log.append(&mut [batch_of("x", 100)], LeaderEpoch::new(2), at(5))
        .unwrap();
    let requests = [log.sync_request(), beside.sync_request()].map(Option::unwrap);
    remove_dir(&io, &partition_dir());
    let outcomes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let work = requests.map(|request| {
        let outcomes = Arc::clone(&outcomes);
        let done: broker_storage::SyncDone =
            Box::new(move |outcome| outcomes.lock().unwrap().push(outcome));
        (request, done)
    });
    dir.sync_together(work.into());
    let outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
    assert!(log.on_synced(&outcomes[0]).is_err());
    assert_eq!(beside.on_synced(&outcomes[1]).unwrap(), offset(5));
    let gone = try_append(&mut log).unwrap_err();
    assert!(matches!(
        gone,
        AppendError::Vanished(Vanished::Directory { .. })
    ));
    assert!(matches!(read_at(&log, 3), Err(ReadError::Vanished(_))));
    assert!(matches!(
        log.advance_start(offset(3)),
        Err(ChangeError::SmallFile(_))
    ));
    assert!(log.truncate_to(offset(15)).is_err());
    assert!(dir.is_failed().is_none(), "{:?}", dir.is_failed());
    append_numbers(&mut beside, 5..9);
    sync(&dir, &mut beside);
}

#[test]
fn a_directory_that_is_removed_is_missed_by_a_look_and_a_look_at_the_same_costs_nothing() {
    let (io, dir, log) = filled();
    assert_eq!(dir.look_for_partitions().unwrap(), []);
    assert!(log.check_present().is_ok());
    // Moved away, its files are still the log's: only a look at the names tells.
    io.rename(&partition_dir(), Path::new("/data/aside"))
        .unwrap();
    for _ in 0..2 {
        assert_eq!(dir.look_for_partitions().unwrap(), [partition()]);
    }
    assert_eq!(dir.look_for_partitions().unwrap(), []);
    assert!(matches!(
        log.check_present(),
        Err(Vanished::Directory { .. })
    ));
    drop((log, dir));
    let dir = open_dir(&io.after_kill());
    let opened = dir.open_or_create_log(&partition(), support::TOPIC_ID, small());
    assert!(opened.is_err(), "it is gone, and not begun anew");
}

#[test]
fn what_the_broker_removes_itself_is_not_missed() {
    let (io, dir, mut log) = filled();
    let slice = log
        .read(offset(0), log.end(), ReadLimit::OneBatchOr(1 << 20))
        .unwrap();
    log.advance_start(offset(12)).unwrap();
    assert!(slice.verified().is_ok());
    assert!(read_at(&log, 12).is_ok());
    log.truncate_to(offset(15)).unwrap();
    assert_eq!(try_append(&mut log).unwrap(), 15);
    assert!(log.damage().is_empty());
    sync(&dir, &mut log);
    drop((log, dir));
    let dir = open_dir(&io.after_kill());
    assert_eq!(open_log(&dir, small()).0.end(), offset(16));
}

#[test]
fn a_log_directory_whose_path_names_another_one_or_nothing_goes_out_of_service() {
    for named in [None, Some("/data")] {
        let (io, dir, mut log) = filled();
        io.rename(Path::new("/data"), Path::new("/aside")).unwrap();
        if let Some(another) = named {
            io.create_dir_all(Path::new(another)).unwrap();
        }
        assert!(dir.look_for_partitions().is_err());
        let why = dir.is_failed().expect("it is out of service").to_string();
        assert!(why.contains("unmounted"), "{why}");
        assert!(try_append(&mut log).is_err(), "it would be lost");
    }
}

#[test]
fn a_partition_is_not_begun_in_what_took_the_directorys_place() {
    for named in [None, Some("/data")] {
        let (io, dir, _log) = filled();
        io.rename(Path::new("/data"), Path::new("/aside")).unwrap();
        if let Some(another) = named {
            io.create_dir_all(Path::new(another)).unwrap();
        }
        let other = TopicPartition::new(TopicName::new("other").unwrap(), PartitionId::new(0));
        let opened = dir.open_or_create_log(&other, TopicId::from_bytes([7; 16]), small());
        assert!(opened.is_err());
        assert!(dir.is_failed().is_some());
        assert_eq!(io.list(Path::new("/data")).unwrap_or_default(), []);
    }
}
