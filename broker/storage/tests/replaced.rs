//! Data files that an operator replaces while the log is open: what was found out about one file says nothing
//! about another, whether it is open at that moment or not.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_model::{BrokerId, LeaderEpoch};
use broker_storage::io::recording::RecordingIo;
use broker_storage::{
    AppendError, Damage, FileSlice, Log, LogDir, LogDirOptions, Pace, ReadLimit, ScrubFound,
    Vanished,
};
use support::{
    BATCH, append_numbers, at, batch_of, corruption_at, file_bytes, flip, offset, open, open_log,
    partition, partition_dir, read_at, segment_file, set_file_bytes, small, sync, try_read_from,
};

/// Inside the batch of record 13.
const IN_13: u64 = BATCH * 3 + 70;

/// 25 records in three segments, from 0, 10 and 20, all verified.
fn filled() -> (Arc<RecordingIo>, LogDir, Log) {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    append_numbers(&mut log, 0..25);
    sync(&dir, &mut log);
    assert_eq!(try_read_from(&log, offset(0)).unwrap().len(), 25);
    (io, dir, log)
}

fn close_files(log: &mut Log) {
    // Those that were not used between two looks.
    log.release_idle_files();
    log.release_idle_files();
}

/// All of the segment at 10.
fn middle(log: &Log) -> FileSlice {
    let limit = ReadLimit::OneBatchOr(BATCH * 10);
    log.read(offset(10), log.end(), limit).unwrap()
}

fn flip_13(io: &Arc<RecordingIo>) {
    flip(io, &segment_file(10, "log"), IN_13);
}

fn check_13_is_refused(log: &Log) {
    assert!(matches!(corruption_at(log, 13).damage, Damage::Body));
    for from in (0..25).filter(|from| *from != 13) {
        assert!(read_at(log, from).is_ok(), "{from}");
    }
    assert_eq!(log.damage().len(), 1);
}

#[test]
fn a_file_that_is_replaced_is_verified_before_it_is_served_whether_it_was_open_or_not() {
    for is_closed in [false, true] {
        let (io, _dir, mut log) = filled();
        if is_closed {
            close_files(&mut log);
        }
        flip_13(&io);
        check_13_is_refused(&log);
    }
}

#[test]
fn a_slice_that_was_verified_before_its_file_was_replaced_sends_nothing_of_the_other() {
    let (io, _dir, mut log) = filled();
    let slice = middle(&log);
    assert!(!slice.needs_verification());
    let (sender, _receiver) = UnixStream::pair().unwrap();
    assert!(slice.send_to(sender.as_fd(), 0, 100).unwrap() > 0);
    close_files(&mut log);
    flip_13(&io);
    let refused = slice.send_to(sender.as_fd(), 0, 100).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData);
    assert!(slice.read().is_err());
    let sound = slice.verified().unwrap();
    assert_eq!(sound.next_offset(), offset(13));
    assert!(sound.send_to(sender.as_fd(), 0, 100).unwrap() > 0);
}

#[test]
fn what_is_found_in_a_file_while_it_is_replaced_is_not_said_of_the_other() {
    for is_bad_first in [false, true] {
        let (io, dir, log) = filled();
        let file = segment_file(10, "log");
        let good = file_bytes(&io, &file);
        if is_bad_first {
            flip_13(&io);
        }
        drop((log, dir));
        let io = io.after_kill();
        let (_dir, log, _) = open(&io, small());
        let slice = middle(&log);
        assert!(slice.needs_verification());
        let log = Arc::new(Mutex::new(log));
        let (replacing, noticing) = (Arc::clone(&io), Arc::clone(&log));
        io.before_next_read(move || {
            match is_bad_first {
                true => set_file_bytes(&replacing, &segment_file(10, "log"), &good),
                false => flip_13(&replacing),
            }
            middle(&noticing.lock().unwrap());
        });
        let checked = slice.verified().unwrap();
        assert!(slice.needs_verification());
        if is_bad_first {
            assert_eq!(checked.next_offset(), offset(13));
            assert!(read_at(&log.lock().unwrap(), 13).is_ok());
            assert_eq!(log.lock().unwrap().damage(), []);
        } else {
            assert!(checked.read().is_err(), "it was verified in another file");
            check_13_is_refused(&log.lock().unwrap());
        }
    }
}

#[test]
fn a_damaged_file_that_is_replaced_by_a_good_copy_is_served_again() {
    for is_closed in [false, true] {
        let (io, _dir, mut log) = filled();
        let file = segment_file(10, "log");
        let good = file_bytes(&io, &file);
        flip_13(&io);
        check_13_is_refused(&log);
        if is_closed {
            close_files(&mut log);
        }
        set_file_bytes(&io, &file, &good);
        assert_eq!(try_read_from(&log, offset(0)).unwrap().len(), 25);
        assert_eq!(log.damage(), []);
    }
}

#[test]
fn a_scrub_speaks_of_the_file_it_has_read() {
    let (io, _dir, mut log) = filled();
    let file = segment_file(10, "log");
    let good = file_bytes(&io, &file);
    let scrub = |log: &Log| {
        let target = log.scrub_targets().into_iter().nth(1).unwrap();
        target.run(&Pace::unthrottled()).unwrap()
    };
    close_files(&mut log);
    flip_13(&io);
    // Nobody has read it yet: it is the scrub that meets the other file.
    let scrubbed = scrub(&log);
    assert_eq!(log.on_scrubbed(scrubbed).damages, 1);
    check_13_is_refused(&log);
    // Replaced while it is told of.
    let late = scrub(&log);
    set_file_bytes(&io, &file, &good);
    assert_eq!(log.on_scrubbed(late), ScrubFound::default());
    assert_eq!(try_read_from(&log, offset(0)).unwrap().len(), 25);
    assert_eq!(log.damage(), []);
}

