//! Compression of batch bodies, always of a body as a whole, in the formats that [`Codec`] lists:
//! exactly one member, block or frame, and nothing behind it, for libraries disagree about what
//! concatenated ones mean. Decompression is bounded by [`decompressed_bytes_max`] whatever the input
//! declares, and memory is taken as output appears, not as it is announced. Compressors and
//! decompressors are kept per thread, for setting one up costs more than a small batch.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::cell::RefCell;

use broker_model::limits::{BATCH_COMPRESSION_RATIO_MAX, BATCH_DECOMPRESSED_BYTES_MAX};
use bytes::Bytes;

use crate::Codec;

/// A thread keeps its output buffer up to this size; a larger one is given back after use.
const SCRATCH_BYTES_KEPT: usize = 4 * 1024 * 1024;
/// Up to here a body may unfold to whatever it likes, whatever the ratio.
const RATIO_FREE_BYTES: usize = 1024 * 1024;
/// The first guess at the size of the output is at most this many times the input.
const FIRST_GUESS_RATIO: usize = 8;
/// ... or this many bytes, if that is more.
const FIRST_GUESS_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Compresses a body.
///
/// # Errors
/// When the compressor gives up: for lack of memory, or above 4 GiB.
pub fn compress(codec: Codec, body: &[u8]) -> Result<Vec<u8>, CompressError> {
    with_scratch(|out| {
        let done = match codec {
            Codec::None => {
                out.extend_from_slice(body);
                Ok(())
            }
            Codec::Gzip => gzip::compress(body, out),
            Codec::Snappy => snappy::compress(body, out),
            Codec::Lz4 => lz4::compress(body, out),
            Codec::Zstd => zstd::compress(body, out),
        };
        done.map_err(|detail| CompressError { codec, detail })?;
        Ok(out.as_slice().to_vec())
    })
}

/// Decompresses a body into `out`, replacing what was there.
///
/// # Errors
/// When the body is damaged, unfolds to more than [`decompressed_bytes_max`], or does not end where
/// its member, block or frame does. What is in `out` then means nothing.
pub fn decompress(codec: Codec, packed: &[u8], out: &mut Vec<u8>) -> Result<(), DecompressError> {
    decompress_within(codec, packed, usize::MAX, out)
}

/// The same with a limit of one's own, where that is lower.
///
/// # Errors
/// As above; [`DecompressError::is_for_lack_of_room`] tells whether a higher limit may help.
pub fn decompress_within(
    codec: Codec,
    packed: &[u8],
    allowed: usize,
    out: &mut Vec<u8>,
) -> Result<(), DecompressError> {
    let limit = decompressed_bytes_max(packed.len()).min(allowed);
    out.clear();
    let done = match codec {
        Codec::None => {
            out.extend_from_slice(packed);
            return Ok(());
        }
        Codec::Gzip => gzip::decompress(packed, limit, out),
        Codec::Snappy => snappy::decompress(packed, limit, out),
        Codec::Lz4 => lz4::decompress(packed, limit, out),
        Codec::Zstd => zstd::decompress(packed, limit, out),
    };
    done.map_err(|fault| match fault {
        Fault::Corrupt(detail) => DecompressError::Corrupt { codec, detail },
        Fault::TrailingBytes(bytes) => DecompressError::TrailingBytes { codec, bytes },
        Fault::TooLarge => DecompressError::TooLarge {
            codec,
            compressed: packed.len(),
            limit,
        },
    })
}

/// Most bytes that a compressed body of this length may unfold to.
pub fn decompressed_bytes_max(compressed: usize) -> usize {
    compressed
        .saturating_mul(BATCH_COMPRESSION_RATIO_MAX)
        .clamp(RATIO_FREE_BYTES, BATCH_DECOMPRESSED_BYTES_MAX)
}

/// The decompressed body as bytes of its own; a body that is not compressed is shared.
pub(crate) fn decompress_bytes(
    codec: Codec,
    packed: &Bytes,
    allowed: usize,
) -> Result<Bytes, DecompressError> {
    if codec == Codec::None {
        return Ok(packed.clone());
    }
    let mut out = Vec::new();
    decompress_within(codec, packed, allowed, &mut out)?;
    Ok(out.into())
}

/// Lets `look` see the decompressed body, in a buffer that the thread keeps.
pub(crate) fn with_decompressed<R>(
    codec: Codec,
    packed: &[u8],
    allowed: usize,
    look: impl FnOnce(&[u8]) -> R,
) -> Result<R, DecompressError> {
    if codec == Codec::None {
        return Ok(look(packed));
    }
    with_scratch(|out| {
        decompress_within(codec, packed, allowed, out)?;
        Ok(look(out))
    })
}

/// Lends the thread's buffer, empty. Whoever asks for it while it is lent gets a new one.
fn with_scratch<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = SCRATCH.take();
    buffer.clear();
    let result = work(&mut buffer);
    if buffer.capacity() <= SCRATCH_BYTES_KEPT {
        SCRATCH.set(buffer);
    }
    result
}

/// How much room to make before the first byte is unfolded, given what the input declares. A lie
/// costs no more than a small multiple of the input that told it.
fn first_guess(packed: usize, declared: Option<u64>, limit: usize) -> usize {
    let declared = declared.and_then(|bytes| usize::try_from(bytes).ok());
    packed
        .saturating_mul(FIRST_GUESS_RATIO)
        .max(FIRST_GUESS_BYTES)
        .min(declared.unwrap_or(usize::MAX))
        .min(limit)
}

/// What a codec's own module reports; `decompress` adds the rest.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Corrupt(String),
    TooLarge,
    TrailingBytes(usize),
}

impl Fault {
    fn corrupt(detail: impl ToString) -> Self {
        Self::Corrupt(detail.to_string())
    }
}

/// A body that could not be compressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{codec} compression failed: {detail}")]
pub struct CompressError {
    /// The codec.
    pub codec: Codec,
    /// What its library says.
    pub detail: String,
}

/// Why a compressed body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// It is not a body of that codec, or a damaged one.
    #[error("the body is not valid {codec}: {detail}")]
    Corrupt {
        /// The codec.
        codec: Codec,
        /// What is wrong with it.
        detail: String,
    },
    /// It unfolds to too much: a decompression bomb.
    #[error("the {codec} body of {compressed} bytes unfolds to more than {limit} bytes")]
    TooLarge {
        /// The codec.
        codec: Codec,
        /// Bytes of the compressed body.
        compressed: usize,
        /// The most that may come out of them.
        limit: usize,
    },
    /// Something follows the member or frame.
    #[error("{bytes} bytes follow the end of the {codec} body")]
    TrailingBytes {
        /// The codec.
        codec: Codec,
        /// How many bytes follow.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests;

impl DecompressError {
    /// Whether the body unfolds to more than the caller allowed, but perhaps not to more than any body may.
    pub fn is_for_lack_of_room(&self) -> bool {
        match self {
            Self::TooLarge {
                compressed, limit, ..
            } => *limit < decompressed_bytes_max(*compressed),
            Self::Corrupt { .. } | Self::TrailingBytes { .. } => false,
        }
    }
}
