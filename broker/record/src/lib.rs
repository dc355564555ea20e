//! Records and batches: how they lie on disk and on the wire, and how they are checked.
//!
//! A *record* is the MessagePack array `[key, value, timestamp, headers, offset_delta]`, of which
//! all after the value may be left out; a *body* is the array of records, maybe compressed as a
//! whole; a *batch* is a 68-byte header and a body, stored exactly as it was received. Nothing here
//! opens a file or a socket.
//!
//! ```
//! use broker_model::Timestamp;
//! use broker_record::{BatchBuilder, Codec, ProducedBatch, StoredBatch, Validation};
//!
//! // A client builds a batch ...
//! let mut builder = BatchBuilder::new();
//! let now = Timestamp::from_millis(1_700_000_000_000);
//! builder.push(Some(b"user-7"), Some(b"hello"), now, [("trace", Some(&b"42"[..]))])?;
//! let (body, claims) = builder.build(Codec::Zstd)?;
//!
//! // ... the broker checks it and stores header and body ...
//! let batch = ProducedBatch::opaque(body, claims, Validation::Full)?;
//! let stored = [&batch.header.encode()[..], &batch.body].concat().into();
//!
//! // ... and whoever reads it gets the record back.
//! let (batch, _) = StoredBatch::parse(&stored)?;
//! for record in batch.records()?.iter() {
//!     let record = record?;
//!     assert_eq!(record.value, Some(&b"hello"[..]));
//!     assert_eq!(record.headers().next(), Some(("trace", Some(&b"42"[..]))));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch_builder;
mod batch_header;
mod batches;
mod body_facts;
mod codec;
pub mod compression;
mod decoded_record;
mod invalid_batch;
mod msgpack;
mod produced_batch;
mod record_headers;
mod records;
mod regroup;
mod retain;
mod routable_records;
mod scanned_record;
mod serializable_records;
mod stored_batch;
mod timestamp_span;
mod timestamp_type;

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod record_model;

pub use batch_builder::{BatchBuilder, BuildError, PushError};
pub use batch_header::{BatchHeader, BodyCrcMismatch, HeaderError, LogMark, ProducerState};
pub use batches::Batches;
pub use body_facts::count_for_plugins;
pub use codec::{Codec, UnsupportedCodec};
pub use decoded_record::DecodedField;
pub use invalid_batch::{Expected, InvalidBatch, MalformedReason};
pub use produced_batch::{OpaqueClaims, ProducedBatch, Validation};
pub use record_headers::RecordHeaders;
pub use records::{RecordView, Records, RecordsIter};
pub use regroup::PartitionBatch;
pub use routable_records::{RoutableRecord, RoutableRecords};
pub use serializable_records::{FieldForm, SerializableRecords, bytes_in_value};
pub use stored_batch::{BatchError, StoredBatch};
pub use timestamp_type::TimestampType;
