//! Schemas with values that fit and values that do not, with their reasons.

use super::*;

fn plugin(schema: &str) -> JsonSchema {
    JsonSchema::new(&Config::new("orders", [("schema", schema)])).unwrap()
}

fn reason(schema: &str, text: &str) -> Option<String> {
    let outcome = plugin(schema).deserialize(&BytesColumn::from_rows([Some(text)]));
    outcome.errors.first().map(|error| error.message.clone())
}

const ORDER: &str = r##"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id", "items"],
    "additionalProperties": false,
    "properties": {
        "id": { "type": "integer", "minimum": 1 },
        "note": { "type": ["string", "null"], "maxLength": 5 },
        "items": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/item" } }
    },
    "$defs": {
        "item": {
            "type": "object",
            "properties": { "sku": { "pattern": "^[A-Z]+-[0-9]+$" }, "parts": { "items": { "$ref": "#/$defs/item" } } }
        }
    }
}"##;

#[test]
fn an_order_fits_or_is_refused_with_the_place() {
    for (text, expected) in [
        (r#"{"id":1,"items":[{"sku":"A-1"}]}"#, None),
        (r#"{"id":1.0,"items":[{}],"note":null}"#, None),
        (r#"{"items":[{}]}"#, Some("\"id\" is missing")),
        (
            r#"{"id":0,"items":[{}]}"#,
            Some("/id: 0 instead of at least 1"),
        ),
        (
            r#"{"id":"1","items":[{}]}"#,
            Some("/id: string instead of integer"),
        ),
        (
            r#"{"id":1,"items":[]}"#,
            Some("/items: 0 items instead of at least 1"),
        ),
        (
            r#"{"id":1,"items":[{}],"x":1}"#,
            Some("/x: nothing is allowed here"),
        ),
        (
            r#"{"id":1,"items":[{}],"note":"ääääää"}"#,
            Some("/note: 6 characters instead of at most 5"),
        ),
        (
            r#"{"id":1,"items":[{"parts":[{},{"sku":"a"}]}]}"#,
            Some("/items/0/parts/1/sku: does not match ^[A-Z]+-[0-9]+$"),
        ),
        (r#"[]"#, Some("array instead of object")),
        (r#"{"id":1"#, Some("not JSON at byte 7: ',' was expected")),
    ] {
        assert_eq!(reason(ORDER, text).as_deref(), expected, "{text}");
    }
}

#[test]
fn every_rule_refuses_what_breaks_it_and_nothing_else() {
    for (schema, good, bad) in [
        ("true", "1", ""),
        ("false", "", "1"),
        (r#"{"enum":[1,"a",null]}"#, "1.0", "2"),
        (
            r#"{"const":{"a":1,"b":[2]}}"#,
            r#"{"b":[2],"a":1}"#,
            r#"{"a":1}"#,
        ),
        (r#"{"allOf":[{"minimum":1},{"maximum":2}]}"#, "2", "3"),
        (r#"{"anyOf":[{"type":"null"},{"minimum":5}]}"#, "5", "4"),
        (r#"{"oneOf":[{"minimum":1},{"maximum":1}]}"#, "2", "1"),
        (r#"{"not":{"type":"string"}}"#, "1", "\"a\""),
        (
            r#"{"if":{"minimum":10},"then":{"multipleOf":5},"else":{"const":3}}"#,
            "15",
            "12",
        ),
        (
            r#"{"if":{"minimum":10},"then":{"multipleOf":5},"else":{"const":3}}"#,
            "3",
            "4",
        ),
        (r#"{"exclusiveMinimum":1,"exclusiveMaximum":3}"#, "2", "3"),
        (r#"{"multipleOf":0.1}"#, "0.3", "0.35"),
        (r#"{"minLength":2}"#, "\"ab\"", "\"ä\""),
        (
            r#"{"prefixItems":[{"type":"null"}],"items":{"type":"boolean"}}"#,
            "[null,true]",
            "[true]",
        ),
        (r#"{"maxItems":1}"#, "[1]", "[1,2]"),
        (r#"{"uniqueItems":true}"#, "[1,2]", "[1,2,1.0]"),
        (
            r#"{"minProperties":1,"maxProperties":1}"#,
            r#"{"a":1}"#,
            "{}",
        ),
        (
            r#"{"additionalProperties":{"type":"null"}}"#,
            r#"{"a":null}"#,
            r#"{"a":1}"#,
        ),
        (r#"{"required":["a"]}"#, "7", "{}"),
        (r#"{"type":"integer"}"#, "18446744073709551615", "1.5"),
    ] {
        if !good.is_empty() {
            assert_eq!(reason(schema, good), None, "{schema} {good}");
        }
        if !bad.is_empty() {
            assert!(reason(schema, bad).is_some(), "{schema} {bad}");
        }
    }
}

#[test]
fn values_are_stored_as_json_when_they_fit() {
    let mut plugin = plugin(r#"{"type":"object","required":["a"]}"#);
    let rows = [Some(&b"\x81\xa1a\x07"[..]), Some(b"\x80"), None];
    let outcome = plugin.serialize(&BytesColumn::from_rows(rows));
    let stored: Vec<_> = outcome.rows.rows().collect();
    assert_eq!(stored, [Some(&br#"{"a":7}"#[..]), None, None]);
    assert_eq!(
        (outcome.errors[0].row, &*outcome.errors[0].message),
        (1, "\"a\" is missing")
    );
}

#[test]
fn a_schema_that_cannot_be_applied_as_it_stands_is_refused() {
    for (schema, expected) in [
        (r#"{"type":"int"}"#, "#/type: there is no type int"),
        (
            r#"{"properties":{"a":{"patternProperties":{}}}}"#,
            "#/properties/a/patternProperties: this keyword is not supported",
        ),
        (r#"{"pattern":"("}"#, "#/pattern: "),
        (
            r#"{"minItems":-1}"#,
            "#/minItems is not a whole number from 0 on",
        ),
        (r#"{"multipleOf":0}"#, "#/multipleOf is not above 0"),
        (r##"{"$ref":"#/$defs/x"}"##, "#/$ref: there is no #/$defs/x"),
        (
            r#"{"$ref":"https://example.com/x"}"#,
            "is not in this schema",
        ),
        (r##"{"$ref":"#"}"##, "leads back to itself"),
        (
            r##"{"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"}]}},"items":{"$ref":"#/$defs/a"}}"##,
            "leads back to itself",
        ),
        ("{", "not JSON"),
        ("1", "# is neither an object nor true or false"),
    ] {
        let error = JsonSchema::new(&Config::new("t", [("schema", schema)]))
            .err()
            .unwrap();
        assert!(
            error.starts_with("option schema: ") && error.contains(expected),
            "{schema}: {error}"
        );
    }
    assert!(JsonSchema::new(&Config::default()).is_err());
    assert!(JsonSchema::new(&Config::new("t", [("schema", "true"), ("draft", "7")])).is_err());
}
