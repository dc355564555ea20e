//! The little MessagePack that records need, by hand: `Cursor` reads markers without copying or
//! allocating, `put_*` write the shortest form. Nil, bin, str, int and arrays; other values are only
//! stepped over.

mod cursor;
mod put;
mod skip;

pub(crate) use cursor::Cursor;
pub(crate) use put::{
    ARRAY_LEN_BYTES_MAX, bin_bytes_max, put_array_len, put_bin_or_nil, put_int, put_nil, put_str,
    put_uint,
};

#[cfg(test)]
mod tests;
