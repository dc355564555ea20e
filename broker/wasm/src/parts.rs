//! Cuts a large batch into parts that a guest can take: an ordinary batch is one part and one call,
//! but a request of 16 MiB or of a million records would not fit a guest's memory or one deadline.

use crate::abi::{Batch, BytesColumn};

/// Most records of one part. At ten nanoseconds a record that is a small part of the deadline.
pub(crate) const PART_RECORDS_MAX: usize = 16 * 1024;
/// Most bytes of one part, unless a single record has more. To hash them takes a guest about a fifth
/// of the default deadline on a slow machine.
const PART_BYTES_MAX: usize = 512 * 1024;

/// The parts of a batch, in order; each has at least one record.
pub(crate) struct Parts<'a> {
    rest: Batch<'a>,
    bytes_max: usize,
}

impl<'a> Parts<'a> {
    /// Parts for a guest with so much memory: it gets at most an eighth of that at a time.
    pub(crate) fn new(batch: Batch<'a>, memory_bytes: usize) -> Self {
        Parts {
            rest: batch,
            bytes_max: PART_BYTES_MAX.min(memory_bytes / 8),
        }
    }

    fn rows_that_fit(&self) -> usize {
        let columns = [self.rest.keys, self.rest.values, self.rest.headers];
        let rows = self.rest.count as usize;
        let bytes: usize = columns
            .iter()
            .flatten()
            .map(|column| column.data.len())
            .sum();
        if rows <= PART_RECORDS_MAX && bytes <= self.bytes_max {
            return rows;
        }
        let mut bytes = 0;
        for row in 0..rows.min(PART_RECORDS_MAX) {
            bytes += columns
                .iter()
                .flatten()
                .map(|column| bytes_of(column.lens[row]))
                .sum::<usize>();
            if bytes > self.bytes_max && row > 0 {
                return row;
            }
        }
        rows.min(PART_RECORDS_MAX)
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Batch<'a>;

    fn next(&mut self) -> Option<Batch<'a>> {
        if self.rest.count == 0 {
            return None;
        }
        let rows = self.rows_that_fit();
        let (part, rest) = split(self.rest, rows);
        self.rest = rest;
        Some(part)
    }
}

fn split(batch: Batch<'_>, rows: usize) -> (Batch<'_>, Batch<'_>) {
    let count = u32::try_from(rows).expect("rows of a batch, whose count is a u32");
    let (mut part, mut rest) = (batch, batch);
    (part.count, rest.count) = (count, batch.count - count);
    (part.keys, rest.keys) = unzip(batch.keys.map(|column| split_bytes(column, rows)));
    (part.values, rest.values) = unzip(batch.values.map(|column| split_bytes(column, rows)));
    (part.headers, rest.headers) = unzip(batch.headers.map(|column| split_bytes(column, rows)));
    (part.timestamps_ms, rest.timestamps_ms) =
        unzip(batch.timestamps_ms.map(|column| column.split_at(rows)));
    (part.value_lens, rest.value_lens) =
        unzip(batch.value_lens.map(|column| column.split_at(rows)));
    (part, rest)
}

fn split_bytes(column: BytesColumn<'_>, rows: usize) -> (BytesColumn<'_>, BytesColumn<'_>) {
    let (lens, rest_lens) = column.lens.split_at(rows);
    let bytes = lens.iter().map(|len| bytes_of(*len)).sum();
    let (data, rest_data) = column.data.split_at(bytes);
    (
        BytesColumn { data, lens },
        BytesColumn {
            data: rest_data,
            lens: rest_lens,
        },
    )
}

/// The bytes of a row; a null one has none.
fn bytes_of(len: i32) -> usize {
    usize::try_from(len).unwrap_or(0)
}

fn unzip<T>(pair: Option<(T, T)>) -> (Option<T>, Option<T>) {
    match pair {
        Some((first, second)) => (Some(first), Some(second)),
        None => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Columns;
    use crate::columns::{BatchColumns, BytesColumn as Rows};

    fn lens(keys: &Rows, memory_bytes: usize) -> Vec<Vec<i32>> {
        let records = u32::try_from(keys.len()).unwrap();
        let batch = BatchColumns {
            records,
            keys: Some(keys),
            ..BatchColumns::default()
        };
        let parts = Parts::new(batch.select(Columns::KEYS), memory_bytes);
        parts.map(|part| part.keys.unwrap().lens.to_vec()).collect()
    }

    #[test]
    fn an_ordinary_batch_is_one_part() {
        let keys: Rows = [Some(&b"ab"[..]), None, Some(b"")].into_iter().collect();
        assert_eq!(lens(&keys, 16), [[2, -1, 0]]);
    }

    #[test]
    fn parts_have_at_most_the_bytes_that_fit_and_at_least_one_record() {
        let keys: Rows = [Some(&b"abc"[..]), None, Some(b"de"), Some(b"f")]
            .into_iter()
            .collect();
        assert_eq!(lens(&keys, 3 * 8), [vec![3, -1], vec![2, 1]]);
        assert_eq!(lens(&keys, 0), [[3], [-1], [2], [1]]);
    }

    #[test]
    fn the_rows_of_every_column_stay_together() {
        let keys: Rows = [Some(&b"a"[..]), Some(b"bb"), None].into_iter().collect();
        let batch = BatchColumns {
            records: 3,
            keys: Some(&keys),
            values: Some(&keys),
            timestamps_ms: Some(&[1, 2, 3]),
            value_lens: Some(&[1, 2, -1]),
            ..BatchColumns::default()
        };
        let all = Columns::KEYS | Columns::VALUES | Columns::TIMESTAMPS | Columns::VALUE_LENS;
        let parts: Vec<_> = Parts::new(batch.select(all), 2 * 8).collect();
        assert_eq!(
            parts.iter().map(|part| part.count).collect::<Vec<_>>(),
            [1, 1, 1]
        );
        assert_eq!(parts[1].values.unwrap().data, b"bb");
        assert_eq!(parts[1].timestamps_ms, Some(&[2_i64][..]));
        assert_eq!(parts[1].value_lens, Some(&[2][..]));
    }
}
