//! `Value`: a MessagePack value, written and read by hand. The tests must not learn the format from the
//! code that they test.

use std::fmt;

/// A MessagePack value. Integers of either sign are one kind.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Nil,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
    Bin(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

/// A map with text keys.
macro_rules! map {
    ($($key:expr => $value:expr),* $(,)?) => {
        $crate::harness::Value::Map(vec![$(($crate::harness::Value::from($key), std::convert::Into::<$crate::harness::Value>::into($value))),*])
    };
}
pub(crate) use map;

impl Value {
    /// The field of a map; nil when it is missing.
    pub(crate) fn get(&self, key: &str) -> &Value {
        const NIL: &Value = &Value::Nil;
        let Value::Map(entries) = self else {
            return NIL;
        };
        let found = entries
            .iter()
            .find(|(name, _)| matches!(name, Value::Str(name) if name == key));
        found.map_or(NIL, |(_, value)| value)
    }

    /// Puts a field into a map, over one that is there.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Value {
        let Value::Map(entries) = &mut self else {
            panic!("{self:?} is no map")
        };
        entries.retain(|(name, _)| !matches!(name, Value::Str(name) if name == key));
        entries.push((key.into(), value.into()));
        self
    }

    #[track_caller]
    pub(crate) fn int(&self) -> i128 {
        let Value::Int(number) = self else {
            panic!("{self:?} is no integer")
        };
        *number
    }

    #[track_caller]
    pub(crate) fn u64(&self) -> u64 {
        u64::try_from(self.int()).expect("the integer fits u64")
    }

    #[track_caller]
    pub(crate) fn i64(&self) -> i64 {
        i64::try_from(self.int()).expect("the integer fits i64")
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        let Value::Str(text) = self else {
            panic!("{self:?} is no text")
        };
        text
    }

    #[track_caller]
    pub(crate) fn bool(&self) -> bool {
        let Value::Bool(truth) = self else {
            panic!("{self:?} is no boolean")
        };
        *truth
    }

    /// The elements; nil counts as none.
    #[track_caller]
    pub(crate) fn list(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            Value::Nil => &[],
            other => panic!("{other:?} is no array"),
        }
    }

    /// The bytes, or none for nil.
    #[track_caller]
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Value::Nil => None,
            Value::Bin(bytes) => Some(bytes.clone()),
            other => panic!("{other:?} is no binary"),
        }
    }

    pub(crate) fn is_nil(&self) -> bool {
        *self == Value::Nil
    }

    /// The value's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Nil => out.push(0xc0),
            Value::Bool(truth) => out.push(0xc2 + u8::from(*truth)),
            Value::Int(number) => write_int(*number, out),
            Value::Float(number) => {
                out.push(0xcb);
                out.extend(number.to_be_bytes());
            }
            Value::Str(text) => {
                write_head(
                    text.len(),
                    &[(0xa0, 31), (0xd9, 0xff), (0xda, 0xffff), (0xdb, u32::MAX)],
                    out,
                );
                out.extend(text.as_bytes());
            }
            Value::Bin(bytes) => {
                write_head(
                    bytes.len(),
                    &[(0, 0), (0xc4, 0xff), (0xc5, 0xffff), (0xc6, u32::MAX)],
                    out,
                );
                out.extend(bytes);
            }
            Value::Array(items) => {
                write_head(
                    items.len(),
                    &[(0x90, 15), (0, 0), (0xdc, 0xffff), (0xdd, u32::MAX)],
                    out,
                );
                items.iter().for_each(|item| item.write(out));
            }
            Value::Map(entries) => {
                write_head(
                    entries.len(),
                    &[(0x80, 15), (0, 0), (0xde, 0xffff), (0xdf, u32::MAX)],
                    out,
                );
                for (key, value) in entries {
                    key.write(out);
                    value.write(out);
                }
            }
        }
    }

    /// Reads exactly one value.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Value, String> {
        let mut rest = bytes;
        let value = read(&mut rest).ok_or_else(|| format!("no MessagePack value: {bytes:02x?}"))?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(format!("{} bytes too many", rest.len()))
        }
    }
}

fn write_int(number: i128, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    let tail = |len: usize| bytes[16 - len..].iter().copied();
    let (marker, len) = match number {
        -32..=0x7f => return out.extend(tail(1)),
        0x80..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000..=0xffff_ffff_ffff_ffff => (0xcf, 8),
        -0x80..=-33 => (0xd0, 1),
        -0x8000..=-0x81 => (0xd1, 2),
        -0x8000_0000..=-0x8001 => (0xd2, 4),
        _ => (0xd3, 8),
    };
    out.push(marker);
    out.extend(tail(len));
}

