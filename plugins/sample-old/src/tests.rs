//! How many stay, which, and that a second cleaning finds nothing.

use super::*;

const DAY: i64 = 86_400_000;

fn policy(by: &str) -> SampleOld {
    let config = Config::new("orders", [("keep", "10"), ("older.than", "1d"), ("by", by)]);
    SampleOld::new(&config, &Environment::at(2 * DAY)).unwrap()
}

/// 2,000 records of 1,000 keys, the second half young.
fn batch(keys: impl Fn(u64) -> Option<String>) -> Batch {
    Batch::from_keys((0..2_000).map(|row| keys(row % 1_000)))
        .with_timestamps((0..2_000).map(|row| if row < 1_000 { DAY - 1 } else { DAY }))
        .with_offsets(0..2_000)
}

#[test]
fn one_in_so_many_of_the_old_ones_stays() {
    let by_offset = policy("offset").retain(&batch(|row| Some(row.to_string())));
    let expected = (0..1_000).filter(|row| row % 10 == 0).chain(1_000..2_000);
    assert!(by_offset.kept().eq(expected));
    let by_key = policy("key").retain(&batch(|row| Some(row.to_string())));
    let old = by_key.kept().filter(|row| *row < 1_000).count();
    assert!((60..140).contains(&old), "{old}");
    assert_eq!(by_key.kept().count() - old, 1_000);
}

#[test]
fn the_keys_of_one_partition_are_sampled_as_well() {
    let of_partition = |key: &String| plugin_sdk::murmur2(key.as_bytes()) % 10 == 3;
    let keys: Vec<_> = (0..100_000_u32)
        .map(|key| key.to_string())
        .filter(of_partition)
        .take(1_000)
        .collect();
    let kept = keys
        .iter()
        .filter(|key| hash(key.as_bytes()).is_multiple_of(10))
        .count();
    assert!((60..140).contains(&kept), "{kept}");
}

#[test]
fn a_second_cleaning_removes_nothing_more() {
    let batch = batch(|row| (row % 2 == 0).then(|| row.to_string()));
    let first = policy("key").retain(&batch);
    assert_eq!(policy("key").retain(&batch), first);
}

#[test]
fn a_wrong_configuration_is_refused() {
    for options in [
        &[("keep", "10")][..],
        &[("older.than", "1d")],
        &[("keep", "0"), ("older.than", "1d")],
        &[("keep", "2"), ("older.than", "1d"), ("by", "value")],
        &[("keep", "2"), ("older.than", "1d"), ("x", "y")],
    ] {
        let config = Config::new("t", options.iter().copied());
        assert!(
            SampleOld::new(&config, &Environment::at(0)).is_err(),
            "{options:?}"
        );
    }
}
