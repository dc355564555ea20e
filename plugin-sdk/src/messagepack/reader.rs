//! Reads MessagePack from a slice: one marker at a time, every length checked against what is there.
//! Never panics and never allocates, whatever the bytes.

use std::fmt;

use super::DEPTH_MAX;

/// One scalar, or the head of an array or a map, whose elements follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Null.
    Nil,
    /// True or false.
    Bool(bool),
    /// Any integer that an `i64` holds, however it was encoded.
    Int(i64),
    /// An integer above `i64::MAX`.
    BigInt(u64),
    /// A number of 32 bits.
    F32(f32),
    /// A number of 64 bits.
    F64(f64),
    /// Text.
    Str(&'a str),
    /// Bytes.
    Bin(&'a [u8]),
    /// The head of an array: so many values follow.
    Array(u32),
    /// The head of a map: so many pairs of key and value follow.
    Map(u32),
}

/// Why bytes are not the MessagePack that was expected. It becomes a `String` with `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end inside a value.
    Truncated,
    /// There is something behind the value.
    TrailingBytes,
    /// An extension type, which the broker's values do not have, or the marker 0xc1, which nobody has.
    Unsupported(u8),
    /// A `str` that is not UTF-8.
    NotUtf8,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// Another type than the one that was asked for.
    Unexpected,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Truncated => f.write_str("the MessagePack value is cut off"),
            Malformed::TrailingBytes => f.write_str("bytes follow the MessagePack value"),
            Malformed::Unsupported(marker @ 0xc1) => {
                write!(f, "{marker:#04x} does not begin a MessagePack value")
            }
            Malformed::Unsupported(_) => {
                f.write_str("MessagePack extension types are not supported")
            }
            Malformed::NotUtf8 => f.write_str("a MessagePack str is not UTF-8"),
            Malformed::TooDeep => write!(f, "nested deeper than {DEPTH_MAX} levels"),
            Malformed::Unexpected => {
                f.write_str("a MessagePack value of another type was expected")
            }
        }
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for String {
    fn from(malformed: Malformed) -> String {
        malformed.to_string()
    }
}

/// Refuses bytes that are not exactly one well-formed value.
///
/// # Errors
/// What is wrong with them.
pub fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    reader.skip()?;
    reader.end()
}

