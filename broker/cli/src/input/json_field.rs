//! Finding one field in a line of JSON without building the rest: everything is checked, only the
//! field's own text is kept, so that a number keeps its digits and an object its bytes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field_path::FieldPath;

/// Checks that a line is one JSON value.
pub(super) fn check(line: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(line)
        .map(drop)
        .map_err(|error| not_json(&error))
}

/// The text of a field; `None` when it is missing. Of a name given twice the last one counts.
pub(super) fn find<'a>(line: &'a str, path: &FieldPath) -> Result<Option<&'a str>, String> {
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let seed = Seek {
        names: path.names(),
    };
    let found = seed.deserialize(&mut deserializer).and_then(|found| {
        deserializer.end()?;
        Ok(found)
    });
    match found {
        Ok(found) => Ok(found.map(RawValue::get)),
        // Not an object, perhaps; but first of all it has to be JSON.
        Err(error) => check(line).and_then(|()| Err(format!("no field {path} in it: {error}"))),
    }
}

/// The serde error without its "line 1", which is not the line of the file.
fn not_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(reason, _)| reason);
    format!("not JSON: {reason} at column {}", error.column())
}

/// Looks for the value at a path.
struct Seek<'p> {
    names: &'p [String],
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.names.is_empty() {
            return serde::Deserialize::deserialize(deserializer).map(Some);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.first() {
            Some(name) => write!(f, "an object with the field {name:?}"),
            None => f.write_str("a value"),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((name, rest)) = self.names.split_first() else {
            return Err(A::Error::custom("no name to look for"));
        };
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(IsName(name))? {
            if is_it {
                found = map.next_value_seed(Seek { names: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Compares a key without copying it.
struct IsName<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(line: &'a str, path: &str) -> Result<Option<&'a str>, String> {
        find(line, &path.parse().unwrap())
    }

    #[test]
    fn a_field_keeps_its_own_text() {
        let line = r#"{"a": {"b": 1.50, "c": "x\ty"}, "n": 123456789012345678901234567890}"#;
        assert_eq!(found(line, "a.b"), Ok(Some("1.50")));
        assert_eq!(found(line, "a.c"), Ok(Some(r#""x\ty""#)));
        assert_eq!(found(line, "n"), Ok(Some("123456789012345678901234567890")));
        assert_eq!(found(line, "a"), Ok(Some(r#"{"b": 1.50, "c": "x\ty"}"#)));
    }

    #[test]
    fn a_missing_field_is_not_an_error_and_null_is_a_value() {
        assert_eq!(found(r#"{"a": 1}"#, "b"), Ok(None));
        assert_eq!(found(r#"{"a": null}"#, "a.b"), Ok(None));
        assert_eq!(found(r#"{"a": null}"#, "a"), Ok(Some("null")));
        assert_eq!(found(r#"{"a": 1, "a": 2}"#, "a"), Ok(Some("2")));
    }

    #[test]
    fn what_is_not_json_or_no_object_says_so() {
        for line in ["", "{", r#"{"a": 1"#, r#"{"a": 1} x"#, r#"{"a": 1, b}"#] {
            let error = found(line, "a").unwrap_err();
            assert!(error.starts_with("not JSON: "), "{line:?}: {error}");
        }
        let error = found("[1]", "a").unwrap_err();
        assert!(error.starts_with("no field a in it: "), "{error}");
        assert!(found(r#"{"a": 7}"#, "a.b").is_err());
    }
}
