//! How input becomes records: a line is a value, or key and value around a separator, or a JSON
//! object whose fields hold key, timestamp and headers; or a whole file is one value. A value is
//! exactly the bytes of the line unless a field was asked for.

use broker_client::Header;
use broker_client::model::Timestamp;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::field_path::FieldPath;
use super::json_field::{check, find};
use crate::message_pack::{from_json_text, text_value};
use crate::time_spec::TimeSpec;

/// How input becomes records.
#[derive(Clone, Debug)]
pub(crate) enum RecordFormat {
    /// Each line is a record.
    Lines(LineFormat),
    /// Each line is a JSON value and a record.
    Ndjson(Box<NdjsonFormat>),
    /// The whole input is one record.
    Raw(ValueForm),
}

/// What keys and values are sent as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ValueForm {
    /// The bytes of the input.
    #[default]
    Bytes,
    /// The MessagePack of the JSON in the input; a key that is plain text is text.
    MessagePack,
}

impl ValueForm {
    /// A value that stands in the input as it is.
    fn value(self, bytes: &[u8]) -> Result<Option<Bytes>, String> {
        match self {
            Self::Bytes => Ok(Some(Bytes::copy_from_slice(bytes))),
            Self::MessagePack => self.json(utf8(bytes)?),
        }
    }

    /// A key that stands in the input as plain text.
    pub(crate) fn text_key(self, key: Bytes) -> Result<Bytes, String> {
        match self {
            Self::Bytes => Ok(key),
            Self::MessagePack => Ok(text_value(utf8(&key)?).into()),
        }
    }

    /// A value given as JSON.
    fn json(self, raw: &str) -> Result<Option<Bytes>, String> {
        match self {
            Self::Bytes => Ok(text_or_raw(raw)),
            Self::MessagePack if raw.trim() == "null" => Ok(None),
            Self::MessagePack => match from_json_text(raw) {
                Ok(packed) => Ok(Some(packed.into())),
                Err(reason) => Err(format!("not JSON: {reason}")),
            },
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to() + 1))
}

/// Plain lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineFormat {
    /// What stands between key and value; without it a line is a value.
    pub(crate) key_separator: Option<Vec<u8>>,
    /// A key or value of exactly these bytes is null.
    pub(crate) null: Option<Vec<u8>>,
    pub(crate) form: ValueForm,
}

/// Lines of JSON.
#[derive(Clone, Debug)]
pub(crate) struct NdjsonFormat {
    pub(crate) key: Option<FieldPath>,
    pub(crate) missing_key: MissingKey,
    pub(crate) value: Option<FieldPath>,
    pub(crate) timestamp: Option<FieldPath>,
    pub(crate) headers: Option<FieldPath>,
    pub(crate) form: ValueForm,
}

/// What a line without the key's field means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MissingKey {
    /// It is a bad line.
    #[default]
    Error,
    /// The record's key is null.
    Null,
}

/// What input says about a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) headers: Vec<Header>,
}

impl RecordFormat {
    /// The record of a line; `None` for a line that is passed over. An error says what is wrong
    /// with the line.
    pub(crate) fn record(&self, line: &[u8]) -> Result<Option<Draft>, String> {
        match self {
            Self::Raw(form) => Ok(Some(Draft {
                value: form.value(line)?,
                ..Draft::default()
            })),
            Self::Lines(lines) => lines.record(line).map(Some),
            // Blank lines are allowed between JSON lines.
            Self::Ndjson(_) if line.iter().all(u8::is_ascii_whitespace) => Ok(None),
            Self::Ndjson(ndjson) => ndjson.record(line).map(Some),
        }
    }
}

impl LineFormat {
    fn record(&self, line: &[u8]) -> Result<Draft, String> {
        let (key, value) = match &self.key_separator {
            None => (None, line),
            Some(separator) => {
                let at = line
                    .windows(separator.len())
                    .position(|window| window == separator);
                let at = at.ok_or_else(|| {
                    let separator = String::from_utf8_lossy(separator);
                    format!("the key separator {separator:?} is not in it")
                })?;
                let (key, rest) = line.split_at(at);
                let key = match self.is_null(key) {
                    true => None,
                    false => Some(self.form.text_key(Bytes::copy_from_slice(key))?),
                };
                (key, rest.get(separator.len()..).unwrap_or_default())
            }
        };
        let value = match self.is_null(value) {
            true => None,
            false => self.form.value(value)?,
        };
        Ok(Draft {
            key,
            value,
            ..Draft::default()
        })
    }

