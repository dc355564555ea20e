//! Snappy: one raw block, which is what most libraries call plain `compress`. Not the framing
//! format with its stream identifier, and not Java's own framing, which Kafka uses.

use std::cell::RefCell;

use super::Fault;

/// The densest element of the format, a copy of 64 bytes, takes three: no block unfolds to more
/// than 22 times its size, whatever it declares.
const EXPANSION_MAX: usize = 22;
/// How the framing format starts.
const STREAM_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";
/// How the framing of snappy-java's streams starts.
const JAVA_IDENTIFIER: &[u8] = b"\x82SNAPPY\x00";

thread_local! {
    static ENCODER: RefCell<snap::raw::Encoder> = RefCell::new(snap::raw::Encoder::new());
}

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    out.resize(snap::raw::max_compress_len(body.len()), 0);
    let len = ENCODER
        .with_borrow_mut(|encoder| encoder.compress(body, out))
        .map_err(|error| error.to_string())?;
    out.truncate(len);
    Ok(())
}

pub(super) fn decompress(packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    if packed.starts_with(STREAM_IDENTIFIER) || packed.starts_with(JAVA_IDENTIFIER) {
        let detail = "it is a framed stream, a raw block is needed (plain `compress`)";
        return Err(Fault::corrupt(detail));
    }
    let declared = snap::raw::decompress_len(packed).map_err(Fault::corrupt)?;
    let possible = packed.len().saturating_mul(EXPANSION_MAX);
    if declared > possible {
        let detail = format!("it declares {declared} bytes, its size allows {possible}");
        return Err(Fault::Corrupt(detail));
    }
    if declared > limit {
        return Err(Fault::TooLarge);
    }
    out.resize(declared, 0);
    snap::raw::Decoder::new()
        .decompress(packed, out)
        .map_err(Fault::corrupt)?;
    Ok(())
}
