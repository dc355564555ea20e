//! What a log does while it is cleaned, and what happens to the cleaning: appends, reads, retention,
//! deleted records, truncations, a restart, the topic's deletion.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cleaning;
mod support;

use std::sync::Arc;
use std::thread;

use broker_model::{BrokerId, SystemClock};
use broker_storage::io::Io;
use broker_storage::io::recording::RecordingIo;
use broker_storage::{
    ChangeError, Cleaning, CleaningFailed, Log, LogDir, LogDirOptions, Pace, ReadLimit, Throttle,
};
use cleaning::{
    KeepIf, Keyed, LatestByKey, NOW, begin, clean, put, records, run, settings, settle, shape,
};
use support::{offset, open, open_log, partition, partition_dir, small};

/// Three keys in turns, 40 records, the last segment active.
fn fill(dir: &LogDir, log: &mut Log) {
    for number in 0..40 {
        put(log, ["a", "b", "c"][number % 3], &number.to_string());
    }
    settle(dir, log);
}

fn filled() -> (Arc<RecordingIo>, LogDir, Log) {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    fill(&dir, &mut log);
    (io, dir, log)
}

fn latest(cleaning: Cleaning) -> Result<broker_storage::Cleaned, CleaningFailed> {
    run(cleaning, &mut LatestByKey::default())
}

fn leftovers(io: &RecordingIo) -> Vec<String> {
    let entries = io.list(&partition_dir()).unwrap();
    let names = entries.into_iter().map(|entry| entry.name);
    names
        .filter(|name| name.ends_with(".cleaned") || name.starts_with("cleaning-swap"))
        .collect()
}

#[test]
fn slices_of_replaced_segments_go_on_working() {
    let temp = tempfile::tempdir().unwrap();
    let real = LogDirOptions::new(temp.path(), BrokerId::new(1));
    let mut recorded = LogDirOptions::new(support::DIR, BrokerId::new(1));
    recorded.io = RecordingIo::new();
    for options in [real, recorded] {
        let dir = LogDir::open(options).unwrap();
        let (mut log, _) = open_log(&dir, small());
        fill(&dir, &mut log);
        let slices: Vec<_> = [0, 5, 11, 23]
            .map(|from| {
                log.read(offset(from), log.end(), ReadLimit::OneBatchOr(900))
                    .unwrap()
            })
            .into();
        let before: Vec<_> = slices.iter().map(|slice| slice.read().unwrap()).collect();
        clean(&mut log);
        // The log itself opens its files again.
        log.release_idle_files();
        log.release_idle_files();
        for (slice, before) in slices.iter().zip(&before) {
            assert_eq!(&slice.read().unwrap(), before);
            slice.verify().unwrap();
        }
        let after = records(&log);
        assert!(after.len() < 20, "{}", shape(&after));
        assert!(
            after.iter().all(|record| record.offset >= 30),
            "{}",
            shape(&after)
        );
    }
}

#[test]
fn a_log_is_used_in_every_way_while_it_is_cleaned_elsewhere() {
    let temp = tempfile::tempdir().unwrap();
    let mut options = LogDirOptions::new(temp.path(), BrokerId::new(1));
    options.clock = Arc::new(SystemClock::new());
    let dir = LogDir::open(options).unwrap();
    let (mut log, _) = open_log(&dir, small());
    fill(&dir, &mut log);
    let cleaning = begin(&mut log);
    let bytes = cleaning.bytes();
    // At this pace it takes a while.
    let pace = Arc::new(Pace::new(Throttle::new(Some(bytes * 10))));
    let shared = Arc::clone(&pace);
    let cleaner = thread::spawn(move || cleaning.run(&mut LatestByKey::default(), &shared));
    let mut appended = 40;
    while !cleaner.is_finished() {
        put(&mut log, "d", &appended.to_string());
        appended += 1;
        settle(&dir, &mut log);
        let slice = log
            .read(offset(3), log.end(), ReadLimit::OneBatchOr(300))
            .unwrap();
        slice.verified().unwrap();
    }
    let cleaned = cleaner.join().unwrap().unwrap();
    assert_eq!((pace.done(), pace.total()), (2 * bytes, 2 * bytes));
    log.finish_cleaning(cleaned).unwrap();
    let after = records(&log);
    assert_eq!(after.last().unwrap().offset, appended - 1);
    assert_eq!(
        after
            .iter()
            .filter(|record| record.key.as_deref() == Some(b"d"))
            .count() as u64,
        appended - 40
    );
}

