//! `BatchHeader`: the 68 big-endian bytes in front of every stored body. The broker writes them,
//! and their checksum, again whenever it changes one; the body below them it never touches.
//!
//! The layout is on disk and on the wire (a fetch in `batch` form hands it out), so it changes only
//! together with the version byte.

use broker_model::{LeaderEpoch, Offset, Timestamp};

use crate::{Codec, TimestampType, UnsupportedCodec};

/// The only header version there is.
const VERSION: u8 = 1;
/// The body is a MessagePack array of records. 2 is reserved for Kafka's v2 records.
const FORMAT_MESSAGEPACK: u8 = 1;
/// What the length field counts of the header itself: everything after that field.
const LEN_AFTER_LENGTH: u32 = 56;
/// In the three producer fields: there is no idempotent producer.
const NO_PRODUCER: (i64, i16, i32) = (-1, -1, -1);

/// Where the fields are; the table at [`BatchHeader`].
mod at {
    pub(super) const BASE_OFFSET: usize = 0;
    pub(super) const LENGTH: usize = 8;
    pub(super) const HEADER_CRC: usize = 12;
    pub(super) const LEADER_EPOCH: usize = 16;
    pub(super) const VERSION: usize = 20;
    pub(super) const FORMAT: usize = 21;
    pub(super) const CODEC: usize = 22;
    pub(super) const TIMESTAMP_TYPE: usize = 23;
    pub(super) const RECORD_COUNT: usize = 24;
    pub(super) const LAST_OFFSET_DELTA: usize = 28;
    pub(super) const BASE_TIMESTAMP: usize = 32;
    pub(super) const MAX_TIMESTAMP: usize = 40;
    pub(super) const PRODUCER_ID: usize = 48;
    pub(super) const PRODUCER_EPOCH: usize = 56;
    pub(super) const LOG_MARK: usize = 58;
    pub(super) const BASE_SEQUENCE: usize = 60;
    pub(super) const BODY_CRC: usize = 64;
    pub(super) const END: usize = 68;
}

const _: () = assert!(BatchHeader::LEN == at::END && BatchHeader::LEN == 68);
const _: () = assert!(at::HEADER_CRC + LEN_AFTER_LENGTH as usize == BatchHeader::LEN);

/// What the broker knows about a batch without looking into its body. On disk:
///
/// | at | size | field |
/// |---:|-----:|-------|
/// | 0  | 8 | base offset, u64: the first record's |
/// | 8  | 4 | length, u32: bytes that follow this field, 56 + body |
/// | 12 | 4 | header crc32, u32: over bytes 0..12 and 16..68 |
/// | 16 | 4 | leader epoch, u32 |
/// | 20 | 1 | version, 1 |
/// | 21 | 1 | body format, 1 = MessagePack |
/// | 22 | 1 | codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd |
/// | 23 | 1 | timestamp type: 0 CreateTime, 1 LogAppendTime |
/// | 24 | 4 | record count, u32; 0 only where compaction took all records out |
/// | 28 | 4 | last offset delta, u32, at least count - 1 |
/// | 32 | 8 | base timestamp, i64 ms |
/// | 40 | 8 | max timestamp, i64 ms |
/// | 48 | 8 | producer id, i64, -1 none |
/// | 56 | 2 | producer epoch, i16, -1 none |
/// | 58 | 2 | log mark, u16, 0 where it is not stated |
/// | 60 | 4 | base sequence, i32, -1 none |
/// | 64 | 4 | body crc32, u32: over the stored, maybe compressed, body |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 until the log assigns it.
    pub base_offset: Offset,
    /// Epoch of the leader that appended the batch; 0 until the log assigns it.
    pub leader_epoch: LeaderEpoch,
    /// How the body is compressed.
    pub codec: Codec,
    /// Whose clock the timestamps come from.
    pub timestamp_type: TimestampType,
    /// Records in the body: at least 1 in a produced batch, 0 where compaction has left none.
    pub record_count: u32,
    /// Distance from the first to the last offset the batch covers: `record_count - 1`, more once
    /// compaction has taken records out of it or whole batches behind it.
    pub last_offset_delta: u32,
    /// The timestamp of every record that has none of its own. In a batch whose records all have
    /// one it is the first record's.
    pub base_timestamp: Timestamp,
    /// The largest timestamp of the batch's records; under `LogAppendTime` the time of the append.
    pub max_timestamp: Timestamp,
    /// The idempotent producer that sent the batch, if it is one.
    pub producer: Option<ProducerState>,
    /// Which log the batch is stored in; not stated until the log takes it.
    pub log_mark: LogMark,
    /// Bytes of the stored body.
    pub body_len: u32,
    /// crc32 (IEEE) of the stored body.
    pub body_crc: u32,
}

