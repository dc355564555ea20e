//! MessagePack to JSON text without spaces, names in the order in which they came. What JSON cannot say
//! is an error, except for bytes, about which the caller decides.

use std::collections::BTreeSet;
use std::io::Write as _;

use crate::messagepack::{DEPTH_MAX, Reader, Value};

/// What is done with bytes, which JSON does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binary {
    /// A value with bytes in it is refused.
    #[default]
    Refuse,
    /// Bytes become a string: base64 with padding (RFC 4648, section 4). The way back gives that string.
    Base64,
}

/// Adds the JSON text of one MessagePack value to `out`.
///
/// # Errors
/// The value is malformed or says what JSON cannot. `out` may have got a part of it.
pub fn from_messagepack(value: &[u8], binary: Binary, out: &mut Vec<u8>) -> Result<(), String> {
    let mut reader = Reader::new(value);
    print(&mut reader, binary, out, 0)?;
    reader.end()?;
    Ok(())
}

fn print(
    reader: &mut Reader<'_>,
    binary: Binary,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("nested deeper than {DEPTH_MAX} levels"));
    }
    match reader.read()? {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Bool(value) => add(out, format_args!("{value}")),
        Value::Int(value) => add(out, format_args!("{value}")),
        Value::BigInt(value) => add(out, format_args!("{value}")),
        Value::F32(value) if value.is_finite() => add(out, format_args!("{value:?}")),
        Value::F64(value) if value.is_finite() => add(out, format_args!("{value:?}")),
        Value::F32(_) | Value::F64(_) => {
            return Err("JSON has neither NaN nor infinities".to_owned());
        }
        Value::Str(text) => print_string(text, out),
        Value::Bin(bytes) if binary == Binary::Base64 => print_base64(bytes, out),
        Value::Bin(_) => return Err("JSON has no bytes, and the value has a bin".to_owned()),
        Value::Array(len) => {
            out.push(b'[');
            for index in 0..len {
                if index > 0 {
                    out.push(b',');
                }
                print(reader, binary, out, depth + 1)?;
            }
            out.push(b']');
        }
        Value::Map(len) => print_map(reader, len, binary, (out, depth))?,
    }
    Ok(())
}

fn print_map<'a>(
    reader: &mut Reader<'a>,
    len: u32,
    binary: Binary,
    (out, depth): (&mut Vec<u8>, usize),
) -> Result<(), String> {
    let mut few: Vec<&'a str> = Vec::new();
    let mut many: BTreeSet<&'a str> = BTreeSet::new();
    out.push(b'{');
    for index in 0..len {
        if index > 0 {
            out.push(b',');
        }
        let Value::Str(name) = reader.read()? else {
            return Err(
                "a JSON object has text for its names, and a map has another key".to_owned(),
            );
        };
        let is_new = match len {
            0..=8 => !few.contains(&name),
            _ => many.insert(name),
        };
        few.push(name);
        if !is_new {
            return Err(format!("the map has the key {name:?} twice"));
        }
        print_string(name, out);
        out.push(b':');
        print(reader, binary, out, depth + 1)?;
    }
    out.push(b'}');
    Ok(())
}

fn add(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes everything");
}

fn print_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => add(out, format_args!("\\u{byte:04x}")),
        }
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
    out.push(b'"');
}

fn print_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push(b'"');
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 0x3f;
            let is_there = digit <= group.len();
            out.push(if is_there {
                DIGITS[value as usize]
            } else {
                b'='
            });
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &[u8], binary: Binary) -> Result<String, String> {
        let mut out = Vec::new();
        from_messagepack(value, binary, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for (value, reason) in [
            (
                &b"\xcb\x7f\xf8\0\0\0\0\0\0"[..],
                "JSON has neither NaN nor infinities",
            ),
            (b"\xca\x7f\x80\0\0", "JSON has neither NaN nor infinities"),
            (b"\x81\x01\x02", "a map has another key"),
            (b"\x82\xa1a\x01\xa1a\x02", "the map has the key \"a\" twice"),
            (b"\xc4\x01\0", "the value has a bin"),
            (b"\x92\x01", "the MessagePack value is cut off"),
            (b"\x01\x01", "bytes follow the MessagePack value"),
            (b"\xd4\0\0", "extension types are not supported"),
        ] {
            let found = text(value, Binary::Refuse).unwrap_err();
            assert!(found.contains(reason), "{value:x?}: {found}");
        }
    }

    #[test]
    fn numbers_have_the_digits_that_they_need() {
        assert_eq!(
            text(b"\xca\x3d\xcc\xcc\xcd", Binary::Refuse).unwrap(),
            "0.1"
        );
        assert_eq!(
            text(b"\xcb\x40\0\0\0\0\0\0\0", Binary::Refuse).unwrap(),
            "2.0"
        );
    }

    #[test]
    fn bytes_become_base64_where_that_is_wanted() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
        ] {
            let mut value = Vec::new();
            crate::messagepack::write_bin(&mut value, bytes);
            assert_eq!(
                text(&value, Binary::Base64).unwrap(),
                format!("\"{expected}\"")
            );
        }
    }
}