#[test]
fn there_is_one_cleaning_at_a_time_and_a_dropped_one_is_over() {
    let (io, _dir, mut log) = filled();
    let end = log.end();
    let first = begin(&mut log);
    assert!(log.cleaning_state(&settings(), end, NOW).under_way);
    assert!(log.force_cleaning(&settings(), end, NOW).is_none());
    assert!(log.survey(&settings(), end, NOW).is_some());
    drop(first);
    assert!(!log.cleaning_state(&settings(), end, NOW).under_way);
    let second = latest(begin(&mut log)).unwrap();
    assert!(log.force_cleaning(&settings(), end, NOW).is_none());
    assert!(!leftovers(&io).is_empty());
    drop(second);
    assert_eq!(leftovers(&io), Vec::<String>::new());
    let third = latest(begin(&mut log)).unwrap();
    log.abandon_cleaning();
    let before = records(&log);
    assert!(matches!(
        log.finish_cleaning(third),
        Err(ChangeError::CleaningOutdated)
    ));
    assert_eq!((leftovers(&io), records(&log)), (Vec::new(), before));
    // A survey is nothing that could be finished.
    let survey = log.survey(&settings(), end, NOW).unwrap();
    let refused = log.finish_cleaning(latest(survey).unwrap());
    assert!(matches!(refused, Err(ChangeError::CleaningOutdated)));
    clean(&mut log);
}

#[test]
fn a_cancelled_cleaning_leaves_nothing_behind() {
    let (io, _dir, mut log) = filled();
    let before = records(&log);
    for step in 1..5 {
        let pace = Arc::new(Pace::unthrottled());
        let canceller = Arc::clone(&pace);
        let mut asked = 0;
        let mut policy = KeepIf(move |_: &Keyed| {
            asked += 1;
            if asked == step * 7 {
                canceller.cancel();
            }
            false
        });
        let cleaning = begin(&mut log);
        let cancelled = cleaning.run(&mut policy, &pace);
        assert!(matches!(cancelled, Err(CleaningFailed::Cancelled)));
        assert_eq!(
            (leftovers(&io), records(&log)),
            (Vec::new(), before.clone())
        );
    }
}

#[test]
fn what_was_deleted_meanwhile_stays_deleted() {
    for to in [0, 3, 11, 12, 21, 22, 23, 33, 36, 40] {
        for early in [true, false] {
            let (io, dir, mut log) = filled();
            let cleaning = begin(&mut log);
            let cleaned = match early {
                true => {
                    log.advance_start(offset(to)).unwrap();
                    latest(cleaning).unwrap()
                }
                false => {
                    let cleaned = latest(cleaning).unwrap();
                    log.advance_start(offset(to)).unwrap();
                    cleaned
                }
            };
            let wanted: Vec<Keyed> = {
                let mut kept = filled();
                clean(&mut kept.2);
                records(&kept.2)
                    .into_iter()
                    .filter(|record| record.offset >= to)
                    .collect()
            };
            log.finish_cleaning(cleaned).unwrap();
            assert_eq!(log.start(), offset(to));
            assert_eq!(records(&log), wanted, "deleted to {to}");
            assert_eq!(leftovers(&io), Vec::<String>::new());
            drop((log, dir));
            let (_dir, mut log, report) = open(&io.after_kill(), small());
            assert_eq!(report.corruption, []);
            assert_eq!((log.start(), records(&log)), (offset(to), wanted));
            put(&mut log, "z", "1");
        }
    }
}

