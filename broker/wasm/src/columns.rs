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

    /// Forgets the rows if they have more than so many bytes, and keeps memory for no more than that.
    pub fn shrink_to(&mut self, bytes: usize) {
        if self.data.capacity() > bytes {
            self.clear();
            self.data.shrink_to(bytes);
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.lens.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    /// The rows, in order.
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            data: &self.data,
            lens: self.lens.iter(),
        }
    }

    /// Adds the rows of a column whose lengths were checked: -1 or more each, `data.len()` in all.
    pub(crate) fn append(&mut self, data: Vec<u8>, lens: Vec<i32>) {
        if self.is_empty() {
            (self.data, self.lens) = (data, lens);
        } else {
            self.data.extend_from_slice(&data);
            self.lens.extend_from_slice(&lens);
        }
    }

    pub(crate) fn data_bytes(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn as_abi(&self) -> abi::BytesColumn<'_> {
        abi::BytesColumn {
            data: &self.data,
            lens: &self.lens,
        }
    }
}

/// The rows of a [`BytesColumn`]; `None` is null.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    data: &'a [u8],
    lens: std::slice::Iter<'a, i32>,
}

impl<'a> Rows<'a> {
    /// The rows of a column whose lengths were checked.
    pub(crate) fn of(data: &'a [u8], lens: &'a [i32]) -> Self {
        Rows {
            data,
            lens: lens.iter(),
        }
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let len = self.lens.next()?;
        let Ok(len) = usize::try_from(*len) else {
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

impl<'a> FromIterator<Option<&'a [u8]>> for BytesColumn {
    fn from_iter<I: IntoIterator<Item = Option<&'a [u8]>>>(rows: I) -> Self {
        let mut column = BytesColumn::default();
        rows.into_iter().for_each(|row| column.push(row));
        column
    }
}

/// A batch of records: the columns that the plugin needs, one row per record each.
/// Columns that it does not need may be left out; they are not handed over in any case.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchColumns<'a> {
    /// How many records the batch has.
    pub records: u32,
    /// The offset that `offset_deltas` count from; 0 on produce.
    pub base_offset: u64,
    /// Each record's offset above `base_offset`; empty on produce, where there are no offsets yet.
    pub offset_deltas: &'a [u32],
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
    /// Whether every column in `needs` is there.
    pub(crate) fn has(&self, needs: Columns) -> bool {
        let present = [
            (Columns::KEYS, self.keys.is_some()),
            (Columns::VALUES, self.values.is_some()),
            (Columns::HEADERS, self.headers.is_some()),
            (Columns::TIMESTAMPS, self.timestamps_ms.is_some()),
            (Columns::VALUE_LENS, self.value_lens.is_some()),
        ];
        present
            .into_iter()
            .all(|(column, is_there)| is_there || !needs.contains(column))
    }

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
        let offsets = self.offset_deltas.len();
        assert!(
            offsets == 0 || offsets == self.records as usize,
            "{offsets} offsets for {} records",
            self.records
        );
        abi::Batch {
            count: self.records,
            base_offset: self.base_offset,
            offset_deltas: self.offset_deltas,
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
    fn rows_come_back_as_they_were_given() {
        let given = [Some(&b"ab"[..]), None, Some(b""), Some(b"c")];
        let column: BytesColumn = given.into_iter().collect();
        assert_eq!(column.rows().len(), 4);
        assert!(column.rows().eq(given));
    }

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
