//! The recovery point: whether the noted one can be gone by, and where reading begins. A checksum says
//! that a point was written, not that it was ever true of these files: one that they contradict is as
//! good as lost, because going by it would cut, or write over, what is durable.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use broker_model::Offset;

use super::OpenRequest;
use super::tail::behind;
use crate::corruption::Damage;
use crate::index::{OffsetEntry, boundary_at_or_below};
use crate::segment::{BatchScanner, DataFile, ScanDepth, Scanned};
use crate::small_file::RecoveryPoint;

/// What a noted recovery point is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotedPoint {
    /// The data does not contradict it.
    Sound(RecoveryPoint),
    /// What it speaks of is not all there, although there are later segments: nothing is cut by it.
    Doubtful(RecoveryPoint),
    /// The data contradicts it.
    Contradicted,
}

impl NotedPoint {
    /// The point, where it is of use.
    pub(super) fn known(self) -> Option<RecoveryPoint> {
        match self {
            Self::Sound(point) | Self::Doubtful(point) => Some(point),
            Self::Contradicted => None,
        }
    }

    /// Holds a point against the files there are, with their lengths. `settled` is the offset below which
    /// files may have been deleted or replaced since.
    pub(super) fn examine(
        request: &OpenRequest,
        point: RecoveryPoint,
        files: &[(Offset, u32)],
        settled: Offset,
    ) -> io::Result<Self> {
        if point.end <= settled {
            return Ok(Self::Sound(point));
        }
        let found = files.iter().find(|(base, _)| *base == point.segment);
        let len = found.map_or(0, |(_, len)| *len);
        if point.position == 0 && len == 0 {
            let below = files.iter().rfind(|(base, _)| *base < point.segment);
            return match below {
                Some((base, len)) => Self::examine_begin(request, point, (*base, *len)),
                None => Ok(Self::Sound(point)),
            };
        }
        if len < point.position {
            let is_last = files.iter().all(|(base, _)| *base <= point.segment);
            return Ok(match is_last {
                true => Self::Sound(point),
                false => Self::Doubtful(point),
            });
        }
        let data = request.data(point.segment);
        let fits = is_boundary(&data, u64::from(len), &point);
        fits.inspect_err(|error| data.observe(error))
            .map(|fits| Self::if_it_fits(fits, point))
    }

    /// A point at the begin of a segment of which there is nothing: the one below does not go on behind it.
    fn examine_begin(
        request: &OpenRequest,
        point: RecoveryPoint,
        (base, len): (Offset, u32),
    ) -> io::Result<Self> {
        let data = request.data(base);
        let start = OffsetEntry {
            offset: base,
            position: 0,
        };
        let near = boundary_at_or_below(data.io(), data.path(), data.id(), len);
        let walked = walk(&data, near.unwrap_or(start), len);
        let walked = walked.inspect_err(|error| data.observe(error))?;
        let goes_on = matches!(walked, Walked::To(end) if end > point.segment);
        Ok(Self::if_it_fits(!goes_on, point))
    }

    fn if_it_fits(fits: bool, point: RecoveryPoint) -> Self {
        match fits {
            true => Self::Sound(point),
            false => Self::Contradicted,
        }
    }
}

/// Whether a batch ends where the point lies, and the next may begin there with the point's offset. Damage
/// before it, which leaves that open, is no contradiction.
fn is_boundary(data: &Arc<DataFile>, len: u64, point: &RecoveryPoint) -> io::Result<bool> {
    let start = OffsetEntry {
        offset: data.base(),
        position: 0,
    };
    let near = boundary_at_or_below(data.io(), data.path(), data.id(), point.position);
    let near = near.unwrap_or(start);
    if (near.offset, near.position) == (point.end, point.position) {
        return Ok(true);
    }
    let mut walked = walk(data, near, point.position)?;
    if matches!(walked, Walked::Nowhere | Walked::Elsewhere) && near != start {
        // The index is wrong, or the data is.
        walked = walk(data, start, point.position)?;
    }
    match walked {
        Walked::To(offset) if offset < point.end => goes_on(data, len, point),
        Walked::To(offset) => Ok(offset == point.end),
        Walked::Past | Walked::Elsewhere => Ok(false),
        Walked::Nowhere => Ok(true),
    }
}

/// Where the headers before a position lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walked {
    /// To the position, and this offset.
    To(Offset),
    /// Past it: it lies inside a batch.
    Past,
    /// The position cannot be reached for damage.
    Nowhere,
    /// Batches of another log stand there: the file may be another than the one that was noted.
    Elsewhere,
}

