//! Cuts a large batch into parts that a guest can take: an ordinary batch is one part and one call,
//! but a request of 16 MiB or of a million records would not fit a guest's memory or one deadline. A
//! single record that is larger than a part is a part of its own and gets as many deadlines as it fills
//! parts.

use crate::abi::{Batch, BytesColumn, Columns};
use crate::guest::Cost;
use crate::kind::PluginKind;
use crate::limits::Limits;

/// How large a part may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartSize {
    records_max: usize,
    bytes_max: usize,
    /// A record that is larger is not given to the guest at all: it would run out of memory, which is
    /// not its fault.
    record_bytes_max: usize,
}

impl PartSize {
    /// For a plugin of that kind that is given these columns.
    pub(crate) fn of(kind: PluginKind, needs: Columns, limits: Limits) -> Self {
        let parses = needs.intersects(Columns::VALUES | Columns::HEADERS);
        let (records_max, bytes_max) = match kind {
            PluginKind::Serializer => PARSED,
            PluginKind::Partitioner if parses => PARSED,
            PluginKind::Partitioner | PluginKind::Retention | PluginKind::Compaction => WALKED,
        };
        // Whoever turns values into others needs memory several times over.
        let memory_parts = match kind {
            PluginKind::Serializer => 8,
            PluginKind::Partitioner | PluginKind::Retention | PluginKind::Compaction => 2,
        };
        PartSize {
            records_max,
            bytes_max: bytes_max.min(limits.memory_bytes / 8),
            record_bytes_max: limits.memory_bytes / memory_parts,
        }
    }
}

/// Records and bytes of a part that is looked at: at ten nanoseconds a record and for ten bytes it takes
/// a guest about a fifth of the default deadline on a slow machine.
const WALKED: (usize, usize) = (16 * 1024, 512 * 1024);
/// Of a part that is parsed within the default deadline: microseconds a record.
const PARSED: (usize, usize) = (512, 32 * 1024);

/// A part of a batch, of at least one record.
pub(crate) struct Part<'a> {
    pub(crate) batch: Batch<'a>,
    deadlines: u32,
    /// Why the guest is not asked: the only record is too large for it.
    pub(crate) problem: Option<String>,
}

impl Part<'_> {
    /// What the call may cost whose answer has so many bytes.
    pub(crate) fn cost(&self, answer_bytes: usize) -> Cost {
        Cost {
            answer_bytes,
            deadlines: self.deadlines,
        }
    }
}

/// The parts of a batch, in order.
pub(crate) struct Parts<'a> {
    rest: Batch<'a>,
    size: PartSize,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(batch: Batch<'a>, size: PartSize) -> Self {
        Parts { rest: batch, size }
    }

    fn rows_that_fit(&self) -> usize {
        let columns = [self.rest.keys, self.rest.values, self.rest.headers];
        let rows = self.rest.count as usize;
        if rows <= self.size.records_max && bytes_in(&self.rest) <= self.size.bytes_max {
            return rows;
        }
        let rows_max = rows.min(self.size.records_max);
        let mut bytes = 0;
        for row in 0..rows_max {
            let lens = columns.iter().flatten().map(|column| column.lens[row]);
            bytes += lens.map(bytes_of).sum::<usize>();
            if bytes > self.size.bytes_max && row > 0 {
                return row;
            }
        }
        rows_max
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if self.rest.count == 0 {
            return None;
        }
        let rows = self.rows_that_fit();
        let (batch, rest) = split(self.rest, rows);
        self.rest = rest;
        let (bytes, most) = (bytes_in(&batch), self.size.record_bytes_max);
        let deadlines = bytes.div_ceil(self.size.bytes_max.max(1)).max(1);
        let problem = (bytes > most && rows == 1).then(|| {
            format!(
                "the record has {bytes} bytes, a plugin with this memory limit takes at most {most}"
            )
        });
        Some(Part {
            batch,
            deadlines: u32::try_from(deadlines).unwrap_or(u32::MAX),
            problem,
        })
    }
}

fn bytes_in(batch: &Batch<'_>) -> usize {
    let columns = [batch.keys, batch.values, batch.headers];
    let columns = columns.iter().flatten();
    columns.map(|column| column.data.len()).sum()
}

