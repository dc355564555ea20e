//! Expiries and times to live, those that cannot be read included.

use super::*;

fn kept(meaning: &str, records: &[(Option<&str>, i64)]) -> Vec<usize> {
    let config = Config::new("orders", [("header", "e"), ("meaning", meaning)]);
    let mut policy = TtlByHeader::new(&config, &Environment::at(1_000_000)).unwrap();
    let headers = records.iter().map(|(value, _)| match value {
        Some(value) => vec![("e", Some(*value))],
        None => Vec::new(),
    });
    let batch = Batch::of(u32::try_from(records.len()).unwrap())
        .with_headers(headers)
        .with_timestamps(records.iter().map(|(_, timestamp)| *timestamp))
        .with_offsets(0..records.len() as u64);
    assert_eq!(policy.observe(&batch), records.len());
    policy.retain(&batch).kept().collect()
}

#[test]
fn what_has_expired_goes() {
    let records = [
        (Some("999999"), 0),
        (Some("1000000"), 0),
        (Some("1000001"), 0),
        (None, 0),
    ];
    assert_eq!(kept("expires", &records), [2, 3]);
}

#[test]
fn a_time_to_live_counts_from_the_records_timestamp() {
    let records = [
        (Some("10s"), 0),
        (Some("10s"), 990_001),
        (Some("5"), 999_995),
        (Some("300w"), 0),
    ];
    assert_eq!(kept("ttl", &records), [1, 3]);
}

#[test]
fn what_cannot_be_read_stays() {
    assert_eq!(
        kept(
            "expires",
            &[(Some("soon"), 0), (Some("1s"), 0), (Some(""), 0)]
        ),
        [0, 1, 2]
    );
    assert_eq!(
        kept("ttl", &[(Some("-1"), 0), (Some("99999999999999999999"), 0)]),
        [0, 1]
    );
}

#[test]
fn a_wrong_configuration_is_refused() {
    for options in [
        &[("meaning", "ttl")][..],
        &[("header", "e"), ("meaning", "x")],
        &[("header", "e"), ("y", "z")],
    ] {
        let config = Config::new("t", options.iter().copied());
        assert!(
            TtlByHeader::new(&config, &Environment::at(0)).is_err(),
            "{options:?}"
        );
    }
}