#[test]
fn a_truncation_below_its_end_ends_a_cleaning_and_one_above_does_not() {
    let (io, dir, mut log) = filled();
    let base = log.segments().pop().unwrap().base;
    let cleaned = latest(begin(&mut log)).unwrap();
    log.truncate_to(base.plus(2)).unwrap();
    log.finish_cleaning(cleaned).unwrap();
    let state = log.cleaning_state(&settings(), log.end(), NOW);
    assert_eq!(state.first_dirty, base);
    fill(&dir, &mut log);
    let before = begin(&mut log);
    let after = latest(before).unwrap();
    log.truncate_to(base).unwrap();
    let left = records(&log);
    assert!(matches!(
        log.finish_cleaning(after),
        Err(ChangeError::CleaningOutdated)
    ));
    assert_eq!((records(&log), leftovers(&io)), (left, Vec::new()));
    // What comes behind the cut was never cleaned.
    log.truncate_to(offset(20)).unwrap();
    let end = log.end();
    assert!(end < base);
    let first_dirty = |log: &Log| log.cleaning_state(&settings(), log.end(), NOW).first_dirty;
    assert_eq!(first_dirty(&log), end);
    drop((log, dir));
    let (dir, mut log, _) = open(&io.after_kill(), small());
    assert_eq!(
        first_dirty(&log),
        end.min(log.segments().pop().unwrap().base)
    );
    fill(&dir, &mut log);
    clean(&mut log);
}

#[test]
fn a_truncation_stops_a_cleaning_that_still_runs() {
    let (io, _dir, mut log) = filled();
    let cleaning = begin(&mut log);
    log.truncate_to(offset(5)).unwrap();
    assert!(latest(cleaning).is_err());
    assert_eq!(leftovers(&io), Vec::<String>::new());
    assert_eq!(records(&log).len(), 5);
}

#[test]
fn a_restart_ends_a_cleaning_and_sweeps_what_it_left() {
    let (io, dir, mut log) = filled();
    let running = begin(&mut log);
    log.close().unwrap();
    let (mut log, _) = open_log(&dir, small());
    let before = records(&log);
    let second = latest(begin(&mut log)).unwrap();
    // The first one goes on beside it for as long as it does not notice.
    assert!(matches!(latest(running), Err(CleaningFailed::Cancelled)));
    log.finish_cleaning(second).unwrap();
    assert!(records(&log).len() < before.len());
    let third = latest(begin(&mut log)).unwrap();
    let wanted = records(&log);
    log.close().unwrap();
    let (mut log, _) = open_log(&dir, small());
    assert_eq!(leftovers(&io), Vec::<String>::new());
    assert!(matches!(
        log.finish_cleaning(third),
        Err(ChangeError::CleaningOutdated)
    ));
    assert_eq!(records(&log), wanted);
}

#[test]
fn a_topic_is_deleted_while_it_is_cleaned() {
    for step in 0..3 {
        let (io, dir, mut log) = filled();
        let cleaning = begin(&mut log);
        let mut dir_gone = None;
        let mut delete = || {
            dir.delete_log(&partition(), support::TOPIC_ID).unwrap();
            dir_gone = Some(io.list(&partition_dir()).is_err());
        };
        let cleaned = match step {
            0 => {
                delete();
                drop(log);
                assert!(latest(cleaning).is_err());
                None
            }
            1 => {
                let cleaned = latest(cleaning).unwrap();
                delete();
                Some((log, cleaned))
            }
            _ => {
                let cleaned = latest(cleaning).unwrap();
                delete();
                drop(log);
                drop(cleaned);
                None
            }
        };
        assert_eq!(dir_gone, Some(true));
        // An owner that does not know yet fails; the log that follows is another one.
        if let Some((mut log, cleaned)) = cleaned {
            let refused = log.finish_cleaning(cleaned);
            assert!(matches!(refused, Err(ChangeError::CleaningOutdated)));
            assert_eq!(dir.is_failed(), None);
            continue;
        }
        let (mut log, _) = open_log(&dir, small());
        assert_eq!((log.end(), leftovers(&io)), (offset(0), Vec::new()));
        fill(&dir, &mut log);
        clean(&mut log);
    }
}