fn split(batch: Batch<'_>, rows: usize) -> (Batch<'_>, Batch<'_>) {
    let count = u32::try_from(rows).expect("rows of a batch, whose count is a u32");
    let (mut part, mut rest) = (batch, batch);
    (part.count, rest.count) = (count, batch.count - count);
    if !batch.offset_deltas.is_empty() {
        (part.offset_deltas, rest.offset_deltas) = batch.offset_deltas.split_at(rows);
    }
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
    use crate::columns::{BatchColumns, BytesColumn as Rows};

    fn size(bytes_max: usize) -> PartSize {
        PartSize {
            records_max: 4,
            bytes_max,
            record_bytes_max: 16,
        }
    }

    fn lens(keys: &Rows, bytes_max: usize) -> Vec<Vec<i32>> {
        let records = u32::try_from(keys.len()).unwrap();
        let batch = BatchColumns {
            records,
            keys: Some(keys),
            ..BatchColumns::default()
        };
        let parts = Parts::new(batch.select(Columns::KEYS), size(bytes_max));
        parts
            .map(|part| part.batch.keys.unwrap().lens.to_vec())
            .collect()
    }

    #[test]
    fn an_ordinary_batch_is_one_part() {
        let keys: Rows = [Some(&b"ab"[..]), None, Some(b"")].into_iter().collect();
        assert_eq!(lens(&keys, 2), [[2, -1, 0]]);
    }

    #[test]
    fn parts_have_at_most_the_bytes_and_records_that_fit_and_at_least_one_record() {
        let keys: Rows = [Some(&b"abc"[..]), None, Some(b"de"), Some(b"f")]
            .into_iter()
            .collect();
        assert_eq!(lens(&keys, 3), [vec![3, -1], vec![2, 1]]);
        assert_eq!(lens(&keys, 0), [[3], [-1], [2], [1]]);
        let many: Rows = [None; 9].into_iter().collect();
        assert_eq!(lens(&many, 0), [vec![-1; 4], vec![-1; 4], vec![-1]]);
    }

    #[test]
    fn a_large_record_stands_alone_with_more_deadlines_or_is_not_given_at_all() {
        let keys: Rows = [
            Some(&b"a"[..]),
            Some(b"123456789"),
            Some(&[0; 17]),
            Some(b"b"),
        ]
        .into_iter()
        .collect();
        let batch = BatchColumns {
            records: 4,
            keys: Some(&keys),
            ..BatchColumns::default()
        };
        let parts: Vec<_> = Parts::new(batch.select(Columns::KEYS), size(4)).collect();
        let facts: Vec<_> = parts
            .iter()
            .map(|part| (part.batch.count, part.deadlines, part.problem.is_some()))
            .collect();
        assert_eq!(
            facts,
            [(1, 1, false), (1, 3, false), (1, 5, true), (1, 1, false)]
        );
    }

    #[test]
    fn the_rows_of_every_column_stay_together() {
        let keys: Rows = [Some(&b"a"[..]), Some(b"bb"), None].into_iter().collect();
        let batch = BatchColumns {
            records: 3,
            base_offset: 70,
            offset_deltas: &[0, 4, 5],
            keys: Some(&keys),
            values: Some(&keys),
            timestamps_ms: Some(&[1, 2, 3]),
            value_lens: Some(&[1, 2, -1]),
            ..BatchColumns::default()
        };
        let all = Columns::KEYS | Columns::VALUES | Columns::TIMESTAMPS | Columns::VALUE_LENS;
        let parts: Vec<_> = Parts::new(batch.select(all), size(2))
            .map(|part| part.batch)
            .collect();
        assert_eq!(
            parts.iter().map(|part| part.count).collect::<Vec<_>>(),
            [1, 1, 1]
        );
        assert_eq!(
            (parts[1].base_offset, parts[1].offset_deltas),
            (70, &[4_u32][..])
        );
        assert_eq!(parts[1].values.unwrap().data, b"bb");
        assert_eq!(parts[1].timestamps_ms, Some(&[2_i64][..]));
        assert_eq!(parts[1].value_lens, Some(&[2][..]));
    }
}
