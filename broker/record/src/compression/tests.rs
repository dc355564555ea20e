//! Bodies that other tools made are read; damaged, cut, continued and lying ones are refused, and
//! none of them takes memory beyond what it really unfolds to.

use std::io::Write;
use std::sync::LazyLock;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::prelude::*;

use super::*;

/// A body of three records with repetition, headers, nulls and an offset delta.
const BODY: &[u8] = b"\x93\
    \x94\xc4\x06user-7\xc4\x23hello hello hello hello hello hello\
    \xcf\x00\x00\x01\x8b\xcf\xe5\x68\x7b\
    \x92\x92\xa5trace\xc4\x0242\x92\xa5trace\xc0\
    \x92\xc0\xc4\x00\
    \x95\xc4\x00\xc0\x05\xc0\x02";

/// `BODY` as other programs compress it.
const GOLDEN: [(Codec, &str, &str); 7] = [
    (
        Codec::Gzip,
        "Python's gzip.compress",
        "1f8b08000000000002039b3ce5085b69716a91aef911e58cd49c9c7c05bce4790606c6eef34f33aa274d5a5a\
         5294989c7a84c9c408ca3c30e9c01186a947180eb01e6002008663fd9c57000000",
    ),
    (
        Codec::Gzip,
        "gzip -9, with a file name",
        "1f8b08089ed9006b0203676f6c64656e2e62696e009b3ce5085b69716a91aef911e58cd49c9c7c05bce47906\
         06c6eef34f33aa274d5a5a5294989c7a84c9c408ca3c30e9c01186a947180eb01e6002008663fd9c57000000",
    ),
    (
        Codec::Snappy,
        "by hand after the format description: a literal, a copy, a literal",
        "57449394c406757365722d37c42368656c6c6f207206009ccf0000018bcfe5687b9292a57472616365c40234\
         3292a57472616365c092c0c40095c400c005c002",
    ),
    (
        Codec::Lz4,
        "lz4 -9, with a content checksum",
        "04224d186440a73d000000ff039394c406757365722d37c42368656c6c6f2006000af306cf0000018bcfe568\
         7b9292a57472616365c40234320b00c0c092c0c40095c400c005c002000000002453d5f1",
    ),
    (
        Codec::Lz4,
        "lz4 -9 -BD -BX --content-size",
        "04224d187c405700000000000000a93d000000ff039394c406757365722d37c42368656c6c6f2006000af306\
         cf0000018bcfe5687b9292a57472616365c40234320b00c0c092c0c40095c400c005c00234e7513c00000000\
         2453d5f1",
    ),
    (
        Codec::Zstd,
        "zstd -19 --no-check",
        "28b52ffd2057ed010034039394c406757365722d37c42368656c6c6f20cf0000018bcfe5687b9292a5747261\
         6365c4023432c092c0c40095c400c005c00202005d3226770903",
    ),
    (
        Codec::Zstd,
        "zstd reading a pipe: no content size, a checksum",
        "28b52ffd0458ed010034039394c406757365722d37c42368656c6c6f20cf0000018bcfe5687b9292a5747261\
         6365c4023432c092c0c40095c400c005c00202005d32267709037e18dff5",
    ),
];

const COMPRESSING: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
        .collect()
}

fn unpack(codec: Codec, packed: &[u8]) -> Result<Vec<u8>, DecompressError> {
    let mut out = vec![0xee; 3];
    decompress(codec, packed, &mut out).map(|()| out)
}

/// Text that compresses about as records do, with repeats far enough back for linked blocks.
static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let words = (0_u32..80_000).map(|index| index.wrapping_mul(2_654_435_761) % 5_003);
    words
        .flat_map(|word| format!("{word:x}-").into_bytes())
        .collect()
});

fn text(len: usize) -> Vec<u8> {
    TEXT[..len].to_vec()
}

