//! The choice of records, with and without a part that was cleaned before, and the end of the memory.

use super::*;

fn kept(keys: &[Option<&str>], dirty_from: usize) -> Vec<usize> {
    let mut policy = LatestByKey::new(&Config::default(), &Environment::at(0)).unwrap();
    let batch = |range: std::ops::Range<usize>| {
        let offsets = range.clone().map(|row| row as u64 * 3);
        Batch::from_keys(keys[range].iter().copied()).with_offsets(offsets)
    };
    let dirty = batch(dirty_from..keys.len());
    assert_eq!(policy.observe(&dirty), dirty.len());
    policy.retain(&batch(0..keys.len())).kept().collect()
}

#[test]
fn the_newest_record_of_each_key_stays() {
    let keys = [
        Some("a"),
        Some("b"),
        Some("a"),
        Some(""),
        Some("b"),
        Some("a"),
    ];
    assert_eq!(kept(&keys, 0), [3, 4, 5]);
}

#[test]
fn records_without_a_key_stay() {
    assert_eq!(kept(&[None, Some("a"), None, Some("a")], 0), [0, 2, 3]);
}

#[test]
fn what_was_cleaned_before_goes_when_a_newer_record_came() {
    let keys = [Some("a"), Some("b"), Some("c"), Some("b")];
    assert_eq!(kept(&keys, 3), [0, 2, 3]);
}

#[test]
fn it_stops_before_its_memory_is_full() {
    let environment = Environment {
        memory_bytes: 4 << 20,
        ..Environment::at(0)
    };
    let mut policy = LatestByKey::new(&Config::default(), &environment).unwrap();
    let keys: Vec<_> = (0..100_000)
        .map(|number: u32| Some(number.to_be_bytes()))
        .collect();
    let batch = Batch::from_keys(keys).with_offsets(0..100_000);
    let taken = policy.observe(&batch);
    assert!((20_000..60_000).contains(&taken), "{taken}");
    assert_eq!(policy.retain(&batch), Bitmap::all(100_000));
}

#[test]
fn an_option_is_refused() {
    assert!(LatestByKey::new(&Config::new("t", [("a", "b")]), &Environment::at(0)).is_err());
}
