//! Comparing the two index files of a segment with its data.

use std::path::Path;

use broker_model::{Offset, Timestamp};

use super::Finding;
use crate::index::{IndexEntry, IndexHeader, IndexPoint, OffsetEntry, TimeEntry};
use crate::io::Io;

/// The batch boundaries of a segment, as its data has them.
pub(super) struct Boundaries {
    pub(super) base: Offset,
    /// Every boundary, the end included, with the largest timestamp before it.
    pub(super) points: Vec<IndexPoint>,
    /// Whether another segment follows: the indexes have to be complete then.
    pub(super) sealed: bool,
    /// Whether all batches were sound, so that every boundary is known.
    pub(super) all_known: bool,
}

/// Checks both files; what does not fit goes to `report`.
pub(super) fn check_indexes(
    io: &dyn Io,
    data_path: &Path,
    boundaries: &Boundaries,
    report: &mut dyn FnMut(Finding),
) {
    check::<OffsetEntry>(io, data_path, boundaries, report, |entry, point| {
        (entry.offset, entry.position) == (point.offset, point.position)
    });
    check::<TimeEntry>(io, data_path, boundaries, report, |entry, point| {
        (entry.offset, entry.timestamp) == (point.offset, point.max_before)
    });
}

fn check<E: IndexEntry>(
    io: &dyn Io,
    data_path: &Path,
    boundaries: &Boundaries,
    report: &mut dyn FnMut(Finding),
    fits: impl Fn(&E, &IndexPoint) -> bool,
) {
    let file = data_path.with_extension(E::EXTENSION);
    let mut problem = |position: u64, what: String| {
        report(Finding {
            file: file.clone(),
            position: Some(position),
            offset: None,
            what,
        });
    };
    let bytes = match io.read_small(&file) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            // The active segment has none until there is something to index.
            if boundaries.sealed && boundaries.points.len() > 1 {
                problem(
                    0,
                    "the index is missing; it is made anew when the broker starts".to_owned(),
                );
            }
            return;
        }
        Err(error) => return problem(0, error.to_string()),
    };
    let header = IndexHeader::decode(E::MAGIC, &bytes);
    if header.is_none_or(|header| header.base != boundaries.base) {
        return problem(0, "bad index header".to_owned());
    }
    let count = E::count(bytes.len() as u64);
    // Entries and boundaries both rise: the search for one goes on where that for the last ended.
    let mut rest = boundaries.points.as_slice();
    let mut last = None;
    for number in 0..count {
        let at = E::position(number);
        let entry = usize::try_from(at)
            .ok()
            .and_then(|start| E::decode(boundaries.base, number, bytes.get(start..)?));
        let Some(entry) = entry else {
            problem(at, format!("index entry {number} is damaged"));
            continue;
        };
        let found = rest.iter().position(|point| fits(&entry, point));
        last = found.and_then(|found| rest.get(found));
        match found {
            Some(found) => rest = rest.get(found..).unwrap_or_default(),
            None if boundaries.all_known => {
                problem(at, format!("index entry {number} fits no batch: {entry:?}"));
            }
            None => {}
        }
    }
    if E::position(count) != bytes.len() as u64 {
        problem(
            E::position(count),
            "the index ends inside an entry".to_owned(),
        );
    }
    if boundaries.sealed && boundaries.all_known && last != boundaries.points.last() {
        problem(
            bytes.len() as u64,
            "the index does not reach the segment's end".to_owned(),
        );
    }
}

/// The boundary in front of a segment's first batch.
pub(super) fn first_boundary(base: Offset) -> IndexPoint {
    IndexPoint {
        offset: base,
        position: 0,
        max_before: Timestamp::MIN,
    }
}
