//! Who is erased, and who is not.

use super::*;

fn kept(values: &str, tenants: &[Option<&str>]) -> Vec<usize> {
    let config = Config::new("orders", [("header", "tenant"), ("values", values)]);
    let mut policy = DropByHeader::new(&config, &Environment::at(0)).unwrap();
    let headers = tenants
        .iter()
        .map(|tenant| vec![("tenant", *tenant), ("other", Some("acme"))]);
    let count = u32::try_from(tenants.len()).unwrap();
    let batch = Batch::of(count)
        .with_headers(headers)
        .with_offsets(0..u64::from(count));
    assert_eq!(policy.observe(&batch), tenants.len());
    policy.retain(&batch).kept().collect()
}

#[test]
fn the_records_of_a_tenant_go_and_no_others() {
    let tenants = [
        Some("acme"),
        Some("acme2"),
        None,
        Some("Acme"),
        Some("acme"),
        Some(""),
    ];
    assert_eq!(kept("acme", &tenants), [1, 2, 3, 5]);
    assert_eq!(kept("acme, acme2", &tenants), [2, 3, 5]);
    assert_eq!(kept("nobody", &tenants), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_wrong_configuration_is_refused() {
    for options in [
        &[("header", "t")][..],
        &[("values", "a")],
        &[("header", "t"), ("values", "a,,b")],
        &[("header", "t"), ("values", "a"), ("value", "b")],
    ] {
        let config = Config::new("t", options.iter().copied());
        assert!(
            DropByHeader::new(&config, &Environment::at(0)).is_err(),
            "{options:?}"
        );
    }
}
