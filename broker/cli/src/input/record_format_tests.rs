//! Tests of how lines become records.

use super::*;
use crate::message_pack::{BinForm, json_text};

fn ndjson() -> NdjsonFormat {
    NdjsonFormat {
        form: ValueForm::Bytes,
        key: None,
        missing_key: MissingKey::Error,
        value: None,
        timestamp: None,
        headers: None,
    }
}

fn path(text: &str) -> Option<FieldPath> {
    Some(text.parse().unwrap())
}

fn read(format: NdjsonFormat, line: &str) -> Result<Option<Draft>, String> {
    RecordFormat::Ndjson(Box::new(format)).record(line.as_bytes())
}

fn bytes(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

#[test]
fn a_line_is_its_own_bytes_also_when_it_is_empty_or_no_text() {
    let format = RecordFormat::Lines(LineFormat::default());
    for line in [&b""[..], b"a\tb\r", b"\xff\x00"] {
        let draft = format.record(line).unwrap().unwrap();
        assert_eq!(draft.value.as_deref(), Some(line));
        assert_eq!(draft.key, None);
    }
}

#[test]
fn a_separator_splits_key_and_value_at_its_first_place() {
    let lines = LineFormat {
        form: ValueForm::Bytes,
        key_separator: Some(b"::".to_vec()),
        null: Some(b"NULL".to_vec()),
    };
    let format = RecordFormat::Lines(lines);
    let read = |line: &[u8]| format.record(line).map(|draft| draft.unwrap());
    let draft = read(b"k::v::w").unwrap();
    assert_eq!((draft.key, draft.value), (bytes("k"), bytes("v::w")));
    let draft = read(b"::").unwrap();
    assert_eq!((draft.key, draft.value), (bytes(""), bytes("")));
    let draft = read(b"NULL::NULL").unwrap();
    assert_eq!((draft.key, draft.value), (None, None));
    assert!(read(b"k:v").unwrap_err().contains("\"::\" is not in it"));
}

#[test]
fn the_value_of_a_json_line_is_the_line_itself() {
    let line = "  {\"b\": 1,   \"a\" :\"k\" }\r";
    let draft = read(
        NdjsonFormat {
            key: path("a"),
            ..ndjson()
        },
        line,
    )
    .unwrap()
    .unwrap();
    assert_eq!(draft.value.as_deref(), Some(line.as_bytes()));
    assert_eq!(draft.key, bytes("k"));
}

#[test]
fn keys_are_texts_numbers_or_null() {
    let key = |line: &str| {
        read(
            NdjsonFormat {
                key: path("k"),
                ..ndjson()
            },
            line,
        )
    };
    let found = |line: &str| key(line).unwrap().unwrap().key;
    assert_eq!(found(r#"{"k": "a\u00e9"}"#), bytes("aé"));
    assert_eq!(
        found(r#"{"k": 12345678901234567890123}"#),
        bytes("12345678901234567890123")
    );
    assert_eq!(found(r#"{"k": true}"#), bytes("true"));
    assert_eq!(found(r#"{"k": null}"#), None);
    assert_eq!(found(r#"{"k": ""}"#), bytes(""));
    for bad in [r#"{"k": {}}"#, r#"{"k": []}"#, r#"{"x": 1}"#] {
        assert!(key(bad).is_err(), "{bad} was accepted");
    }
    let lenient = NdjsonFormat {
        key: path("k"),
        missing_key: MissingKey::Null,
        ..ndjson()
    };
    assert_eq!(read(lenient, r#"{"x": 1}"#).unwrap().unwrap().key, None);
}

#[test]
fn a_value_field_is_the_texts_bytes_or_the_json_as_written() {
    let value = |line: &str| {
        read(
            NdjsonFormat {
                value: path("v"),
                ..ndjson()
            },
            line,
        )
        .map(|draft| draft.unwrap().value)
    };
    assert_eq!(value(r#"{"v": "a\nb"}"#), Ok(bytes("a\nb")));
    assert_eq!(value(r#"{"v": {"x":  1.0}}"#), Ok(bytes(r#"{"x":  1.0}"#)));
    assert_eq!(value(r#"{"v": null}"#), Ok(None));
    assert!(value("{}").is_err());
}

#[test]
fn timestamps_are_milliseconds_or_times() {
    let time = |line: &str| {
        let draft = read(
            NdjsonFormat {
                timestamp: path("t"),
                ..ndjson()
            },
            line,
        )?;
        Ok::<_, String>(draft.unwrap().timestamp.unwrap().as_millis())
    };
    assert_eq!(time(r#"{"t": 1700000000000}"#), Ok(1_700_000_000_000));
    assert_eq!(
        time(r#"{"t": "2023-11-14T22:13:20Z"}"#),
        Ok(1_700_000_000_000)
    );
    for bad in [r#"{"t": 1.5}"#, r#"{"t": "soon"}"#, r#"{"t": null}"#, "{}"] {
        assert!(time(bad).is_err(), "{bad} was accepted");
    }
}

#[test]
fn headers_keep_their_order_and_duplicates() {
    let headers = |line: &str| {
        read(
            NdjsonFormat {
                headers: path("h"),
                ..ndjson()
            },
            line,
        )
        .map(|draft| draft.unwrap().headers)
    };
    let header = |name: &str, value: Option<&'static str>| Header {
        name: name.to_owned(),
        value: value.map(|value| Bytes::from_static(value.as_bytes())),
    };
    let expected = vec![
        header("b", Some("1")),
        header("a", None),
        header("b", Some("2")),
    ];
    assert_eq!(
        headers(r#"{"h": {"b": "1", "a": null, "b": "2"}}"#),
        Ok(expected.clone())
    );
    assert_eq!(
        headers(r#"{"h": [["b", "1"], ["a", null], ["b", "2"]]}"#),
        Ok(expected)
    );
    for bad in [r#"{"h": 1}"#, r#"{"h": {"a": 1}}"#, r#"{"h": [["a"]]}"#] {
        assert!(headers(bad).is_err(), "{bad} was accepted");
    }
}

#[test]
fn bad_json_is_refused_also_when_no_field_is_wanted() {
    for bad in ["{", "{\"a\":1}}", "nul", "{\"a\":\u{1}}"] {
        assert!(
            read(ndjson(), bad).unwrap_err().starts_with("not JSON: "),
            "{bad}"
        );
    }
    let invalid = RecordFormat::Ndjson(Box::new(ndjson())).record(b"\"\xff\"");
    assert_eq!(invalid, Err("not UTF-8 from byte 2 on".to_owned()));
    assert_eq!(
        read(ndjson(), " \r"),
        Ok(None),
        "blank lines are passed over"
    );
}

#[test]
fn separators_may_be_written_with_backslashes() {
    assert_eq!(unescape(r"\t\n"), Ok(vec![9, 10]));
    assert_eq!(
        unescape(r"a\\\0é"),
        Ok([&b"a\\\0"[..], "é".as_bytes()].concat())
    );
    assert!(unescape("").is_err() && unescape(r"\x").is_err());
}

/// The MessagePack of a line's key and value, as JSON again.
fn packed(format: &RecordFormat, line: &[u8]) -> Result<[Option<String>; 2], String> {
    let draft = format.record(line)?.expect("it is no blank line");
    let json = |data: Option<Bytes>| {
        data.map(|packed| json_text(&packed, BinForm::Marked).expect("it is MessagePack"))
    };
    Ok([json(draft.key), json(draft.value)])
}

#[test]
fn values_are_packed_as_they_are_typed_in_json() {
    let ndjson = NdjsonFormat {
        form: ValueForm::MessagePack,
        key: Some("id".parse().unwrap()),
        value: Some("v".parse().unwrap()),
        ..ndjson()
    };
    let ndjson = RecordFormat::Ndjson(Box::new(ndjson));
    let text = |text: &str| Some(text.to_owned());
    for (line, key, value) in [
        (
            r#"{"id":7,"v":{"b":1,"a":"x"}}"#,
            text("7"),
            text(r#"{"b":1,"a":"x"}"#),
        ),
        (r#"{"id":"7","v":null}"#, text("\"7\""), None),
        (r#"{"id":null,"v":[0.5,true]}"#, None, text("[0.5,true]")),
    ] {
        assert_eq!(packed(&ndjson, line.as_bytes()), Ok([key, value]), "{line}");
    }
}

#[test]
fn a_plain_line_is_json_and_its_key_is_text() {
    let lines = RecordFormat::Lines(LineFormat {
        form: ValueForm::MessagePack,
        key_separator: Some(b"\t".to_vec()),
        null: Some(b"-".to_vec()),
    });
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(packed(&lines, b"7\t7"), Ok([text("\"7\""), text("7")]));
    assert_eq!(packed(&lines, b"-\tnull"), Ok([None, None]));
    assert!(
        packed(&lines, b"7\tseven")
            .unwrap_err()
            .contains("not JSON")
    );
    let raw = RecordFormat::Raw(ValueForm::MessagePack);
    assert_eq!(packed(&raw, b"[1,\n2]\n"), Ok([None, text("[1,2]")]));
    assert!(packed(&raw, b"\xff").is_err());
}
