//! `ScannedRecord`: one record, checked and taken apart by a single pass over its markers. The one
//! place that knows what a record looks like; validation, routing and reading all go through it.
//!
//! `[key: bin|str|nil, value: bin|str|nil, timestamp: int|nil, headers: [[str, bin|str|nil], …]|nil,
//! offset_delta: int|nil]`, where everything after the value may be left out from the end.

use crate::msgpack::Cursor;
use crate::{MalformedReason, RecordHeaders};

/// One record taken apart; everything is borrowed from the body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScannedRecord<'a> {
    /// The record's own bytes, from its array marker on.
    pub(crate) raw: &'a [u8],
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: RecordHeaders<'a>,
    pub(crate) offset_delta: Option<i64>,
    /// The elements before the offset delta, without the array marker.
    pub(crate) before_delta: &'a [u8],
}

impl<'a> ScannedRecord<'a> {
    /// Reads the record that starts at the cursor and leaves the cursor behind it. On an error the
    /// cursor stands at the value that is wrong.
    #[inline(always)]
    pub(crate) fn scan(cursor: &mut Cursor<'a>) -> Result<Self, MalformedReason> {
        let start = *cursor;
        let elements = cursor.array_len()?;
        if !(2..=5).contains(&elements) {
            *cursor = start;
            return Err(MalformedReason::RecordElements { elements });
        }
        let first_element = *cursor;
        let key = cursor.bytes_or_nil()?;
        let value = cursor.bytes_or_nil()?;
        let timestamp = if elements > 2 {
            cursor.int_or_nil()?
        } else {
            None
        };
        let headers = if elements > 3 {
            RecordHeaders::scan(cursor)?
        } else {
            RecordHeaders::NONE
        };
        let before_delta = cursor.since(first_element);
        let offset_delta = if elements > 4 {
            cursor.int_or_nil()?
        } else {
            None
        };
        Ok(Self {
            raw: cursor.since(start),
            key,
            value,
            timestamp,
            headers,
            offset_delta,
            before_delta,
        })
    }
}
