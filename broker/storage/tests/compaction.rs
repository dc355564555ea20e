//! Cleanings: what stays, what goes, when one is due, and what is never touched.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cleaning;
mod support;

use std::time::Duration;

use broker_model::{Clock, LeaderEpoch};
use broker_record::{Codec, ProducerState, TimestampType};
use broker_storage::io::recording::RecordingIo;
use broker_storage::{
    CleaningFailed, CompactionSettings, DueReason, Log, LogConfig, Pace, ReadLimit,
};
use cleaning::{
    KeepIf, Keyed, LatestByKey, NOW, append_batch, begin, clean, clean_with, delete, keyed_batch,
    put, records, records_from, run, settings, settle, shape,
};
use support::{at, clocked, offset, open, partition_dir, small, sync};

fn findings(io: &RecordingIo) -> Vec<String> {
    let mut findings = Vec::new();
    let found = broker_storage::inspect::verify_partition(io, &partition_dir(), &mut |finding| {
        findings.push(finding.to_string());
    });
    found.unwrap();
    findings
}

/// Rounds of the keys a, b and c, one record a batch.
fn rounds(log: &mut Log, range: std::ops::Range<u32>) {
    for round in range {
        for key in ["a", "b", "c"] {
            put(log, key, &round.to_string());
        }
    }
}

#[test]
fn the_newest_record_of_every_key_stays_where_it_was() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    rounds(&mut log, 0..12);
    delete(&mut log, "c");
    settle(&dir, &mut log);
    let active = log.segments().pop().unwrap();
    let before = records(&log);
    let outcome = clean(&mut log);
    let after = records(&log);
    assert!(after.iter().all(|record| before.contains(record)));
    let (cleaned, untouched): (Vec<_>, Vec<_>) = after
        .iter()
        .cloned()
        .partition(|record| record.offset < active.base.get());
    assert_eq!(shape(&cleaned), "a10 b10 c10", "{}", shape(&after));
    assert_eq!(
        untouched.len() as u64,
        active.next.get() - active.base.get()
    );
    assert_eq!(log.segments().last(), Some(&active));
    assert_eq!((outcome.segments_before, outcome.segments_after), (3, 1));
    assert_eq!(outcome.records_before, active.base.get());
    assert_eq!(outcome.records_removed, active.base.get() - 3);
    assert_eq!(outcome.bytes_after, log.segments()[0].bytes);
    assert_eq!(outcome.cleaned_to, active.base);
    drop((log, dir));
    let (_dir, log, report) = open(&io.after_kill(), small());
    assert_eq!(report.corruption, []);
    assert_eq!(records(&log), after);
}

#[test]
fn null_keys_stay_and_everything_may_go() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    for round in 0..20 {
        append_batch(
            &mut log,
            keyed_batch(&[(None, Some("x"))], 1_000 + round, Codec::Lz4),
        );
        put(&mut log, "a", "1");
    }
    settle(&dir, &mut log);
    let base = log.segments().pop().unwrap().base.get();
    clean(&mut log);
    let nulls = records(&log)
        .into_iter()
        .filter(|record| record.key.is_none());
    assert_eq!(nulls.count(), 20);
    let outcome = clean_with(&mut log, &mut KeepIf(|_: &Keyed| false));
    assert_eq!(outcome.segments_after, 1);
    assert!(records(&log).iter().all(|record| record.offset >= base));
    // One batch without records stands for all of it: readers find their way.
    let slice = log
        .read(offset(0), log.end(), ReadLimit::OneBatchOr(1))
        .unwrap();
    assert_eq!((slice.len(), slice.next_offset().get()), (69, base));
    assert_eq!(findings(&io.after_kill()), Vec::<String>::new());
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
fn small_segments_are_grouped_and_large_ones_split_again() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    for number in 0..60 {
        put(&mut log, &format!("{number:02}"), "x");
    }
    settle(&dir, &mut log);
    let before = records(&log);
    assert_eq!(log.segments().len(), 6);
    log.set_config(LogConfig {
        segment_bytes: 6_000,
        ..small()
    });
    let outcome = clean(&mut log);
    assert_eq!((outcome.segments_before, outcome.segments_after), (5, 2));
    assert!(log.segments().iter().all(|segment| segment.bytes <= 6_000));
    assert_eq!(records(&log), before);
    log.set_config(LogConfig {
        segment_bytes: 1_000,
        ..small()
    });
    let outcome = clean(&mut log);
    assert_eq!((outcome.segments_before, outcome.segments_after), (2, 11));
    assert_eq!((outcome.records_removed, outcome.records_before), (0, 55));
    assert_eq!(records(&log), before);
    // Cut as they are, with nothing to take out: nothing is replaced.
    let operations = io.operation_count();
    clean(&mut log);
    let renamed = io.operations().split_off(operations as usize);
    let renames = renamed.iter().filter(|operation| {
        matches!(operation, broker_storage::io::recording::Operation::Rename { from, .. }
            if from.extension().is_some_and(|extension| extension == "cleaned"))
    });
    assert_eq!(renames.count(), 0);
    assert_eq!(findings(&io.after_kill()), Vec::<String>::new());
    drop((log, dir));
    let (_dir, log, report) = open(&io.after_kill(), small());
    assert_eq!(report.corruption, []);
    assert_eq!(records(&log), before);
}

