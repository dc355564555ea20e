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

    /// Whether the log may have lost what was not known to be synced, although the machine was up, and no part of a
    /// batch.
    pub(super) fn is_set_back(&self) -> bool {
        let reach = self.summary.next.max(self.settled);
        let is_above = |point: RecoveryPoint| reach >= point.end;
        self.may_have_lost_writes() && self.is_whole && self.point.is_some_and(is_above)
    }

    fn may_have_lost_writes(&self) -> bool {
        self.is_of_this_era() && !self.verifier.notes.is_some_and(DirNotes::is_clean)
    }
}
