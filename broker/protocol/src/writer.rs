//! `MapWriter`: writes a MessagePack map entry by entry without knowing the count beforehand.
//! For the encoders that cannot go through serde because their payload is not in one buffer.

use crate::envelope::write_unsigned;
use crate::numbers::{write_numbers, write_rising, write_same};

/// A map under construction; holds at most 15 entries.
pub(crate) struct MapWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where the marker is.
    start: usize,
    entries: u8,
}

impl<'a> MapWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.push(0x80);
        Self {
            out,
            start,
            entries: 0,
        }
    }

    /// Starts an entry; its value has to follow.
    pub(crate) fn key(&mut self, key: &str) {
        self.entries += 1;
        write_str(key, self.out);
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_str(value, self.out);
    }

    pub(crate) fn unsigned(&mut self, key: &str, value: u64) {
        self.key(key);
        write_unsigned(value, self.out);
    }

    pub(crate) fn signed(&mut self, key: &str, value: i64) {
        self.key(key);
        write_signed(value, self.out);
    }

    pub(crate) fn bool(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.push(if value { 0xC3 } else { 0xC2 });
    }

    /// An array of numbers or nil.
    pub(crate) fn optional_unsigned(
        &mut self,
        key: &str,
        values: impl ExactSizeIterator<Item = Option<u64>>,
    ) {
        self.key(key);
        write_array_len(values.len(), self.out);
        write_numbers(values, self.out);
    }

    /// An array of so many times the same number or nil.
    pub(crate) fn same_unsigned(&mut self, key: &str, value: Option<u64>, count: u32) {
        self.key(key);
        write_array_len(count as usize, self.out);
        write_same(value, count as usize, self.out);
    }

    /// An array of so many numbers from `first` on.
    pub(crate) fn rising_unsigned(&mut self, key: &str, first: u64, count: u32) {
        self.key(key);
        write_array_len(count as usize, self.out);
        write_rising(first, count, self.out);
    }

    /// A map as the value of the key just written.
    pub(crate) fn nested(&mut self) -> MapWriter<'_> {
        MapWriter::new(self.out)
    }

    /// The start of a binary value of the key just written; its bytes have to follow.
    pub(crate) fn bin_len(&mut self, len: usize) {
        write_bin_len(len, self.out);
    }

    /// Completes the map. Bytes of the last entry's value may still follow.
    pub(crate) fn finish(self) {
        assert!(self.entries <= 15, "a map of this writer has few entries");
        if let Some(marker) = self.out.get_mut(self.start) {
            *marker = 0x80 | self.entries;
        }
    }

    /// The buffer below, for a value of the key just written.
    pub(crate) fn raw(&mut self) -> &mut Vec<u8> {
        self.out
    }
}

pub(crate) fn write_str(text: &str, out: &mut Vec<u8>) {
    rmp::encode::write_str(out, text).expect("a Vec takes every byte");
}

pub(crate) fn write_signed(value: i64, out: &mut Vec<u8>) {
    rmp::encode::write_sint(out, value).expect("a Vec takes every byte");
}

pub(crate) fn write_bin_len(len: usize, out: &mut Vec<u8>) {
    let len = u32::try_from(len).unwrap_or(u32::MAX); // No frame is that large; its header refuses it.
    rmp::encode::write_bin_len(out, len).expect("a Vec takes every byte");
}

pub(crate) fn write_array_len(len: usize, out: &mut Vec<u8>) {
    let len = u32::try_from(len).unwrap_or(u32::MAX); // No frame is that large; its header refuses it.
    rmp::encode::write_array_len(out, len).expect("a Vec takes every byte");
}

pub(crate) fn write_optional_bin(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        None => out.push(0xC0),
        Some(bytes) => {
            write_bin_len(bytes.len(), out);
            out.extend_from_slice(bytes);
        }
    }
}
