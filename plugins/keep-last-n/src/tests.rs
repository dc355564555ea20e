//! The choice of records, with tombstones, and over several cleanings.

use super::*;

/// Each record is a key, with `!` for a tombstone.
fn kept(n: &str, records: &[&str]) -> Vec<usize> {
    let config = Config::new("orders", [("n", n)]);
    let mut policy = KeepLastN::new(&config, &Environment::at(0)).unwrap();
    assert_eq!(policy.scope(), Scope::WholeLog);
    let keys = records
        .iter()
        .map(|record| Some(record.trim_end_matches('!')));
    let lens = records
        .iter()
        .map(|record| (!record.ends_with('!')).then_some(1));
    let batch = Batch::from_keys(keys)
        .with_value_lens(lens)
        .with_offsets((10..).take(records.len()));
    assert_eq!(policy.observe(&batch), batch.len());
    policy.retain(&batch).kept().collect()
}

/// What is left of the log after a cleaning behind each of the pieces that are written to it.
fn cleaned<'a>(n: &str, pieces: &[&[&'a str]]) -> Vec<&'a str> {
    let mut log = Vec::new();
    for piece in pieces {
        log.extend_from_slice(piece);
        log = kept(n, &log).into_iter().map(|row| log[row]).collect();
    }
    log
}

#[test]
fn the_last_n_of_each_key_stay() {
    let records = ["a", "b", "a", "a", "b", "a", "c"];
    assert_eq!(kept("1", &records), [4, 5, 6]);
    assert_eq!(kept("2", &records), [1, 3, 4, 5, 6]);
    assert_eq!(kept("9", &records), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_tombstone_hides_everything_before_it() {
    assert_eq!(kept("3", &["a", "a!", "a", "a!", "a", "b"]), [3, 4, 5]);
    assert_eq!(kept("1", &["a", "a!"]), [1]);
    assert_eq!(kept("1", &["a!", "a"]), [1]);
}

#[test]
fn what_an_earlier_cleaning_left_counts() {
    assert_eq!(cleaned("2", &[&["a", "a", "b"], &["a"]]), ["a", "b", "a"]);
    let pieces: [&[&str]; 3] = [&["a", "a", "a", "b"], &["a", "b", "c"], &["c", "a"]];
    assert_eq!(cleaned("3", &pieces), ["a", "b", "a", "b", "c", "c", "a"]);
    assert_eq!(cleaned("1", &pieces), ["b", "c", "a"]);
}

#[test]
fn a_tombstone_counts_and_hides_what_an_earlier_cleaning_left() {
    assert_eq!(cleaned("3", &[&["a", "a", "b"], &["a!"]]), ["b", "a!"]);
    assert_eq!(cleaned("3", &[&["a", "a!"], &["a", "a"]]), ["a!", "a", "a"]);
    assert_eq!(cleaned("2", &[&["a", "a!"], &["a", "a"]]), ["a", "a"]);
    assert_eq!(cleaned("2", &[&["a!"], &["a"], &["a!"]]), ["a!"]);
}

#[test]
fn it_stops_before_its_memory_is_full_and_takes_nothing_that_it_counted_too_little() {
    let environment = Environment {
        memory_bytes: 3 << 20,
        ..Environment::at(0)
    };
    let mut policy = KeepLastN::new(&Config::default(), &environment).unwrap();
    let keys: Vec<_> = (0..100_000)
        .map(|number: u32| Some((number / 2).to_be_bytes()))
        .collect();
    let batch = Batch::from_keys(keys)
        .with_value_lens((0..100_000).map(|_| Some(1)))
        .with_offsets(0..100_000);
    let taken = policy.observe(&batch);
    assert!((2_000..100_000).contains(&taken), "{taken}");
    let kept: Vec<usize> = policy.retain(&batch).kept().collect();
    assert!(kept.iter().all(|row| *row >= taken || row % 2 == 1));
    assert_eq!(kept.len(), 100_000 - taken / 2);
}

#[test]
fn a_wrong_configuration_is_refused() {
    for option in [("n", "0"), ("n", "-1"), ("m", "1")] {
        assert!(KeepLastN::new(&Config::new("t", [option]), &Environment::at(0)).is_err());
    }
}
