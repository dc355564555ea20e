//! Zstandard: one frame (RFC 8878). Decompressed in one call straight into the output, which needs
//! no window of its own, so the window a frame declares costs nothing.

use std::cell::RefCell;

use zstd::zstd_safe::{
    CCtx, DCtx, compress_bound, find_frame_compressed_size, get_error_name, get_frame_content_size,
};

use super::{FIRST_GUESS_BYTES, Fault, first_guess};

/// How a frame starts. Checked first, because the library also reads formats from before 1.0.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// zstd's own default: as quick as gzip's quickest and smaller.
const LEVEL: i32 = 3;
/// Error 70 of `zstd_errors.h`, whose numbers are fixed: the output does not fit.
const OUTPUT_TOO_SMALL: usize = 0_usize.wrapping_sub(70);
/// How much more room each further attempt gets.
const GROWTH: usize = 4;

thread_local! {
    static COMPRESSOR: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECOMPRESSOR: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    out.reserve(compress_bound(body.len()));
    COMPRESSOR
        .with_borrow_mut(|compressor| compressor.compress(out, body, LEVEL))
        .map_err(|code| get_error_name(code).to_owned())?;
    Ok(())
}

pub(super) fn decompress(packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    if !packed.starts_with(&MAGIC) {
        let detail = "it does not start with the magic number of a frame";
        return Err(Fault::corrupt(detail));
    }
    let frame_len = find_frame_compressed_size(packed).map_err(named)?;
    if frame_len < packed.len() {
        return Err(Fault::TrailingBytes(packed.len() - frame_len));
    }
    let declared = get_frame_content_size(packed)
        .map_err(|_| Fault::corrupt("the content size cannot be read"))?;
    if declared.is_some_and(|bytes| bytes > limit as u64) {
        return Err(Fault::TooLarge);
    }
    let mut room = first_guess(packed.len(), declared, limit);
    loop {
        out.clear();
        out.reserve(room);
        let done = DECOMPRESSOR.with_borrow_mut(|context| context.decompress(out, packed));
        match done {
            Ok(_) if out.len() > limit => return Err(Fault::TooLarge),
            Ok(_) => return Ok(()),
            Err(OUTPUT_TOO_SMALL) if room < limit => {
                // A frame that declares 0 bytes and has some must not leave the room at 0.
                room = room
                    .saturating_mul(GROWTH)
                    .max(FIRST_GUESS_BYTES)
                    .min(limit);
            }
            Err(OUTPUT_TOO_SMALL) => return Err(Fault::TooLarge),
            Err(code) => return Err(named(code)),
        }
    }
}

fn named(code: usize) -> Fault {
    Fault::corrupt(get_error_name(code))
}
