//! A column of nullable byte strings: made out of rows, and walked row by row without a copy.

use std::iter::FusedIterator;

use crate::BytesColumn;

impl BytesColumn {
    /// A column without rows.
    pub fn new() -> Self {
        BytesColumn {
            data: Vec::new(),
            lens: Vec::new(),
        }
    }

    /// A column out of rows; `None` is null.
    ///
    /// ```
    /// let column = plugin_sdk::BytesColumn::from_rows([Some("a"), None, Some("")]);
    /// let rows: Vec<_> = column.rows().collect();
    /// assert_eq!(rows, [Some(&b"a"[..]), None, Some(&b""[..])]);
    /// ```
    pub fn from_rows<B: AsRef<[u8]>>(rows: impl IntoIterator<Item = Option<B>>) -> Self {
        let mut column = BytesColumn::new();
        for row in rows {
            column.push(row.as_ref().map(AsRef::as_ref));
        }
        column
    }

    /// Adds a row; `None` is null.
    ///
    /// # Panics
    /// The row has more than 2 GiB.
    pub fn push(&mut self, row: Option<&[u8]>) {
        self.data.extend_from_slice(row.unwrap_or_default());
        self.lens.push(row.map_or(-1, |row| row_len(row.len())));
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.lens.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    /// Walks the rows in order.
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            data: &self.data,
            lens: self.lens.iter(),
        }
    }
}

impl Default for BytesColumn {
    fn default() -> Self {
        BytesColumn::new()
    }
}

/// A row's length as a column holds it.
pub(crate) fn row_len(len: usize) -> i32 {
    i32::try_from(len).expect("a row is far below 2 GiB: it lies in the memory of a plugin")
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
