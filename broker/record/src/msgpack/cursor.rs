//! `Cursor`: reads MessagePack markers off the front of a slice. Every value is borrowed, nothing
//! is allocated, and no byte sequence makes it panic.
//!
//! A value that is refused is not consumed: the cursor then stands at its first byte, which is the
//! position an error names. Speed matters here: this is the produce path, about 10 ns a record. So
//! the forms that a usual record has are tried first, inline; all others are a call away.

use std::ops::RangeInclusive;

use crate::{Expected, MalformedReason};

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
    #[inline(always)]
    pub(crate) fn since(&self, earlier: Self) -> &'a [u8] {
        let read = self.position_in(earlier.rest);
        earlier.rest.get(..read).unwrap_or_default()
    }

    /// The number of elements of the array that starts here; the elements follow.
    #[inline(always)]
    pub(crate) fn array_len(&mut self) -> Result<u32, MalformedReason> {
        let read = match self.rest {
            [marker @ 0x90..=0x9f, rest @ ..] => (u32::from(marker & 0x0f), rest),
            rest => long_array_len(rest)?,
        };
        Ok(self.advance(read))
    }

    /// A bin, or a str taken as its bytes, or nil.
    #[inline(always)]
    pub(crate) fn bytes_or_nil(&mut self) -> Result<Option<&'a [u8]>, MalformedReason> {
        let read = match self.rest {
            [0xc4, len, rest @ ..] => {
                let (bytes, rest) = split(rest, usize::from(*len))?;
                (Some(bytes), rest)
            }
            [0xc0, rest @ ..] => (None, rest),
            rest => any_bytes_or_nil(rest)?,
        };
        Ok(self.advance(read))
    }

    /// A str, checked to be UTF-8, as its bytes. For text that is only to be checked: ASCII, which
    /// it nearly always is, is checked faster than `str::from_utf8` can.
    #[inline(always)]
    pub(crate) fn text_bytes(&mut self) -> Result<&'a [u8], MalformedReason> {
        let (bytes, rest) = match self.rest {
            [marker @ 0xa0..=0xbf, rest @ ..] => split(rest, usize::from(marker & 0x1f))?,
            rest => long_text_bytes(rest)?,
        };
        if !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
            return Err(MalformedReason::NotUtf8);
        }
        Ok(self.advance((bytes, rest)))
    }

    /// An integer in any of MessagePack's forms that fits an `i64`, or nil.
    #[inline(always)]
    pub(crate) fn int_or_nil(&mut self) -> Result<Option<i64>, MalformedReason> {
        let read = match self.rest {
            // A present-day timestamp: the top bit of a larger number is left to the long way.
            [0xcf, a @ 0..=0x7f, b, c, d, e, f, g, h, rest @ ..] => {
                let value = i64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                (Some(value), rest)
            }
            rest => any_int_or_nil(rest)?,
        };
        Ok(self.advance(read))
    }

    #[inline(always)]
    fn advance<T>(&mut self, (value, rest): (T, &'a [u8])) -> T {
        self.rest = rest;
        value
    }
}

/// A value and what follows it. The readers below take and return slices rather than a cursor, so
/// that the cursor of the walk stays in registers.
type Read<'a, T> = Result<(T, &'a [u8]), MalformedReason>;

#[inline(always)]
fn split(rest: &[u8], len: usize) -> Read<'_, &[u8]> {
    rest.split_at_checked(len).ok_or(MalformedReason::Truncated)
}

#[inline(never)]
fn long_array_len(bytes: &[u8]) -> Read<'_, u32> {
    match *bytes {
        [0xdc, a, b, ref rest @ ..] => Ok((u32::from(u16::from_be_bytes([a, b])), rest)),
        [0xdd, a, b, c, d, ref rest @ ..] => Ok((u32::from_be_bytes([a, b, c, d]), rest)),
        _ => Err(refused(bytes, Expected::Array, 0xdc..=0xdd)),
    }
}

#[inline(never)]
fn any_bytes_or_nil(bytes: &[u8]) -> Read<'_, Option<&[u8]>> {
    let (len, rest) = match *bytes {
        [0xc0, ref rest @ ..] => return Ok((None, rest)),
        [0xc4 | 0xd9, len, ref rest @ ..] => (usize::from(len), rest),
        [0xc5 | 0xda, a, b, ref rest @ ..] => (usize::from(u16::from_be_bytes([a, b])), rest),
        [0xc6 | 0xdb, a, b, c, d, ref rest @ ..] => {
            (u32::from_be_bytes([a, b, c, d]) as usize, rest)
        }
        [marker @ 0xa0..=0xbf, ref rest @ ..] => (usize::from(marker & 0x1f), rest),
        [0xc4..=0xc6, ..] => return Err(MalformedReason::Truncated),
        _ => return Err(refused(bytes, Expected::BytesOrNil, 0xd9..=0xdb)),
    };
    let (value, rest) = split(rest, len)?;
    Ok((Some(value), rest))
}

#[inline(never)]
fn long_text_bytes(bytes: &[u8]) -> Read<'_, &[u8]> {
    match bytes {
        [0xd9..=0xdb, ..] => {
            let (text, rest) = any_bytes_or_nil(bytes)?;
            Ok((text.unwrap_or_default(), rest))
        }
        _ => Err(refused(bytes, Expected::Text, 0xd9..=0xdb)),
    }
}

#[inline(never)]
fn any_int_or_nil(bytes: &[u8]) -> Read<'_, Option<i64>> {
    let (value, rest) = match *bytes {
        [0xc0, ref rest @ ..] => return Ok((None, rest)),
        [value @ 0x00..=0x7f, ref rest @ ..] => (i64::from(value), rest),
        [value @ 0xe0..=0xff, ref rest @ ..] => (i64::from(value.cast_signed()), rest),
        [0xcc, a, ref rest @ ..] => (i64::from(a), rest),
        [0xcd, a, b, ref rest @ ..] => (i64::from(u16::from_be_bytes([a, b])), rest),
        [0xce, a, b, c, d, ref rest @ ..] => (i64::from(u32::from_be_bytes([a, b, c, d])), rest),
        [0xcf, a, b, c, d, e, f, g, h, ref rest @ ..] => {
            let value = i64::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
            (value.map_err(|_| MalformedReason::IntegerRange)?, rest)
        }
        [0xd0, a, ref rest @ ..] => (i64::from(a.cast_signed()), rest),
        [0xd1, a, b, ref rest @ ..] => (i64::from(i16::from_be_bytes([a, b])), rest),
        [0xd2, a, b, c, d, ref rest @ ..] => (i64::from(i32::from_be_bytes([a, b, c, d])), rest),
        [0xd3, a, b, c, d, e, f, g, h, ref rest @ ..] => {
            (i64::from_be_bytes([a, b, c, d, e, f, g, h]), rest)
        }
        _ => return Err(refused(bytes, Expected::IntegerOrNil, 0xcc..=0xd3)),
    };
    Ok((Some(value), rest))
}

/// Why the value here cannot be read: the bytes end within it, or it is of another type than these.
#[cold]
fn refused(bytes: &[u8], expected: Expected, right: RangeInclusive<u8>) -> MalformedReason {
    match bytes.first() {
        Some(&marker) if !right.contains(&marker) => {
            MalformedReason::WrongType { expected, marker }
        }
        _ => MalformedReason::Truncated,
    }
}
