//! `Reader`: reads MessagePack values one by one from borrowed bytes, with errors that say what was
//! wanted and what was found. What the hand-written decoders and the serde deserializer stand on.
//! Never panics and never allocates, whatever the bytes.

use broker_model::limits::NESTING_DEPTH_MAX;

use crate::call::InvalidValue;
use crate::shape;

/// A position in borrowed MessagePack.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    elements_left: usize,
}

/// What the next value is, read off its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nil,
    Bool,
    Integer,
    Float,
    Str,
    Bin,
    Array,
    Map,
    Other,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool => "a boolean",
            Self::Integer => "an integer",
            Self::Float => "a float",
            Self::Str => "text",
            Self::Bin => "binary",
            Self::Array => "an array",
            Self::Map => "a map",
            Self::Other => "an unsupported value",
        }
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            elements_left: usize::MAX,
        }
    }

    /// The same with at most so many elements of arrays and maps to be turned into values.
    pub(crate) fn with_elements_max(self, elements_left: usize) -> Self {
        Self {
            elements_left,
            ..self
        }
    }

    /// Counts one more element.
    pub(crate) fn count_element(&mut self) -> Result<(), InvalidValue> {
        let left = self.elements_left.checked_sub(1);
        self.elements_left =
            left.ok_or_else(|| InvalidValue::new("there are too many elements"))?;
        Ok(())
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn kind(&self) -> Result<Kind, InvalidValue> {
        Ok(match self.peek()? {
            0xC0 => Kind::Nil,
            0xC2 | 0xC3 => Kind::Bool,
            0x00..=0x7F | 0xE0..=0xFF | 0xCC..=0xCF | 0xD0..=0xD3 => Kind::Integer,
            0xCA | 0xCB => Kind::Float,
            0xA0..=0xBF | 0xD9..=0xDB => Kind::Str,
            0xC4..=0xC6 => Kind::Bin,
            0x90..=0x9F | 0xDC | 0xDD => Kind::Array,
            0x80..=0x8F | 0xDE | 0xDF => Kind::Map,
            0xC1 | 0xC7..=0xC9 | 0xD4..=0xD8 => Kind::Other,
        })
    }

    /// Takes a nil, if the next value is one.
    #[inline]
    pub(crate) fn take_nil(&mut self) -> Result<bool, InvalidValue> {
        let is_nil = self.peek()? == 0xC0;
        if is_nil {
            self.at += 1;
        }
        Ok(is_nil)
    }

    pub(crate) fn read_bool(&mut self) -> Result<bool, InvalidValue> {
        let value = match self.peek()? {
            0xC2 => false,
            0xC3 => true,
            _ => return Err(self.unexpected("a boolean")),
        };
        self.at += 1;
        Ok(value)
    }

    /// Any integer marker; the value fits `i128` whatever its sign.
    pub(crate) fn read_integer(&mut self, wanted: &str) -> Result<i128, InvalidValue> {
        let marker = self.peek()?;
        let (width, signed) = match marker {
            0x00..=0x7F => {
                self.at += 1;
                return Ok(i128::from(marker));
            }
            0xE0..=0xFF => {
                self.at += 1;
                return Ok(i128::from(marker) - 256);
            }
            0xCC => (1, false),
            0xCD => (2, false),
            0xCE => (4, false),
            0xCF => (8, false),
            0xD0 => (1, true),
            0xD1 => (2, true),
            0xD2 => (4, true),
            0xD3 => (8, true),
            0xCA | 0xCB => return self.read_integral_float(wanted),
            _ => return Err(self.unexpected(wanted)),
        };
        let raw = big_endian(self.slice(self.at + 1, width)?);
        self.at += 1 + width;
        if !signed {
            return Ok(i128::from(raw));
        }
        // Moves the sign to the top and back down.
        let unused = 64 - width * 8;
        Ok(i128::from((raw << unused).cast_signed() >> unused))
    }

    /// Some languages have one kind of number and send large integers as floats.
    fn read_integral_float(&mut self, wanted: &str) -> Result<i128, InvalidValue> {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0; // 2^53
        let value = self.read_float()?;
        if value.fract() != 0.0 || value.abs() > EXACT_MAX {
            return Err(InvalidValue::new(format!(
                "expected {wanted}, found {value}"
            )));
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        Ok(value as i128)
    }

    /// An integer that fits `T`.
    pub(crate) fn read_number<T: TryFrom<i128>>(
        &mut self,
        wanted: &str,
    ) -> Result<T, InvalidValue> {
        let value = self.read_integer(wanted)?;
        T::try_from(value)
            .map_err(|_| InvalidValue::new(format!("{value} is out of range for {wanted}")))
    }

    pub(crate) fn read_float(&mut self) -> Result<f64, InvalidValue> {
        let (width, value) = match self.peek()? {
            0xCA => {
                let raw = self.slice(self.at + 1, 4)?.try_into().unwrap_or_default();
                (4, f64::from(f32::from_be_bytes(raw)))
            }
            0xCB => {
                let raw = self.slice(self.at + 1, 8)?.try_into().unwrap_or_default();
                (8, f64::from_be_bytes(raw))
            }
            _ => return Err(self.unexpected("a float")),
        };
        self.at += 1 + width;
        Ok(value)
    }

    /// A `bin` or a `str`, as bytes.
    #[inline]
    pub(crate) fn read_bytes(&mut self) -> Result<&'a [u8], InvalidValue> {
        let (start, len) = match self.peek()? {
            marker @ 0xA0..=0xBF => (self.at + 1, usize::from(marker & 0x1F)),
            0xC4 | 0xD9 => self.counted(1)?,
            0xC5 | 0xDA => self.counted(2)?,
            0xC6 | 0xDB => self.counted(4)?,
            _ => return Err(self.unexpected("binary or text")),
        };
        let bytes = self.slice(start, len)?;
        self.at = start + len;
        Ok(bytes)
    }

    /// Like [`Reader::read_bytes`], or nil.
    pub(crate) fn read_optional_bytes(&mut self) -> Result<Option<&'a [u8]>, InvalidValue> {
        if self.take_nil()? {
            return Ok(None);
        }
        self.read_bytes().map(Some)
    }

    /// A `str` in UTF-8.
    pub(crate) fn read_str(&mut self) -> Result<&'a str, InvalidValue> {
        self.read_text("text")
    }

    /// The key of a map entry.
    pub(crate) fn read_key(&mut self) -> Result<&'a str, InvalidValue> {
        self.read_text("a key in text")
    }

    /// The key of a map entry, to be compared with keys that are known.
    #[inline]
    pub(crate) fn read_key_bytes(&mut self) -> Result<&'a [u8], InvalidValue> {
        match self.peek()? {
            0xA0..=0xBF | 0xD9..=0xDB => self.read_bytes(),
            _ => Err(self.unexpected("a key in text")),
        }
    }

    fn read_text(&mut self, wanted: &str) -> Result<&'a str, InvalidValue> {
        let bytes = match self.peek()? {
            0xA0..=0xBF | 0xD9..=0xDB => self.read_bytes()?,
            _ => return Err(self.unexpected(wanted)),
        };
        std::str::from_utf8(bytes).map_err(|_| InvalidValue::new("text is not UTF-8"))
    }

    pub(crate) fn read_array_len(&mut self) -> Result<usize, InvalidValue> {
        let (start, len) = match self.peek()? {
            marker @ 0x90..=0x9F => (self.at + 1, usize::from(marker & 0x0F)),
            0xDC => self.counted(2)?,
            0xDD => self.counted(4)?,
            _ => return Err(self.unexpected("an array")),
        };
        self.at = start;
        Ok(len)
    }

    pub(crate) fn read_map_len(&mut self) -> Result<usize, InvalidValue> {
        let (start, len) = match self.peek()? {
            marker @ 0x80..=0x8F => (self.at + 1, usize::from(marker & 0x0F)),
            0xDE => self.counted(2)?,
            0xDF => self.counted(4)?,
            _ => return Err(self.unexpected("a map")),
        };
        self.at = start;
        Ok(len)
    }

    /// Steps over one value, whatever it is, and answers its bytes.
    pub(crate) fn read_raw(&mut self) -> Result<&'a [u8], InvalidValue> {
        let end = shape::value_end(self.bytes, self.at)
            .map_err(|error| InvalidValue::new(error.to_string()))?;
        let raw = self.slice(self.at, end - self.at)?;
        self.at = end;
        Ok(raw)
    }

    /// Steps over one value that stands inside so many others of its frame.
    pub(crate) fn skip_inside(&mut self, levels: usize) -> Result<(), InvalidValue> {
        let depth_max = NESTING_DEPTH_MAX.saturating_sub(levels);
        self.at = shape::value_end_within(self.bytes, self.at, depth_max)
            .map_err(|error| InvalidValue::new(error.to_string()))?;
        Ok(())
    }

    /// All the bytes that are left.
    pub(crate) fn read_rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.bytes.len();
        rest
    }

    /// The error of a value that is not what was wanted.
    #[cold]
    pub(crate) fn unexpected(&self, wanted: &str) -> InvalidValue {
        let found = self.kind().map_or("nothing", Kind::name);
        InvalidValue::new(format!("expected {wanted}, found {found}"))
    }

    #[inline]
    fn peek(&self) -> Result<u8, InvalidValue> {
        self.bytes.get(self.at).copied().ok_or_else(ended)
    }

    #[inline]
    fn slice(&self, start: usize, len: usize) -> Result<&'a [u8], InvalidValue> {
        start
            .checked_add(len)
            .and_then(|end| self.bytes.get(start..end))
            .ok_or_else(ended)
    }

    /// A big-endian length of `width` bytes after the marker: where its bytes start, and how many.
    fn counted(&self, width: usize) -> Result<(usize, usize), InvalidValue> {
        let start = self.at + 1;
        let len = self
            .slice(start, width)?
            .iter()
            .fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        Ok((start + width, len))
    }
}

