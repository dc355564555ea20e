//! A value as a tree: what is checked, and what a schema is read from.

use plugin_sdk::messagepack::{Malformed, Reader, Value};

/// A JSON value. Its text lies in the MessagePack that it was read from.
#[derive(Clone, Debug)]
pub(crate) enum Document<'a> {
    Null,
    Bool(bool),
    /// A whole number of 64 bits, signed or not.
    Whole(i128),
    Float(f64),
    Text(&'a str),
    Array(Vec<Document<'a>>),
    Object(Vec<(&'a str, Document<'a>)>),
}

impl<'a> Document<'a> {
    /// Reads a value that JSON can say.
    pub(crate) fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        Document::next(&mut Reader::new(value))
    }

    /// As deep as the value is, which its reader before has limited.
    fn next(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match reader.read()? {
            Value::Nil => Document::Null,
            Value::Bool(value) => Document::Bool(value),
            Value::Int(value) => Document::Whole(i128::from(value)),
            Value::BigInt(value) => Document::Whole(i128::from(value)),
            Value::F32(value) => Document::Float(f64::from(value)),
            Value::F64(value) => Document::Float(value),
            Value::Str(text) => Document::Text(text),
            Value::Bin(_) => return Err(Malformed::Unexpected),
            Value::Array(len) => {
                let items = (0..len).map(|_| Document::next(reader));
                Document::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Map(len) => {
                let mut pairs = Vec::new();
                for _ in 0..len {
                    let Value::Str(name) = reader.read()? else {
                        return Err(Malformed::Unexpected);
                    };
                    pairs.push((name, Document::next(reader)?));
                }
                Document::Object(pairs)
            }
        })
    }

    /// The value under a name of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Document::Object(pairs) = self else {
            return None;
        };
        let found = pairs.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value)
    }

    /// What it is called in a reason.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Document::Null => "null",
            Document::Bool(_) => "boolean",
            Document::Whole(_) => "integer",
            Document::Float(_) => "number",
            Document::Text(_) => "string",
            Document::Array(_) => "array",
            Document::Object(_) => "object",
        }
    }

    /// The number that it is. Exact for whole numbers up to 2^53.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Document::Whole(value) => Some(*value as f64),
            Document::Float(value) => Some(*value),
            _ => None,
        }
    }
}

/// Equal as JSON Schema has it: 1 and 1.0 are, and the order of an object's names does not count.
impl PartialEq for Document<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Document::Null, Document::Null) => true,
            (Document::Bool(one), Document::Bool(other)) => one == other,
            (Document::Whole(one), Document::Whole(other)) => one == other,
            (Document::Text(one), Document::Text(other)) => one == other,
            (Document::Array(one), Document::Array(other)) => one == other,
            (Document::Object(one), Document::Object(_)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .all(|(name, value)| other.get(name) == Some(value))
            }
            _ => match (self.number(), other.number()) {
                (Some(one), Some(other)) => one == other,
                _ => false,
            },
        }
    }
}

impl Document<'_> {
    /// How many items or properties there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Document::Array(items) => items.len(),
            Document::Object(pairs) => pairs.len(),
            _ => 0,
        }
    }
}
