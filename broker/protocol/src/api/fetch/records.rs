//! Records in a fetch answer: `[offset, timestamp, key, value, headers]`. `RecordsWriter` builds the
//! array on the broker, `FetchedRecords` reads it on the client without copying.

use broker_model::{Offset, Timestamp};
use bytes::Bytes;

use crate::call::InvalidValue;
use crate::envelope::write_unsigned;
use crate::reader::Reader;
use crate::writer::{write_array_len, write_optional_bin, write_signed, write_str};

/// Room for the longest array marker, in front of the records.
const MARKER_ROOM: usize = 5;

/// Builds the `records` array of one partition.
#[derive(Clone, Debug)]
pub struct RecordsWriter {
    out: Vec<u8>,
    count: usize,
}

impl RecordsWriter {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            out: vec![0; MARKER_ROOM],
            count: 0,
        }
    }

    /// Adds a record. `headers` come in order; duplicates are kept.
    #[expect(clippy::too_many_arguments, reason = "the five elements of a record")]
    pub fn push<'h>(
        &mut self,
        offset: Offset,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) {
        self.push_encoded(|out| {
            write_array_len(5, out);
            write_unsigned(offset.get(), out);
            write_signed(timestamp.as_millis(), out);
            write_optional_bin(key, out);
            write_optional_bin(value, out);
            let headers: Vec<_> = headers.collect();
            write_array_len(headers.len(), out);
            for (name, value) in headers {
                write_array_len(2, out);
                write_str(name, out);
                write_optional_bin(value, out);
            }
        });
    }

    /// Adds a record that `write` appends as the array `[offset, timestamp, key, value, headers]`.
    pub fn push_encoded(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.out);
        self.count += 1;
    }

    /// Records so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes so far.
    pub fn bytes_len(&self) -> usize {
        self.out.len() - MARKER_ROOM
    }

    /// The array, in as much memory as it needs: it may wait for its reader.
    pub fn finish(mut self) -> Bytes {
        self.out.shrink_to_fit();
        let mut marker = Vec::with_capacity(MARKER_ROOM);
        write_array_len(self.count, &mut marker);
        let start = MARKER_ROOM - marker.len();
        if let Some(room) = self.out.get_mut(start..MARKER_ROOM) {
            room.copy_from_slice(&marker);
        }
        Bytes::from(self.out).slice(start..)
    }
}

impl Default for RecordsWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// The `records` array of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedRecords {
    array: Bytes,
    len: usize,
}

impl FetchedRecords {
    /// Wraps an array; its elements are checked while they are read.
    ///
    /// # Errors
    /// When it is no array.
    pub fn new(array: Bytes) -> Result<Self, InvalidValue> {
        let len = Reader::new(&array).read_array_len()?;
        Ok(Self { array, len })
    }

    /// No records.
    pub fn empty() -> Self {
        Self {
            array: Bytes::from_static(&[0x90]),
            len: 0,
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The array as it came.
    pub fn as_bytes(&self) -> &Bytes {
        &self.array
    }

    /// The records, in order of offset; ends after the first that is malformed.
    pub fn iter(&self) -> impl Iterator<Item = Result<FetchedRecord<'_>, InvalidValue>> + '_ {
        let mut reader = Reader::new(&self.array);
        let mut left = reader.read_array_len().unwrap_or(0);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let record = FetchedRecord::read(&mut reader);
            if record.is_err() {
                left = 0;
            }
            Some(record)
        })
    }
}

/// One record of a fetch answer.
#[derive(Clone, Debug)]
pub struct FetchedRecord<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its key, null or not.
    pub key: Option<&'a [u8]>,
    /// Its value, null or not.
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
}

impl<'a> FetchedRecord<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, InvalidValue> {
        let len = reader.read_array_len()?;
        if len < 4 {
            return Err(InvalidValue::new(format!(
                "a fetched record has 5 elements, this one {len}"
            )));
        }
        let record = Self {
            offset: Offset::new(reader.read_number("an offset")?),
            timestamp: Timestamp::from_millis(reader.read_number("a timestamp")?),
            key: reader.read_optional_bytes()?,
            value: reader.read_optional_bytes()?,
            headers: if len > 4 { reader.read_raw()? } else { &[] },
        };
        for _ in 5..len {
            reader.read_raw()?;
        }
        Ok(record)
    }

    /// Its headers, in order.
    pub fn headers(&self) -> FetchedHeaders<'a> {
        FetchedHeaders::of(self.headers)
    }
}

/// Iterates the headers of a record: name and value.
#[derive(Clone, Debug)]
pub struct FetchedHeaders<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Iterator for FetchedHeaders<'a> {
    type Item = Result<(&'a str, Option<&'a [u8]>), InvalidValue>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let header = self.read();
        if header.is_err() {
            self.left = 0;
        }
        Some(header)
    }
}

impl<'a> FetchedHeaders<'a> {
    /// The headers in an encoded array.
    pub(super) fn of(array: &'a [u8]) -> Self {
        let mut reader = Reader::new(array);
        let left = reader.read_array_len().unwrap_or(0);
        Self { reader, left }
    }

    fn read(&mut self) -> Result<(&'a str, Option<&'a [u8]>), InvalidValue> {
        match self.reader.read_array_len()? {
            2 => Ok((self.reader.read_str()?, self.reader.read_optional_bytes()?)),
            len => Err(InvalidValue::new(format!(
                "a header has a name and a value, this one {len} elements"
            ))),
        }
    }
}
