//! The header, the key where it is missing, and configurations that are refused.

use super::*;

fn assign(missing: &str) -> Result<Vec<u32>, String> {
    let config = Config::new("orders", [("header", "tenant"), ("missing", missing)]);
    let mut plugin = ByHeader::new(&config).unwrap();
    let batch = Batch::from_keys([Some("x"), Some("foobar"), None]).with_headers([
        vec![("tenant", Some("21"))],
        vec![("tenant", None)],
        vec![("other", Some("21"))],
    ]);
    let layout = Layout {
        batches: 5,
        ..Layout::of(8)
    };
    plugin.assign(&batch.select(plugin.needs()), &layout)
}

#[test]
fn the_header_decides_and_then_the_key() {
    assert_eq!(assign("key").unwrap(), [4, 6, 5]);
    assert_eq!(assign("spread").unwrap(), [4, 5, 5]);
    assert_eq!(
        assign("refuse").unwrap_err(),
        "record 1 has no header tenant"
    );
}

#[test]
fn a_wrong_configuration_is_refused() {
    for option in [("missing", "key"), ("head", "x")] {
        assert!(ByHeader::new(&Config::new("t", [option])).is_err());
    }
    assert!(ByHeader::new(&Config::new("t", [("header", "x"), ("missing", "y")])).is_err());
}