/// Marker and length; the sizes are those of a length inside the marker, in one, two and four bytes.
fn write_head(len: usize, sizes: &[(u8, u32); 4], out: &mut Vec<u8>) {
    let len = u32::try_from(len).expect("nothing in a frame is that long");
    let bytes = len.to_be_bytes();
    let [(fix, fix_max), (one, one_max), (two, two_max), (four, _)] = *sizes;
    match len {
        _ if fix != 0 && len <= fix_max => out.push(fix | bytes[3]),
        _ if one != 0 && len <= one_max => out.extend([one, bytes[3]]),
        _ if len <= two_max => out.extend([two, bytes[2], bytes[3]]),
        _ => {
            out.push(four);
            out.extend(bytes);
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8], len: usize) -> Option<u64> {
    Some(
        take(rest, len)?
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

fn length(rest: &mut &[u8], len: usize) -> Option<usize> {
    usize::try_from(number(rest, len)?).ok()
}

fn read(rest: &mut &[u8]) -> Option<Value> {
    let marker = take(rest, 1)?[0];
    let low = |mask: u8| usize::from(marker & mask);
    Some(match marker {
        0x00..=0x7f => Value::Int(i128::from(marker)),
        0xe0..=0xff => Value::Int(i128::from(marker) - 256),
        0x80..=0x8f => read_map(rest, low(0x0f))?,
        0x90..=0x9f => read_array(rest, low(0x0f))?,
        0xa0..=0xbf => read_str(rest, low(0x1f))?,
        0xc0 => Value::Nil,
        0xc2 | 0xc3 => Value::Bool(marker == 0xc3),
        0xc4..=0xc6 => {
            let len = length(rest, 1 << (marker - 0xc4))?;
            Value::Bin(take(rest, len)?.to_vec())
        }
        0xcb => Value::Float(f64::from_bits(number(rest, 8)?)),
        0xcc..=0xcf => Value::Int(i128::from(number(rest, 1 << (marker - 0xcc))?)),
        0xd0..=0xd3 => {
            let len = 1_usize << (marker - 0xd0);
            let raw = i128::from(number(rest, len)?);
            let modulus = 1_i128 << (len * 8);
            Value::Int(if raw * 2 >= modulus {
                raw - modulus
            } else {
                raw
            })
        }
        0xd9..=0xdb => {
            let len = length(rest, 1 << (marker - 0xd9))?;
            read_str(rest, len)?
        }
        0xdc | 0xdd => {
            let len = length(rest, 2 << (marker - 0xdc))?;
            read_array(rest, len)?
        }
        0xde | 0xdf => {
            let len = length(rest, 2 << (marker - 0xde))?;
            read_map(rest, len)?
        }
        _ => return None,
    })
}

fn read_str(rest: &mut &[u8], len: usize) -> Option<Value> {
    let bytes = take(rest, len)?.to_vec();
    String::from_utf8(bytes).ok().map(Value::Str)
}

fn read_array(rest: &mut &[u8], len: usize) -> Option<Value> {
    (0..len)
        .map(|_| read(rest))
        .collect::<Option<_>>()
        .map(Value::Array)
}

fn read_map(rest: &mut &[u8], len: usize) -> Option<Value> {
    (0..len)
        .map(|_| Some((read(rest)?, read(rest)?)))
        .collect::<Option<_>>()
        .map(Value::Map)
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("nil"),
            Value::Bool(truth) => truth.fmt(f),
            Value::Int(number) => number.fmt(f),
            Value::Float(number) => number.fmt(f),
            Value::Str(text) => text.fmt(f),
            Value::Bin(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Value::Array(items) => f.debug_list().entries(items).finish(),
            Value::Map(entries) => f
                .debug_map()
                .entries(entries.iter().map(|(k, v)| (k, v)))
                .finish(),
        }
    }
}

impl From<&Value> for Value {
    fn from(value: &Value) -> Self {
        value.clone()
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Bin(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Value::Bin(bytes.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Nil, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Value::Array(items.into_iter().map(Into::into).collect())
    }
}

macro_rules! from_integers {
    ($($kind:ty)*) => {
        $(impl From<$kind> for Value {
            fn from(number: $kind) -> Self {
                Value::Int(i128::try_from(number).expect("fits i128"))
            }
        })*
    };
}
from_integers!(i32 i64 u32 u64 usize);

#[test]
fn values_come_back_as_they_went() {
    let numbers = [
        0,
        1,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        1 << 40,
        -1,
        -32,
        -33,
        -128,
        -129,
        -40_000,
        -(1 << 40),
        i64::MAX,
        i64::MIN,
    ];
    let mut all: Vec<Value> = numbers.into_iter().map(Value::from).collect();
    all.push(u64::MAX.into());
    for len in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        all.push("x".repeat(len).into());
        all.push(Value::Bin(vec![7; len]));
        all.push(Value::Array(vec![Value::Nil; len]));
    }
    all.push(map! { "a" => 1, "b" => vec![true], "c" => Value::Float(1.5) });
    for value in all {
        assert_eq!(Value::decode(&value.encode()), Ok(value));
    }
    assert_eq!(map! { "a" => 1 }.encode(), b"\x81\xa1a\x01");
    assert_eq!(Value::from(&b"hi"[..]).encode(), b"\xc4\x02hi");
    assert!(Value::decode(b"\x91").is_err() && Value::decode(b"\x01\x02").is_err());
}
