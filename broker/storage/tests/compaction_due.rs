//! When a cleaning is due, how far it goes, and when tombstones go.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cleaning;
mod support;

use std::time::Duration;

use broker_model::Clock;
use broker_record::Codec;
use broker_storage::io::recording::RecordingIo;
use broker_storage::{CleaningFailed, CompactionSettings, DueReason, Log, LogConfig, Pace};
use cleaning::{
    KeepIf, Keyed, LatestByKey, NOW, append_batch, begin, clean, clean_with, delete, keyed_batch,
    put, records, run, settings, settle, shape,
};
use support::{at, clocked, offset, open, small, sync};

/// Rounds of the keys a, b and c, one record a batch.
fn rounds(log: &mut Log, range: std::ops::Range<u32>) {
    for round in range {
        for key in ["a", "b", "c"] {
            put(log, key, &round.to_string());
        }
    }
}

#[test]
fn a_tombstone_stays_for_its_time_after_the_cleaning_that_first_covered_it() {
    let (_io, clock, dir, mut log) = clocked(small());
    let hour = Duration::from_secs(3_600);
    let clean_now = |log: &mut Log| {
        let end = log.end();
        let cleaning = log.force_cleaning(&settings(), end, clock.now()).unwrap();
        let cleaned = run(cleaning, &mut LatestByKey::default()).unwrap();
        log.finish_cleaning(cleaned).unwrap()
    };
    let fill = |log: &mut Log, key: &str| {
        for _ in 0..11 {
            put(log, key, "x");
        }
        settle(&dir, log);
    };
    let has = |log: &Log, key: &str| {
        let tombstones = records(log).into_iter().filter(Keyed::is_tombstone);
        tombstones
            .filter(|record| record.key.as_deref() == Some(key.as_bytes()))
            .count()
            == 1
    };
    put(&mut log, "a", "1");
    delete(&mut log, "a");
    fill(&mut log, "x");
    clock.advance(hour * 5);
    assert_eq!(
        clean_now(&mut log).tombstones_removed,
        0,
        "its time begins with the first cleaning"
    );
    delete(&mut log, "b");
    fill(&mut log, "y");
    clock.advance(hour / 2);
    clean_now(&mut log);
    clock.advance(hour / 2 - Duration::from_millis(1));
    clean_now(&mut log);
    assert!(
        has(&log, "a") && has(&log, "b"),
        "{}",
        shape(&records(&log))
    );
    clock.advance(Duration::from_millis(1));
    assert_eq!(clean_now(&mut log).tombstones_removed, 1);
    assert!(
        !has(&log, "a") && has(&log, "b"),
        "{}",
        shape(&records(&log))
    );
    // A restart does not forget what was covered when.
    drop(log);
    let (mut log, _) = support::open_log(&dir, small());
    clock.advance(hour / 2);
    assert_eq!(clean_now(&mut log).tombstones_removed, 1);
    assert!(!has(&log, "b"));
    assert_eq!(
        log.cleaning_state(&settings(), log.end(), clock.now())
            .cleanings,
        5
    );
}

#[test]
fn a_cleaning_is_due_from_the_dirty_ratio_on() {
    let io = RecordingIo::new();
    // Batches of one size, ten a segment.
    let (dir, mut log, _) = open(
        &io,
        LogConfig {
            segment_bytes: 1_900,
            ..small()
        },
    );
    let keys: Vec<String> = (0..1_000).map(|key| format!("{key:04}")).collect();
    let fill = |log: &mut Log, keys: &[String]| {
        keys.iter().for_each(|key| put(log, key, "x"));
        sync(&dir, log);
    };
    let ratio = |min_dirty_ratio| CompactionSettings {
        min_dirty_ratio,
        ..settings()
    };
    let state = |log: &Log| log.cleaning_state(&ratio(0.5), log.end(), NOW);
    fill(&mut log, &keys[..511]);
    assert_eq!((state(&log).ratio, state(&log).clean_bytes), (1.0, 0));
    assert_eq!(state(&log).due, Some(DueReason::DirtyRatio));
    clean(&mut log);
    let clean_bytes = state(&log).clean_bytes;
    assert_eq!((state(&log).dirty_bytes, state(&log).due), (0, None));
    assert_eq!(state(&log).last_cleaned, Some(NOW));
    // 510 clean records; 490 dirty ones are 0.49 of all, 510 are 0.5.
    fill(&mut log, &keys[511..]);
    fill(&mut log, &keys[..1]);
    assert_eq!(state(&log).clean_bytes, clean_bytes);
    assert_eq!(state(&log).ratio, 0.49);
    let end = log.end();
    assert!(log.begin_cleaning(&ratio(0.5), end, NOW).is_none());
    assert!(log.begin_cleaning(&ratio(0.491), end, NOW).is_none());
    assert!(log.begin_cleaning(&ratio(0.49), end, NOW).is_some());
    fill(&mut log, &keys[..20]);
    assert_eq!(state(&log).ratio, 0.5);
    let end = log.end();
    assert!(log.begin_cleaning(&ratio(0.501), end, NOW).is_none());
    assert!(log.begin_cleaning(&ratio(0.5), end, NOW).is_some());
}

