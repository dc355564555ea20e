//! One header's value per record, read from the MessagePack of the headers column without a copy.

use crate::Rows;
use crate::messagepack::Reader;

/// The values of one header, record by record: see [`Batch::header_values`](crate::Batch::header_values).
#[derive(Clone, Debug)]
pub struct HeaderValues<'a> {
    rows: Rows<'a>,
    name: &'a str,
}

impl<'a> HeaderValues<'a> {
    pub(crate) fn new(rows: Rows<'a>, name: &'a str) -> Self {
        HeaderValues { rows, name }
    }
}

impl<'a> Iterator for HeaderValues<'a> {
    type Item = Option<Option<&'a [u8]>>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.and_then(|headers| last(headers, self.name.as_bytes())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl ExactSizeIterator for HeaderValues<'_> {}

/// The value of the last header of that name. The broker has checked the shape of what it stored; what
/// would still not be an array of pairs counts as no header.
fn last<'a>(headers: &'a [u8], name: &[u8]) -> Option<Option<&'a [u8]>> {
    let mut reader = Reader::new(headers);
    let mut found = None;
    for _ in 0..reader.array_len().ok()? {
        if reader.array_len().ok()? != 2 {
            return found;
        }
        let of_this_name = reader.bytes().ok()? == Some(name);
        let value = reader.bytes().ok()?;
        if of_this_name {
            found = Some(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::last;
    use crate::{Batch, BytesColumn};

    #[test]
    fn the_last_of_several_counts() {
        let batch =
            Batch::of(1).with_headers([vec![("v", Some("1")), ("w", None), ("v", Some("2"))]]);
        let values: Vec<_> = batch.header_values("v").collect();
        assert_eq!(values, [Some(Some(&b"2"[..]))]);
        assert_eq!(batch.header_values("w").next(), Some(Some(None)));
        assert_eq!(batch.header_values("x").next(), Some(None));
    }

    #[test]
    fn what_is_no_array_of_pairs_is_no_header() {
        for odd in [
            &b""[..],
            b"\xc0",
            b"\x91\xc0",
            b"\x91\x91\xa1v",
            b"\x91\x92\xa1v",
            b"\x91\x92\x01\xa1v",
            b"\xdd\xff\xff\xff\xff",
        ] {
            assert_eq!(last(odd, b"v"), None, "{odd:?}");
        }
        let batch = Batch {
            headers: Some(BytesColumn::from_rows([None::<&[u8]>])),
            ..Batch::of(1)
        };
        assert_eq!(batch.header_values("v").collect::<Vec<_>>(), [None]);
    }
}
