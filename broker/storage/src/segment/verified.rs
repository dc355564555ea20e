//! `VerifiedRanges`: which bytes of a data file had their checksums verified since the broker
//! started. Disjoint, sorted, touching ranges merged: mostly there is one. Only at a gap, where batches are
//! missing, two stay two: nothing that reaches across it is ever covered.

use std::ops::Range;

/// A set of byte ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VerifiedRanges {
    ranges: Vec<Range<u64>>,
    /// Positions in front of which batches are missing, sorted.
    gaps: Vec<u64>,
}

impl VerifiedRanges {
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        let after = self
            .ranges
            .partition_point(|known| known.start <= range.start);
        after
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|known| known.end >= range.end)
    }

    pub(crate) fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Appends grow the last range; everything else is rare.
        if let Some(last) = self.ranges.last_mut()
            && last.end == range.start
            && self.gaps.is_empty()
        {
            last.end = range.end;
            return;
        }
        let first = self.ranges.partition_point(|known| known.end < range.start);
        let after = self
            .ranges
            .partition_point(|known| known.start <= range.end);
        let mut merged = range;
        for known in self.ranges.get(first..after).unwrap_or_default() {
            merged.start = merged.start.min(known.start);
            merged.end = merged.end.max(known.end);
        }
        let inside = self.gaps.iter().filter(|gap| merged.contains(gap));
        let starts = std::iter::once(merged.start).chain(inside.copied());
        let ends = starts.clone().skip(1).chain([merged.end]);
        let parts = starts.zip(ends).map(|(start, end)| start..end);
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        self.ranges.splice(first..after, parts);
    }

    /// Batches are missing in front of this position.
    pub(crate) fn add_gap(&mut self, position: u64) {
        if let Err(place) = self.gaps.binary_search(&position) {
            self.gaps.insert(place, position);
        }
        let at = self.ranges.partition_point(|known| known.end <= position);
        if let Some(known) = self.ranges.get_mut(at)
            && known.start < position
        {
            let behind = position..known.end;
            known.end = position;
            self.ranges.insert(at + 1, behind);
        }
    }

    /// Nothing is known to be missing any more.
    pub(crate) fn forget_gaps(&mut self) {
        self.gaps.clear();
    }

    /// Forgets one byte.
    pub(crate) fn remove(&mut self, byte: u64) {
        let at = self.ranges.partition_point(|known| known.end <= byte);
        let Some(known) = self
            .ranges
            .get(at)
            .filter(|known| known.contains(&byte))
            .cloned()
        else {
            return;
        };
        let left = [known.start..byte, byte + 1..known.end];
        self.ranges
            .splice(at..=at, left.into_iter().filter(|range| !range.is_empty()));
    }

    /// Forgets what lies at or above `end`.
    pub(crate) fn cut(&mut self, end: u64) {
        self.ranges.retain_mut(|known| {
            known.end = known.end.min(end);
            !known.is_empty()
        });
        self.gaps.retain(|gap| *gap < end);
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
            gaps in proptest::collection::vec(0_usize..80, 0..3),
            asked in (0_usize..60, 0_usize..20),
            removed in 0_usize..80,
            cut in 0_usize..80,
        ) {
            let mut known = VerifiedRanges::default();
            let mut bytes = [false; 80];
            let half = ranges.len() / 2;
            for (number, (start, len)) in ranges.into_iter().enumerate() {
                if number == half {
                    gaps.iter().for_each(|gap| known.add_gap(*gap as u64));
                }
                known.add(start as u64..(start + len) as u64);
                bytes[start..start + len].fill(true);
            }
            gaps.iter().for_each(|gap| known.add_gap(*gap as u64));
            let positions = asked.0..asked.0 + asked.1;
            let range = positions.start as u64..positions.end as u64;
            let crossed = gaps.iter().filter(|gap| **gap < cut);
            let crossed = crossed.filter(|gap| asked.0 < **gap && **gap < positions.end);
            let is_across = crossed.count() > 0;
            let any = gaps.iter().any(|gap| asked.0 < *gap && *gap < positions.end);
            let all = |bytes: &[bool], across: bool| !across && positions.clone().all(|at| bytes[at]);
            prop_assert_eq!(known.covers(&range), all(&bytes, any));
            let is_apart = |pair: &[Range<u64>]| {
                pair[0].end < pair[1].start
                    || pair[0].end == pair[1].start && known.gaps.contains(&pair[0].end)
            };
            let are_apart = known.ranges.windows(2).all(is_apart);
            prop_assert!(are_apart);
            known.remove(removed as u64);
            bytes[removed] = false;
            prop_assert_eq!(known.covers(&range), all(&bytes, any));
            known.cut(cut as u64);
            bytes[cut..].fill(false);
            prop_assert_eq!(known.covers(&range), all(&bytes, is_across));
        }
    }
}