/// 70,000 bytes that do not compress.
fn noise() -> Vec<u8> {
    let seeds = TEXT[..70_000].chunks(4);
    seeds
        .flat_map(|seed| {
            crc32fast::hash(seed)
                .wrapping_mul(2_654_435_761)
                .to_le_bytes()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_was_compressed_is_decompressed(
        codec in proptest::sample::select(&Codec::ALL[..]),
        len in prop_oneof![0..300_usize, 60_000..70_000_usize, 250_000..270_000_usize],
        noise in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let body = [&text(len)[..], &noise].concat();
        let packed = compress(codec, &body).expect("far below every limit");
        prop_assert!(unpack(codec, &packed) == Ok(body));
    }

    #[test]
    fn a_packed_body_cut_anywhere_is_refused(
        codec in proptest::sample::select(&COMPRESSING[..]),
        cut in any::<proptest::sample::Index>(),
    ) {
        let packed = compress(codec, &text(5_000)).expect("small");
        let cut = cut.index(packed.len());
        let is_corrupt = matches!(
            unpack(codec, &packed[..cut]),
            Err(DecompressError::Corrupt { .. })
        );
        prop_assert!(is_corrupt);
    }

    #[test]
    fn every_way_to_write_an_lz4_frame_is_read(
        len in 0..200_000_usize,
        linked in any::<bool>(),
        checksums in any::<bool>(),
        large in any::<bool>(),
        declares in any::<bool>(),
    ) {
        let body = text(len);
        let info = FrameInfo::new()
            .block_mode(if linked { BlockMode::Linked } else { BlockMode::Independent })
            .block_size(if large { BlockSize::Max256KB } else { BlockSize::Max64KB })
            .block_checksums(checksums)
            .content_checksum(checksums)
            .content_size(declares.then_some(len as u64));
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&body).expect("a vec takes it");
        let packed = encoder.finish().expect("a vec takes it");
        prop_assert!(unpack(Codec::Lz4, &packed) == Ok(body));
    }
}

#[test]
fn bodies_that_other_programs_compressed_are_read() {
    for (codec, program, hex) in GOLDEN {
        let read = unpack(codec, &from_hex(hex));
        assert_eq!(read.as_deref(), Ok(BODY), "{codec} by {program}");
    }
}

#[test]
fn our_lz4_frames_are_read_by_another_reader() {
    for len in [0, 1, 100, 65_536, 65_537, 300_000] {
        let body = text(len);
        let packed = compress(Codec::Lz4, &body).expect("small");
        let mut read = Vec::new();
        let mut decoder = lz4_flex::frame::FrameDecoder::new(&packed[..]);
        std::io::Read::read_to_end(&mut decoder, &mut read).expect("valid");
        assert!(read == body, "{len} bytes");
    }
}

#[test]
fn a_body_that_does_not_compress_grows_by_little() {
    // The shorter one fills an LZ4 block of 64 KiB to the last byte.
    for noise in [&noise()[..], &noise()[..64 * 1024]] {
        for codec in COMPRESSING {
            let packed = compress(codec, noise).expect("small");
            let allowed = noise.len() + noise.len() / 1_000 + 64;
            assert!(packed.len() <= allowed, "{codec}: {} bytes", packed.len());
            assert!(unpack(codec, &packed).as_deref() == Ok(noise), "{codec}");
        }
    }
}

#[test]
fn nothing_may_follow_the_end() {
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let packed = compress(codec, BODY).expect("small");
        for more in [&[0][..], &packed] {
            let bytes = more.len();
            let trailing = DecompressError::TrailingBytes { codec, bytes };
            let read = unpack(codec, &[&packed[..], more].concat());
            assert_eq!(read, Err(trailing), "{codec}");
        }
    }
    // A snappy block knows no end but that of its input.
    let packed = compress(Codec::Snappy, BODY).expect("small");
    let read = unpack(Codec::Snappy, &[&packed[..], &[0]].concat());
    assert!(matches!(read, Err(DecompressError::Corrupt { .. })));
}

#[test]
fn every_flipped_bit_of_a_checksummed_body_is_noticed() {
    for (codec, program, hex) in [GOLDEN[0], GOLDEN[3], GOLDEN[4], GOLDEN[6]] {
        let packed = from_hex(hex);
        for (byte, bit) in (0..packed.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            let mut damaged = packed.clone();
            damaged[byte] ^= 1 << bit;
            let read = unpack(codec, &damaged);
            // A few bits mean nothing, such as those of padding; a frame with a checksum of its
            // blocks has none.
            let harmless = !program.contains("-BX") && read.as_deref() == Ok(BODY);
            let noticed = read.is_err() || harmless;
            assert!(noticed, "{program}: byte {byte}, bit {bit}");
        }
    }
}

