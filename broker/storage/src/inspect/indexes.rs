//! `Indexes`: the two index files of a segment, held against its data while that is read.

use super::{Finding, FindingKind, SegmentFile};
use crate::index::{Agreement, IndexEntry, IndexPoint, OffsetEntry, TimeEntry};
use crate::io::Io;

/// What a stop may have done to the indexes of a segment: it is no damage, as they are made anew from the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexState {
    /// Nothing: they were complete and durable.
    Durable,
    /// It came while they were written or removed: what there is of them is right.
    UnderWay,
    /// They were not synced, and the machine was restarted since.
    Unsynced,
}

/// The two indexes of a segment. One that is being put in place by a cleaning may have those of another, or its own
/// under other names.
pub(super) struct Indexes(Option<(Agreement<OffsetEntry>, Agreement<TimeEntry>)>);

impl Indexes {
    pub(super) fn of(io: &dyn Io, segment: &SegmentFile, is_put: bool) -> Self {
        let (path, base) = (&segment.path, segment.base);
        let open = || {
            (
                Agreement::open(io, path, base),
                Agreement::open(io, path, base),
            )
        };
        Self((!is_put).then(open))
    }

    pub(super) fn pass(&mut self, point: &IndexPoint) {
        if let Some((offsets, times)) = &mut self.0 {
            offsets.pass(point);
            times.pass(point);
        }
    }

    pub(super) fn pass_damage(&mut self) {
        if let Some((offsets, times)) = &mut self.0 {
            offsets.pass_damage();
            times.pass_damage();
        }
    }

    /// The data ends here; what does not fit is told.
    pub(super) fn finish(
        self,
        end: Option<&IndexPoint>,
        state: IndexState,
        report: &mut dyn FnMut(Finding),
    ) {
        if let Some((offsets, times)) = self.0 {
            tell(offsets, end, state, report);
            tell(times, end, state, report);
        }
    }
}

fn tell<E: IndexEntry>(
    index: Agreement<E>,
    end: Option<&IndexPoint>,
    state: IndexState,
    report: &mut dyn FnMut(Finding),
) {
    for problem in index.finish(end) {
        let is_left_by_a_stop = match state {
            IndexState::Durable => false,
            IndexState::UnderWay => problem.is_incomplete,
            IndexState::Unsynced => true,
        };
        report(Finding {
            kind: match is_left_by_a_stop {
                true => FindingKind::Unfinished,
                false => FindingKind::Damage,
            },
            file: problem.file,
            position: Some(problem.position),
            offset: None,
            what: problem.what,
            then: "the index is made anew from the data, at the start or when it is next searched"
                .to_owned(),
        });
    }
}