/// Who produced a batch, for recognising a retry: all three numbers are at least 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The producer's id, given out by the cluster.
    pub id: i64,
    /// The producer's epoch; a larger one fences a smaller one.
    pub epoch: i16,
    /// The sequence number of the batch's first record.
    pub base_sequence: i32,
}

/// A hint which log a batch belongs to, so that bytes of one log that got into the file of another are
/// not served as its records. Batches of earlier versions do not state it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMark(u16);

impl LogMark {
    /// The mark of the log with this hash, whatever it is made of.
    pub const fn of_hash(hash: u32) -> Self {
        let [a, b, c, d] = hash.to_be_bytes();
        match u16::from_be_bytes([a ^ c, b ^ d]) {
            // 0 is for nobody knows.
            0 => Self(1),
            folded => Self(folded),
        }
    }

    /// Whether both are stated, and two.
    pub fn differs_from(self, other: Self) -> bool {
        self != other && self != Self::default() && other != Self::default()
    }
}

impl ProducerState {
    /// Whether all three numbers are in range; -1 on the wire means that there is no producer.
    pub const fn is_valid(&self) -> bool {
        self.id >= 0 && self.epoch >= 0 && self.base_sequence >= 0
    }
}

impl BatchHeader {
    /// Bytes of an encoded header.
    pub const LEN: usize = 68;
    /// Most bytes a body can have, because the length field counts part of the header too.
    pub const BODY_LEN_MAX: u32 = u32::MAX - LEN_AFTER_LENGTH;

    /// The stored form, checksum included.
    ///
    /// # Panics
    /// When `body_len` is above [`Self::BODY_LEN_MAX`], which no constructor lets through.
    pub fn encode(&self) -> [u8; Self::LEN] {
        assert!(self.body_len <= Self::BODY_LEN_MAX, "batch body too long");
        let producer = self.producer.map(|p| (p.id, p.epoch, p.base_sequence));
        let (producer_id, producer_epoch, base_sequence) = producer.unwrap_or(NO_PRODUCER);
        let mut header = [0; Self::LEN];
        let mut put = |at: usize, field: &[u8]| {
            header[at..at + field.len()].copy_from_slice(field);
        };
        put(at::BASE_OFFSET, &self.base_offset.get().to_be_bytes());
        put(
            at::LENGTH,
            &(LEN_AFTER_LENGTH + self.body_len).to_be_bytes(),
        );
        put(at::LEADER_EPOCH, &self.leader_epoch.get().to_be_bytes());
        put(at::VERSION, &[VERSION]);
        put(at::FORMAT, &[FORMAT_MESSAGEPACK]);
        put(at::CODEC, &[self.codec.id()]);
        put(at::TIMESTAMP_TYPE, &[self.timestamp_type.id()]);
        put(at::RECORD_COUNT, &self.record_count.to_be_bytes());
        put(at::LAST_OFFSET_DELTA, &self.last_offset_delta.to_be_bytes());
        let base_timestamp = self.base_timestamp.as_millis();
        put(at::BASE_TIMESTAMP, &base_timestamp.to_be_bytes());
        let max_timestamp = self.max_timestamp.as_millis();
        put(at::MAX_TIMESTAMP, &max_timestamp.to_be_bytes());
        put(at::PRODUCER_ID, &producer_id.to_be_bytes());
        put(at::PRODUCER_EPOCH, &producer_epoch.to_be_bytes());
        put(at::LOG_MARK, &self.log_mark.0.to_be_bytes());
        put(at::BASE_SEQUENCE, &base_sequence.to_be_bytes());
        put(at::BODY_CRC, &self.body_crc.to_be_bytes());
        let crc = header_crc(&header);
        header[at::HEADER_CRC..at::LEADER_EPOCH].copy_from_slice(&crc.to_be_bytes());
        header
    }

