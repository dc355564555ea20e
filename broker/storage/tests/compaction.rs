//! Cleanings: what stays, what goes, when one is due, and what is never touched.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cleaning;
mod support;

use broker_model::LeaderEpoch;
use broker_record::{Codec, ProducerState, StoredBatch, TimestampType};
use broker_storage::io::recording::RecordingIo;
use broker_storage::{CompactionPolicy, Log, LogConfig, Pace, PolicyFailed, ReadLimit};
use cleaning::{
    KeepIf, Keyed, LatestByKey, NOW, append_batch, clean, clean_with, delete, keyed_batch, put,
    records, records_from, settings, settle, shape,
};
use support::{at, offset, open, partition_dir, small};

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
        &mut KeepIf(|record: &Keyed| record.offset.is_multiple_of(5)),
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

/// Notes how large the runs were that it was shown.
#[derive(Default)]
struct Measuring {
    runs: Vec<(usize, u32)>,
}

impl Measuring {
    fn note(&mut self, run: &[StoredBatch]) {
        let bytes = run.iter().map(|batch| batch.header.batch_len()).sum();
        let records = run.iter().map(|batch| batch.header.record_count).sum();
        self.runs.push((bytes, records));
    }
}

impl CompactionPolicy for Measuring {
    fn observe(&mut self, run: &[StoredBatch]) -> Result<u64, PolicyFailed> {
        self.note(run);
        let records = run.iter().map(|batch| u64::from(batch.header.record_count));
        Ok(records.sum())
    }

    fn retain(&mut self, run: &[StoredBatch], keep: &mut Vec<u8>) -> Result<(), PolicyFailed> {
        self.note(run);
        keep.resize(1 << 17, 0xff);
        Ok(())
    }
}

#[test]
fn a_policy_is_shown_runs_of_about_a_mebibyte() {
    let io = RecordingIo::new();
    let config = LogConfig {
        segment_bytes: 4 << 20,
        ..LogConfig::default()
    };
    let (dir, mut log, _) = open(&io, config);
    let large = ".".repeat(30_000);
    for _ in 0..100 {
        let batch = keyed_batch(&[(Some("a"), Some(&large))], 1_000, Codec::None);
        append_batch(&mut log, batch);
    }
    for _ in 0..50 {
        append_batch(
            &mut log,
            keyed_batch(&[(Some("a"), None); 1_000], 1_000, Codec::None),
        );
    }
    let whole = ".".repeat(1_000_000);
    for _ in 0..5 {
        append_batch(
            &mut log,
            keyed_batch(&[(Some("a"), Some(&whole))], 1_000, Codec::None),
        );
    }
    settle(&dir, &mut log);
    let mut policy = Measuring::default();
    clean_with(&mut log, &mut policy);
    assert!(policy.runs.len() > 10, "{:?}", policy.runs);
    for (bytes, records) in policy.runs {
        assert!(
            bytes < (2 << 20) && records < 16_384 + 1_000,
            "{bytes} {records}"
        );
    }
}
