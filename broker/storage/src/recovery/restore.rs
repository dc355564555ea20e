//! Making a segment whose good bytes are known the active one again, without reading its bodies.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use broker_model::{Clock, Offset, Timestamp};

use crate::corruption::Corruption;
use crate::index::ActiveIndex;
use crate::log::LogConfig;
use crate::segment::{ActiveSegment, BatchScanner, DataFile, ScanDepth, Scanned, SegmentAge};

/// Both clocks, read once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) wall: Timestamp,
    pub(crate) monotonic: Duration,
}

impl Times {
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        Self {
            wall: clock.now(),
            monotonic: clock.monotonic(),
        }
    }
}

/// A segment ready to be written on, and the damage that was met on the way.
pub(crate) struct Restored {
    pub(crate) segment: ActiveSegment,
    pub(crate) damage: Vec<Corruption>,
    /// Whether its last bytes are damaged: how late the records were that are lost with them is not known.
    pub(crate) end_is_lost: bool,
}

/// The segment with `len` good bytes that end at offset `end`. Only the headers behind its last
/// index entry are read; all of them when the index is of no use.
pub(crate) fn restore_active(
    data: &Arc<DataFile>,
    len: u32,
    end: Offset,
    config: &LogConfig,
    times: Times,
) -> io::Result<Restored> {
    let loaded = ActiveIndex::load(data.place(), data.id(), len);
    if let Some(index) = loaded {
        let restored = walk(data, index, len, end, config)?;
        if restored.damage.is_empty() && restored.segment.next == end {
            restored.segment.index.cut_files()?;
            return Ok(with_age(restored, times));
        }
    }
    let mut index = ActiveIndex::new(data.place(), data.id());
    // Files that are of no use may be ahead of the data, which would tell of damage at the next start.
    index.remove_files()?;
    index.set_first_append(times.wall);
    let mut restored = walk(data, index, len, end, config)?;
    // Where the last headers are damaged these bytes and this offset are known to belong together;
    // no offset that a header has is given out again.
    let behind_all = end.max(restored.segment.next);
    restored.segment.skip_to(len, behind_all);
    Ok(with_age(restored, times))
}

fn walk(
    data: &Arc<DataFile>,
    index: ActiveIndex,
    len: u32,
    end: Offset,
    config: &LogConfig,
) -> io::Result<Restored> {
    let mut segment = ActiveSegment::new(Arc::clone(data), index);
    segment.resume_from_index();
    let mut damage = Vec::new();
    let mut is_behind_damage = false;
    if segment.len < len {
        let file = data.file()?;
        let mut scanner = BatchScanner::new(
            file,
            data.id().owner,
            ScanDepth::Headers,
            u64::from(segment.len)..u64::from(len),
            segment.next,
        )
        .up_to(end);
        while let Some(scanned) = scanner.next()? {
            if let Scanned::Batch { position, header } = scanned {
                let at = u32::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge)?;
                segment.skip_to(at, header.base_offset);
                if std::mem::take(&mut is_behind_damage) {
                    segment.note_lost_before(&header);
                }
                segment.note_batch(&header, config.index_interval_bytes);
            } else {
                is_behind_damage = true;
                damage.push(scanned.into_corruption(data.path(), Some(end)));
            }
        }
    }
    Ok(Restored {
        segment,
        damage,
        end_is_lost: is_behind_damage,
    })
}

fn with_age(mut restored: Restored, times: Times) -> Restored {
    let segment = &mut restored.segment;
    if segment.len > 0 {
        segment.set_begun(SegmentAge {
            before: times.wall.since(segment.index.first_append()),
            since: times.monotonic,
        });
    }
    restored
}