    /// Reads the header at the start of `bytes`; what follows it is not looked at.
    ///
    /// # Errors
    /// When there are fewer than 68 bytes, the checksum is wrong, or a field says something that
    /// this version cannot know or no batch can have.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header: &[u8; Self::LEN] = bytes.first_chunk().ok_or(HeaderError::TooShort {
            available: bytes.len(),
        })?;
        let expected = u32::from_be_bytes(field(header, at::HEADER_CRC));
        let actual = header_crc(header);
        if expected != actual {
            return Err(HeaderError::BadChecksum { expected, actual });
        }
        let [version] = field(header, at::VERSION);
        if version != VERSION {
            return Err(HeaderError::UnknownVersion { version });
        }
        let [format] = field(header, at::FORMAT);
        if format != FORMAT_MESSAGEPACK {
            return Err(HeaderError::UnknownBodyFormat { format });
        }
        let [codec] = field(header, at::CODEC);
        let [timestamp_type] = field(header, at::TIMESTAMP_TYPE);
        let length = u32::from_be_bytes(field(header, at::LENGTH));
        let decoded = Self {
            base_offset: Offset::new(u64::from_be_bytes(field(header, at::BASE_OFFSET))),
            leader_epoch: LeaderEpoch::new(u32::from_be_bytes(field(header, at::LEADER_EPOCH))),
            codec: Codec::from_id(codec)?,
            timestamp_type: TimestampType::from_id(timestamp_type)
                .ok_or(HeaderError::UnknownTimestampType { id: timestamp_type })?,
            record_count: u32::from_be_bytes(field(header, at::RECORD_COUNT)),
            last_offset_delta: u32::from_be_bytes(field(header, at::LAST_OFFSET_DELTA)),
            base_timestamp: timestamp_field(header, at::BASE_TIMESTAMP),
            max_timestamp: timestamp_field(header, at::MAX_TIMESTAMP),
            producer: producer_fields(header)?,
            log_mark: LogMark(u16::from_be_bytes(field(header, at::LOG_MARK))),
            body_len: length
                .checked_sub(LEN_AFTER_LENGTH)
                .ok_or(HeaderError::Length { length })?,
            body_crc: u32::from_be_bytes(field(header, at::BODY_CRC)),
        };
        decoded.check_counts()?;
        Ok(decoded)
    }

    fn check_counts(&self) -> Result<(), HeaderError> {
        if self.last_offset_delta < self.record_count.saturating_sub(1) {
            return Err(HeaderError::Counts {
                record_count: self.record_count,
                last_offset_delta: self.last_offset_delta,
            });
        }
        let records = u64::from(self.last_offset_delta) + 1;
        match self.base_offset.checked_plus(records) {
            Some(_) => Ok(()),
            None => Err(HeaderError::OffsetOverflow {
                base_offset: self.base_offset,
                last_offset_delta: self.last_offset_delta,
            }),
        }
    }

    /// The last offset the batch covers.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(u64::from(self.last_offset_delta))
    }

    /// The offset after the batch.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    /// Bytes of header and body together.
    pub fn batch_len(&self) -> usize {
        Self::LEN + self.body_len as usize
    }

    /// How long its length field says that a batch is, header included, whether or not the checksum of these bytes
    /// fits; `None` with fewer bytes than that.
    pub fn stated_batch_len(bytes: &[u8]) -> Option<u64> {
        let field = bytes.get(at::LENGTH..at::HEADER_CRC)?;
        let stated = u32::from_be_bytes(field.try_into().ok()?);
        Some(at::HEADER_CRC as u64 + u64::from(stated))
    }

    /// Checks the body against its checksum.
    ///
    /// # Errors
    /// When it is another body, or this one damaged.
    pub fn verify_body(&self, body: &[u8]) -> Result<(), BodyCrcMismatch> {
        let actual = crc32fast::hash(body);
        if actual == self.body_crc {
            return Ok(());
        }
        Err(BodyCrcMismatch {
            expected: self.body_crc,
            actual,
        })
    }
}

