//! The field, the key where it is missing, both formats.

use super::*;

fn assign(options: &[(&str, &str)], values: &[Option<&[u8]>]) -> Result<Vec<u32>, String> {
    let config = Config::new("orders", options.iter().copied());
    let batch =
        Batch::from_keys(values.iter().map(|_| Some("abc"))).with_values(values.iter().copied());
    ByField::new(&config)
        .unwrap()
        .assign(&batch, &Layout::of(8))
}

#[test]
fn the_field_decides_and_then_the_key() {
    let values: [Option<&[u8]>; 6] = [
        Some(br#"{"id":"21"}"#),
        Some(br#"{"x":[{"id":"no"}],"id":21}"#),
        Some(br#"{"id":"foobar"}"#),
        Some(br#"{"id":null}"#),
        Some(b"no json"),
        None,
    ];
    assert_eq!(
        assign(&[("field", "id")], &values).unwrap(),
        [4, 4, 6, 3, 3, 3]
    );
    let refusing = [("field", "id"), ("missing", "refuse")];
    assert_eq!(assign(&refusing, &values[..3]).unwrap(), [4, 4, 6]);
    assert!(
        assign(&refusing, &values)
            .unwrap_err()
            .starts_with("record 3 has no text")
    );
}

#[test]
fn a_field_may_lie_deeper_and_in_messagepack() {
    let value = br#"{"order":{"x":1,"customer":"21"}}"#;
    assert_eq!(
        assign(&[("field", "order.customer")], &[Some(value)]).unwrap(),
        [4]
    );
    let packed = b"\x81\xa5order\x81\xa8customer\xcc\x15";
    let options = [("field", "order.customer"), ("format", "messagepack")];
    assert_eq!(assign(&options, &[Some(packed)]).unwrap(), [4]);
}

#[test]
fn a_wrong_configuration_is_refused() {
    for options in [
        &[][..],
        &[("field", "a"), ("format", "xml")],
        &[("field", "a"), ("missing", "x")],
        &[("field", "a"), ("b", "c")],
    ] {
        assert!(
            ByField::new(&Config::new("t", options.iter().copied())).is_err(),
            "{options:?}"
        );
    }
}
