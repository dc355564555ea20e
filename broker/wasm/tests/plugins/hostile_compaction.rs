//! A compactor that answers nonsense or is slow: the cleaning ends, everything is kept, the next one may
//! work.

use std::sync::Arc;
use std::time::Duration;

use broker_wasm::{
    BatchColumns, BytesColumn, Columns, Compactor, Limits, PluginErrorKind, PluginKind, Scope,
};

use crate::harness::engine;
use crate::subject::{behaviour, column, observe, plugin, retain};

const GO: &[Option<&[u8]>] = &[Some(b"go"), None, Some(b"b")];

fn limits() -> Limits {
    Limits {
        deadline: Duration::from_secs(1),
        ..Limits::default_for(PluginKind::Compaction)
    }
}

fn bind(how: &str, limits: Limits) -> Compactor {
    let plugin = Arc::new(plugin(PluginKind::Compaction).with_limits(limits));
    Compactor::new(engine(), &plugin, "orders", &behaviour(how), 1_000).unwrap()
}

/// A whole cleaning that fails in the second pass.
#[track_caller]
fn fails_late(how: &str, expected: &str) {
    let mut compactor = bind(how, limits());
    assert_eq!(observe(&mut compactor, GO), Ok(3));
    let error = retain(&mut compactor, GO).expect_err(how);
    assert_eq!(
        error.to_string(),
        format!("plugin hostile 6.6.6 {expected}"),
        "{how}"
    );
    // The cleaning is over, whatever is asked.
    let harmless: &[Option<&[u8]>] = &[Some(b"a")];
    assert_eq!(retain(&mut compactor, harmless), Err(error.clone()));
    assert_eq!(observe(&mut compactor, harmless), Err(error));
    assert_eq!(compactor.plugin().counters().usage().errors, 1);
}

#[test]
fn a_bitmap_has_one_bit_for_each_record() {
    let (short, long): (Vec<_>, Vec<_>) = (vec![Some(&b"go"[..]); 9], vec![Some(&b"go"[..]); 8]);
    let mut compactor = bind("late-short", limits());
    let error = retain(&mut compactor, &short).unwrap_err();
    assert_eq!(error.kind, PluginErrorKind::InvalidAnswer);
    assert_eq!(
        error.to_string(),
        "plugin hostile 6.6.6 answered nonsense: a bitmap of 1 bytes for 9 records, which take 2"
    );
    let error = retain(&mut bind("late-long", limits()), &long).unwrap_err();
    assert_eq!(
        error.message,
        "a bitmap of 2 bytes for 8 records, which take 1"
    );
    fails_late(
        "late-beyond",
        "answered nonsense: a bitmap with bits set beyond its 3 records",
    );
    fails_late(
        "late-giant",
        "answered nonsense: more bytes than an answer, its refusals and log lines may have",
    );
}

#[test]
fn it_cannot_take_in_more_than_there_is() {
    let error = observe(&mut bind("takes-too-much", limits()), GO).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin hostile 6.6.6 answered nonsense: it took in 4 records of 3"
    );
}

#[test]
fn a_failure_in_the_second_pass_ends_the_cleaning() {
    let mut compactor = bind("late-panic", limits());
    assert_eq!(observe(&mut compactor, GO), Ok(3));
    let error = retain(&mut compactor, GO).unwrap_err();
    assert_eq!(error.kind, PluginErrorKind::Trapped);
    assert!(error.message.ends_with(": too late"), "{error}");
    let brief = Limits {
        deadline: Duration::from_millis(20),
        ..limits()
    };
    let error = retain(&mut bind("late-loop", brief), GO).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin hostile 6.6.6 timed out: used more than 20ms of processor time for one call"
    );
}

