//! `Cursor`: reads MessagePack markers off the front of a slice. Every value is borrowed, nothing
//! is allocated, and no byte sequence makes it panic.
//!
//! A value that is refused is not consumed: the cursor then stands at its first byte, which is the
//! position an error names. Speed matters here: this is the produce path, about 10 ns a record.

use crate::MalformedReason;

/// Reads markers off the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A cursor at the first byte.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How far the cursor is into `whole`, the slice it was made of.
    pub(crate) const fn position_in(&self, whole: &[u8]) -> usize {
        whole.len() - self.rest.len()
    }

    /// The bytes read since the cursor stood at `earlier`.
    pub(crate) fn since(&self, earlier: Self) -> &'a [u8] {
        let read = self.position_in(earlier.rest);
        &earlier.rest[..read]
    }

    /// The number of elements of the array that starts here; the elements follow.
    #[inline]
    pub(crate) fn array_len(&mut self) -> Result<u32, MalformedReason> {
        let (len, rest) = match *self.rest {
            [marker @ 0x90..=0x9f, ref rest @ ..] => (u32::from(marker & 0x0f), rest),
            [0xdc, a, b, ref rest @ ..] => (u32::from(u16::from_be_bytes([a, b])), rest),
            [0xdd, a, b, c, d, ref rest @ ..] => (u32::from_be_bytes([a, b, c, d]), rest),
            _ => return Err(self.refused("an array", |marker| matches!(marker, 0xdc | 0xdd))),
        };
        self.rest = rest;
        Ok(len)
    }

    /// A bin, or a str taken as its bytes, or nil.
    #[inline]
    pub(crate) fn bytes_or_nil(&mut self) -> Result<Option<&'a [u8]>, MalformedReason> {
        let (len, rest) = match *self.rest {
            [0xc4 | 0xd9, len, ref rest @ ..] => (usize::from(len), rest),
            [0xc5 | 0xda, a, b, ref rest @ ..] => (usize::from(u16::from_be_bytes([a, b])), rest),
            [0xc0, ref rest @ ..] => {
                self.rest = rest;
                return Ok(None);
            }
            [marker @ 0xa0..=0xbf, ref rest @ ..] => (usize::from(marker & 0x1f), rest),
            [0xc6 | 0xdb, a, b, c, d, ref rest @ ..] => {
                (u32::from_be_bytes([a, b, c, d]) as usize, rest)
            }
            _ => {
                return Err(self.refused(
                    "bin, str or nil",
                    |marker| matches!(marker, 0xc4..=0xc6 | 0xd9..=0xdb),
                ));
            }
        };
        let (bytes, rest) = rest
            .split_at_checked(len)
            .ok_or(MalformedReason::Truncated)?;
        self.rest = rest;
        Ok(Some(bytes))
    }

    /// A str, checked to be UTF-8.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, MalformedReason> {
        let is_str = matches!(self.rest.first(), Some(0xa0..=0xbf | 0xd9..=0xdb) | None);
        if !is_str {
            return Err(self.refused("str", |_| false));
        }
        let before = *self;
        let bytes = self.bytes_or_nil()?.unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| {
            *self = before;
            MalformedReason::NotUtf8
        })
    }

    /// An integer in any of MessagePack's forms that fits an `i64`, or nil.
    #[inline]
    pub(crate) fn int_or_nil(&mut self) -> Result<Option<i64>, MalformedReason> {
        let (value, rest) = match *self.rest {
            [0xcf, a, b, c, d, e, f, g, h, ref rest @ ..] => {
                let unsigned = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                let value = i64::try_from(unsigned);
                (value.map_err(|_| MalformedReason::IntegerRange)?, rest)
            }
            [0xd3, a, b, c, d, e, f, g, h, ref rest @ ..] => {
                (i64::from_be_bytes([a, b, c, d, e, f, g, h]), rest)
            }
            [0xc0, ref rest @ ..] => {
                self.rest = rest;
                return Ok(None);
            }
            [value @ 0x00..=0x7f, ref rest @ ..] => (i64::from(value), rest),
            [value @ 0xe0..=0xff, ref rest @ ..] => (i64::from(value.cast_signed()), rest),
            [0xcc, a, ref rest @ ..] => (i64::from(a), rest),
            [0xcd, a, b, ref rest @ ..] => (i64::from(u16::from_be_bytes([a, b])), rest),
            [0xce, a, b, c, d, ref rest @ ..] => {
                (i64::from(u32::from_be_bytes([a, b, c, d])), rest)
            }
            [0xd0, a, ref rest @ ..] => (i64::from(a.cast_signed()), rest),
            [0xd1, a, b, ref rest @ ..] => (i64::from(i16::from_be_bytes([a, b])), rest),
            [0xd2, a, b, c, d, ref rest @ ..] => {
                (i64::from(i32::from_be_bytes([a, b, c, d])), rest)
            }
            _ => {
                return Err(
                    self.refused("an integer or nil", |marker| matches!(marker, 0xcc..=0xd3))
                );
            }
        };
        self.rest = rest;
        Ok(Some(value))
    }

    /// Why the value here cannot be read: it is of another type, or the bytes end within it.
    #[cold]
    fn refused(&self, expected: &'static str, is_right: fn(u8) -> bool) -> MalformedReason {
        match self.rest.first() {
            Some(&marker) if !is_right(marker) => MalformedReason::WrongType { expected, marker },
            _ => MalformedReason::Truncated,
        }
    }
}