    fn is_null(&self, bytes: &[u8]) -> bool {
        self.null.as_deref() == Some(bytes)
    }
}

impl NdjsonFormat {
    fn record(&self, line: &[u8]) -> Result<Draft, String> {
        let text = utf8(line)?;
        if self.key.is_none()
            && self.value.is_none()
            && self.timestamp.is_none()
            && self.headers.is_none()
        {
            check(text)?;
        }
        let value = match &self.value {
            Some(path) => {
                let found = find(text, path)?.ok_or_else(|| missing(path))?;
                self.form.json(found)?
            }
            None => self.form.value(line)?,
        };
        let mut draft = Draft {
            value,
            ..Draft::default()
        };
        if let Some(path) = &self.key {
            draft.key = match (find(text, path)?, self.missing_key) {
                (Some(found), _) => match self.form {
                    ValueForm::Bytes => {
                        key(found).map_err(|why| format!("the key {path} {why}"))?
                    }
                    form @ ValueForm::MessagePack => form.json(found)?,
                },
                (None, MissingKey::Null) => None,
                (None, MissingKey::Error) => {
                    return Err(format!("{} (--missing-key null allows it)", missing(path)));
                }
            };
        }
        if let Some(path) = &self.timestamp {
            let found = find(text, path)?.ok_or_else(|| missing(path))?;
            let time = timestamp(found);
            draft.timestamp = Some(time.map_err(|why| format!("the timestamp {path}: {why}"))?);
        }
        if let Some(path) = &self.headers {
            let found = find(text, path)?.ok_or_else(|| missing(path))?;
            draft.headers = headers(found).ok_or_else(|| {
                format!(
                    "the headers {path} are neither an object of texts nor a list of [name, text]"
                )
            })?;
        }
        Ok(draft)
    }
}

fn missing(path: &FieldPath) -> String {
    format!("the field {path} is missing")
}

/// The text of a JSON string; `None` for everything else.
fn string(raw: &str) -> Option<String> {
    raw.starts_with('"')
        .then(|| serde_json::from_str(raw).ok())
        .flatten()
}

/// A string's text, null, or the JSON as it is written.
fn text_or_raw(raw: &str) -> Option<Bytes> {
    match string(raw) {
        Some(text) => Some(text.into()),
        None if raw == "null" => None,
        None => Some(Bytes::copy_from_slice(raw.as_bytes())),
    }
}

fn key(raw: &str) -> Result<Option<Bytes>, &'static str> {
    match raw.as_bytes().first() {
        Some(b'{') => Err("is an object: a key is a text, a number, true or false"),
        Some(b'[') => Err("is a list: a key is a text, a number, true or false"),
        _ => Ok(text_or_raw(raw)),
    }
}

/// Milliseconds since 1970, or a time as text.
fn timestamp(raw: &str) -> Result<Timestamp, String> {
    if let Some(text) = string(raw) {
        return text.parse().map(|TimeSpec(time)| time);
    }
    let millis = raw.parse().map(Timestamp::from_millis);
    millis.map_err(|_| format!("{raw} is neither whole milliseconds nor a time as text"))
}

/// An object in its order, or a list of pairs.
fn headers(raw: &str) -> Option<Vec<Header>> {
    let pairs: Vec<(String, Box<RawValue>)> = match raw.as_bytes().first() {
        Some(b'{') => serde_json::from_str::<Pairs>(raw).ok()?.0,
        _ => serde_json::from_str(raw).ok()?,
    };
    let header = |(name, value): (String, Box<RawValue>)| match value.get() {
        "null" => Some(Header { name, value: None }),
        text => Some(Header {
            name,
            value: Some(string(text)?.into()),
        }),
    };
    pairs.into_iter().map(header).collect()
}

/// The members of an object, in order and with duplicates.
struct Pairs(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A separator as it is typed: `\t`, `\0`, `\\` and the like stand for what they mean in C.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let byte = match c {
            '\\' => match chars.next() {
                Some('t') => b'\t',
                Some('n') => b'\n',
                Some('0') => 0,
                Some('\\') => b'\\',
                _ => return Err(r"after a backslash come t, n, 0 or another backslash".to_owned()),
            },
            c => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
        };
        bytes.push(byte);
    }
    if bytes.is_empty() {
        Err("it is empty".to_owned())
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
#[path = "record_format_tests.rs"]
mod tests;
