//! Bitmaps as compaction plugins answer them: bit i of a batch is bit i % 8, counted from the least
//! significant, of byte i / 8. Bits beyond the batch are 0.

/// Why a bitmap is not one of so many records.
pub(crate) fn problem(bits: &[u8], records: usize) -> Option<String> {
    let (given, expected) = (bits.len(), records.div_ceil(8));
    if given != expected {
        return Some(format!(
            "a bitmap of {given} bytes for {records} records, which take {expected}"
        ));
    }
    let used = records % 8;
    let beyond = bits
        .last()
        .is_some_and(|last| used > 0 && last >> used != 0);
    beyond.then(|| format!("a bitmap with bits set beyond its {records} records"))
}

/// Appends the bitmap of the next records to one of `done` records.
pub(crate) fn append(whole: &mut Vec<u8>, done: usize, next: &[u8]) {
    let shift = done % 8;
    if shift == 0 {
        whole.extend_from_slice(next);
        return;
    }
    for byte in next {
        if let Some(last) = whole.last_mut() {
            *last |= byte << shift;
        }
        whole.push(byte >> (8 - shift));
    }
}

/// Drops the byte that [`append`] may have left over behind `records` bits.
pub(crate) fn trim(whole: &mut Vec<u8>, records: usize) {
    whole.truncate(records.div_ceil(8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_any_length_join_to_what_one_bitmap_would_be() {
        let bit = |row: usize| row.is_multiple_of(3) || row % 7 == 2;
        let bitmap = |rows: std::ops::Range<usize>| {
            let mut bits = vec![0_u8; rows.len().div_ceil(8)];
            for (at, row) in rows.enumerate() {
                bits[at / 8] |= u8::from(bit(row)) << (at % 8);
            }
            bits
        };
        for cuts in [[0, 1, 2], [3, 8, 9], [8, 16, 17], [5, 5, 31], [7, 20, 40]] {
            let mut whole = Vec::new();
            let mut done = 0;
            for end in cuts.into_iter().chain([41]) {
                append(&mut whole, done, &bitmap(done..end));
                trim(&mut whole, end);
                done = end;
            }
            assert_eq!(whole, bitmap(0..41), "{cuts:?}");
        }
    }

    #[test]
    fn a_bitmap_has_one_bit_for_each_record_and_none_beyond() {
        assert_eq!(problem(&[], 0), None);
        assert_eq!(problem(&[0xff], 8), None);
        assert_eq!(problem(&[0xff, 0x01], 9), None);
        assert_eq!(
            problem(&[0xff], 9).as_deref(),
            Some("a bitmap of 1 bytes for 9 records, which take 2")
        );
        assert_eq!(
            problem(&[0xff, 0x03], 9).as_deref(),
            Some("a bitmap with bits set beyond its 9 records")
        );
        assert!(problem(&[0], 0).is_some());
    }
}
