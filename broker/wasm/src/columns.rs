//! The columns of a batch as the host gathers them for a plugin. The buffers are meant to be kept and
//! cleared, so that gathering allocates nothing once they have grown.

use crate::abi;
use crate::abi::Columns;

/// One nullable byte string per record, laid end to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BytesColumn {
    data: Vec<u8>,
    lens: Vec<i32>,
}

impl BytesColumn {
    /// Adds the next record's bytes; `None` is null, which is not the same as empty.
    ///
    /// # Panics
    /// A row of 2 GiB or more; frames are far smaller.
    pub fn push(&mut self, row: Option<&[u8]>) {
        let Some(row) = row else {
            self.lens.push(-1);
            return;
        };
        let len =
            i32::try_from(row.len()).expect("a row is smaller than a frame, which is below 2 GiB");
        self.lens.push(len);
        self.data.extend_from_slice(row);
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.lens.clear();
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.lens.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    fn as_abi(&self) -> abi::BytesColumn<'_> {
        abi::BytesColumn {
            data: &self.data,
            lens: &self.lens,
        }
    }
}

impl<'a> FromIterator<Option<&'a [u8]>> for BytesColumn {
    fn from_iter<I: IntoIterator<Item = Option<&'a [u8]>>>(rows: I) -> Self {
        let mut column = BytesColumn::default();
        rows.into_iter().for_each(|row| column.push(row));
        column
    }
}

/// A batch of produced records: the columns that the plugin needs, one row per record each.
/// Columns that it does not need may be left out; they are not handed over in any case.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchColumns<'a> {
    /// How many records the batch has.
    pub records: u32,
    /// Each record's key.
    pub keys: Option<&'a BytesColumn>,
    /// Each record's value.
    pub values: Option<&'a BytesColumn>,
    /// Each record's headers as one MessagePack array.
    pub headers: Option<&'a BytesColumn>,
    /// Each record's timestamp in milliseconds.
    pub timestamps_ms: Option<&'a [i64]>,
    /// The length of each record's value, -1 for null.
    pub value_lens: Option<&'a [i32]>,
}

impl BatchColumns<'_> {
    /// The columns in `needs` and nothing else.
    ///
    /// # Panics
    /// A column that is needed is missing or has another number of rows: a mistake of the caller.
    pub(crate) fn select(&self, needs: Columns) -> abi::Batch<'_> {
        let timestamps_ms = self
            .timestamps_ms
            .filter(|_| needs.contains(Columns::TIMESTAMPS));
        let value_lens = self
            .value_lens
            .filter(|_| needs.contains(Columns::VALUE_LENS));
        self.check(needs, Columns::TIMESTAMPS, timestamps_ms.map(<[i64]>::len));
        self.check(needs, Columns::VALUE_LENS, value_lens.map(<[i32]>::len));
        abi::Batch {
            count: self.records,
            base_offset: 0,
            offset_deltas: &[],
            timestamps_ms,
            keys: self.bytes(needs, Columns::KEYS, self.keys),
            values: self.bytes(needs, Columns::VALUES, self.values),
            headers: self.bytes(needs, Columns::HEADERS, self.headers),
            value_lens,
        }
    }

    fn bytes<'c>(
        &self,
        needs: Columns,
        flag: Columns,
        column: Option<&'c BytesColumn>,
    ) -> Option<abi::BytesColumn<'c>> {
        let column = column.filter(|_| needs.contains(flag));
        self.check(needs, flag, column.map(BytesColumn::len));
        column.map(BytesColumn::as_abi)
    }

    fn check(&self, needs: Columns, column: Columns, rows: Option<usize>) {
        let expected = needs.contains(column).then_some(self.records as usize);
        assert_eq!(
            rows, expected,
            "rows of a column that the plugin needs ({column:?})"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_handed_over() {
        let keys: BytesColumn = [Some(&b"a"[..]), None].into_iter().collect();
        let batch = BatchColumns {
            records: 2,
            keys: Some(&keys),
            timestamps_ms: Some(&[1, 2]),
            ..BatchColumns::default()
        };
        let selected = batch.select(Columns::TIMESTAMPS);
        assert!(selected.keys.is_none());
        assert_eq!(selected.timestamps_ms, Some(&[1_i64, 2][..]));
        let selected = batch.select(Columns::KEYS);
        assert_eq!(selected.keys.map(|keys| keys.lens), Some(&[1_i32, -1][..]));
        assert!(selected.timestamps_ms.is_none());
    }

    #[test]
    #[should_panic(expected = "rows of a column that the plugin needs")]
    fn a_missing_column_is_a_mistake_of_the_caller() {
        let _ = BatchColumns {
            records: 1,
            ..BatchColumns::default()
        }
        .select(Columns::KEYS);
    }
}