#[test]
fn a_segment_that_is_deleted_while_it_is_scrubbed_is_not_counted_as_damaged() {
    let (_io, _dir, mut log) = filled();
    let target = log.scrub_targets().into_iter().next().unwrap();
    log.advance_start(offset(10)).unwrap();
    let scrubbed = target.run(&Pace::unthrottled()).unwrap();
    assert_eq!(log.on_scrubbed(scrubbed), ScrubFound::default());
}

#[test]
fn a_copy_that_gets_the_number_of_the_removed_file_is_another_file() {
    let temp = tempfile::tempdir().unwrap();
    let dir = LogDir::open(LogDirOptions::new(temp.path(), BrokerId::new(1))).unwrap();
    let mut log = open_log(&dir, small()).0;
    append_numbers(&mut log, 0..25);
    sync(&dir, &mut log);
    assert_eq!(try_read_from(&log, offset(0)).unwrap().len(), 25);
    close_files(&mut log);
    let name = segment_file(10, "log");
    let partition = temp.path().join(partition_dir().file_name().unwrap());
    let file = partition.join(name.file_name().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[usize::try_from(IN_13).unwrap()] ^= 1;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
    check_13_is_refused(&log);
}

/// The same as [`filled`] on a real disk, and where its files are.
fn filled_on_disk() -> (tempfile::TempDir, LogDir, Log) {
    let temp = tempfile::tempdir().unwrap();
    let dir = LogDir::open(LogDirOptions::new(temp.path(), BrokerId::new(1))).unwrap();
    let (mut log, _) = open_log(&dir, small());
    append_numbers(&mut log, 0..25);
    sync(&dir, &mut log);
    assert_eq!(try_read_from(&log, offset(0)).unwrap().len(), 25);
    (temp, dir, log)
}

/// Changes a byte where it lies, as `dd conv=notrunc` does.
fn overwrite(file: &Path, position: u64) {
    // The file system's clock has ticked since the broker wrote.
    std::thread::sleep(Duration::from_millis(50));
    let file = File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[!byte[0]], position).unwrap();
}

#[test]
fn a_complete_file_that_somebody_writes_to_is_verified_before_it_is_served_open_or_not() {
    for is_closed in [false, true] {
        let (temp, _dir, mut log) = filled_on_disk();
        let partition = temp.path().join(partition().to_string());
        if is_closed {
            close_files(&mut log);
        }
        let file = partition.join("00000000000000000010.log");
        overwrite(&file, IN_13);
        check_13_is_refused(&log);
        // What is put right is served again.
        overwrite(&file, IN_13);
        assert_eq!(try_read_from(&log, offset(0)).unwrap().len(), 25);
        assert!(log.damage().is_empty());
    }
}

#[test]
fn a_file_that_is_written_and_that_somebody_else_writes_to_is_verified_before_it_is_served() {
    for is_closed in [false, true] {
        let (temp, _dir, mut log) = filled_on_disk();
        if is_closed {
            close_files(&mut log);
        }
        let partition = temp.path().join(partition().to_string());
        overwrite(&partition.join("00000000000000000020.log"), IN_13);
        for round in 0..2 {
            assert!(
                matches!(corruption_at(&log, 23).damage, Damage::Body),
                "{round}"
            );
            for from in (20..25 + round).filter(|from| *from != 23) {
                assert!(read_at(&log, from).is_ok(), "{from}");
            }
            // What is written on is no reason to believe the rest.
            let next = usize::try_from(round).unwrap() + 25;
            append_numbers(&mut log, next..next + 1);
        }
        assert!(read_at(&log, 26).is_ok());
    }
}

#[test]
fn what_is_verified_while_somebody_writes_to_the_file_is_verified_again() {
    let (temp, dir, log) = filled_on_disk();
    drop((log, dir));
    let dir = LogDir::open(LogDirOptions::new(temp.path(), BrokerId::new(1))).unwrap();
    let (log, _) = open_log(&dir, small());
    let slice = middle(&log);
    slice.verify().unwrap();
    let partition = temp.path().join(partition().to_string());
    overwrite(&partition.join("00000000000000000010.log"), IN_13);
    assert!(!slice.needs_verification(), "nobody has looked since");
    assert!(middle(&log).needs_verification());
    check_13_is_refused(&log);
}

#[test]
fn nothing_is_appended_to_a_file_that_was_replaced_while_it_was_closed() {
    let (io, _dir, mut log) = filled();
    close_files(&mut log);
    let active = segment_file(20, "log");
    let copy = file_bytes(&io, &active);
    set_file_bytes(&io, &active, &copy);
    let error = log
        .append(&mut [batch_of("25", 100)], LeaderEpoch::new(1), at(25))
        .unwrap_err();
    assert!(
        matches!(error, AppendError::Vanished(Vanished::Replaced { .. })),
        "{error}"
    );
    assert_eq!(file_bytes(&io, &active), copy);
    assert!(log.check_present().is_err());
}
