//! What a file system leaves that was set back to what was synced while the machine was up: nothing that is wrong, and
//! nothing above the durable point. The same rules as a recovery's.

use broker_model::Offset;

use super::super::{DirNotes, SegmentFile};
use super::Pass;
use crate::recovery::behind_unnoted;
use crate::small_file::RecoveryPoint;

impl Pass<'_> {
    /// Behind a gap that begins with `next`, segments without a byte up to the last were made for what was lost while the
    /// machine was up, unless some of it was durable.
    pub(super) fn lose_if_empty(&mut self, next: Offset, rest: &[SegmentFile]) {
        let is_above = |point: RecoveryPoint| next >= point.end;
        let is_near = |segment: &SegmentFile| segment.base < behind_unnoted(next);
        let is_empty = rest.iter().all(|segment| segment.bytes == 0);
        let fits = rest.first().is_some_and(is_near) && self.point.is_some_and(is_above);
        if is_empty && fits && self.may_have_lost_writes() {
            self.lost_power = self.point;
        }
    }

    /// Whether the files end just where they were synced, although the machine was up.
    pub(super) fn is_set_back(&self, files: &[SegmentFile]) -> bool {
        let is_at = |point: RecoveryPoint| {
            let length = |base: Offset| match base == point.segment {
                true => u64::from(point.position),
                false => 0,
            };
            let mut above = files.iter().filter(|file| file.base >= point.segment);
            let is_there = files.iter().any(|file| file.base == point.segment);
            // One that never had a durable byte may be gone.
            let may_be_gone = point.position == 0;
            (is_there || may_be_gone) && above.all(|file| file.bytes == length(file.base))
        };
        self.may_have_lost_writes() && self.point.is_some_and(is_at)
    }

    fn may_have_lost_writes(&self) -> bool {
        self.is_of_this_era() && !self.verifier.notes.is_some_and(DirNotes::is_clean)
    }
}
