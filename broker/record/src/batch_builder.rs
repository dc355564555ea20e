//! `BatchBuilder`: how a client makes a batch, record by record. What it builds is what
//! `ProducedBatch::opaque` takes.

use broker_model::Timestamp;
use broker_model::limits::{BATCH_DECOMPRESSED_BYTES_MAX, BATCH_RECORDS_MAX, RECORD_HEADERS_MAX};
use bytes::Bytes;

use crate::compression::{CompressError, compress, decompressed_bytes_max};
use crate::msgpack::{
    ARRAY_LEN_BYTES_MAX, bin_bytes_max, put_array_len, put_bin_or_nil, put_int, put_str,
};
use crate::timestamp_span::TimestampSpan;
use crate::{Codec, OpaqueClaims};

/// Most bytes a record takes beside its key, value and headers: two array markers, a timestamp.
const RECORD_BYTES_OVERHEAD: usize = 1 + 9 + ARRAY_LEN_BYTES_MAX;

/// Gathers records into a batch body.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    /// The records, behind room for the array marker that comes before them.
    buffer: Vec<u8>,
    record_count: u32,
    timestamps: TimestampSpan,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty batch with room for this many bytes of records.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(ARRAY_LEN_BYTES_MAX + bytes);
        buffer.resize(ARRAY_LEN_BYTES_MAX, 0);
        Self {
            buffer,
            record_count: 0,
            timestamps: TimestampSpan::default(),
        }
    }

    /// How many records were pushed.
    pub fn len(&self) -> u32 {
        self.record_count
    }

    /// Whether none was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes the body has so far before compression, at most four more than it will have.
    pub fn size_estimate(&self) -> usize {
        self.buffer.len()
    }

    /// Most bytes a record can add to the body; for asking before pushing.
    pub fn record_bytes_max<'h>(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> usize {
        let bytes = |part: Option<&[u8]>| part.map_or(1, |part| bin_bytes_max(part.len()));
        let headers = headers
            .into_iter()
            .map(|(name, value)| 1 + bin_bytes_max(name.len()) + bytes(value));
        RECORD_BYTES_OVERHEAD
            .saturating_add(bytes(key))
            .saturating_add(bytes(value))
            .saturating_add(headers.fold(0, usize::saturating_add))
    }

    /// Adds a record after the ones before. Headers keep their order, and names may repeat; write
    /// `[]` for none.
    ///
    /// # Errors
    /// When the batch is full, or could not be sent with this record in it; it is then unchanged.
    pub fn push<'h, H>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: H,
    ) -> Result<(), PushError>
    where
        H: IntoIterator<Item = (&'h str, Option<&'h [u8]>), IntoIter: ExactSizeIterator + Clone>,
    {
        let headers = headers.into_iter();
        if self.record_count == BATCH_RECORDS_MAX {
            return Err(PushError::TooManyRecords);
        }
        let header_count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
        if header_count > RECORD_HEADERS_MAX {
            return Err(PushError::TooManyHeaders {
                headers: header_count,
            });
        }
        let record_bytes = Self::record_bytes_max(key, value, headers.clone());
        let bytes = self.buffer.len().saturating_add(record_bytes);
        if bytes > BATCH_DECOMPRESSED_BYTES_MAX {
            return Err(PushError::TooLarge { bytes });
        }
        let out = &mut self.buffer;
        out.reserve(record_bytes);
        put_array_len(out, if header_count == 0 { 3 } else { 4 });
        put_bin_or_nil(out, key);
        put_bin_or_nil(out, value);
        put_int(out, timestamp.as_millis());
        if header_count > 0 {
            put_array_len(out, header_count);
            for (name, value) in headers {
                put_array_len(out, 2);
                put_str(out, name);
                put_bin_or_nil(out, value);
            }
        }
        self.record_count += 1;
        self.timestamps.add(Some(timestamp.as_millis()));
        Ok(())
    }

    /// The body and what is to be stated about it. The producer is set by the caller, if there is
    /// one.
    ///
    /// # Errors
    /// When there is no record, or a batch so compressible that the broker would take it for a
    /// decompression bomb.
    pub fn build(mut self, codec: Codec) -> Result<(Bytes, OpaqueClaims), BuildError> {
        let Some(base_timestamp) = self.timestamps.required_base() else {
            return Err(BuildError::Empty);
        };
        let mut marker = Vec::with_capacity(ARRAY_LEN_BYTES_MAX);
        put_array_len(&mut marker, self.record_count);
        let start = ARRAY_LEN_BYTES_MAX - marker.len();
        self.buffer[start..ARRAY_LEN_BYTES_MAX].copy_from_slice(&marker);
        let body = match codec {
            Codec::None => Bytes::from(self.buffer).slice(start..),
            codec => compress_body(codec, &self.buffer[start..])?,
        };
        let claims = OpaqueClaims {
            codec,
            record_count: self.record_count,
            base_timestamp,
            max_timestamp: self.timestamps.max(base_timestamp),
            body_crc: crc32fast::hash(&body),
            producer: None,
        };
        Ok((body, claims))
    }
}

fn compress_body(codec: Codec, body: &[u8]) -> Result<Bytes, BuildError> {
    let packed = compress(codec, body)?;
    if body.len() > decompressed_bytes_max(packed.len()) {
        return Err(BuildError::TooCompressible {
            codec,
            bytes: body.len(),
            compressed: packed.len(),
        });
    }
    Ok(packed.into())
}

/// Why a record does not fit into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The batch is full.
    #[error("a batch has at most {BATCH_RECORDS_MAX} records")]
    TooManyRecords,
    /// The record has too many headers.
    #[error("a record has at most {RECORD_HEADERS_MAX} headers, this one has {headers}")]
    TooManyHeaders {
        /// How many it has.
        headers: u32,
    },
    /// No broker would take a batch of this size.
    #[error(
        "the batch would have {bytes} bytes, at most {BATCH_DECOMPRESSED_BYTES_MAX} are allowed"
    )]
    TooLarge {
        /// Bytes it would have had before compression, at most.
        bytes: usize,
    },
}

/// Why a batch cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A batch has at least one record.
    #[error("a batch has at least one record")]
    Empty,
    /// The compressor gave up.
    #[error(transparent)]
    Compression(#[from] CompressError),
    /// The broker would take it for a decompression bomb; build smaller batches.
    #[error(
        "{codec} takes {bytes} bytes down to {compressed}: the broker refuses such a ratio, send fewer records in a batch"
    )]
    TooCompressible {
        /// The codec.
        codec: Codec,
        /// Bytes before.
        bytes: usize,
        /// Bytes after.
        compressed: usize,
    },
}

#[cfg(test)]
#[path = "batch_builder_tests.rs"]
mod tests;
