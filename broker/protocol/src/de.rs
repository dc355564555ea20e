//! Reads serde types from MessagePack with the protocol's own manners: structs come from maps only,
//! a key whose value is nil counts as missing, `str` and `bin` both serve as byte strings, unknown
//! keys are stepped over without recursion, and an error names the path to the field.

use serde::Deserialize;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use crate::call::InvalidValue;
use crate::reader::{Kind, Reader};

/// Reads one value; nil stands for an empty map.
pub(crate) fn from_slice<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, InvalidValue> {
    from_slice_within(bytes, usize::MAX)
}

/// The same for a value of at most so many elements: a byte on the wire can be a hundred in memory.
pub(crate) fn from_slice_within<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    elements_max: usize,
) -> Result<T, InvalidValue> {
    const EMPTY_MAP: &[u8] = &[0x80];
    let bytes = if bytes == [0xC0] { EMPTY_MAP } else { bytes };
    let mut reader = Reader::new(bytes).with_elements_max(elements_max);
    let value = T::deserialize(Value(&mut reader))?;
    if !reader.is_at_end() {
        return Err(InvalidValue::new("there are bytes after the value"));
    }
    Ok(value)
}

/// The next value of a reader.
struct Value<'r, 'a>(&'r mut Reader<'a>);

macro_rules! number {
    ($($method:ident $visit:ident $wanted:literal;)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
            visitor.$visit(self.0.read_number($wanted)?)
        })*
    };
}

impl<'a> Deserializer<'a> for Value<'_, 'a> {
    type Error = InvalidValue;

