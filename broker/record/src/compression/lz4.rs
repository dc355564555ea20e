//! LZ4: one frame as the LZ4 Frame Format Description (1.6) has it. The frame is read and written
//! here, around `lz4_flex`'s blocks: its own frame reader takes a frame that is cut off for a whole
//! one, and its writer allocates afresh for every frame, seven times slower on large batches.
//!
//! Written: independent blocks, content size, no checksums of the content (the batch header has
//! one). Read: everything the format allows but dictionaries, which nobody could hand over.

use std::cell::RefCell;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};
use twox_hash::XxHash32;

use super::{Fault, first_guess};

const MAGIC: u32 = 0x184d_2204;
/// Version 01 of the format, in the two highest bits of the flags.
const VERSION: u8 = 0b0100_0000;
const VERSION_BITS: u8 = 0b1100_0000;
const BLOCKS_INDEPENDENT: u8 = 0b0010_0000;
const BLOCK_CHECKSUMS: u8 = 0b0001_0000;
const CONTENT_SIZE: u8 = 0b0000_1000;
const CONTENT_CHECKSUM: u8 = 0b0000_0100;
const RESERVED_FLAG: u8 = 0b0000_0010;
const DICTIONARY: u8 = 0b0000_0001;
/// The bits of the block descriptor that must be 0.
const RESERVED_DESCRIPTOR: u8 = 0b1000_1111;
/// In a block's size: the block is stored, not compressed.
const STORED: u32 = 0x8000_0000;
/// How far back a linked block may refer.
const WINDOW_BYTES: usize = 64 * 1024;
/// No block unfolds to more than this many times its size: each byte adds at most 255.
const EXPANSION_MAX: usize = 255;

thread_local! {
    static TABLE: RefCell<CompressTable> = RefCell::new(CompressTable::large());
}

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let block_size = BlockSize::for_body(body.len());
    out.extend_from_slice(&MAGIC.to_le_bytes());
    let descriptor = out.len();
    out.push(VERSION | BLOCKS_INDEPENDENT | CONTENT_SIZE);
    out.push(block_size.code << 4);
    out.extend_from_slice(&(body.len() as u64).to_le_bytes());
    out.push(header_check(&out[descriptor..]));
    TABLE.with_borrow_mut(|table| {
        for block in body.chunks(block_size.bytes()) {
            compress_block(block, table, out)?;
        }
        Ok::<_, String>(())
    })?;
    out.extend_from_slice(&0_u32.to_le_bytes());
    Ok(())
}

fn compress_block(
    block: &[u8],
    table: &mut CompressTable,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let size_at = out.len();
    let block_at = size_at + 4;
    out.resize(block_at + get_maximum_output_size(block.len()), 0);
    let packed = compress_into_with_table(block, &mut out[block_at..], table)
        .map_err(|error| error.to_string())?;
    let (stored, len) = match packed {
        packed if packed < block.len() => (0, packed),
        _ => {
            out[block_at..block_at + block.len()].copy_from_slice(block);
            (STORED, block.len())
        }
    };
    let size = u32::try_from(len).map_err(|error| error.to_string())?;
    out[size_at..block_at].copy_from_slice(&(size | stored).to_le_bytes());
    out.truncate(block_at + len);
    Ok(())
}

/// The largest block of a frame, as the code 4 to 7 in its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockSize {
    code: u8,
}

impl BlockSize {
    /// 64 KiB, 256 KiB, 1 MiB, 4 MiB.
    fn bytes(self) -> usize {
        1 << (8 + 2 * self.code)
    }

    /// The smallest in which the body is one block, for a reader allocates what it says.
    fn for_body(len: usize) -> Self {
        let mut sizes = (4..=7).map(|code| Self { code });
        sizes
            .find(|size| len <= size.bytes())
            .unwrap_or(Self { code: 7 })
    }
}

/// The second byte of the descriptor's hash.
fn header_check(descriptor: &[u8]) -> u8 {
    let [_, _, check, _] = XxHash32::oneshot(0, descriptor).to_be_bytes();
    check
}

/// What the descriptor of a frame says.
struct Descriptor {
    flags: u8,
    block_size: BlockSize,
    content_size: Option<u64>,
}

/// Reads a frame from front to back.
struct FrameReader<'a> {
    rest: &'a [u8],
}

