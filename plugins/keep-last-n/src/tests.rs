//! The choice of records, with tombstones and with a part that was cleaned before.

use super::*;

/// Each record is a key, with `!` for a tombstone.
fn kept(n: &str, records: &[&str], dirty_from: usize) -> Vec<usize> {
    let config = Config::new("orders", [("n", n)]);
    let mut policy = KeepLastN::new(&config, &Environment::at(0)).unwrap();
    let batch = |range: std::ops::Range<usize>| {
        let records = &records[range.clone()];
        let keys = records
            .iter()
            .map(|record| Some(record.trim_end_matches('!')));
        let lens = records
            .iter()
            .map(|record| (!record.ends_with('!')).then_some(1));
        let offsets = range.map(|row| row as u64 + 10);
        Batch::from_keys(keys)
            .with_value_lens(lens)
            .with_offsets(offsets)
    };
    let dirty = batch(dirty_from..records.len());
    assert_eq!(policy.observe(&dirty), dirty.len());
    policy.retain(&batch(0..records.len())).kept().collect()
}

#[test]
fn the_last_n_of_each_key_stay() {
    let records = ["a", "b", "a", "a", "b", "a", "c"];
    assert_eq!(kept("1", &records, 0), [4, 5, 6]);
    assert_eq!(kept("2", &records, 0), [1, 3, 4, 5, 6]);
    assert_eq!(kept("9", &records, 0), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_tombstone_hides_everything_before_it() {
    assert_eq!(kept("3", &["a", "a!", "a", "a!", "a", "b"], 0), [3, 4, 5]);
    assert_eq!(kept("1", &["a", "a!"], 0), [1]);
    assert_eq!(kept("1", &["a!", "a"], 0), [1]);
}

#[test]
fn what_an_earlier_cleaning_left_never_goes_too_early() {
    assert_eq!(kept("2", &["a", "a", "a"], 2), [0, 1, 2]);
    assert_eq!(kept("2", &["a", "a", "a", "a"], 2), [2, 3]);
    assert_eq!(kept("2", &["a", "b", "a!"], 2), [1, 2]);
}

#[test]
fn a_wrong_configuration_is_refused() {
    for option in [("n", "0"), ("n", "-1"), ("m", "1")] {
        assert!(KeepLastN::new(&Config::new("t", [option]), &Environment::at(0)).is_err());
    }
}
