//! Policies that look at the whole log in the first pass: what they keep is exact over many cleanings, what
//! it takes of memory and reading, and what a deletion between the passes does.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cleaning;
mod support;

use broker_record::StoredBatch;
use broker_storage::io::recording::RecordingIo;
use broker_storage::{
    Cleaning, CleaningFailed, CompactionPolicy, Log, LogDir, ObserveScope, Pace, PolicyFailed,
};
use cleaning::{
    LastN, LatestByKey, NOW, begin, clean_with, put, records, run, set_bits, settings, settle,
    shape,
};
use support::{offset, open, small};

/// The keys a, b and c in turns.
fn write(dir: &LogDir, log: &mut Log, count: u64) {
    for _ in 0..count {
        let number = log.end().get() as usize;
        put(log, ["a", "b", "c"][number % 3], &number.to_string());
    }
    settle(dir, log);
}

/// 80 records, of which the first part was cleaned with three of each key left.
fn cleaned_once() -> (LogDir, Log) {
    let (dir, mut log, _) = open(&RecordingIo::new(), small());
    write(&dir, &mut log, 40);
    clean_with(&mut log, &mut LastN::new(3));
    write(&dir, &mut log, 40);
    (dir, log)
}

fn clean_to(log: &Log) -> u64 {
    let state = log.cleaning_state(&settings(), log.end(), NOW);
    state.first_dirty.get()
}

#[test]
fn the_last_n_of_each_key_are_left_whatever_was_cleaned_before() {
    let (dir, mut log, _) = open(&RecordingIo::new(), small());
    for _ in 0..6 {
        write(&dir, &mut log, 25);
        let outcome = clean_with(&mut log, &mut LastN::new(3));
        let to = outcome.cleaned_to.get();
        assert_eq!(to, log.segments().last().unwrap().base.get());
        let left = records(&log);
        let left = left.iter().map(|record| record.offset);
        assert!(left.eq(to - 9..log.end().get()));
    }
    // Nothing new, another n.
    clean_with(&mut log, &mut LastN::new(1));
    let to = clean_to(&log);
    let left = records(&log);
    let left = left.iter().map(|record| record.offset);
    assert!(left.eq(to - 3..log.end().get()));
}

#[test]
fn memory_that_does_not_hold_the_clean_part_and_a_new_batch_is_an_error() {
    let (_dir, mut log) = cleaned_once();
    let before = records(&log);
    let clean_to = clean_to(&log);
    for room in 0..10 {
        let failed = run(begin(&mut log), &mut LastN::with_room_for(room, 3)).unwrap_err();
        let CleaningFailed::FullInCleanPart {
            reached,
            clean_to: to,
        } = failed
        else {
            panic!("{room}: {failed}");
        };
        assert!(reached.get() <= clean_to, "{room}: {reached}");
        assert_eq!(to.get(), clean_to);
        assert!(failed.to_string().ends_with("give it more memory"));
        assert_eq!(records(&log), before);
    }
    // Nine of the clean part and one more: it gets on, batch by batch.
    let outcome = clean_with(&mut log, &mut LastN::with_room_for(10, 3));
    assert_eq!(outcome.cleaned_to.get(), clean_to + 1);
    assert_eq!(outcome.records_removed, 1);
    // A policy for the new records alone does with less.
    let outcome = clean_with(&mut log, &mut LatestByKey::with_room_for(4));
    assert_eq!(outcome.cleaned_to.get(), clean_to + 5);
}

#[test]
fn progress_counts_the_whole_log_twice_and_a_survey_says_the_same() {
    let (_dir, mut log) = cleaned_once();
    let survey = |log: &Log| log.survey(&settings(), log.end(), NOW).unwrap();
    let pace = Pace::unthrottled();
    let mut latest = LatestByKey::default();
    let bytes = survey(&log).bytes();
    survey(&log)
        .run_survey(&mut latest, &pace, &mut |_| {})
        .unwrap();
    assert!(pace.total() < 2 * bytes);
    assert_eq!(pace.done(), pace.total());
    let mut removed = Vec::new();
    let surveyed = survey(&log)
        .run_survey(&mut LastN::new(3), &pace, &mut |record| {
            removed.push(record.record.offset);
        })
        .unwrap();
    assert_eq!((pace.done(), pace.total()), (2 * bytes, 2 * bytes));
    let before = records(&log);
    let pace = Pace::unthrottled();
    let cleaned = begin(&mut log).run(&mut LastN::new(3), &pace).unwrap();
    assert_eq!((pace.done(), pace.total()), (2 * bytes, 2 * bytes));
    let outcome = log.finish_cleaning(cleaned).unwrap();
    assert_eq!(outcome.records_removed, surveyed.records_removed);
    assert_eq!(outcome.records_before, surveyed.records_before);
    let left = records(&log);
    let gone = before.iter().filter(|record| !left.contains(record));
    assert!(
        gone.map(|record| record.offset)
            .eq(removed.iter().map(|offset| offset.get()))
    );
}

/// Keeps everything; deletes the front of the log as soon as it has been shown all that can be cleaned.
struct Deleting<'a> {
    log: &'a mut Log,
    scope: ObserveScope,
    last: u64,
    retained: u64,
}

impl CompactionPolicy for Deleting<'_> {
    fn scope(&self) -> ObserveScope {
        self.scope
    }

    fn observe(&mut self, run: &[StoredBatch]) -> Result<u64, PolicyFailed> {
        let end = run.last().unwrap().header.next_offset().get();
        if end == self.last {
            // What is used is not closed, and what is open can be read although it was deleted.
            self.log.release_idle_files();
            self.log.release_idle_files();
            self.log.advance_start(offset(30)).unwrap();
        }
        Ok(run.len() as u64)
    }

    fn retain(&mut self, run: &[StoredBatch], keep: &mut Vec<u8>) -> Result<(), PolicyFailed> {
        self.retained += run.len() as u64;
        set_bits(&vec![true; run.len()], keep);
        Ok(())
    }
}

#[test]
fn what_it_saw_in_the_first_pass_it_sees_in_the_second_or_nothing_is_cleaned() {
    for scope in [ObserveScope::NewRecords, ObserveScope::WholeLog] {
        let (dir, mut log, _) = open(&RecordingIo::new(), small());
        write(&dir, &mut log, 40);
        let cleaning: Cleaning = begin(&mut log);
        let last = log.segments().last().unwrap().base.get();
        let mut policy = Deleting {
            log: &mut log,
            scope,
            last,
            retained: 0,
        };
        let ran = run(cleaning, &mut policy);
        let retained = policy.retained;
        match scope {
            ObserveScope::NewRecords => {
                log.finish_cleaning(ran.unwrap()).unwrap();
                assert!(retained < last);
            }
            ObserveScope::WholeLog => {
                assert!(matches!(ran, Err(CleaningFailed::Cancelled)), "{ran:?}");
            }
        }
        assert_eq!(records(&log).len(), 10);
        // The next one works.
        clean_with(&mut log, &mut LastN::new(3));
        assert!(shape(&records(&log)).ends_with("a39"));
    }
}