#[test]
fn records_younger_than_the_min_lag_are_left_alone() {
    let (_io, clock, dir, mut log) = clocked(small());
    let begin_at = clock.now().as_millis();
    for number in 0..35 {
        let value = format!("{number:.<100}");
        let stamp = begin_at + number * 1_000;
        append_batch(
            &mut log,
            keyed_batch(&[(Some("a"), Some(&value))], stamp, Codec::None),
        );
    }
    settle(&dir, &mut log);
    clock.advance(Duration::from_secs(30));
    let lag = |seconds| CompactionSettings {
        min_lag: Duration::from_secs(seconds),
        ..settings()
    };
    let covered = |log: &Log, seconds| {
        let end = log.end();
        let survey = log.survey(&lag(seconds), end, clock.now());
        survey.map_or(0, |survey| {
            let pace = Pace::unthrottled();
            let outcome = survey.run_survey(&mut LatestByKey::default(), &pace, &mut |_| {});
            outcome.unwrap().cleaned_to.get()
        })
    };
    let segments = log.segments();
    assert_eq!(covered(&log, 0), segments[2].next.get());
    // Record n is 30 - n seconds old; the newest of a segment counts.
    let age = |segment: usize| 31 - segments[segment].next.get();
    assert_eq!(covered(&log, age(1)), segments[1].next.get());
    assert_eq!(covered(&log, age(1) + 1), segments[0].next.get());
    assert_eq!(covered(&log, age(0) + 1), 0);
    clock.set_wall(at(begin_at + 10 * 3_600_000));
    assert_eq!(
        covered(&log, 22),
        0,
        "a jump of the wall clock makes nothing old"
    );
}

#[test]
fn a_record_that_has_waited_for_the_max_lag_makes_a_cleaning_due() {
    let (_io, clock, dir, mut log) = clocked(small());
    let fill = |log: &mut Log, count: u32| {
        for number in 0..count {
            let value = format!("{number:.<100}");
            let key = format!("{number}");
            let stamp = clock.now().as_millis();
            append_batch(
                log,
                keyed_batch(&[(Some(&key), Some(&value))], stamp, Codec::None),
            );
        }
        settle(&dir, log);
    };
    fill(&mut log, 65);
    let end = log.end();
    let cleaning = log.force_cleaning(&settings(), end, clock.now()).unwrap();
    let cleaned = run(cleaning, &mut LatestByKey::default()).unwrap();
    log.finish_cleaning(cleaned).unwrap();
    clock.advance(Duration::from_secs(50));
    fill(&mut log, 16);
    let state = |log: &Log, seconds| {
        let settings = CompactionSettings {
            max_lag: Some(Duration::from_secs(seconds)),
            ..settings()
        };
        log.cleaning_state(&settings, log.end(), clock.now()).due
    };
    // The first dirty segment begins with records of the first fill, which are 50 seconds old.
    assert_eq!(state(&log, 50), None);
    assert_eq!(state(&log, 49), Some(DueReason::MaxLag));
    clock.advance(Duration::from_millis(1));
    assert_eq!(state(&log, 50), Some(DueReason::MaxLag));
    assert_eq!(state(&log, 51), None);
}