#[test]
fn a_bomb_is_refused_without_its_memory() {
    const LIMIT: usize = 10_000;
    let zeros = vec![0; 2_000_000];
    for codec in COMPRESSING {
        let packed = compress(codec, &zeros).expect("small");
        let mut out = Vec::new();
        let refused = match codec {
            Codec::Gzip => gzip::decompress(&packed, LIMIT, &mut out),
            Codec::Snappy => snappy::decompress(&packed, LIMIT, &mut out),
            Codec::Lz4 => lz4::decompress(&packed, LIMIT, &mut out),
            _ => zstd::decompress(&packed, LIMIT, &mut out),
        };
        assert_eq!(refused, Err(Fault::TooLarge), "{codec}");
        assert!(out.capacity() <= 4 * LIMIT, "{codec}: {}", out.capacity());
    }
}

#[test]
fn a_bomb_that_does_not_say_its_size_is_refused_too() {
    const LIMIT: usize = 10_000;
    let info = FrameInfo::new().block_size(BlockSize::Max4MB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder
        .write_all(&vec![0; 2_000_000])
        .expect("a vec takes it");
    let packed = encoder.finish().expect("a vec takes it");
    let mut out = Vec::new();
    let refused = lz4::decompress(&packed, LIMIT, &mut out);
    assert_eq!(refused, Err(Fault::TooLarge));
    assert!(out.capacity() <= 4 * LIMIT);

    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).expect("there is memory");
    encoder
        .write_all(&vec![0; 2_000_000])
        .expect("a vec takes it");
    let packed = encoder.finish().expect("a vec takes it");
    let refused = zstd::decompress(&packed, LIMIT, &mut out);
    assert_eq!(refused, Err(Fault::TooLarge));
    assert!(out.capacity() <= 4 * LIMIT);
}

/// An LZ4 frame of stored blocks, of at most 64 KiB by its header, that does not say how long it is.
fn stored_lz4_frame<'a>(blocks: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut frame = from_hex("04224d186040");
    let hash = twox_hash::XxHash32::oneshot(0, &frame[4..]).to_be_bytes();
    frame.push(hash[2]);
    for block in blocks {
        let size = u32::try_from(block.len()).expect("small") | 0x8000_0000;
        frame.extend_from_slice(&size.to_le_bytes());
        frame.extend_from_slice(block);
    }
    frame.extend_from_slice(&[0; 4]);
    frame
}

#[test]
fn a_block_larger_than_the_frame_allows_is_refused() {
    let noise = noise();
    let allowed = stored_lz4_frame(std::iter::once(&noise[..64 * 1024]));
    assert!(unpack(Codec::Lz4, &allowed).is_ok());
    let larger = stored_lz4_frame(std::iter::once(&noise[..64 * 1024 + 1]));
    let read = unpack(Codec::Lz4, &larger);
    assert!(matches!(read, Err(DecompressError::Corrupt { .. })));
}

#[test]
fn the_limit_holds_for_what_is_stored_and_for_a_buffer_that_is_larger() {
    const LIMIT: usize = 100_000;
    let noise = noise();
    let twice = noise.chunks(64 * 1024).chain(noise.chunks(64 * 1024));
    let frame = stored_lz4_frame(twice);
    let mut out = Vec::new();
    assert_eq!(lz4::decompress(&frame, 2 * noise.len(), &mut out), Ok(()));
    out.clear();
    let refused = lz4::decompress(&frame, LIMIT, &mut out);
    assert_eq!(refused, Err(Fault::TooLarge));

    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).expect("there is memory");
    encoder.write_all(&text(LIMIT + 1)).expect("a vec takes it");
    let packed = encoder.finish().expect("a vec takes it");
    let mut out = Vec::with_capacity(2 * LIMIT);
    assert_eq!(zstd::decompress(&packed, LIMIT + 1, &mut out), Ok(()));
    assert_eq!(
        zstd::decompress(&packed, LIMIT, &mut out),
        Err(Fault::TooLarge)
    );
}