#[test]
fn leader_epochs_are_found_again_where_they_began() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    for number in 0..40_u32 {
        let value = format!("{number:.<100}");
        let batch = keyed_batch(&[(Some("a"), Some(&value))], 1_000, Codec::None);
        log.append(&mut [batch], LeaderEpoch::new(number / 7), at(5))
            .unwrap();
    }
    settle(&dir, &mut log);
    clean_with(
        &mut log,
        &mut KeepIf(|record: &Keyed| record.offset % 10 == 3),
    );
    let epochs = log.leader_epochs().clone();
    assert_eq!(epochs.entries().len(), 6);
    log.close().unwrap();
    dir.close_clean().unwrap();
    drop(dir);
    let io = io.after_kill();
    let file = partition_dir().join("leader-epoch-checkpoint");
    broker_storage::io::Io::remove_file(&*io, &file).unwrap();
    let (_dir, log, _) = open(&io, small());
    assert_eq!(log.leader_epochs(), &epochs);
}

#[test]
fn a_batch_of_an_idempotent_producer_keeps_its_sequences() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    let value = format!("{:.<100}", "");
    for sequence in 0..20 {
        let mut batch = keyed_batch(&[(Some("a"), Some(value.as_str())); 2], 1_000, Codec::Zstd);
        batch.header.producer = Some(ProducerState {
            id: 7,
            epoch: 0,
            base_sequence: 2 * sequence,
        });
        append_batch(&mut log, batch);
    }
    rounds(&mut log, 0..8);
    settle(&dir, &mut log);
    clean_with(
        &mut log,
        &mut KeepIf(|record: &Keyed| record.offset % 5 == 0),
    );
    let slice = log
        .read(offset(0), log.end(), ReadLimit::OneBatchOr(5_000))
        .unwrap();
    let batches = broker_record::Batches::new(slice.read().unwrap());
    let mut seen = 0;
    for batch in batches.map(Result::unwrap) {
        let header = batch.header;
        let Some(producer) = header.producer else {
            continue;
        };
        assert_eq!(header.last_offset_delta, 1);
        assert_eq!(
            u64::from(producer.base_sequence.unsigned_abs()),
            header.base_offset.get()
        );
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn append_times_are_kept() {
    let io = RecordingIo::new();
    let config = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..small()
    };
    let (dir, mut log, _) = open(&io, config);
    for number in 0..30 {
        let value = format!("{number:.<100}");
        let batch = keyed_batch(
            &[(Some("a"), Some(&value)), (Some("b"), None)],
            1,
            Codec::Gzip,
        );
        log.append(&mut [batch], LeaderEpoch::new(1), at(7_000 + number))
            .unwrap();
    }
    settle(&dir, &mut log);
    let before = records(&log);
    clean_with(
        &mut log,
        &mut KeepIf(|record: &Keyed| record.offset % 4 == 1),
    );
    let after = records(&log);
    assert!(after.len() < before.len());
    assert!(after.iter().all(|record| before.contains(record)));
    let found = log.offset_for_timestamp(at(7_003), log.end()).unwrap();
    assert_eq!(found, Some((offset(9), at(7_004))));
}

#[test]
fn a_survey_says_what_a_cleaning_then_does_and_writes_nothing() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    rounds(&mut log, 0..30);
    delete(&mut log, "b");
    rounds(&mut log, 30..40);
    settle(&dir, &mut log);
    let before = records(&log);
    let operations = io.operation_count();
    let mut removed = Vec::new();
    let survey = log.survey(&settings(), log.end(), NOW).unwrap();
    let pace = Pace::unthrottled();
    let summary = survey.run_survey(&mut LatestByKey::default(), &pace, &mut |gone| {
        removed.push(gone.record.offset.get());
    });
    assert_eq!(io.operation_count(), operations);
    assert_eq!(pace.done(), pace.total());
    assert!(!log.cleaning_state(&settings(), log.end(), NOW).under_way);
    let outcome = clean(&mut log);
    assert_eq!(summary.unwrap(), outcome);
    let after = records(&log);
    let gone = before.iter().filter(|record| !after.contains(record));
    assert_eq!(
        gone.map(|record| record.offset).collect::<Vec<_>>(),
        removed
    );
    assert_eq!(removed.len() as u64, outcome.records_removed);
}

#[test]
fn deleted_records_are_cleaned_away_and_the_start_stays() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    rounds(&mut log, 0..20);
    settle(&dir, &mut log);
    log.advance_start(offset(15)).unwrap();
    let state = log.cleaning_state(&settings(), log.end(), NOW);
    assert_eq!(
        (state.first_dirty, state.clean_bytes > 0),
        (offset(15), true)
    );
    clean(&mut log);
    assert_eq!(log.start(), offset(15));
    let base = log.segments().pop().unwrap().base.get();
    let cleaned = records_from(&log, offset(15));
    assert_eq!(
        cleaned.iter().filter(|record| record.offset < base).count(),
        3
    );
}
