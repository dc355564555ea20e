//! Writing MessagePack into a `Vec<u8>`: always the shortest form, so that equal values are equal
//! bytes. The counterpart of `Cursor`.

/// Most bytes the marker of an array takes.
pub(crate) const ARRAY_LEN_BYTES_MAX: usize = 5;
/// Most bytes the marker of a bin or str takes.
const BIN_LEN_BYTES_MAX: usize = 5;

/// Appends nil.
pub(crate) fn put_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Appends the marker of an array of `len` elements; the elements come next.
#[inline]
pub(crate) fn put_array_len(out: &mut Vec<u8>, len: u32) {
    let [a, b, c, d] = len.to_be_bytes();
    match len {
        0..=0x0f => out.push(0x90 | d),
        0x10..=0xffff => out.extend_from_slice(&[0xdc, c, d]),
        _ => out.extend_from_slice(&[0xdd, a, b, c, d]),
    }
}

/// Appends a bin, or nil.
///
/// # Panics
/// Above 4 GiB, which every caller has refused before.
#[inline]
pub(crate) fn put_bin_or_nil(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else {
        return put_nil(out);
    };
    let len = u32::try_from(bytes.len()).expect("callers refuse values above 4 GiB");
    let [a, b, c, d] = len.to_be_bytes();
    // One reservation for marker and bytes, so that neither `extend` below has to grow.
    out.reserve(bin_bytes_max(bytes.len()));
    match len {
        0..=0xff => out.extend_from_slice(&[0xc4, d]),
        0x100..=0xffff => out.extend_from_slice(&[0xc5, c, d]),
        _ => out.extend_from_slice(&[0xc6, a, b, c, d]),
    }
    out.extend_from_slice(bytes);
}

/// Appends a str.
///
/// # Panics
/// Above 4 GiB, which every caller has refused before.
#[inline]
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    let len = u32::try_from(text.len()).expect("callers refuse values above 4 GiB");
    let [a, b, c, d] = len.to_be_bytes();
    match len {
        0..=0x1f => out.push(0xa0 | d),
        0x20..=0xff => out.extend_from_slice(&[0xd9, d]),
        0x100..=0xffff => out.extend_from_slice(&[0xda, c, d]),
        _ => out.extend_from_slice(&[0xdb, a, b, c, d]),
    }
    out.extend_from_slice(text.as_bytes());
}

/// Appends an unsigned integer.
#[inline]
pub(crate) fn put_uint(out: &mut Vec<u8>, value: u64) {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    match value {
        0..=0x7f => out.push(h),
        0x80..=0xff => out.extend_from_slice(&[0xcc, h]),
        0x100..=0xffff => out.extend_from_slice(&[0xcd, g, h]),
        0x1_0000..=0xffff_ffff => out.extend_from_slice(&[0xce, e, f, g, h]),
        _ => out.extend_from_slice(&[0xcf, a, b, c, d, e, f, g, h]),
    }
}

/// Appends an integer; one that is not negative in its unsigned form.
#[inline]
pub(crate) fn put_int(out: &mut Vec<u8>, value: i64) {
    if let Ok(unsigned) = u64::try_from(value) {
        return put_uint(out, unsigned);
    }
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    match value {
        -0x20.. => out.push(h),
        -0x80..=-0x21 => out.extend_from_slice(&[0xd0, h]),
        -0x8000..=-0x81 => out.extend_from_slice(&[0xd1, g, h]),
        -0x8000_0000..=-0x8001 => out.extend_from_slice(&[0xd2, e, f, g, h]),
        _ => out.extend_from_slice(&[0xd3, a, b, c, d, e, f, g, h]),
    }
}

/// Most bytes that `len` bytes take as bin or str, marker included.
pub(crate) const fn bin_bytes_max(len: usize) -> usize {
    BIN_LEN_BYTES_MAX.saturating_add(len)
}