/// At most eight bytes as a number.
#[inline]
fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cold]
fn ended() -> InvalidValue {
    InvalidValue::new("the value ends too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_width_are_read() {
        let cases: [(&[u8], i128); 12] = [
            (b"\x7F", 127),
            (b"\xFF", -1),
            (b"\xE0", -32),
            (b"\xCC\xFF", 255),
            (b"\xCD\xFF\xFF", 65_535),
            (b"\xCE\xFF\xFF\xFF\xFF", 4_294_967_295),
            (
                b"\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
                18_446_744_073_709_551_615,
            ),
            (b"\xD0\x80", -128),
            (b"\xD1\x80\0", -32_768),
            (b"\xD2\x80\0\0\0", -2_147_483_648),
            (b"\xD3\x80\0\0\0\0\0\0\0", -9_223_372_036_854_775_808),
            (b"\xD3\0\0\0\0\0\0\0\x05", 5),
        ];
        for (bytes, value) in cases {
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.read_integer("an integer"), Ok(value));
            assert!(reader.is_at_end());
        }
    }

    #[test]
    fn whole_floats_pass_for_integers_and_others_do_not() {
        let read = |value: f64| {
            let bytes = [&[0xCB], &value.to_be_bytes()[..]].concat();
            Reader::new(&bytes).read_number::<i64>("a timestamp")
        };
        assert_eq!(read(1_700_000_000_000.0), Ok(1_700_000_000_000));
        assert_eq!(read(-1.0), Ok(-1));
        for bad in [0.5, 1e16, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(read(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn byte_strings_come_as_bin_or_str_of_any_width() {
        for bytes in [
            &b"\xA2hi"[..],
            b"\xD9\x02hi",
            b"\xDA\0\x02hi",
            b"\xDB\0\0\0\x02hi",
            b"\xC4\x02hi",
            b"\xC5\0\x02hi",
            b"\xC6\0\0\0\x02hi",
        ] {
            assert_eq!(Reader::new(bytes).read_bytes(), Ok(&b"hi"[..]));
        }
    }

    #[test]
    fn text_has_to_be_str_and_utf8() {
        let message = |bytes| Reader::new(bytes).read_str().unwrap_err().to_string();
        assert_eq!(message(b"\xC4\x02hi"), "expected text, found binary");
        assert_eq!(message(b"\xA1\xFF"), "text is not UTF-8");
    }

    #[test]
    fn values_that_end_early_are_errors_and_not_panics() {
        for bytes in [
            &b""[..],
            b"\xCF\0",
            b"\xA5hi",
            b"\xDB\xFF",
            b"\xC6\xFF\xFF\xFF\xFFx",
            b"\xCB",
        ] {
            let mut reader = Reader::new(bytes);
            assert!(reader.read_integer("").is_err());
            assert!(reader.read_bytes().is_err());
            assert!(reader.read_array_len().is_err());
            assert!(reader.read_map_len().is_err());
            assert!(reader.read_float().is_err());
            assert!(reader.read_raw().is_err());
        }
    }
}
