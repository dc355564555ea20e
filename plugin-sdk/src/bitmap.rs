//! The answer of a compaction policy: one bit per record, least significant first, set for a record
//! that stays.

/// Which records of a batch stay. Has exactly as many bits as the batch has records.
///
/// ```
/// use plugin_sdk::Bitmap;
///
/// let mut keep = Bitmap::none(10);
/// keep.keep(0);
/// keep.keep(9);
/// assert_eq!(keep, (0..10).map(|row| row % 9 == 0).collect());
/// assert_eq!(keep.kept().collect::<Vec<_>>(), [0, 9]);
/// assert_eq!(keep.into_bytes(), [0b0000_0001, 0b0000_0010]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    bytes: Vec<u8>,
    len: usize,
}

impl Bitmap {
    /// None of `len` records stays.
    pub fn none(len: usize) -> Self {
        Bitmap {
            bytes: vec![0; len.div_ceil(8)],
            len,
        }
    }

    /// All of `len` records stay.
    pub fn all(len: usize) -> Self {
        let mut all = Bitmap {
            bytes: vec![0xff; len.div_ceil(8)],
            len,
        };
        if let (Some(last), used @ 1..) = (all.bytes.last_mut(), len % 8) {
            *last = (1 << used) - 1;
        }
        all
    }

    /// How many records it speaks of.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it speaks of no record.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets the record of that row stay.
    ///
    /// # Panics
    /// There is no such row, as in the other functions that take one.
    pub fn keep(&mut self, row: usize) {
        self.check(row);
        self.bytes[row / 8] |= 1 << (row % 8);
    }

    /// Lets the record of that row go.
    pub fn remove(&mut self, row: usize) {
        self.check(row);
        self.bytes[row / 8] &= !(1 << (row % 8));
    }

    /// Whether the record of that row stays.
    pub fn is_kept(&self, row: usize) -> bool {
        self.check(row);
        self.bytes[row / 8] & (1 << (row % 8)) != 0
    }

    /// The rows whose records stay, ascending.
    pub fn kept(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len).filter(|row| self.is_kept(*row))
    }

    /// The bits as the broker reads them: least significant first, those beyond the last record 0.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn check(&self, row: usize) {
        assert!(row < self.len, "row {row} of a bitmap of {} rows", self.len);
    }
}

impl FromIterator<bool> for Bitmap {
    /// One record after the other: does it stay?
    fn from_iter<I: IntoIterator<Item = bool>>(stays: I) -> Self {
        let mut map = Bitmap::none(0);
        for stays in stays {
            if map.len.is_multiple_of(8) {
                map.bytes.push(0);
            }
            map.len += 1;
            if stays {
                map.keep(map.len - 1);
            }
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::Bitmap;

    #[test]
    fn bits_beyond_the_last_record_are_clear() {
        for len in 0..20 {
            assert_eq!(Bitmap::all(len), (0..len).map(|_| true).collect());
            assert_eq!(Bitmap::none(len), (0..len).map(|_| false).collect());
        }
        assert_eq!(Bitmap::all(11).into_bytes(), [0xff, 0b111]);
    }

    #[test]
    fn a_bit_is_set_and_cleared() {
        let mut map = Bitmap::all(9);
        map.remove(8);
        assert!(!map.is_kept(8));
        assert_eq!(map.into_bytes(), [0xff, 0]);
    }

    #[test]
    #[should_panic(expected = "row 8 of a bitmap of 8 rows")]
    fn a_row_that_is_not_there_panics() {
        Bitmap::all(8).keep(8);
    }
}
