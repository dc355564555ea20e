//! `Records` and `RecordView`: reading a stored batch record by record, without copying one. A
//! count, an offset delta or a timestamp that does not fit the header is reported as an error.

use broker_model::{Offset, Timestamp};
use bytes::Bytes;

use crate::body_facts::{check_end, scan_count};
use crate::msgpack::{Cursor, put_array_len, put_bin_or_nil, put_int, put_str, put_uint};
use crate::scanned_record::ScannedRecord;
use crate::{
    BatchError, BatchHeader, InvalidBatch, RecordHeaders, StoredBatch, TimestampType, compression,
};

/// The records of one batch, decompressed if they had to be.
#[derive(Clone, Debug)]
pub struct Records {
    pub(crate) header: BatchHeader,
    body: Bytes,
}

impl Records {
    pub(crate) fn open(batch: &StoredBatch, unfolded_max: usize) -> Result<Self, BatchError> {
        let header = batch.header;
        header.verify_body(&batch.body)?;
        let body = compression::decompress_bytes(header.codec, &batch.body, unfolded_max)
            .map_err(InvalidBatch::from)?;
        let mut cursor = Cursor::new(&body);
        let actual = match scan_count(&mut cursor) {
            // What compaction leaves of a batch without records.
            Err(InvalidBatch::Empty) if header.record_count == 0 => 0,
            counted => counted?,
        };
        if actual != header.record_count {
            let claimed = header.record_count;
            return Err(InvalidBatch::CountMismatch { claimed, actual }.into());
        }
        if actual == 0 {
            check_end(&cursor, &body)?;
        }
        Ok(Self { header, body })
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.header.record_count as usize
    }

    /// Whether there are none, because compaction took them all out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The body the records lie in: keys and values are slices of it, so `slice_ref` owns one
    /// without a copy.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The records in order. After an error the iteration ends.
    pub fn iter(&self) -> RecordsIter<'_> {
        let mut cursor = Cursor::new(&self.body);
        // `open` has read this marker and compared it with the header.
        let left = cursor.array_len().unwrap_or(0);
        RecordsIter {
            records: self,
            cursor,
            index: 0,
            left,
            delta_min: 0,
        }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<RecordView<'a>, BatchError>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// Iterates the records of one batch.
#[derive(Clone, Debug)]
pub struct RecordsIter<'a> {
    records: &'a Records,
    cursor: Cursor<'a>,
    index: u32,
    left: u32,
    /// The smallest offset delta the next record may have: deltas rise.
    delta_min: u32,
}

impl<'a> RecordsIter<'a> {
    #[inline(always)]
    fn read(&mut self) -> Result<RecordView<'a>, InvalidBatch> {
        let Records { header, body } = self.records;
        let record =
            ScannedRecord::scan(&mut self.cursor).map_err(|reason| InvalidBatch::Malformed {
                record: Some(self.index),
                position: self.cursor.position_in(body),
                reason,
            })?;
        let claimed = record.offset_delta.unwrap_or(i64::from(self.index));
        let delta = u32::try_from(claimed)
            .ok()
            .filter(|delta| (self.delta_min..=header.last_offset_delta).contains(delta))
            .ok_or(InvalidBatch::OffsetDelta {
                record: self.index,
                claimed,
            })?;
        if self.left == 1 {
            check_end(&self.cursor, body)?;
        }
        self.index += 1;
        self.left -= 1;
        self.delta_min = delta.saturating_add(1);
        let timestamp = match header.timestamp_type {
            TimestampType::LogAppendTime => header.max_timestamp,
            TimestampType::CreateTime => record
                .timestamp
                .map_or(header.base_timestamp, Timestamp::from_millis),
        };
        Ok(RecordView {
            offset: header.base_offset.plus(u64::from(delta)),
            timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
            raw: record.raw,
        })
    }
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        match self.read() {
            Ok(record) => Some(Ok(record)),
            Err(error) => {
                self.left = 0;
                Some(Err(error.into()))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.min(1) as usize, Some(self.left as usize))
    }
}

impl std::iter::FusedIterator for RecordsIter<'_> {}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Its position in the partition.
    pub offset: Offset,
    /// Its own timestamp, or the batch's base timestamp if it has none; under `LogAppendTime` the
    /// time of the append.
    pub timestamp: Timestamp,
    /// Its key; none is not the same as an empty one.
    pub key: Option<&'a [u8]>,
    /// Its value; none marks a deletion (a tombstone) in a compacted topic.
    pub value: Option<&'a [u8]>,
    headers: RecordHeaders<'a>,
    raw: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Its headers, in order and with duplicates.
    pub fn headers(&self) -> RecordHeaders<'a> {
        self.headers
    }

    /// Its own MessagePack bytes, as the producer wrote them.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Appends the record as a fetch in `records` form answers it: the MessagePack array
    /// `[offset, timestamp, key, value, headers]`, with bin for every key and value and an empty
    /// array for no headers.
    pub fn encode_fetched(&self, out: &mut Vec<u8>) {
        put_array_len(out, 5);
        put_uint(out, self.offset.get());
        put_int(out, self.timestamp.as_millis());
        put_bin_or_nil(out, self.key);
        put_bin_or_nil(out, self.value);
        put_array_len(out, self.headers.count_left());
        for (name, value) in self.headers {
            put_array_len(out, 2);
            put_str(out, name);
            put_bin_or_nil(out, value);
        }
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
