//! `StoredBatch::retain`: a stored batch without some of its records, as compaction writes it. What
//! stays keeps its offset, its timestamp and its bytes; offsets that have no record any more are
//! gaps, so every record of such a batch states its offset delta.

use broker_model::limits::BATCH_DECOMPRESSED_BYTES_MAX;
use broker_model::{LeaderEpoch, Offset, Timestamp};
use bytes::Bytes;

use crate::compression::{compress, decompressed_bytes_max};
use crate::msgpack::{Cursor, put_array_len, put_nil, put_uint};
use crate::scanned_record::ScannedRecord;
use crate::{BatchError, BatchHeader, Codec, InvalidBatch, LogMark, StoredBatch, TimestampType};

/// The body of a batch without records: an empty MessagePack array.
const EMPTY_BODY: &[u8] = &[0x90];
/// The timestamps of a batch without records: below every time that a record usually has.
const NO_TIMESTAMP: Timestamp = Timestamp::from_millis(-1);
/// Most bytes that stating its delta adds to a record: no timestamp, no headers, the delta.
const DELTA_BYTES_MAX: usize = 1 + 1 + 5;

impl StoredBatch {
    /// The batch with the records whose index `keep` says yes to; `None` when that is none of them.
    /// Base offset, last offset delta, leader epoch, timestamp type, base timestamp and producer are
    /// those of this batch, and so is the codec, unless the smaller body would look like a
    /// decompression bomb under it: it is not compressed then. A batch that keeps all its records
    /// is answered as it is.
    ///
    /// # Errors
    /// When the body is damaged, is not what the header says, or would not fit a batch any more
    /// (near 4 GiB).
    pub fn retain(&self, mut keep: impl FnMut(usize) -> bool) -> Result<Option<Self>, BatchError> {
        let records = self.records()?;
        let mut writer = RetainedBody::with_room_for(records.body().len());
        let mut removed = 0_u32;
        for (index, record) in records.iter().enumerate() {
            let record = record?;
            if keep(index) {
                let delta = record.offset.distance_from(self.header.base_offset);
                writer.push(record.raw(), delta, record.timestamp)?;
            } else {
                removed += 1;
            }
        }
        match (removed, writer.count) {
            (0, _) => Ok(Some(self.clone())),
            (_, 0) => Ok(None),
            _ => Ok(Some(writer.finish(&self.header)?)),
        }
    }

    /// A batch without records, which stands for the offsets from `base_offset` to
    /// `last_offset_delta` behind it: those of batches that compaction took out.
    pub fn without_records(
        base_offset: Offset,
        last_offset_delta: u32,
        leader_epoch: LeaderEpoch,
    ) -> Self {
        let body = Bytes::from_static(EMPTY_BODY);
        let header = BatchHeader {
            base_offset,
            leader_epoch,
            codec: Codec::None,
            timestamp_type: TimestampType::CreateTime,
            record_count: 0,
            last_offset_delta,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            producer: None,
            log_mark: LogMark::default(),
            body_len: 1,
            body_crc: crc32fast::hash(&body),
        };
        Self { header, body }
    }
}

/// The records that stay, while they are gathered.
struct RetainedBody {
    records: Vec<u8>,
    count: u32,
    max_timestamp: Timestamp,
}

impl RetainedBody {
    fn with_room_for(bytes: usize) -> Self {
        Self {
            records: Vec::with_capacity(bytes),
            count: 0,
            max_timestamp: Timestamp::MIN,
        }
    }

    /// Adds a record, with its delta as the last of five elements.
    fn push(&mut self, raw: &[u8], delta: u64, timestamp: Timestamp) -> Result<(), BatchError> {
        let mut cursor = Cursor::new(raw);
        let reread = cursor.array_len().and_then(|elements| {
            let record = ScannedRecord::scan(&mut Cursor::new(raw))?;
            Ok((elements, record))
        });
        let (elements, record) = reread.map_err(|reason| {
            BatchError::Invalid(InvalidBatch::Malformed {
                record: Some(self.count),
                position: 0,
                reason,
            })
        })?;
        self.records.reserve(raw.len() + DELTA_BYTES_MAX);
        put_array_len(&mut self.records, 5);
        self.records.extend_from_slice(record.before_delta);
        if elements < 3 {
            put_nil(&mut self.records);
        }
        if elements < 4 {
            put_array_len(&mut self.records, 0);
        }
        put_uint(&mut self.records, delta);
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    fn finish(self, original: &BatchHeader) -> Result<StoredBatch, InvalidBatch> {
        let mut plain = Vec::with_capacity(self.records.len() + 5);
        put_array_len(&mut plain, self.count);
        plain.extend_from_slice(&self.records);
        let (codec, body) = packed(original.codec, plain);
        let bytes = body.len();
        let body_len = u32::try_from(bytes)
            .ok()
            .filter(|len| *len <= BatchHeader::BODY_LEN_MAX)
            .ok_or(InvalidBatch::TooLarge { bytes })?;
        let max_timestamp = match original.timestamp_type {
            // Every record's timestamp, and the only place where it is kept.
            TimestampType::LogAppendTime => original.max_timestamp,
            TimestampType::CreateTime => self.max_timestamp,
        };
        let header = BatchHeader {
            codec,
            record_count: self.count,
            max_timestamp,
            body_len,
            body_crc: crc32fast::hash(&body),
            ..*original
        };
        Ok(StoredBatch { header, body })
    }
}

/// The body under its codec, or as it is where it could not be read back otherwise.
fn packed(codec: Codec, plain: Vec<u8>) -> (Codec, Bytes) {
    if codec != Codec::None
        && plain.len() <= BATCH_DECOMPRESSED_BYTES_MAX
        && let Ok(packed) = compress(codec, &plain)
        && plain.len() <= decompressed_bytes_max(packed.len())
    {
        return (codec, packed.into());
    }
    (Codec::None, plain.into())
}

#[cfg(test)]
#[path = "retain_tests.rs"]
mod tests;
