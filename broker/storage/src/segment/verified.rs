//! `VerifiedRanges`: which bytes of a data file had their checksums verified since the broker
//! started. Disjoint, sorted, touching ranges merged: mostly there is one.

use std::ops::Range;

/// A set of byte ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VerifiedRanges(Vec<Range<u64>>);

impl VerifiedRanges {
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        let after = self.0.partition_point(|known| known.start <= range.start);
        after
            .checked_sub(1)
            .and_then(|at| self.0.get(at))
            .is_some_and(|known| known.end >= range.end)
    }

    pub(crate) fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Appends grow the last range; everything else is rare.
        if let Some(last) = self.0.last_mut().filter(|last| last.end == range.start) {
            last.end = range.end;
            return;
        }
        let first = self.0.partition_point(|known| known.end < range.start);
        let after = self.0.partition_point(|known| known.start <= range.end);
        let mut merged = range;
        for known in self.0.get(first..after).unwrap_or_default() {
            merged.start = merged.start.min(known.start);
            merged.end = merged.end.max(known.end);
        }
        self.0.splice(first..after, [merged]);
    }

    /// Forgets one byte.
    pub(crate) fn remove(&mut self, byte: u64) {
        let at = self.0.partition_point(|known| known.end <= byte);
        let Some(known) = self
            .0
            .get(at)
            .filter(|known| known.contains(&byte))
            .cloned()
        else {
            return;
        };
        let left = [known.start..byte, byte + 1..known.end];
        self.0
            .splice(at..=at, left.into_iter().filter(|range| !range.is_empty()));
    }

    /// Forgets what lies at or above `end`.
    pub(crate) fn cut(&mut self, end: u64) {
        self.0.retain_mut(|known| {
            known.end = known.end.min(end);
            !known.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_set_of_bytes(
            ranges in proptest::collection::vec((0_usize..60, 0_usize..20), 0..12),
            asked in (0_usize..60, 0_usize..20),
            removed in 0_usize..80,
            cut in 0_usize..80,
        ) {
            let mut known = VerifiedRanges::default();
            let mut bytes = [false; 80];
            for (start, len) in ranges {
                known.add(start as u64..(start + len) as u64);
                bytes[start..start + len].fill(true);
            }
            let positions = asked.0..asked.0 + asked.1;
            let range = positions.start as u64..positions.end as u64;
            let all = |bytes: &[bool]| positions.clone().all(|at| bytes[at]);
            prop_assert_eq!(known.covers(&range), all(&bytes));
            prop_assert!(known.0.windows(2).all(|pair| pair[0].end < pair[1].start));
            known.remove(removed as u64);
            bytes[removed] = false;
            prop_assert_eq!(known.covers(&range), all(&bytes));
            known.cut(cut as u64);
            bytes[cut..].fill(false);
            prop_assert_eq!(known.covers(&range), all(&bytes));
        }
    }
}