/// Reads values one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader that begins at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Makes sure that everything was read.
    ///
    /// # Errors
    /// [`Malformed::TrailingBytes`].
    pub fn end(&self) -> Result<(), Malformed> {
        match self.rest {
            [] => Ok(()),
            _ => Err(Malformed::TrailingBytes),
        }
    }

    /// Reads a scalar, or the head of an array or map.
    ///
    /// # Errors
    /// The bytes are no MessagePack of the broker's.
    pub fn read(&mut self) -> Result<Value<'a>, Malformed> {
        Ok(match self.token()? {
            Token::Scalar(value) => value,
            Token::Str(text) => {
                Value::Str(std::str::from_utf8(text).map_err(|_| Malformed::NotUtf8)?)
            }
        })
    }

    /// Passes over one whole value, with all that is in it, and answers its bytes.
    ///
    /// # Errors
    /// As [`read`](Reader::read); also [`Malformed::TooDeep`].
    pub fn skip(&mut self) -> Result<&'a [u8], Malformed> {
        let from = self.rest;
        let mut open = [0_u64; DEPTH_MAX];
        let mut depth = 0;
        loop {
            let inside = match self.read()? {
                Value::Array(len) => Some(u64::from(len)),
                Value::Map(len) => Some(u64::from(len) * 2),
                _ => None,
            };
            if let Some(inside) = inside {
                *open.get_mut(depth).ok_or(Malformed::TooDeep)? = inside;
                depth += 1;
            }
            while depth > 0 && open[depth - 1] == 0 {
                depth -= 1;
            }
            if depth == 0 {
                return Ok(&from[..from.len() - self.rest.len()]);
            }
            open[depth - 1] -= 1;
        }
    }

    /// Reads the head of an array.
    ///
    /// # Errors
    /// It is no array, as in the following functions.
    pub fn array_len(&mut self) -> Result<u32, Malformed> {
        match self.token()? {
            Token::Scalar(Value::Array(len)) => Ok(len),
            _ => Err(Malformed::Unexpected),
        }
    }

    /// Reads the head of a map.
    ///
    /// # Errors
    /// It is no map.
    pub fn map_len(&mut self) -> Result<u32, Malformed> {
        match self.token()? {
            Token::Scalar(Value::Map(len)) => Ok(len),
            _ => Err(Malformed::Unexpected),
        }
    }

    /// Reads the bytes of a `bin` or a `str`, which need not be UTF-8 here; `None` for nil.
    ///
    /// # Errors
    /// It is something else.
    pub fn bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.token()? {
            Token::Str(bytes) | Token::Scalar(Value::Bin(bytes)) => Ok(Some(bytes)),
            Token::Scalar(Value::Nil) => Ok(None),
            Token::Scalar(_) => Err(Malformed::Unexpected),
        }
    }

    fn token(&mut self) -> Result<Token<'a>, Malformed> {
        let [marker] = self.take::<1>()?;
        Ok(Token::Scalar(match marker {
            0x00..=0x7f => Value::Int(i64::from(marker)),
            0x80..=0x8f => Value::Map(u32::from(marker & 0x0f)),
            0x90..=0x9f => Value::Array(u32::from(marker & 0x0f)),
            0xa0..=0xbf => return self.text(u32::from(marker & 0x1f)),
            0xc0 => Value::Nil,
            0xc2 | 0xc3 => Value::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let len = self.len(marker - 0xc4)?;
                Value::Bin(self.slice(len)?)
            }
            0xca => Value::F32(f32::from_be_bytes(self.take()?)),
            0xcb => Value::F64(f64::from_be_bytes(self.take()?)),
            0xcc => Value::Int(i64::from(u8::from_be_bytes(self.take()?))),
            0xcd => Value::Int(i64::from(u16::from_be_bytes(self.take()?))),
            0xce => Value::Int(i64::from(u32::from_be_bytes(self.take()?))),
            0xcf => {
                let value = u64::from_be_bytes(self.take()?);
                i64::try_from(value).map_or(Value::BigInt(value), Value::Int)
            }
            0xd0 => Value::Int(i64::from(i8::from_be_bytes(self.take()?))),
            0xd1 => Value::Int(i64::from(i16::from_be_bytes(self.take()?))),
            0xd2 => Value::Int(i64::from(i32::from_be_bytes(self.take()?))),
            0xd3 => Value::Int(i64::from_be_bytes(self.take()?)),
            0xd9..=0xdb => {
                let len = self.len(marker - 0xd9)?;
                return self.text(len);
            }
            0xdc | 0xdd => Value::Array(self.len(marker - 0xdc + 1)?),
            0xde | 0xdf => Value::Map(self.len(marker - 0xde + 1)?),
            0xe0..=0xff => Value::Int(i64::from(marker.cast_signed())),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err(Malformed::Unsupported(marker)),
        }))
    }

    fn text(&mut self, len: u32) -> Result<Token<'a>, Malformed> {
        self.slice(len).map(Token::Str)
    }

    /// A length of 1, 2 or 4 bytes.
    fn len(&mut self, width: u8) -> Result<u32, Malformed> {
        Ok(match width {
            0 => u32::from(u8::from_be_bytes(self.take()?)),
            1 => u32::from(u16::from_be_bytes(self.take()?)),
            _ => u32::from_be_bytes(self.take()?),
        })
    }

    fn slice(&mut self, len: u32) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(len).map_err(|_| Malformed::Truncated)?;
        let (slice, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// A value whose text was not looked at yet.
enum Token<'a> {
    Scalar(Value<'a>),
    Str(&'a [u8]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_whole_value_is_accepted() {
        for good in [
            &b"\xc0"[..],
            b"\x93\x01\xa1a\xc4\x01\x00",
            b"\x81\xa1k\x82\x01\x02\x03\x04",
            b"\x90",
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(check(good), Ok(()), "{good:x?}");
            for end in 0..good.len() {
                assert_eq!(check(&good[..end]), Err(Malformed::Truncated), "{good:x?}");
            }
            let longer = [good, b"\xc0"].concat();
            assert_eq!(check(&longer), Err(Malformed::TrailingBytes));
        }
    }

    #[test]
    fn what_the_broker_does_not_have_is_refused() {
        assert_eq!(check(b"\xc1"), Err(Malformed::Unsupported(0xc1)));
        assert_eq!(
            check(b"\x91\xd4\x01\x00"),
            Err(Malformed::Unsupported(0xd4))
        );
        assert_eq!(check(b"\xa1\xff"), Err(Malformed::NotUtf8));
        assert_eq!(check(b"\xdd\xff\xff\xff\xff"), Err(Malformed::Truncated));
    }

    #[test]
    fn nesting_is_allowed_up_to_the_limit() {
        let nested = |depth| [vec![0x91; depth], vec![0x01]].concat();
        assert_eq!(check(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(check(&nested(DEPTH_MAX + 1)), Err(Malformed::TooDeep));
        assert_eq!(check(&vec![0x91; 1 << 20]), Err(Malformed::TooDeep));
        let beside = [vec![0xdc, 0x03, 0xe8], nested(DEPTH_MAX - 1).repeat(1_000)].concat();
        assert_eq!(check(&beside), Ok(()));
    }

    #[test]
    fn integers_are_read_however_they_are_encoded() {
        for seven in [
            &b"\x07"[..],
            b"\xcc\x07",
            b"\xcd\0\x07",
            b"\xce\0\0\0\x07",
            b"\xcf\0\0\0\0\0\0\0\x07",
            b"\xd0\x07",
            b"\xd1\0\x07",
            b"\xd2\0\0\0\x07",
            b"\xd3\0\0\0\0\0\0\0\x07",
        ] {
            assert_eq!(Reader::new(seven).read(), Ok(Value::Int(7)));
        }
        assert_eq!(Reader::new(b"\xff").read(), Ok(Value::Int(-1)));
        assert_eq!(Reader::new(b"\xd0\x80").read(), Ok(Value::Int(-128)));
    }
}