impl<'a> FrameReader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| Fault::corrupt("the frame is cut off"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn take_u32(&mut self) -> Result<u32, Fault> {
        self.take_array().map(u32::from_le_bytes)
    }

    fn descriptor(&mut self) -> Result<Descriptor, Fault> {
        if self.take_u32()? != MAGIC {
            return Err(Fault::corrupt(
                "it does not start with the magic number of a frame",
            ));
        }
        let start = self.rest;
        let [flags, block] = self.take_array()?;
        if flags & VERSION_BITS != VERSION
            || flags & RESERVED_FLAG != 0
            || block & RESERVED_DESCRIPTOR != 0
        {
            return Err(Fault::corrupt("the frame is of an unknown version"));
        }
        if flags & DICTIONARY != 0 {
            return Err(Fault::corrupt("the frame needs a dictionary"));
        }
        let block_size = match block >> 4 {
            code @ 4..=7 => BlockSize { code },
            code => return Err(Fault::Corrupt(format!("block size {code} is not defined"))),
        };
        let content_size = match flags & CONTENT_SIZE {
            0 => None,
            _ => Some(u64::from_le_bytes(self.take_array()?)),
        };
        let described = &start[..start.len() - self.rest.len()];
        let [check] = self.take_array()?;
        if check != header_check(described) {
            return Err(Fault::corrupt("the checksum of the frame header is wrong"));
        }
        Ok(Descriptor {
            flags,
            block_size,
            content_size,
        })
    }

    fn check_hash(&mut self, hashed: &[u8], of: &str) -> Result<(), Fault> {
        if self.take_u32()? == XxHash32::oneshot(0, hashed) {
            return Ok(());
        }
        Err(Fault::Corrupt(format!("the checksum of {of} is wrong")))
    }
}

pub(super) fn decompress(packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut frame = FrameReader { rest: packed };
    let descriptor = frame.descriptor()?;
    let declared = descriptor.content_size;
    if declared.is_some_and(|bytes| bytes > limit as u64) {
        return Err(Fault::TooLarge);
    }
    out.reserve(first_guess(packed.len(), declared, limit));
    loop {
        let size = frame.take_u32()?;
        if size == 0 {
            break;
        }
        let len = (size & !STORED) as usize;
        if len > descriptor.block_size.bytes() {
            return Err(Fault::corrupt("a block is larger than the frame allows"));
        }
        let block = frame.take(len)?;
        if descriptor.flags & BLOCK_CHECKSUMS != 0 {
            frame.check_hash(block, "a block")?;
        }
        match size & STORED {
            0 => decompress_block(block, &descriptor, limit, out)?,
            _ if block.len() > limit - out.len() => return Err(Fault::TooLarge),
            _ => out.extend_from_slice(block),
        }
    }
    if declared.is_some_and(|bytes| bytes != out.len() as u64) {
        return Err(Fault::corrupt("the content size is wrong"));
    }
    if descriptor.flags & CONTENT_CHECKSUM != 0 {
        frame.check_hash(out, "the content")?;
    }
    match frame.rest.len() {
        0 => Ok(()),
        bytes => Err(Fault::TrailingBytes(bytes)),
    }
}

/// Unfolds one block behind what is there already. `out` never grows beyond `limit`.
fn decompress_block(
    block: &[u8],
    descriptor: &Descriptor,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let filled = out.len();
    let allowed = limit - filled;
    let declared = descriptor
        .content_size
        .and_then(|bytes| usize::try_from(bytes).ok());
    let possible = block
        .len()
        .saturating_mul(EXPANSION_MAX)
        .min(descriptor.block_size.bytes())
        .min(declared.map_or(usize::MAX, |bytes| bytes.saturating_sub(filled)));
    out.resize(filled + possible.min(allowed), 0);
    let (before, room) = out.split_at_mut(filled);
    let done = if descriptor.flags & BLOCKS_INDEPENDENT != 0 {
        decompress_into(block, room)
    } else {
        let window = &before[filled.saturating_sub(WINDOW_BYTES)..];
        decompress_into_with_dict(block, room, window)
    };
    match done {
        Ok(len) => {
            out.truncate(filled + len);
            Ok(())
        }
        Err(_) if possible > allowed => Err(Fault::TooLarge),
        Err(error) => Err(Fault::corrupt(error)),
    }
}
