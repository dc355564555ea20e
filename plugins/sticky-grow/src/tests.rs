//! The promise: a growth moves no key that was there before it. And the committed vectors.

use super::*;

fn assign(options: &[(&str, &str)], keys: &[&str], counts: &[u32]) -> Vec<u32> {
    let mut plugin = StickyGrow::new(&Config::new("orders", options.iter().copied())).unwrap();
    let layout = Layout {
        counts: counts.to_vec(),
        ..Layout::of(*counts.last().unwrap())
    };
    plugin
        .assign(&Batch::from_keys(keys.iter().map(Some)), &layout)
        .unwrap()
}

#[test]
fn no_key_moves_when_the_topic_grows() {
    let keys: Vec<String> = (0..1_000).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let before = assign(&[], &keys, &[4]);
    assert_eq!(assign(&[], &keys, &[4, 16]), before);
    assert_eq!(assign(&[], &keys, &[4, 16, 17]), before);
}

#[test]
fn keys_that_came_after_a_growth_use_the_new_partitions_and_stay_there() {
    let keys: Vec<String> = (0..3_000).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let first = assign(&[("boundaries", "1000")], &keys, &[4, 16]);
    assert_eq!(first[..1_000], assign(&[], &keys[..1_000], &[4]));
    assert_eq!(first[1_000..], assign(&[], &keys[1_000..], &[16]));
    let second = assign(&[("boundaries", "1000, 2000")], &keys, &[4, 16, 64]);
    assert_eq!(second[..2_000], first[..2_000]);
    assert_eq!(second[2_000..], assign(&[], &keys[2_000..], &[64]));
}

#[test]
fn a_boundary_without_its_growth_means_the_newest_count() {
    let options = [("boundaries", "10,20")];
    assert_eq!(
        assign(&options, &["5", "15", "25"], &[4, 8]),
        assign(&[], &["5"], &[4])
            .into_iter()
            .chain(assign(&[], &["15", "25"], &[8]))
            .collect::<Vec<_>>()
    );
    assert_eq!(
        assign(&options, &["5", "15"], &[8]),
        assign(&[], &["5", "15"], &[8])
    );
}

#[test]
fn byte_strings_have_boundaries_too() {
    let options = [("boundaries", "2025,2026-06"), ("order", "bytes")];
    let keys = ["2024-12-31", "2025-01-01", "2026-05-31", "2026-06-01"];
    let [old, middle, new] = [[3], [5], [7]].map(|count| assign(&[], &keys, &count));
    assert_eq!(
        assign(&options, &keys, &[3, 5, 7]),
        [old[0], middle[1], middle[2], new[3]]
    );
}

#[test]
fn a_header_may_say_it() {
    let mut plugin = StickyGrow::new(&Config::new("orders", [("header", "born")])).unwrap();
    let headers = [None, Some("0"), Some("1"), Some("9")].map(|born| vec![("born", born)]);
    let batch = Batch::from_keys([Some("foobar"); 4]).with_headers(headers);
    let layout = Layout {
        counts: vec![8, 100],
        ..Layout::of(100)
    };
    assert_eq!(plugin.assign(&batch, &layout).unwrap(), [6, 6, 66, 66]);
    let batch = Batch::from_keys([Some("a")]).with_headers([vec![("born", Some("x"))]]);
    assert_eq!(
        plugin.assign(&batch, &layout).unwrap_err(),
        "header born: not a number"
    );
}

#[test]
fn records_without_a_key_go_round_all_partitions() {
    let mut plugin = StickyGrow::new(&Config::default()).unwrap();
    let layout = Layout {
        counts: vec![2, 8],
        batches: 5,
        ..Layout::of(8)
    };
    assert_eq!(
        plugin
            .assign(&Batch::from_keys([None::<&str>; 2]), &layout)
            .unwrap(),
        [5, 5]
    );
}

#[test]
fn a_wrong_configuration_is_refused() {
    for (options, reason) in [
        (&[("boundaries", "2,1")][..], "they have to ascend"),
        (&[("boundaries", "1,x")], "not numbers with commas"),
        (&[("boundaries", "")], "not numbers with commas"),
        (
            &[("boundaries", "1"), ("header", "h")],
            "only one of the options",
        ),
        (&[("order", "bytes")], "goes with the option boundaries"),
        (
            &[("boundaries", "1"), ("order", "x")],
            "not number or bytes",
        ),
        (&[("bounds", "1")], "unknown option bounds"),
    ] {
        let config = Config::new("t", options.iter().copied());
        let error = StickyGrow::new(&config).err().unwrap();
        assert!(error.contains(reason), "{options:?}: {error}");
    }
}