#[test]
fn nothing_at_or_above_the_high_watermark_or_the_recovery_point_is_touched() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    rounds(&mut log, 0..12);
    let end = log.end();
    assert!(
        log.force_cleaning(&settings(), end, NOW).is_none(),
        "nothing is durable"
    );
    settle(&dir, &mut log);
    rounds(&mut log, 12..24);
    let segments = log.segments();
    let durable = log.durable_end();
    let within = segments
        .iter()
        .rposition(|segment| segment.base < durable)
        .unwrap();
    let below = |log: &mut Log, high_watermark| {
        let cleaning = log.force_cleaning(&settings(), high_watermark, NOW)?;
        let cleaned = run(cleaning, &mut LatestByKey::default()).unwrap();
        Some(cleaned.outcome().cleaned_to)
    };
    assert_eq!(below(&mut log, end.plus(100)), Some(segments[within].base));
    assert_eq!(below(&mut log, segments[1].next), Some(segments[1].next));
    assert_eq!(
        below(&mut log, offset(segments[1].next.get() - 1)),
        Some(segments[0].next)
    );
    assert_eq!(below(&mut log, offset(3)), None);
    assert_eq!(log.segments(), segments, "none of them was finished");
}

#[test]
fn a_policy_with_little_memory_gets_on_cleaning_by_cleaning() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    rounds(&mut log, 0..40);
    settle(&dir, &mut log);
    let goal = log.segments().pop().unwrap().base;
    let mut cleanings = 0;
    loop {
        let mut policy = LatestByKey::with_room_for(25);
        let outcome = clean_with(&mut log, &mut policy);
        assert!(policy.observed <= 25);
        cleanings += 1;
        let state = log.cleaning_state(&settings(), log.end(), NOW);
        assert_eq!(state.first_dirty, outcome.cleaned_to);
        assert_eq!(state.cleanings, cleanings);
        if outcome.cleaned_to == goal {
            break;
        }
        assert_eq!(outcome.cleaned_to.get(), cleanings * 25);
        assert!(state.dirty_bytes > 0 && state.clean_bytes > 0);
    }
    assert_eq!(cleanings, goal.get().div_ceil(25));
    let below = records(&log)
        .into_iter()
        .filter(|record| record.offset < goal.get());
    assert_eq!(below.count(), 3);
    rounds(&mut log, 0..20);
    settle(&dir, &mut log);
    append_batch(
        &mut log,
        keyed_batch(&[(Some("a"), Some("1")); 30], 1_000, Codec::None),
    );
    rounds(&mut log, 0..20);
    settle(&dir, &mut log);
    let failed = loop {
        let cleaning = begin(&mut log);
        match run(cleaning, &mut LatestByKey::with_room_for(29)) {
            Ok(cleaned) => drop(log.finish_cleaning(cleaned).unwrap()),
            Err(failed) => break failed,
        }
    };
    assert!(
        matches!(
            failed,
            CleaningFailed::TookTooLittle {
                taken: 29,
                records: 30
            }
        ),
        "{failed}"
    );
}

#[test]
fn what_was_cleaned_by_another_policy_can_be_cleaned_anew() {
    let (_io, clock, dir, mut log) = clocked(small());
    rounds(&mut log, 0..20);
    settle(&dir, &mut log);
    clean_with(&mut log, &mut KeepIf(|_: &Keyed| true));
    let state = |log: &Log| log.cleaning_state(&settings(), log.end(), clock.now());
    assert_eq!((state(&log).dirty_bytes, state(&log).due), (0, None));
    let removed = |cleaning: Option<broker_storage::Cleaning>| {
        let mut policy = LatestByKey::default();
        let survey = cleaning.unwrap();
        let summary = survey.run_survey(&mut policy, &Pace::unthrottled(), &mut |_| {});
        summary.unwrap().records_removed
    };
    let (end, now) = (log.end(), clock.now());
    assert_eq!(removed(log.survey(&settings(), end, now)), 0);
    let foretold = removed(log.survey_anew(&settings(), end, now));
    assert!(foretold > 40, "{foretold}");

    let under_way = run(begin(&mut log), &mut LatestByKey::default()).unwrap();
    log.forget_cleanings().unwrap();
    log.finish_cleaning(under_way)
        .expect_err("its policy is of yesterday");
    assert_eq!(state(&log).clean_bytes, 0);
    assert_eq!(state(&log).due, Some(DueReason::DirtyRatio));
    drop(log);
    let (mut log, _) = support::open_log(&dir, small());
    assert_eq!(state(&log).due, Some(DueReason::DirtyRatio));
    assert!(log.last_cleaned().is_some());
    assert_eq!(clean(&mut log).records_removed, foretold);
    assert_eq!(state(&log).due, None);
}