fn walk(data: &Arc<DataFile>, from: OffsetEntry, to: u32) -> io::Result<Walked> {
    let range = u64::from(from.position)..u64::from(to);
    let mut scanner = headers(data, range, from.offset)?;
    let mut walked = Walked::To(from.offset);
    let mut is_damaged = false;
    while let Some(scanned) = scanner.next()? {
        is_damaged |= matches!(scanned, Scanned::Bad { .. });
        walked = match scanned {
            Scanned::Bad {
                damage: Damage::OfAnotherLog,
                ..
            } => return Ok(Walked::Elsewhere),
            Scanned::Batch { header, .. } => Walked::To(header.next_offset()),
            Scanned::Bad {
                resume: Some(_), ..
            } => walked,
            Scanned::Bad { resume: None, .. } => Walked::Nowhere,
            Scanned::Incomplete { .. } => Walked::Past,
        };
    }
    // What was found behind damage may be part of a record's value.
    let is_open = is_damaged && walked == Walked::Past;
    Ok(if is_open { Walked::Nowhere } else { walked })
}

/// Offsets were skipped before the point, as behind damage: then the next batch, if there is one, has
/// the point's offset.
fn goes_on(data: &Arc<DataFile>, len: u64, point: &RecoveryPoint) -> io::Result<bool> {
    let mut scanner = headers(data, u64::from(point.position)..len, point.end)?;
    let next = scanner.next()?;
    Ok(!next.is_some_and(|scanned| scanned.is_another_batch()))
}

/// How far the newest segment may have come: behind its last batch whose header is sound, or behind what may have
/// stood in bad bytes to its end.
pub(super) fn reach_of(request: &OpenRequest, files: &[(Offset, u32)]) -> io::Result<Offset> {
    let Some((base, len)) = files.last() else {
        return Ok(Offset::ZERO);
    };
    let data = request.data(*base);
    let near = boundary_at_or_below(data.io(), data.path(), data.id(), *len);
    let near = near.unwrap_or(OffsetEntry {
        offset: *base,
        position: 0,
    });
    let len = u64::from(*len);
    let scanner = headers(&data, u64::from(near.position)..len, near.offset)?;
    reach_in(scanner, near.offset, len).inspect_err(|error| data.observe(error))
}

/// The same of a scan that begins with this offset, and ends with a file of so many bytes.
pub(crate) fn reach_in(mut scanner: BatchScanner, from: Offset, len: u64) -> io::Result<Offset> {
    let mut end = from;
    while let Some(scanned) = scanner.next()? {
        match scanned {
            Scanned::Batch { header, .. } => end = header.next_offset(),
            Scanned::Bad {
                position,
                offset,
                resume: None,
                ..
            } => end = behind(offset, len.saturating_sub(position)),
            Scanned::Bad { .. } | Scanned::Incomplete { .. } => {}
        }
    }
    Ok(end)
}

fn headers(data: &Arc<DataFile>, range: Range<u64>, first: Offset) -> io::Result<BatchScanner> {
    let (file, owner) = (data.file()?, data.id().owner);
    let depth = ScanDepth::Headers;
    Ok(BatchScanner::new(file, owner, depth, range, first))
}

/// The recovery point: where reading begins. The known one, unless what it points to is gone for a good
/// reason.
pub(super) fn point_to_begin_at(
    known: Option<RecoveryPoint>,
    files: &[(Offset, u32)],
    start: Offset,
    cleaned_to: Offset,
) -> RecoveryPoint {
    let first = files.first().map(|(base, _)| *base);
    let begin_at = |offset| RecoveryPoint {
        segment: offset,
        end: offset,
        ..RecoveryPoint::default()
    };
    // The segment it lies in may have been deleted since, with everything below the log start.
    match known {
        // Replaced since: a cleaning waits for the point to be past what it replaces, so this one
        // is what was left when the latest were lost.
        Some(point) if point.end < cleaned_to => {
            let behind = files.iter().rfind(|(base, _)| *base <= cleaned_to);
            begin_at(behind.map_or(start, |(base, _)| *base))
        }
        Some(point) if point.end > start => point,
        Some(point) if files.iter().any(|(base, _)| *base == point.segment) => point,
        Some(_) if first.is_none_or(|first| first > start) => begin_at(start),
        _ => begin_at(first.unwrap_or(start)),
    }
}
