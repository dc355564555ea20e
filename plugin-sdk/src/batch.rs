//! A batch as a plugin sees it: columns that were asked for in `needs`, walked record by record without
//! a copy. To look at a column that was not asked for is a mistake of the plugin and panics.

use std::iter::FusedIterator;

use crate::{Batch, Columns, HeaderValues, Layout, Rows};

impl Batch {
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
    /// The plugin did not ask for [`Columns::KEYS`](crate::Columns::KEYS).
    pub fn keys(&self) -> Rows<'_> {
        asked(self.keys.as_ref(), "KEYS").rows()
    }

    /// Each record's value, `None` for a tombstone.
    ///
    /// # Panics
    /// The plugin did not ask for [`Columns::VALUES`](crate::Columns::VALUES).
    pub fn values(&self) -> Rows<'_> {
        asked(self.values.as_ref(), "VALUES").rows()
    }

    /// Each record's headers as one MessagePack array `[[name, value], …]`, `None` where it has none.
    /// To look for one header: [`header_values`](Batch::header_values).
    ///
    /// # Panics
    /// The plugin did not ask for [`Columns::HEADERS`](crate::Columns::HEADERS).
    pub fn headers(&self) -> Rows<'_> {
        asked(self.headers.as_ref(), "HEADERS").rows()
    }

    /// The value of the header `name` for each record: `None` where the record has no such header,
    /// `Some(None)` where its value is null. If a record has several of that name, the last one counts.
    ///
    /// ```
    /// # use plugin_sdk::Batch;
    /// let batch = Batch::of(3).with_headers([
    ///     vec![("tenant", Some("a")), ("version", Some("7"))],
    ///     vec![],
    ///     vec![("version", None)],
    /// ]);
    /// let versions: Vec<_> = batch.header_values("version").collect();
    /// assert_eq!(versions, [Some(Some(&b"7"[..])), None, Some(None)]);
    /// ```
    ///
    /// # Panics
    /// The plugin did not ask for [`Columns::HEADERS`](crate::Columns::HEADERS).
    pub fn header_values<'a>(&'a self, name: &'a str) -> HeaderValues<'a> {
        HeaderValues::new(self.headers(), name)
    }

    /// Each record's timestamp, in milliseconds since 1970.
    ///
    /// # Panics
    /// The plugin did not ask for [`Columns::TIMESTAMPS`](crate::Columns::TIMESTAMPS).
    pub fn timestamps(&self) -> &[i64] {
        asked(self.timestamps_ms.as_deref(), "TIMESTAMPS")
    }

    /// The length of each record's value, -1 for a tombstone.
    ///
    /// # Panics
    /// The plugin did not ask for [`Columns::VALUE_LENS`](crate::Columns::VALUE_LENS).
    pub fn value_lens(&self) -> &[i32] {
        asked(self.value_lens.as_deref(), "VALUE_LENS")
    }

    /// Whether each record is a tombstone, that is, has no value. Ask for
    /// [`Columns::VALUE_LENS`](crate::Columns::VALUE_LENS); the values themselves do as well.
    ///
    /// # Panics
    /// The plugin asked for neither.
    pub fn tombstones(&self) -> impl ExactSizeIterator<Item = bool> + Clone + '_ {
        let values = self.values.as_ref().map(|values| &values.lens);
        let lens = self.value_lens.as_ref().or(values);
        asked(lens, "VALUE_LENS").iter().map(|len| *len < 0)
    }

    /// Each record's offset. Always there for a compaction policy; never for a partitioner, whose
    /// records have no offsets yet.
    ///
    /// # Panics
    /// The records have no offsets yet.
    pub fn offsets(&self) -> Offsets<'_> {
        assert!(
            self.offset_deltas.len() == self.len(),
            "records that are being produced have no offsets yet"
        );
        Offsets {
            base: self.base_offset,
            deltas: self.offset_deltas.iter(),
        }
    }
}

impl Columns {
    /// Whether all columns of `other` are among these.
    pub fn contains(self, other: Columns) -> bool {
        self & other == other
    }
}

fn asked<'a, T: ?Sized>(column: Option<&'a T>, name: &str) -> &'a T {
    match column {
        Some(column) => column,
        None => panic!("this plugin did not ask for this column: add Columns::{name} to needs()"),
    }
}

/// The offsets of a batch's records, in order.
#[derive(Clone, Debug)]
pub struct Offsets<'a> {
    base: u64,
    deltas: std::slice::Iter<'a, u32>,
}

impl Iterator for Offsets<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let delta = self.deltas.next()?;
        Some(self.base.saturating_add(u64::from(*delta)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.deltas.size_hint()
    }
}

impl ExactSizeIterator for Offsets<'_> {}
impl FusedIterator for Offsets<'_> {}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BytesColumn;

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

    #[test]
    #[should_panic(expected = "have no offsets yet")]
    fn produced_records_have_no_offsets() {
        let _ = Batch::from_keys([Some("a")]).offsets();
    }

    #[test]
    fn a_tombstone_is_seen_with_the_lengths_or_with_the_values() {
        let batch = Batch::of(3).with_values([Some("x"), None, Some("")]);
        let expected = [false, true, false];
        assert_eq!(batch.tombstones().collect::<Vec<_>>(), expected);
        let lens = BytesColumn::from_rows([Some("x"), None, Some("")]).lens;
        assert_eq!(batch.value_lens(), lens);
        let with_lens_alone = Batch {
            values: None,
            ..batch
        };
        assert_eq!(with_lens_alone.tombstones().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn offsets_have_gaps_where_records_are_gone() {
        let batch = Batch::of(3).with_offsets([7, 9, 12]);
        assert_eq!(batch.offsets().collect::<Vec<_>>(), [7, 9, 12]);
        assert_eq!(batch.base_offset, 7);
    }
}
