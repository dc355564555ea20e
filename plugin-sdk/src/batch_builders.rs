//! Batches for native tests, built column by column. The broker never calls these: its batches come
//! through the bindings. A batch that no broker would send, with columns of different length, panics.

use crate::bytes_column::row_len;
use crate::{Batch, BytesColumn, Columns, messagepack};

/// What every column of one batch has in common.
const ROWS: &str = "as many rows as the batch has records";

impl Batch {
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

    /// A batch of keys for a native test; `None` is a record without a key. The other `with_…` builders
    /// add columns to it.
    pub fn from_keys<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = Option<K>>) -> Self {
        let keys = BytesColumn::from_rows(keys);
        let mut batch = Batch::of(u32::try_from(keys.len()).expect("keys of one test"));
        batch.keys = Some(keys);
        batch
    }

    /// Adds the values and their lengths; `None` is a tombstone.
    ///
    /// # Panics
    /// There are not as many values as records, as in every builder here.
    #[must_use]
    pub fn with_values<V: AsRef<[u8]>>(
        mut self,
        values: impl IntoIterator<Item = Option<V>>,
    ) -> Self {
        let values = BytesColumn::from_rows(values);
        assert_eq!(values.len(), self.len(), "{ROWS}");
        self.value_lens = Some(values.lens.clone());
        self.values = Some(values);
        self
    }

    /// Adds the headers of each record as name and value.
    #[must_use]
    pub fn with_headers<N: AsRef<str>, V: AsRef<[u8]>>(
        mut self,
        headers: impl IntoIterator<Item = Vec<(N, Option<V>)>>,
    ) -> Self {
        let mut column = BytesColumn::new();
        let mut row = Vec::new();
        for headers in headers {
            row.clear();
            messagepack::write_array_len(&mut row, headers.len());
            for (name, value) in &headers {
                messagepack::write_array_len(&mut row, 2);
                messagepack::write_str(&mut row, name.as_ref());
                match value {
                    Some(value) => messagepack::write_bin(&mut row, value.as_ref()),
                    None => messagepack::write_nil(&mut row),
                }
            }
            column.push((!headers.is_empty()).then_some(&row[..]));
        }
        assert_eq!(column.len(), self.len(), "{ROWS}");
        self.headers = Some(column);
        self
    }

    /// Adds the timestamps, in milliseconds since 1970.
    #[must_use]
    pub fn with_timestamps(mut self, timestamps_ms: impl IntoIterator<Item = i64>) -> Self {
        let timestamps_ms: Vec<i64> = timestamps_ms.into_iter().collect();
        assert_eq!(timestamps_ms.len(), self.len(), "{ROWS}");
        self.timestamps_ms = Some(timestamps_ms);
        self
    }

    /// Adds the lengths of the values without the values; `None` is a tombstone.
    #[must_use]
    pub fn with_value_lens(mut self, lens: impl IntoIterator<Item = Option<usize>>) -> Self {
        let lens: Vec<i32> = lens
            .into_iter()
            .map(|len| len.map_or(-1, row_len))
            .collect();
        assert_eq!(lens.len(), self.len(), "{ROWS}");
        self.value_lens = Some(lens);
        self
    }

    /// Adds the offsets, ascending.
    #[must_use]
    pub fn with_offsets(mut self, offsets: impl IntoIterator<Item = u64>) -> Self {
        let offsets: Vec<u64> = offsets.into_iter().collect();
        assert_eq!(offsets.len(), self.len(), "{ROWS}");
        assert!(offsets.is_sorted(), "offsets ascend");
        self.base_offset = offsets.first().copied().unwrap_or_default();
        let delta = |offset| u32::try_from(offset - self.base_offset);
        self.offset_deltas = offsets
            .iter()
            .map(|offset| delta(offset).expect("offsets of one batch lie close together"))
            .collect();
        self
    }

    /// The batch as the broker would hand it to a plugin that asks for `needs`: without the other columns.
    ///
    /// # Panics
    /// A column that is needed was not built.
    #[must_use]
    pub fn select(mut self, needs: Columns) -> Self {
        fn only<T>(column: &mut Option<T>, needs: Columns, flag: Columns) {
            if needs.contains(flag) {
                assert!(column.is_some(), "the test has to build {flag:?}");
            } else {
                *column = None;
            }
        }
        only(&mut self.keys, needs, Columns::KEYS);
        only(&mut self.values, needs, Columns::VALUES);
        only(&mut self.headers, needs, Columns::HEADERS);
        only(&mut self.timestamps_ms, needs, Columns::TIMESTAMPS);
        only(&mut self.value_lens, needs, Columns::VALUE_LENS);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_not_there() {
        let batch = Batch::from_keys([Some("a"), None]).with_timestamps([1, 2]);
        let selected = batch.select(Columns::TIMESTAMPS);
        assert!(selected.keys.is_none());
        assert_eq!(selected.timestamps(), [1, 2]);
    }

    #[test]
    #[should_panic(expected = "as many rows as the batch has records")]
    fn columns_of_different_length_are_a_mistake_of_the_test() {
        let _ = Batch::of(2).with_timestamps([1]);
    }
}