fn header_crc(header: &[u8; BatchHeader::LEN]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..at::HEADER_CRC]);
    crc.update(&header[at::LEADER_EPOCH..]);
    crc.finalize()
}

/// The `N` bytes at one of the positions of the table above.
fn field<const N: usize>(header: &[u8; BatchHeader::LEN], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

fn timestamp_field(header: &[u8; BatchHeader::LEN], at: usize) -> Timestamp {
    Timestamp::from_millis(i64::from_be_bytes(field(header, at)))
}

fn producer_fields(header: &[u8; BatchHeader::LEN]) -> Result<Option<ProducerState>, HeaderError> {
    let producer = ProducerState {
        id: i64::from_be_bytes(field(header, at::PRODUCER_ID)),
        epoch: i16::from_be_bytes(field(header, at::PRODUCER_EPOCH)),
        base_sequence: i32::from_be_bytes(field(header, at::BASE_SEQUENCE)),
    };
    if (producer.id, producer.epoch, producer.base_sequence) == NO_PRODUCER {
        return Ok(None);
    }
    if !producer.is_valid() {
        return Err(HeaderError::Producer { producer });
    }
    Ok(Some(producer))
}

/// Why 68 bytes are not a batch header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than a header has: the end of a file, or a torn write.
    #[error("a batch header has 68 bytes, there are {available}")]
    TooShort {
        /// Bytes there were.
        available: usize,
    },
    /// The bytes are not those that were written.
    #[error("batch header checksum is {actual:#010x}, the header says {expected:#010x}")]
    BadChecksum {
        /// What the header says.
        expected: u32,
        /// What its bytes give.
        actual: u32,
    },
    /// Written by a newer broker.
    #[error("batch header version {version} is not known, this broker knows 1")]
    UnknownVersion {
        /// The version byte.
        version: u8,
    },
    /// A body that is not MessagePack.
    #[error("batch body format {format} is not known, this broker knows 1 (MessagePack)")]
    UnknownBodyFormat {
        /// The format byte.
        format: u8,
    },
    /// A codec that this broker does not know.
    #[error(transparent)]
    UnsupportedCodec(#[from] UnsupportedCodec),
    /// Neither `CreateTime` nor `LogAppendTime`.
    #[error("timestamp type {id} is not known, there are 0 (CreateTime) and 1 (LogAppendTime)")]
    UnknownTimestampType {
        /// The timestamp type byte.
        id: u8,
    },
    /// A length that does not even cover the header.
    #[error("batch length {length} is below 56, the rest of the header alone")]
    Length {
        /// The length field.
        length: u32,
    },
    /// More records than offsets.
    #[error(
        "a batch of {record_count} records cannot have the last offset delta {last_offset_delta}"
    )]
    Counts {
        /// The record count field.
        record_count: u32,
        /// The last offset delta field.
        last_offset_delta: u32,
    },
    /// Offsets beyond the largest there is.
    #[error("base offset {base_offset} plus {last_offset_delta} is beyond the largest offset")]
    OffsetOverflow {
        /// The base offset field.
        base_offset: Offset,
        /// The last offset delta field.
        last_offset_delta: u32,
    },
    /// Producer fields that are neither all -1 nor all valid.
    #[error("{producer:?} is neither a producer nor none (-1, -1, -1)")]
    Producer {
        /// The three fields.
        producer: ProducerState,
    },
}

/// A stored body that is not the one the header was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("batch body checksum is {actual:#010x}, the header says {expected:#010x}")]
pub struct BodyCrcMismatch {
    /// What the header says.
    pub expected: u32,
    /// What the body gives.
    pub actual: u32,
}

#[cfg(test)]
#[path = "batch_header_tests.rs"]
mod tests;
