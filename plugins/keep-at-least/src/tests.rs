//! Both floors, alone and together, against either limit.

use super::*;

const OLD: Bounds = Bounds {
    retention_ms: Some(500),
    retention_bytes: None,
};
const SMALL: Bounds = Bounds {
    retention_ms: None,
    retention_bytes: Some(1),
};

fn expired(options: &[(&str, &str)], bounds: &Bounds) -> usize {
    let config = Config::new("orders", options.iter().copied());
    let log = LogView::of(
        10_000,
        [(10, 1_024, 0), (10, 1_024, 6_000), (10, 1_024, 9_000)],
    );
    KeepAtLeast::new(&config, bounds).unwrap().expired(&log)
}

#[test]
fn so_many_bytes_stay_however_old_they_are() {
    assert_eq!(expired(&[("keep.bytes", "0")], &OLD), 3);
    assert_eq!(expired(&[("keep.bytes", "1KiB")], &OLD), 2);
    assert_eq!(expired(&[("keep.bytes", "1025")], &OLD), 1);
    assert_eq!(expired(&[("keep.bytes", "1GiB")], &OLD), 0);
}

#[test]
fn so_many_hours_stay_however_large_the_log_is() {
    assert_eq!(expired(&[("keep.ms", "0")], &SMALL), 2);
    assert_eq!(expired(&[("keep.ms", "2s")], &SMALL), 2);
    assert_eq!(expired(&[("keep.ms", "5s")], &SMALL), 1);
    assert_eq!(expired(&[("keep.ms", "12h")], &SMALL), 0);
}

#[test]
fn both_floors_hold() {
    let both = [("keep.ms", "5s"), ("keep.bytes", "2KiB")];
    assert_eq!(expired(&both, &OLD), 1);
    assert_eq!(
        expired(
            &both,
            &Bounds {
                retention_ms: None,
                retention_bytes: None
            }
        ),
        0
    );
}

#[test]
fn a_wrong_configuration_is_refused() {
    let new = |name, text| {
        KeepAtLeast::new(&Config::new("t", [(name, text)]), &OLD)
            .err()
            .unwrap()
    };
    assert!(new("keep.byte", "1").contains("unknown option keep.byte"));
    assert!(new("keep.ms", "soon").contains("not a duration such as 12h"));
    assert!(KeepAtLeast::new(&Config::default(), &OLD).is_err());
}
