//! Records as one sees them from outside: made for `produce`, and read from a `fetch` answer.

use super::value::Value;

/// A record in the shape of `produce`: `[key, value]`.
pub(crate) fn keyed(key: &str, value: &str) -> Value {
    Value::Array(vec![
        Value::from(key.as_bytes()),
        Value::from(value.as_bytes()),
    ])
}

/// A record without a key.
pub(crate) fn valued(value: &str) -> Value {
    Value::Array(vec![Value::Nil, Value::from(value.as_bytes())])
}

/// Records `{prefix}{number}` without keys.
pub(crate) fn plain(prefix: &str, numbers: std::ops::Range<u64>) -> Value {
    Value::Array(
        numbers
            .map(|number| valued(&format!("{prefix}{number}")))
            .collect(),
    )
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rec {
    pub(crate) offset: u64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Rec {
    #[track_caller]
    pub(crate) fn from_answer(record: &Value) -> Self {
        let [offset, timestamp, key, value, headers] = record.list() else {
            panic!("a record has five elements: {record:?}");
        };
        let header = |pair: &Value| (pair.list()[0].text().to_owned(), pair.list()[1].bytes());
        Self {
            offset: offset.u64(),
            timestamp: timestamp.i64(),
            key: key.bytes(),
            value: value.bytes(),
            headers: headers.list().iter().map(header).collect(),
        }
    }

    /// The value as text.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        let value = self.value.clone().expect("the record has a value");
        String::from_utf8(value).expect("the value is text")
    }
}

/// What a fetch answered about one partition.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) answer: Value,
}

impl Fetched {
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Rec> {
        self.answer
            .get("records")
            .list()
            .iter()
            .map(Rec::from_answer)
            .collect()
    }

    #[track_caller]
    pub(crate) fn offset(&self, field: &str) -> u64 {
        self.answer.get(field).u64()
    }
}
