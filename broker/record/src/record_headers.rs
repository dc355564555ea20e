//! `RecordHeaders`: the headers of one record, in order and with duplicates, read off the record's
//! own bytes as they are asked for.

use broker_model::limits::RECORD_HEADERS_MAX;

use crate::MalformedReason;
use crate::msgpack::Cursor;

/// Iterates the `(name, value)` pairs of a record in the order they were sent. Names may repeat;
/// a null value and an empty one differ.
#[derive(Clone, Copy, Debug)]
pub struct RecordHeaders<'a> {
    left: u32,
    cursor: Cursor<'a>,
}

impl<'a> RecordHeaders<'a> {
    /// No headers, as in a record that ends before them.
    pub(crate) const NONE: Self = Self {
        left: 0,
        cursor: Cursor::new(&[]),
    };

    /// Checks the headers that start here and leaves the cursor behind them.
    #[inline]
    pub(crate) fn scan(cursor: &mut Cursor<'a>) -> Result<Self, MalformedReason> {
        if let [0xc0 | 0x90, ..] = cursor.rest() {
            *cursor = Cursor::new(&cursor.rest()[1..]);
            return Ok(Self::NONE);
        }
        let start = *cursor;
        let count = cursor.array_len()?;
        if count > RECORD_HEADERS_MAX {
            *cursor = start;
            return Err(MalformedReason::TooManyHeaders { headers: count });
        }
        let headers = Self {
            left: count,
            cursor: *cursor,
        };
        for _ in 0..count {
            scan_pair(cursor)?;
        }
        Ok(headers)
    }

    /// How many headers are still to come.
    pub(crate) fn count_left(&self) -> u32 {
        self.left
    }
}

/// One header: its name, checked to be UTF-8, and its value.
#[inline(always)]
fn scan_pair<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), MalformedReason> {
    let start = *cursor;
    let elements = cursor.array_len()?;
    if elements != 2 {
        *cursor = start;
        return Err(MalformedReason::HeaderElements { elements });
    }
    Ok((cursor.text_bytes()?, cursor.bytes_or_nil()?))
}

impl<'a> Iterator for RecordHeaders<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // `scan` has read these very bytes without a fault, so that neither `ok` hides one.
        let (name, value) = scan_pair(&mut self.cursor).ok()?;
        Some((std::str::from_utf8(name).ok()?, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for RecordHeaders<'_> {}
