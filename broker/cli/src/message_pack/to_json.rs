//! MessagePack to JSON text. JSON has less than MessagePack: bytes are shown as text or as
//! `{"hex": "…"}`, numbers that are none as text, names that are no text as their JSON.

use std::io::Read;

use rmp::Marker;
use rmp::decode;

use super::DEPTH_MAX;
use crate::output::hex;

/// How bytes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinForm {
    /// As text if they are UTF-8, else as `{"hex": "…"}`.
    Readable,
    /// Always as `{"hex": "…"}`, so that they are not mistaken for text.
    Marked,
}

/// One MessagePack value as JSON; the error says why it is none.
pub(crate) fn json_text(packed: &[u8], bin: BinForm) -> Result<String, String> {
    let mut reader = Reader {
        rest: packed,
        bin,
        out: String::with_capacity(packed.len() * 2),
    };
    reader.value(0)?;
    match reader.rest {
        [] => Ok(reader.out),
        rest => Err(format!("{} bytes follow the value", rest.len())),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    bin: BinForm,
    out: String,
}

const TORN: &str = "the value ends too early";

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
        }
        let before = self.rest;
        match decode::read_marker(&mut self.rest).map_err(|_| TORN)? {
            Marker::Null => self.out.push_str("null"),
            Marker::True => self.out.push_str("true"),
            Marker::False => self.out.push_str("false"),
            Marker::F32 => {
                let number = f32::from_be_bytes(self.array()?);
                self.number(f64::from(number), number.to_string());
            }
            Marker::F64 => {
                let number = f64::from_be_bytes(self.array()?);
                let text = serde_json::Number::from_f64(number).map(|number| number.to_string());
                self.number(number, text.unwrap_or_else(|| number.to_string()));
            }
            Marker::FixStr(len) => self.text(u32::from(len))?,
            Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                self.rest = before;
                let len = decode::read_str_len(&mut self.rest).map_err(|_| TORN)?;
                self.text(len)?;
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                self.rest = before;
                let len = decode::read_bin_len(&mut self.rest).map_err(|_| TORN)?;
                self.bytes(len)?;
            }
            Marker::FixArray(len) => self.array_of(u32::from(len), depth)?,
            Marker::Array16 => {
                let len = u16::from_be_bytes(self.array()?);
                self.array_of(u32::from(len), depth)?;
            }
            Marker::Array32 => {
                let len = u32::from_be_bytes(self.array()?);
                self.array_of(len, depth)?;
            }
            Marker::FixMap(len) => self.map_of(u32::from(len), depth)?,
            Marker::Map16 => {
                let len = u16::from_be_bytes(self.array()?);
                self.map_of(u32::from(len), depth)?;
            }
            Marker::Map32 => {
                let len = u32::from_be_bytes(self.array()?);
                self.map_of(len, depth)?;
            }
            Marker::Reserved => return Err("byte 0xc1 begins no value".to_owned()),
            Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32 => return Err("it has an extension type".to_owned()),
            _ => {
                self.rest = before;
                let integer = decode::read_int::<i128, _>(&mut self.rest).map_err(|_| TORN)?;
                self.out.push_str(&integer.to_string());
            }
        }
        Ok(())
    }

    fn number(&mut self, number: f64, text: String) {
        if number.is_finite() {
            self.out.push_str(&text);
        } else {
            self.quoted(&text);
        }
    }

    fn text(&mut self, len: u32) -> Result<(), String> {
        let bytes = self.take(len)?;
        let text = std::str::from_utf8(bytes).map_err(|_| "it has text that is not UTF-8")?;
        self.quoted(text);
        Ok(())
    }

    fn bytes(&mut self, len: u32) -> Result<(), String> {
        let bytes = self.take(len)?;
        match (std::str::from_utf8(bytes), self.bin) {
            (Ok(text), BinForm::Readable) => self.quoted(text),
            _ => {
                self.out.push_str("{\"hex\":");
                self.quoted(&hex(bytes));
                self.out.push('}');
            }
        }
        Ok(())
    }

    fn array_of(&mut self, len: u32, depth: usize) -> Result<(), String> {
        self.out.push('[');
        for item in 0..len {
            self.comma(item);
            self.value(depth + 1)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn map_of(&mut self, len: u32, depth: usize) -> Result<(), String> {
        self.out.push('{');
        for field in 0..len {
            self.comma(field);
            let from = self.out.len();
            self.value(depth + 1)?;
            if !self
                .out
                .get(from..)
                .is_some_and(|name| name.starts_with('"'))
            {
                let name = self.out.split_off(from);
                self.quoted(&name);
            }
            self.out.push(':');
            self.value(depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn comma(&mut self, item: u32) {
        if item > 0 {
            self.out.push(',');
        }
    }

    fn quoted(&mut self, text: &str) {
        self.out
            .push_str(&serde_json::Value::from(text).to_string());
    }

    fn take(&mut self, len: u32) -> Result<&'a [u8], String> {
        let len = usize::try_from(len).map_err(|_| TORN)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(TORN)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        self.rest.read_exact(&mut array).map_err(|_| TORN)?;
        Ok(array)
    }
}
