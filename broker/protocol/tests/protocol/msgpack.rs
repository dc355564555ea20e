//! A second, deliberately plain MessagePack decoder: recursive, allocating, no tricks. What the
//! page shows as JSON comes from it, and the crate's own walker is held against it.

use std::fmt::Write;

/// A decoded value; maps keep their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Nil,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// Text that is not UTF-8 counts as binary.
    Binary(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

/// Decodes exactly one value, at most `depth` levels deep.
pub(crate) fn decode(bytes: &[u8], depth: usize) -> Option<Value> {
    let mut rest = bytes;
    let value = value(&mut rest, depth)?;
    rest.is_empty().then_some(value)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    if len > rest.len() {
        return None;
    }
    let (taken, left) = rest.split_at(len);
    *rest = left;
    Some(taken)
}

fn unsigned(rest: &mut &[u8], width: usize) -> Option<u64> {
    let bytes = take(rest, width)?;
    Some(
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

fn signed(rest: &mut &[u8], width: u32) -> Option<Value> {
    let raw = i128::from(unsigned(rest, width as usize)?);
    let bits = width * 8;
    let negative = raw >= 1 << (bits - 1);
    Some(Value::Integer(if negative {
        raw - (1 << bits)
    } else {
        raw
    }))
}

fn value(rest: &mut &[u8], depth: usize) -> Option<Value> {
    let marker = take(rest, 1)?[0];
    let integer = |number: u64| Some(Value::Integer(i128::from(number)));
    match marker {
        0x00..=0x7F => integer(u64::from(marker)),
        0xE0..=0xFF => Some(Value::Integer(i128::from(marker) - 256)),
        0xC0 => Some(Value::Nil),
        0xC2 => Some(Value::Bool(false)),
        0xC3 => Some(Value::Bool(true)),
        0xCC => integer(unsigned(rest, 1)?),
        0xCD => integer(unsigned(rest, 2)?),
        0xCE => integer(unsigned(rest, 4)?),
        0xCF => integer(unsigned(rest, 8)?),
        0xD0 => signed(rest, 1),
        0xD1 => signed(rest, 2),
        0xD2 => signed(rest, 4),
        0xD3 => signed(rest, 8),
        0xCA => Some(Value::Float(
            f32::from_be_bytes(take(rest, 4)?.try_into().ok()?).into(),
        )),
        0xCB => Some(Value::Float(f64::from_be_bytes(
            take(rest, 8)?.try_into().ok()?,
        ))),
        0xA0..=0xBF => text(rest, u64::from(marker & 0x1F)),
        0xD9..=0xDB => {
            let len = unsigned(rest, 1 << (marker - 0xD9))?;
            text(rest, len)
        }
        0xC4..=0xC6 => {
            let len = unsigned(rest, 1 << (marker - 0xC4))?;
            Some(Value::Binary(take(rest, len.try_into().ok()?)?.to_vec()))
        }
        0x90..=0x9F => array(rest, u64::from(marker & 0x0F), depth),
        0xDC | 0xDD => {
            let len = unsigned(rest, 2 << (marker - 0xDC))?;
            array(rest, len, depth)
        }
        0x80..=0x8F => map(rest, u64::from(marker & 0x0F), depth),
        0xDE | 0xDF => {
            let len = unsigned(rest, 2 << (marker - 0xDE))?;
            map(rest, len, depth)
        }
        _ => None,
    }
}

fn text(rest: &mut &[u8], len: u64) -> Option<Value> {
    let bytes = take(rest, len.try_into().ok()?)?.to_vec();
    Some(match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text),
        Err(error) => Value::Binary(error.into_bytes()),
    })
}

fn array(rest: &mut &[u8], len: u64, depth: usize) -> Option<Value> {
    let inside = depth.checked_sub(1)?;
    let mut values = Vec::new();
    for _ in 0..len {
        values.push(value(rest, inside)?);
    }
    Some(Value::Array(values))
}

fn map(rest: &mut &[u8], len: u64, depth: usize) -> Option<Value> {
    let inside = depth.checked_sub(1)?;
    let mut entries = Vec::new();
    for _ in 0..len {
        let key = value(rest, inside)?;
        entries.push((key, value(rest, inside)?));
    }
    Some(Value::Map(entries))
}

impl Value {
    /// The value of a key of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let Self::Map(entries) = self else {
            return None;
        };
        let found = entries
            .iter()
            .find(|(name, _)| *name == Self::Text(key.to_owned()));
        found.map(|(_, value)| value)
    }

    /// JSON as the page shows it: `{"$bin": "hex"}` for binary, broken into lines where it is long.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(0, &mut out);
        out
    }

    fn write_json(&self, indent: usize, out: &mut String) {
        const WIDTH: usize = 96;
        let (open, close, parts) = match self {
            Self::Array(values) => ('[', ']', values.iter().map(|v| (None, v)).collect()),
            Self::Map(entries) => {
                let parts: Vec<_> = entries.iter().map(|(k, v)| (Some(k), v)).collect();
                ('{', '}', parts)
            }
            scalar => return out.push_str(&scalar.scalar_json()),
        };
        let flat = self.flat_json();
        if indent + flat.len() <= WIDTH {
            return out.push_str(&flat);
        }
        out.push(open);
        for (index, (key, value)) in parts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}\n{:1$}", "", indent + 2).unwrap();
            if let Some(key) = key {
                write!(out, "{}: ", key.flat_json()).unwrap();
            }
            value.write_json(indent + 2, out);
        }
        write!(out, "\n{:1$}{close}", "", indent).unwrap();
    }

    fn flat_json(&self) -> String {
        match self {
            Self::Array(values) => {
                let values: Vec<_> = values.iter().map(Self::flat_json).collect();
                format!("[{}]", values.join(", "))
            }
            Self::Map(entries) => {
                let entry = |(key, value): &(Value, Value)| {
                    format!("{}: {}", key.flat_json(), value.flat_json())
                };
                let entries: Vec<_> = entries.iter().map(entry).collect();
                format!("{{{}}}", entries.join(", "))
            }
            scalar => scalar.scalar_json(),
        }
    }

    fn scalar_json(&self) -> String {
        match self {
            Self::Nil => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::Binary(bytes) => format!("{{\"$bin\": \"{}\"}}", hex(bytes)),
            Self::Array(_) | Self::Map(_) => unreachable!("not a scalar"),
        }
    }
}

/// Hexadecimal digits without spaces.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