#[test]
fn all_calls_of_a_cleaning_share_one_budget() {
    let small = Limits {
        budget: Duration::from_millis(20),
        ..limits()
    };
    let mut compactor = bind("spin", small);
    let harmless: &[Option<&[u8]>] = &[Some(b"a")];
    let mut calls = 0_u32;
    let error = loop {
        match observe(&mut compactor, harmless) {
            Ok(_) => calls += 1,
            Err(error) => break error,
        }
        assert!(calls < 1_000_000, "it never ends");
    };
    assert!(calls > 1, "each call by itself is well below the budget");
    assert_eq!(error.kind, PluginErrorKind::OverBudget);
    assert_eq!(
        error.to_string(),
        "plugin hostile 6.6.6 used up its budget: used more than 20ms of processor time for one cleaning"
    );
    assert_eq!(observe(&mut compactor, harmless), Err(error));
    // The next cleaning has its own.
    let plugin = Arc::clone(compactor.plugin());
    let mut next = Compactor::new(engine(), &plugin, "orders", &behaviour("spin"), 0).unwrap();
    assert_eq!(observe(&mut next, harmless), Ok(1));
    assert_eq!(plugin.state("orders"), broker_wasm::PluginState::Active);
}

#[test]
fn a_loop_ends_with_the_budget_if_that_is_shorter_than_the_deadline() {
    let small = Limits {
        budget: Duration::from_millis(10),
        ..limits()
    };
    let error = observe(&mut bind("loop", small), GO).unwrap_err();
    assert_eq!(error.kind, PluginErrorKind::OverBudget);
}

#[test]
fn observing_stops_where_the_memory_of_the_policy_is_full() {
    let keys = keys(30_000);
    let mut compactor = bind("full-at-20000", limits());
    // Two parts of 16,384; the second is taken in up to the 20,000th record, the rest is not shown.
    assert_eq!(with(&keys, |batch| compactor.observe(batch)), Ok(20_000));
    let mut small = bind("full-at-20000", limits());
    assert_eq!(
        with(&self::keys(16_384), |batch| small.observe(batch)),
        Ok(16_384)
    );
    assert_eq!(with(&keys, |batch| small.observe(batch)), Ok(3_616));
    assert_eq!(small.plugin().counters().usage().calls, 2);
}

#[test]
fn a_large_batch_goes_in_parts_with_the_same_bitmap() {
    // Keys of 100 bytes make parts that do not end at whole bytes of the bitmap.
    let rows: Vec<Vec<u8>> = (0..30_000).map(|row| vec![7; 100 + row % 3]).collect();
    let keys: BytesColumn = rows.iter().map(|row| Some(&row[..])).collect();
    let mut compactor = bind("every-third", limits());
    let mut keep = Vec::new();
    with(&keys, |batch| compactor.retain(batch, &mut keep)).unwrap();
    assert_eq!(keep.len(), 30_000 / 8);
    for row in 0..30_000_usize {
        let kept = keep[row / 8] >> (row % 8) & 1 == 1;
        assert_eq!(kept, (row + 70) % 3 == 0, "row {row}");
    }
    assert!(compactor.plugin().counters().usage().calls > 3);
}

#[test]
fn it_is_given_the_columns_it_asks_for() {
    assert_eq!(bind("", limits()).needs(), Columns::KEYS);
    assert_eq!(column(&[None]).len(), 1);
}

#[test]
fn it_says_what_the_first_pass_has_to_show() {
    assert_eq!(bind("", limits()).scope(), Scope::NewRecords);
    assert_eq!(bind("whole-log", limits()).scope(), Scope::WholeLog);
    let plugin = Arc::new(plugin(PluginKind::Compaction));
    let options = behaviour("panic-about-scope");
    let error = Compactor::new(engine(), &plugin, "orders", &options, 0).err();
    let error = error.expect("it is asked while it is made");
    assert_eq!(error.kind, PluginErrorKind::Trapped);
    assert!(error.message.ends_with(": no scope"), "{error}");
    assert!(plugin.check_config(engine(), "orders", &options).is_err());
}

fn keys(records: usize) -> BytesColumn {
    (0..records).map(|_| Some(&b"a"[..])).collect()
}

fn with<R>(keys: &BytesColumn, ask: impl FnOnce(&BatchColumns<'_>) -> R) -> R {
    let records = u32::try_from(keys.len()).unwrap();
    let offset_deltas: Vec<u32> = (0..records).collect();
    ask(&BatchColumns {
        records,
        base_offset: 70,
        offset_deltas: &offset_deltas,
        keys: Some(keys),
        ..BatchColumns::default()
    })
}
