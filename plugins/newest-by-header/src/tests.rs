//! The policy on records of key and version, all of them new or some of them cleaned before.

use super::*;

type Record = (&'static str, Option<&'static str>);

fn kept(order: &str, records: &[Record], dirty_from: usize) -> Vec<usize> {
    let config = Config::new("orders", [("header", "v"), ("order", order)]);
    let mut policy = NewestByHeader::new(&config, &Environment::at(0)).unwrap();
    let batch = |range: std::ops::Range<usize>| {
        let records = &records[range.clone()];
        let headers = |(_, version): &Record| version.map(|v| ("v", Some(v))).into_iter().collect();
        Batch::from_keys(records.iter().map(|(key, _)| Some(key)))
            .with_headers(records.iter().map(headers))
            .with_offsets(range.map(|row| row as u64))
    };
    let dirty = batch(dirty_from..records.len());
    assert_eq!(policy.observe(&dirty), dirty.len());
    policy.retain(&batch(0..records.len())).kept().collect()
}

#[test]
fn the_highest_version_stays_and_not_the_highest_offset() {
    let records = [
        ("a", Some("9")),
        ("a", Some("10")),
        ("a", Some("-3")),
        ("b", Some("1")),
    ];
    assert_eq!(kept("number", &records, 0), [1, 3]);
    assert_eq!(kept("bytes", &records, 0), [0, 3]);
}

#[test]
fn of_equal_versions_the_higher_offset_stays() {
    assert_eq!(
        kept("number", &[("a", Some("7")), ("a", Some("07"))], 0),
        [1]
    );
    assert_eq!(
        kept(
            "bytes",
            &[("a", Some("ab")), ("a", Some("a\0")), ("a", Some("ab"))],
            0
        ),
        [2]
    );
}

#[test]
fn a_record_without_a_version_is_older_than_every_version() {
    let records = [
        ("a", None),
        ("a", Some("-5")),
        ("a", Some("x")),
        ("b", None),
        ("b", None),
    ];
    assert_eq!(kept("number", &records, 0), [1, 4]);
}

#[test]
fn what_was_cleaned_before_still_wins_by_its_version() {
    let records = [
        ("a", Some("5")),
        ("b", Some("5")),
        ("a", Some("4")),
        ("b", Some("6")),
    ];
    assert_eq!(kept("number", &records, 2), [0, 3]);
}

#[test]
fn byte_strings_have_their_order() {
    let mut versions = [
        &b""[..],
        b"\0",
        b"\0\0",
        b"a",
        b"a\0",
        b"a\0b",
        b"ab",
        b"b",
        &[0xff; 32],
    ];
    let read = |value: &&[u8]| Order::Bytes.read(value).unwrap();
    assert!(versions.is_sorted_by_key(read));
    versions.reverse();
    assert!(!versions.is_sorted_by_key(read));
    assert_eq!(Order::Bytes.read(&[1; 33]), None);
}

#[test]
fn a_wrong_configuration_is_refused() {
    let new = |options: &[(&str, &str)]| {
        let config = Config::new("t", options.iter().copied());
        NewestByHeader::new(&config, &Environment::at(0)).err()
    };
    assert_eq!(new(&[]).as_deref(), Some("option header is missing"));
    let error = new(&[("header", "v"), ("order", "text")]).unwrap();
    assert_eq!(error, "option order = \"text\": not number or bytes");
    assert!(new(&[("header", "v"), ("x", "y")]).is_some());
}
