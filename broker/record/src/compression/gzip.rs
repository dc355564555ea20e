//! gzip: one member (RFC 1952) around raw deflate. The member is written by hand, eighteen bytes,
//! so that the compressor, some 300 KiB of it, can be kept and reset.

use std::cell::RefCell;
use std::io::Read;

use flate2::bufread::GzDecoder;
use flate2::{Compress, Compression, FlushCompress, Status};

use super::{Fault, first_guess};

/// Magic, deflate, no flags, no time, no hint at the level, unknown system.
const MEMBER_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The level most libraries take when asked for none.
const LEVEL: u32 = 6;
/// Room made for more output at a time.
const STEP_BYTES: usize = 32 * 1024;

thread_local! {
    static DEFLATE: RefCell<Compress> =
        RefCell::new(Compress::new(Compression::new(LEVEL), false));
}

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    out.extend_from_slice(&MEMBER_HEADER);
    DEFLATE.with_borrow_mut(|deflate| deflate_all(deflate, body, out))?;
    out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    // ISIZE is the length modulo 2^32.
    let len = (body.len() as u64 & 0xffff_ffff).to_le_bytes();
    out.extend_from_slice(&len[..4]);
    Ok(())
}

fn deflate_all(deflate: &mut Compress, body: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    deflate.reset();
    let mut rest = body;
    loop {
        out.reserve(STEP_BYTES);
        let before = deflate.total_in();
        let status = deflate
            .compress_vec(rest, out, FlushCompress::Finish)
            .map_err(|error| error.to_string())?;
        let taken =
            usize::try_from(deflate.total_in() - before).map_err(|error| error.to_string())?;
        rest = rest.get(taken..).unwrap_or_default();
        if status == Status::StreamEnd {
            return Ok(());
        }
    }
}

pub(super) fn decompress(packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let declared = packed
        .last_chunk()
        .map(|isize| u64::from(u32::from_le_bytes(*isize)));
    out.reserve(first_guess(packed.len(), declared, limit));
    let mut member = GzDecoder::new(packed);
    let one_more = limit as u64 + 1;
    member
        .by_ref()
        .take(one_more)
        .read_to_end(out)
        .map_err(Fault::corrupt)?;
    if out.len() > limit {
        return Err(Fault::TooLarge);
    }
    match member.into_inner().len() {
        0 => Ok(()),
        bytes => Err(Fault::TrailingBytes(bytes)),
    }
}
