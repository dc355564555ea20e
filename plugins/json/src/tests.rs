//! What JSON becomes, what is refused, and that one bad record leaves the others alone.

use super::*;

const REFUSING: Json = Json {
    binary: Binary::Refuse,
};

#[test]
fn a_value_is_stored_as_json_text_and_comes_back() {
    let mut plugin = REFUSING;
    let value = b"\x82\xa2id\x07\xa4tags\x91\xa1x";
    let stored = plugin.serialize(&BytesColumn::from_rows([Some(&value[..]), None]));
    assert_eq!(stored.rows.data, br#"{"id":7,"tags":["x"]}"#);
    let back = plugin.deserialize(&stored.rows);
    assert_eq!(
        back.rows.rows().collect::<Vec<_>>(),
        [Some(&value[..]), None]
    );
}

#[test]
fn one_bad_record_does_not_touch_the_others() {
    let mut plugin = REFUSING;
    let rows = [Some("1"), Some("{\"a\":1,}"), Some("\"x\"")];
    let outcome = plugin.deserialize(&BytesColumn::from_rows(rows));
    assert_eq!(
        outcome.rows.rows().collect::<Vec<_>>(),
        [Some(&b"\x01"[..]), None, Some(b"\xa1x")]
    );
    assert_eq!(
        outcome.errors[0].message,
        "not JSON at byte 7: a name in quotes was expected"
    );
}

#[test]
fn bytes_are_refused_or_become_base64() {
    let rows = BytesColumn::from_rows([Some(b"\xc4\x01\xff")]);
    let mut refusing = REFUSING;
    assert_eq!(refusing.serialize(&rows).errors.len(), 1);
    let mut plugin = Json::new(&Config::new("t", [("binary", "base64")])).unwrap();
    assert_eq!(plugin.serialize(&rows).rows.data, br#""/w==""#);
    assert!(Json::new(&Config::new("t", [("binary", "hex")])).is_err());
    assert!(Json::new(&Config::new("t", [("indent", "2")])).is_err());
}
