//! JSON (or YAML) to MessagePack, value by value as it is read, so that the order of names stays.
//! Writing into a vector cannot fail, which is why the results of `rmp` are dropped.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmp::encode;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::DEPTH_MAX;

/// A value in a fixture. An object of the one field `hex` or `base64` is bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut out = Vec::new();
        let pack = Pack {
            out: &mut out,
            depth: 0,
            marks: Marks::AreBytes,
        };
        pack.deserialize(deserializer)?;
        Ok(Packed(out))
    }
}

/// The MessagePack of a JSON text; every object is a map.
pub(crate) fn from_json_text(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let pack = Pack {
        out: &mut out,
        depth: 0,
        marks: Marks::AreMaps,
    };
    let packed = pack.deserialize(&mut deserializer);
    match packed.and_then(|()| deserializer.end()) {
        Ok(()) => Ok(out),
        Err(error) => {
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or_default();
            Err(format!("{reason} at column {}", error.column()))
        }
    }
}

/// The MessagePack of a text.
pub(crate) fn text_value(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 5);
    let _ = encode::write_str(&mut out, text);
    out
}

/// The bytes of `{"hex": "…"}` or `{"base64": "…"}`.
pub(crate) fn bytes_of(mark: &str, text: &str) -> Result<Vec<u8>, String> {
    match mark {
        "hex" => from_hex(text),
        "base64" => STANDARD
            .decode(text)
            .map_err(|error| format!("{text:?} is not base64: {error}")),
        other => Err(format!("{other:?} is neither \"hex\" nor \"base64\"")),
    }
}

fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{text:?} is not hexadecimal: write two digits for each byte");
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        let complete = pair.len() == 2 && !pair.starts_with('+');
        complete.then(|| u8::from_str_radix(pair, 16).ok())?
    };
    digits.map(byte).collect::<Option<_>>().ok_or_else(wrong)
}

/// What an object with the one field `hex` or `base64` is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    AreBytes,
    AreMaps,
}

struct Pack<'o> {
    out: &'o mut Vec<u8>,
    depth: usize,
    marks: Marks,
}

impl Pack<'_> {
    fn inner<'o>(&self, out: &'o mut Vec<u8>) -> Pack<'o> {
        Pack {
            out,
            depth: self.depth + 1,
            marks: self.marks,
        }
    }

    fn check_depth<E: Error>(&self) -> Result<(), E> {
        if self.depth < DEPTH_MAX {
            return Ok(());
        }
        Err(E::custom(format!("nested deeper than {DEPTH_MAX} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Pack<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pack<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        let _ = encode::write_nil(self.out);
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        let _ = encode::write_bool(self.out, value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        let _ = encode::write_sint(self.out, value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let _ = encode::write_uint(self.out, value);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let _ = encode::write_f64(self.out, value);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let _ = encode::write_str(self.out, value);
        Ok(())
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<(), E> {
        let _ = encode::write_bin(self.out, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.check_depth()?;
        let mut packed = Vec::new();
        let mut count = 0;
        while items.next_element_seed(self.inner(&mut packed))?.is_some() {
            count += 1;
        }
        let _ = encode::write_array_len(self.out, count);
        self.out.extend_from_slice(&packed);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        self.check_depth()?;
        let mut packed = Vec::new();
        let mut count = 0;
        let mut last: Option<(String, usize)> = None;
        while let Some(name) = fields.next_key::<String>()? {
            let _ = encode::write_str(&mut packed, &name);
            last = Some((name, packed.len()));
            fields.next_value_seed(self.inner(&mut packed))?;
            count += 1;
        }
        if let (1, Marks::AreBytes, Some((name, at))) = (count, self.marks, last)
            && matches!(name.as_str(), "hex" | "base64")
        {
            let value = packed.get(at..).unwrap_or_default();
            let (text, _) = rmp::decode::read_str_from_slice(value)
                .map_err(|_| A::Error::custom(format!("{name} takes text: put it in quotes")))?;
            let bytes = bytes_of(&name, text).map_err(A::Error::custom)?;
            let _ = encode::write_bin(self.out, &bytes);
            return Ok(());
        }
        let _ = encode::write_map_len(self.out, count);
        self.out.extend_from_slice(&packed);
        Ok(())
    }
}
