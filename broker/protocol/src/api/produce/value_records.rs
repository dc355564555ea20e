//! `ValueRecords`: builds the `records` array of a request with `encode`, from keys and values that are
//! encoded MessagePack already. Checks them, because one that is not well-formed would spoil the whole
//! frame.

use broker_model::Timestamp;
use broker_model::limits::NESTING_DEPTH_MAX;
use bytes::Bytes;

use crate::call::InvalidValue;
use crate::reader::Reader;
use crate::shape;
use crate::writer::{write_array_len, write_optional_bin, write_signed, write_str};

/// Levels of the frame around a key or a value: message, arguments, records, record.
const LEVELS_AROUND: usize = 4;
/// Room for the longest array marker, in front of the records.
const MARKER_ROOM: usize = 5;

/// The `records` of a request with `encode`, under construction.
///
/// ```
/// use broker_model::Timestamp;
/// use broker_protocol::api::produce::ValueRecords;
///
/// let mut records = ValueRecords::new();
/// // Key 17, value {"total": 5}.
/// records.push(Some(b"\x11"), Some(b"\x81\xA5total\x05"), Timestamp::from_millis(1), [])?;
/// assert_eq!(&records.finish()[..], b"\x91\x94\x11\x81\xA5total\x05\x01\x90");
/// # Ok::<(), broker_protocol::InvalidValue>(())
/// ```
#[derive(Clone, Debug)]
pub struct ValueRecords {
    out: Vec<u8>,
    count: usize,
}

impl ValueRecords {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            out: vec![0; MARKER_ROOM],
            count: 0,
        }
    }

    /// Adds a record. `key` and `value` are one encoded MessagePack value each, or null.
    ///
    /// # Errors
    /// When one of them is not exactly one value, or is nested too deep for a request.
    pub fn push<'h, H>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: H,
    ) -> Result<(), InvalidValue>
    where
        H: IntoIterator<Item = (&'h str, Option<&'h [u8]>), IntoIter: ExactSizeIterator>,
    {
        check(key).map_err(|invalid| invalid.inside("key"))?;
        check(value).map_err(|invalid| invalid.inside("value"))?;
        let out = &mut self.out;
        write_array_len(4, out);
        out.extend_from_slice(key.unwrap_or(&[0xC0]));
        out.extend_from_slice(value.unwrap_or(&[0xC0]));
        write_signed(timestamp.as_millis(), out);
        let headers = headers.into_iter();
        write_array_len(headers.len(), out);
        for (name, value) in headers {
            write_array_len(2, out);
            write_str(name, out);
            write_optional_bin(value, out);
        }
        self.count += 1;
        Ok(())
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The array.
    pub fn finish(mut self) -> Bytes {
        let mut marker = Vec::with_capacity(MARKER_ROOM);
        write_array_len(self.count, &mut marker);
        let start = MARKER_ROOM - marker.len();
        if let Some(room) = self.out.get_mut(start..MARKER_ROOM) {
            room.copy_from_slice(&marker);
        }
        Bytes::from(self.out).slice(start..)
    }
}

impl Default for ValueRecords {
    fn default() -> Self {
        Self::new()
    }
}

fn check(value: Option<&[u8]>) -> Result<(), InvalidValue> {
    let Some(value) = value else {
        return Ok(());
    };
    let end = shape::value_end_within(value, 0, NESTING_DEPTH_MAX - LEVELS_AROUND)
        .map_err(|error| InvalidValue::new(error.to_string()))?;
    if end < value.len() {
        let extra = value.len() - end;
        return Err(InvalidValue::new(format!("{extra} bytes follow the value")));
    }
    Ok(())
}

/// The records of an array, each with its own bytes, whatever their keys and values are.
///
/// # Errors
/// When it is not an array of values.
pub fn split_records(array: &[u8]) -> Result<Vec<&[u8]>, InvalidValue> {
    let mut reader = Reader::new(array);
    let count = reader.read_array_len()?;
    let mut records = Vec::new();
    for index in 0..count {
        let record = reader.read_raw();
        records.push(record.map_err(|invalid| invalid.at(index))?);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::super::{Payload, ProduceRequest};
    use super::*;
    use crate::{Envelope, FRAME_HEADER_LEN, request_frame};

    const TIME: Timestamp = Timestamp::from_millis(9);

    fn nested(levels: usize) -> Vec<u8> {
        let mut value = vec![0x91; levels];
        value.push(0x01);
        value
    }

    #[test]
    fn the_deepest_value_still_fits_a_frame() {
        let mut records = ValueRecords::new();
        let deepest = nested(NESTING_DEPTH_MAX - LEVELS_AROUND);
        records.push(Some(&deepest), None, TIME, []).unwrap();
        let deeper = nested(NESTING_DEPTH_MAX - LEVELS_AROUND + 1);
        assert!(records.push(None, Some(&deeper), TIME, []).is_err());
        let request = ProduceRequest {
            encode: true,
            ..ProduceRequest::new("t", Payload::Plain(records.finish()))
        };
        let frame = request_frame(1, &request).unwrap();
        assert!(Envelope::parse(&frame[FRAME_HEADER_LEN..]).is_ok());
    }

    #[test]
    fn what_is_not_one_value_is_refused_and_leaves_nothing_behind() {
        let mut records = ValueRecords::new();
        for bad in [&b""[..], b"\x01\x01", b"\x91", b"\xC7\x01\x05\x00", b"\xC1"] {
            let refused = records.push(None, Some(bad), TIME, []).unwrap_err();
            assert_eq!(refused.path(), "value", "{bad:02x?}");
        }
        assert!(records.is_empty());
        assert_eq!(&records.finish()[..], b"\x90");
    }

    #[test]
    fn records_are_split_as_they_were_pushed() {
        let mut records = ValueRecords::new();
        for number in 0..20 {
            let headers = [("h", Some(&b"1"[..]))];
            records.push(Some(&[number]), None, TIME, headers).unwrap();
        }
        assert_eq!(records.len(), 20);
        let array = records.finish();
        let split = split_records(&array).unwrap();
        assert_eq!(split.len(), 20);
        assert_eq!(split[3], b"\x94\x03\xC0\x09\x91\x92\xA1h\xC4\x011");
        assert!(split_records(b"\x92\x01").is_err());
        assert!(split_records(b"\x01").is_err());
    }
}
