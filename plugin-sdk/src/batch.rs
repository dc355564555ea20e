//! A batch as a plugin sees it: columns that were asked for, walked row by row without a copy.
//! The builders make batches for native tests.

use std::iter::FusedIterator;

pub use crate::generated::partitioner_plugin::broker::plugin::types::BytesColumn;
use crate::{Batch, Layout};

impl Batch {
    /// A batch of keys for a native test; `None` is a record without a key.
    pub fn from_keys<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = Option<K>>) -> Self {
        let keys = BytesColumn::from_rows(keys);
        let mut batch = Batch::of(u32::try_from(keys.lens.len()).unwrap_or(u32::MAX));
        batch.keys = Some(keys);
        batch
    }

    /// A batch of `count` records without columns, for a native test.
    pub fn of(count: u32) -> Self {
        Batch {
            count,
            base_offset: 0,
            offset_deltas: Vec::new(),
            timestamps_ms: None,
            keys: None,
            values: None,
            headers: None,
            value_lens: None,
        }
    }

    /// How many records the batch has.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether the batch has no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each record's key, `None` where it has none.
    ///
    /// # Panics
    /// The plugin did not ask for keys.
    pub fn keys(&self) -> Rows<'_> {
        rows(self.keys.as_ref(), "KEYS")
    }

    /// Each record's value, `None` for a tombstone.
    ///
    /// # Panics
    /// The plugin did not ask for values.
    pub fn values(&self) -> Rows<'_> {
        rows(self.values.as_ref(), "VALUES")
    }

    /// Each record's headers as one MessagePack array `[[name, value], …]`, `None` where it has none.
    ///
    /// # Panics
    /// The plugin did not ask for headers.
    pub fn headers(&self) -> Rows<'_> {
        rows(self.headers.as_ref(), "HEADERS")
    }
}

fn rows<'a>(column: Option<&'a BytesColumn>, name: &str) -> Rows<'a> {
    match column {
        Some(column) => column.rows(),
        None => panic!("this plugin did not ask for this column: add Columns::{name} to needs()"),
    }
}

impl Layout {
    /// A topic of `partitions` partitions that nothing was routed for yet, for a native test.
    pub fn of(partitions: u32) -> Self {
        Layout {
            partitions,
            counts: vec![partitions],
            sequence: 0,
            batches: 0,
        }
    }

    /// The partition whose turn it is at the `number`th time: round and round.
    pub fn turn(&self, number: u64) -> u32 {
        let turn = number % u64::from(self.partitions);
        u32::try_from(turn).expect("it is below `partitions`, which is a u32")
    }
}

impl BytesColumn {
    /// A column out of rows, for a native test.
    pub fn from_rows<B: AsRef<[u8]>>(rows: impl IntoIterator<Item = Option<B>>) -> Self {
        let mut column = BytesColumn {
            data: Vec::new(),
            lens: Vec::new(),
        };
        for row in rows {
            let len = row.as_ref().map(|row| row.as_ref().len());
            column
                .lens
                .push(len.map_or(-1, |len| i32::try_from(len).unwrap_or(i32::MAX)));
            column
                .data
                .extend_from_slice(row.as_ref().map_or(&[], |row| row.as_ref()));
        }
        column
    }

    /// Walks the rows in order.
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            data: &self.data,
            lens: self.lens.iter(),
        }
    }
}

/// The rows of one column, in order; `None` is null, which is not the same as empty.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    data: &'a [u8],
    lens: std::slice::Iter<'a, i32>,
}

impl<'a> Iterator for Rows<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let len = *self.lens.next()?;
        let Ok(len) = usize::try_from(len) else {
            return Some(None);
        };
        let (row, rest) = self.data.split_at(len);
        self.data = rest;
        Some(Some(row))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.lens.size_hint()
    }
}

impl ExactSizeIterator for Rows<'_> {}
impl FusedIterator for Rows<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_key_is_not_an_empty_one() {
        let batch = Batch::from_keys([Some("ab"), None, Some(""), Some("c")]);
        let keys: Vec<_> = batch.keys().collect();
        assert_eq!(
            keys,
            [Some(&b"ab"[..]), None, Some(&b""[..]), Some(&b"c"[..])]
        );
        assert_eq!(batch.len(), 4);
        assert_eq!(batch.keys().len(), 4);
    }

    #[test]
    #[should_panic(expected = "add Columns::VALUES to needs()")]
    fn a_column_that_was_not_asked_for_says_so() {
        let _ = Batch::from_keys([Some("a")]).values();
    }
}
