//! The limits of age and size, on segments of made-up sizes and ages.

use super::*;

fn expired(ms: Option<u64>, bytes: Option<u64>, segments: &[(u64, i64)], active: u64) -> usize {
    let bounds = Bounds {
        retention_ms: ms,
        retention_bytes: bytes,
    };
    let segments = segments.iter().map(|(bytes, newest)| (10, *bytes, *newest));
    let mut log = LogView::of(1_000, segments);
    log.log_bytes += active;
    TimeAndSize::new(&Config::default(), &bounds)
        .unwrap()
        .expired(&log)
}

#[test]
fn a_young_record_keeps_its_segment_and_those_after_it() {
    assert_eq!(expired(Some(500), None, &[(1, 100), (1, 499)], 1), 2);
    assert_eq!(
        expired(Some(500), None, &[(1, 100), (1, 500), (1, 0)], 1),
        1
    );
    assert_eq!(expired(Some(500), None, &[(1, 9_999), (1, 0)], 1), 0);
    assert_eq!(expired(Some(0), None, &[(1, 999), (1, 1_000)], 1), 1);
}

#[test]
fn size_keeps_at_least_what_was_asked_for() {
    assert_eq!(expired(None, Some(3), &[(1, 0); 5], 1), 3);
    assert_eq!(expired(None, Some(3), &[(1, 0); 2], 1), 0);
    assert_eq!(expired(None, Some(3), &[(1, 0); 2], 100), 2);
}

#[test]
fn either_limit_is_enough_and_without_limits_nothing_goes() {
    assert_eq!(
        expired(Some(500), Some(2), &[(1, 0), (1, 900), (1, 900)], 1),
        2
    );
    assert_eq!(expired(None, None, &[(1, -9_999); 3], 1), 0);
}

#[test]
fn an_option_is_refused() {
    let bounds = Bounds {
        retention_ms: None,
        retention_bytes: None,
    };
    assert!(TimeAndSize::new(&Config::new("t", [("ms", "1")]), &bounds).is_err());
}
