//! `Indexes`: the two index files of a segment, held against its data while that is read.

use super::{Finding, FindingKind, SegmentFile};
use crate::index::{Agreement, IndexEntry, IndexPoint, OffsetEntry, TimeEntry};
use crate::io::Io;

/// The two indexes of a segment. A cleaned segment that is not in place yet has them under other names.
pub(super) struct Indexes(Option<(Agreement<OffsetEntry>, Agreement<TimeEntry>)>);

impl Indexes {
    pub(super) fn of(io: &dyn Io, segment: &SegmentFile) -> Self {
        let extension = segment.path.extension();
        let in_place = extension.is_some_and(|extension| extension == "log");
        let (path, base) = (&segment.path, segment.base);
        let open = || {
            (
                Agreement::open(io, path, base),
                Agreement::open(io, path, base),
            )
        };
        Self(in_place.then(open))
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

    /// The data ends here; what does not fit is told as of this kind.
    pub(super) fn finish(
        self,
        end: Option<&IndexPoint>,
        kind: FindingKind,
        report: &mut dyn FnMut(Finding),
    ) {
        if let Some((offsets, times)) = self.0 {
            tell(offsets, end, kind, report);
            tell(times, end, kind, report);
        }
    }
}

fn tell<E: IndexEntry>(
    index: Agreement<E>,
    end: Option<&IndexPoint>,
    kind: FindingKind,
    report: &mut dyn FnMut(Finding),
) {
    for problem in index.finish(end) {
        report(Finding {
            kind,
            file: problem.file,
            position: Some(problem.position),
            offset: None,
            what: problem.what,
            then: "the index is made anew from the data, at the start or when it is next searched"
                .to_owned(),
        });
    }
}