#[test]
fn a_size_that_is_only_declared_costs_nothing() {
    // Each says that it unfolds to a million bytes, which is allowed, and does not.
    let mut zstd = from_hex("28b52ffda0");
    zstd.extend_from_slice(&1_000_000_u32.to_le_bytes());
    zstd.extend_from_slice(&[0x09, 0, 0, b'x']);
    let mut snappy = from_hex("c0843d");
    snappy.extend_from_slice(&[0, b'x']);
    let mut lz4 = from_hex("04224d18");
    let descriptor = [&[0x68, 0x70][..], &1_000_000_u64.to_le_bytes()].concat();
    lz4.extend_from_slice(&descriptor);
    let hash = twox_hash::XxHash32::oneshot(0, &descriptor).to_be_bytes();
    lz4.extend_from_slice(&[hash[2], 1, 0, 0, 0x80, b'x', 0, 0, 0, 0]);
    let mut gzip = compress(Codec::Gzip, b"x").expect("small");
    let isize_at = gzip.len() - 4;
    gzip[isize_at..].copy_from_slice(&1_000_000_u32.to_le_bytes());
    for (codec, packed) in [
        (Codec::Zstd, zstd),
        (Codec::Snappy, snappy),
        (Codec::Lz4, lz4),
        (Codec::Gzip, gzip),
    ] {
        let mut out = Vec::new();
        let read = decompress(codec, &packed, &mut out);
        let is_corrupt = matches!(read, Err(DecompressError::Corrupt { .. }));
        assert!(is_corrupt, "{codec}: {read:?}");
        assert!(
            out.capacity() <= FIRST_GUESS_BYTES,
            "{codec}: {}",
            out.capacity()
        );
    }
}

/// Found by damaged bodies: the room for the output stayed 0, and was tried again for ever.
#[test]
fn a_zstd_frame_that_declares_nothing_and_has_something_is_refused() {
    // One segment, a content size of 0 in one byte, then a stored block of 3 bytes.
    let frame = from_hex("28b52ffd2000190000616263");
    let mut without_room = Vec::new();
    let read = decompress(Codec::Zstd, &frame, &mut without_room);
    assert!(
        matches!(read, Err(DecompressError::Corrupt { .. })),
        "{read:?}"
    );
    // The same frame with its true size is fine.
    let frame = from_hex("28b52ffd2003190000616263");
    assert_eq!(unpack(Codec::Zstd, &frame).as_deref(), Ok(&b"abc"[..]));
}

#[test]
fn a_highly_compressible_body_within_the_limit_is_read() {
    let zeros = vec![0; RATIO_FREE_BYTES];
    for codec in COMPRESSING {
        let packed = compress(codec, &zeros).expect("small");
        assert!(unpack(codec, &packed).as_ref() == Ok(&zeros), "{codec}");
    }
}

#[test]
fn a_framed_snappy_stream_is_refused_with_the_way_out() {
    for framed in [
        &b"\xff\x06\x00\x00sNaPpY\x01"[..],
        b"\x82SNAPPY\x00\x00\x00\x00\x01",
    ] {
        let text = unpack(Codec::Snappy, framed).map_err(|error| error.to_string());
        assert!(text.is_err_and(|text| text.contains("raw block")));
    }
}

#[test]
fn another_codecs_body_and_none_at_all_are_refused() {
    for codec in COMPRESSING {
        assert!(unpack(codec, &[]).is_err(), "{codec} of nothing");
        for other in COMPRESSING.into_iter().filter(|other| *other != codec) {
            let packed = compress(other, BODY).expect("small");
            assert!(unpack(codec, &packed).is_err(), "{other} taken for {codec}");
        }
        assert!(unpack(codec, BODY).is_err(), "{codec} of a plain body");
    }
}

#[test]
fn the_limit_grows_with_the_input_between_its_bounds() {
    assert_eq!(decompressed_bytes_max(0), RATIO_FREE_BYTES);
    assert_eq!(decompressed_bytes_max(1_000), 10_000_000);
    assert_eq!(
        decompressed_bytes_max(usize::MAX),
        BATCH_DECOMPRESSED_BYTES_MAX
    );
}

#[test]
fn a_large_buffer_is_not_kept() {
    with_scratch(|buffer| buffer.reserve(SCRATCH_BYTES_KEPT + 1));
    with_scratch(|buffer| assert_eq!(buffer.capacity(), 0));
    with_scratch(|buffer| buffer.reserve(1_000));
    with_scratch(|buffer| assert!(buffer.capacity() >= 1_000 && buffer.is_empty()));
}
