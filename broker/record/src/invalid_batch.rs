//! `InvalidBatch`: every reason for which a produced batch is refused, with the facts a producer
//! needs to find its mistake. Positions count bytes of the uncompressed body, records count from 0.

use broker_model::Timestamp;
use broker_model::limits::{
    BATCH_RECORDS_MAX, NESTING_DEPTH_MAX, PLUGIN_BATCH_RECORDS_MAX, RECORD_HEADERS_MAX,
};

use crate::compression::DecompressError;
use crate::{BatchHeader, ProducerState, UnsupportedCodec};

/// Why a batch is refused; nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// The body is not the one the producer computed the checksum of.
    #[error("batch body checksum is {actual:#010x}, the producer says {expected:#010x}")]
    BadChecksum {
        /// What the producer says.
        expected: u32,
        /// What the body gives.
        actual: u32,
    },
    /// The producer counted differently.
    #[error("the batch has {actual} records, the producer says {claimed}")]
    CountMismatch {
        /// What the producer says.
        claimed: u32,
        /// What the body holds.
        actual: u32,
    },
    /// The body is not the MessagePack array of records that it should be.
    #[error("batch body is malformed at byte {position}{}: {reason}", OfRecord(*.record))]
    Malformed {
        /// The record, from 0; `None` for the array around them.
        record: Option<u32>,
        /// Byte of the uncompressed body at which the refused value starts.
        position: usize,
        /// What is wrong with it.
        reason: MalformedReason,
    },
    /// A codec that this broker does not know.
    #[error(transparent)]
    UnsupportedCodec(#[from] UnsupportedCodec),
    /// The body does not decompress, or not to a reasonable size.
    #[error(transparent)]
    Decompression(#[from] DecompressError),
    /// A batch has at least one record.
    #[error("the batch has no records")]
    Empty,
    /// Above the limit.
    #[error("the batch has {records} records, at most {BATCH_RECORDS_MAX} are allowed")]
    TooManyRecords {
        /// How many there are, or are said to be.
        records: u32,
    },
    /// More than a plugin is asked about at once.
    #[error(
        "the request has {records} records for a plugin to look at, at most \
         {PLUGIN_BATCH_RECORDS_MAX} are allowed: send several requests"
    )]
    TooManyForPlugins {
        /// How many there are.
        records: u32,
    },
    /// More bytes than the header can count.
    #[error(
        "the batch body has {bytes} bytes, at most {} are possible",
        BatchHeader::BODY_LEN_MAX
    )]
    TooLarge {
        /// Bytes of the body.
        bytes: usize,
    },
    /// A claimed base or max timestamp is not what the records say.
    #[error("the {which} timestamp of the batch is {actual}, the producer says {claimed}")]
    TimestampMismatch {
        /// `base` or `max`.
        which: &'static str,
        /// What the producer says.
        claimed: Timestamp,
        /// What the records say.
        actual: Timestamp,
    },
    /// A record says that it is at another place than it is.
    #[error("record {record} has the offset delta {claimed}: leave it out, or give its index")]
    OffsetDelta {
        /// The record, from 0.
        record: u32,
        /// What it says.
        claimed: i64,
    },
    /// Something follows the array of records.
    #[error("{bytes} bytes follow the array of records, from byte {position}")]
    TrailingBytes {
        /// Byte of the uncompressed body at which the array ends.
        position: usize,
        /// How many bytes follow.
        bytes: usize,
    },
    /// A producer id, epoch or sequence below 0.
    #[error("{producer:?} is not a valid producer: all three numbers must be at least 0")]
    Producer {
        /// What was given.
        producer: ProducerState,
    },
}

impl InvalidBatch {
    /// Whether the body unfolds to more than the caller allowed, but perhaps not to more than any body may.
    pub fn is_for_lack_of_room(&self) -> bool {
        matches!(self, Self::Decompression(error) if error.is_for_lack_of_room())
    }
}

/// What is wrong with one MessagePack value of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedReason {
    /// The body ends in the middle of a value, or before one that was announced.
    #[error("the body ends within this value")]
    Truncated,
    /// A value of a type that has no place here.
    #[error("expected {expected}, found marker {marker:#04x}")]
    WrongType {
        /// What would have been right.
        expected: Expected,
        /// The MessagePack marker that is there.
        marker: u8,
    },
    /// An array that is too short or too long for a record.
    #[error("a record has 2 to 5 elements, this one has {elements}")]
    RecordElements {
        /// How many elements it has.
        elements: u32,
    },
    /// An array that is not a pair, among the headers.
    #[error("a header has 2 elements, name and value, this one has {elements}")]
    HeaderElements {
        /// How many elements it has.
        elements: u32,
    },
    /// More headers than one record may have.
    #[error("a record has at most {RECORD_HEADERS_MAX} headers, this one has {headers}")]
    TooManyHeaders {
        /// How many it has.
        headers: u32,
    },
    /// An integer beyond 64 bits signed.
    #[error("the integer is above 9223372036854775807")]
    IntegerRange,
    /// A header name that is not text.
    #[error("the header name is not UTF-8")]
    NotUtf8,
    /// A key or value that is nested too deep.
    #[error("the value is nested deeper than {NESTING_DEPTH_MAX} levels")]
    TooDeep,
    /// A key or value of a type that values cannot have.
    #[error("marker {marker:#04x} begins no value that can be stored: ext types are not allowed")]
    NoValue {
        /// The MessagePack marker that is there.
        marker: u8,
    },
}

/// The MessagePack types that have a place in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A record, a header, or the list of either.
    Array,
    /// A key or a value.
    BytesOrNil,
    /// A header's name.
    Text,
    /// A timestamp or an offset delta.
    IntegerOrNil,
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Array => "an array",
            Self::BytesOrNil => "bin, str or nil",
            Self::Text => "str",
            Self::IntegerOrNil => "an integer or nil",
        })
    }
}

/// Writes ` (record 7)`, or nothing.
struct OfRecord(Option<u32>);

impl std::fmt::Display for OfRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(record) => write!(f, " (record {record})"),
            None => Ok(()),
        }
    }
}