    number! {
        deserialize_i8 visit_i8 "an integer of 8 bits";
        deserialize_i16 visit_i16 "an integer of 16 bits";
        deserialize_i32 visit_i32 "an integer of 32 bits";
        deserialize_i64 visit_i64 "an integer of 64 bits";
        deserialize_u8 visit_u8 "an unsigned integer of 8 bits";
        deserialize_u16 visit_u16 "an unsigned integer of 16 bits";
        deserialize_u32 visit_u32 "an unsigned integer of 32 bits";
        deserialize_u64 visit_u64 "an unsigned integer of 64 bits";
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        match self.0.kind()? {
            Kind::Nil => self.deserialize_unit(visitor),
            Kind::Bool => self.deserialize_bool(visitor),
            Kind::Float if self.0.clone().read_integer("").is_err() => {
                self.deserialize_f64(visitor)
            }
            Kind::Integer | Kind::Float => {
                let value = self.0.read_integer("an integer")?;
                match (u64::try_from(value), i64::try_from(value)) {
                    (Ok(unsigned), _) => visitor.visit_u64(unsigned),
                    (_, Ok(signed)) => visitor.visit_i64(signed),
                    _ => Err(InvalidValue::new(format!("{value} is out of range"))),
                }
            }
            Kind::Str => self.deserialize_str(visitor),
            Kind::Bin => self.deserialize_bytes(visitor),
            Kind::Array => self.deserialize_seq(visitor),
            Kind::Map => self.deserialize_map(visitor),
            Kind::Other => Err(self.0.unexpected("a value")),
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        visitor.visit_bool(self.0.read_bool()?)
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        visitor.visit_f64(self.0.read_float()?)
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        visitor.visit_borrowed_str(self.0.read_str()?)
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        visitor.visit_borrowed_bytes(self.0.read_bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        if self.0.take_nil()? {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        if self.0.take_nil()? {
            return visitor.visit_unit();
        }
        Err(self.0.unexpected("nil"))
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, InvalidValue> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, InvalidValue> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        let left = self.0.read_array_len()?;
        visitor.visit_seq(Elements {
            reader: self.0,
            index: 0,
            left,
        })
    }

    fn deserialize_tuple<V: Visitor<'a>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, InvalidValue> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, InvalidValue> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        let left = self.0.read_map_len()?;
        visitor.visit_map(Entries::new(self.0, left, Nil::IsAValue))
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InvalidValue> {
        let left = self.0.read_map_len()?;
        visitor.visit_map(Entries::new(self.0, left, Nil::CountsAsMissing))
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InvalidValue> {
        visitor.visit_enum(Name(self.0.read_str()?))
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, InvalidValue> {
        self.0.read_raw()?;
        visitor.visit_unit()
    }
}

/// The elements of an array.
struct Elements<'r, 'a> {
    reader: &'r mut Reader<'a>,
    index: usize,
    left: usize,
}

impl<'a> SeqAccess<'a> for Elements<'_, 'a> {
    type Error = InvalidValue;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, InvalidValue> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        self.reader.count_element()?;
        let element = seed
            .deserialize(Value(self.reader))
            .map_err(|invalid| invalid.at(self.index))?;
        self.index += 1;
        Ok(Some(element))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// What nil means as the value of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nil {
    IsAValue,
    CountsAsMissing,
}

/// The entries of a map.
struct Entries<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
    nil: Nil,
    key: &'a str,
}

impl<'r, 'a> Entries<'r, 'a> {
    fn new(reader: &'r mut Reader<'a>, left: usize, nil: Nil) -> Self {
        Self {
            reader,
            left,
            nil,
            key: "",
        }
    }
}

impl<'a> MapAccess<'a> for Entries<'_, 'a> {
    type Error = InvalidValue;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, InvalidValue> {
        while let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            self.reader.count_element()?;
            self.key = self.reader.read_key()?;
            if self.nil == Nil::CountsAsMissing && self.reader.take_nil()? {
                continue;
            }
            return seed.deserialize(self.key.into_deserializer()).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, InvalidValue> {
        seed.deserialize(Value(self.reader))
            .map_err(|invalid| invalid.inside(self.key))
    }
}

/// The name of a variant; variants of the protocol hold nothing.
struct Name<'a>(&'a str);

impl<'a> EnumAccess<'a> for Name<'a> {
    type Error = InvalidValue;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), InvalidValue> {
        let variant =
            seed.deserialize(IntoDeserializer::<InvalidValue>::into_deserializer(self.0))?;
        Ok((variant, self))
    }
}

impl<'a> VariantAccess<'a> for Name<'a> {
    type Error = InvalidValue;

    fn unit_variant(self) -> Result<(), InvalidValue> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, _: T) -> Result<T::Value, InvalidValue> {
        Err(de::Error::custom("this variant holds nothing"))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, _: V) -> Result<V::Value, InvalidValue> {
        Err(de::Error::custom("this variant holds nothing"))
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, InvalidValue> {
        Err(de::Error::custom("this variant holds nothing"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        number: u32,
        #[serde(default)]
        text: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        #[serde(default)]
        many: Vec<Inner>,
        #[serde(default)]
        free: BTreeMap<String, Option<i64>>,
    }

    fn message<T: std::fmt::Debug + for<'a> Deserialize<'a>>(bytes: &[u8]) -> String {
        from_slice::<T>(bytes).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_path_and_what_was_found() {
        let bytes = b"\x81\xA4many\x92\x81\xA6number\x01\x81\xA6number\xA1x";
        assert_eq!(
            message::<Outer>(bytes),
            "`many[1].number`: expected an unsigned integer of 32 bits, found text"
        );
        let bytes = b"\x81\xA6number\xFF";
        assert_eq!(
            message::<Inner>(bytes),
            "`number`: -1 is out of range for an unsigned integer of 32 bits"
        );
        assert_eq!(message::<Inner>(b"\x80"), "missing field `number`");
        assert_eq!(
            message::<Inner>(b"\x82\xA6number\x01\xA6number\x01"),
            "duplicate field `number`"
        );
    }

    #[test]
    fn nil_counts_as_missing_in_structs_and_only_there() {
        let inner: Inner = from_slice(b"\x82\xA4text\xC0\xA6number\x07").unwrap();
        assert_eq!(inner.text, "");
        assert_eq!(
            message::<Inner>(b"\x81\xA6number\xC0"),
            "missing field `number`"
        );
        let outer: Outer = from_slice(b"\x81\xA4free\x81\xA1k\xC0").unwrap();
        assert_eq!(outer.free.get("k"), Some(&None));
    }

    #[test]
    fn nil_alone_is_an_empty_map() {
        let outer: Outer = from_slice(b"\xC0").unwrap();
        assert!(outer.many.is_empty());
    }

    #[test]
    fn structs_are_never_read_from_arrays() {
        assert_eq!(
            message::<Inner>(b"\x92\x01\xA1x"),
            "expected a map, found an array"
        );
    }

    #[test]
    fn keys_have_to_be_text() {
        assert_eq!(
            message::<Inner>(b"\x81\x01\x01"),
            "expected a key in text, found an integer"
        );
    }

    #[test]
    fn unknown_keys_are_stepped_over_however_deep_they_are() {
        let mut bytes = b"\x82\xA1x".to_vec();
        bytes.extend_from_slice(&[0x91; 31]);
        bytes.extend_from_slice(b"\xC0\xA6number\x05");
        let inner: Inner = from_slice(&bytes).unwrap();
        assert_eq!(inner.number, 5);
    }
}
