//! A segment whose data file somebody has cut while the broker runs: what is left of it is a segment like
//! any other, only shorter.

use std::sync::Arc;

use broker_model::{Offset, Timestamp};

use super::locate::Searchable;
use super::{BatchScanner, DataFile, ScanDepth, Scanned};
use crate::index::OffsetEntry;
use crate::log::ReadError;

/// The whole batches in the first `len` bytes of a segment.
pub(crate) struct CutSegment<'a> {
    segment: &'a dyn Searchable,
    end: OffsetEntry,
}

impl<'a> CutSegment<'a> {
    /// Reads headers behind the last boundary that the index knows.
    pub(crate) fn of(segment: &'a dyn Searchable, len: u64) -> Result<Self, ReadError> {
        let data = segment.data();
        let failed = |source| ReadError::Io {
            file: data.path().to_owned(),
            source,
        };
        let first = OffsetEntry {
            offset: data.base(),
            position: 0,
        };
        let below = u32::try_from(len).unwrap_or(u32::MAX);
        let near = below.checked_sub(1);
        let near = near.and_then(|position| segment.at_or_below_position(position));
        let mut end = first;
        // From the beginning where the index is of no use.
        for from in [near.unwrap_or(first), first] {
            if len == 0 {
                break;
            }
            let file = data.file().map_err(failed)?;
            let begin = u64::from(from.position);
            let mut scanner = BatchScanner::new(
                file,
                data.id().owner,
                ScanDepth::Headers,
                begin..len,
                from.offset,
            )
            .up_to(segment.end().offset);
            end = from;
            let mut is_sound = true;
            while let Some(scanned) = scanner.next().map_err(failed)? {
                match scanned {
                    Scanned::Batch { position, header } => {
                        let behind = position + header.batch_len() as u64;
                        end = OffsetEntry {
                            offset: header.next_offset(),
                            position: u32::try_from(behind).unwrap_or(u32::MAX),
                        };
                    }
                    Scanned::Bad { position, .. } => is_sound &= position > begin,
                    Scanned::Incomplete { .. } => {}
                }
            }
            if is_sound {
                break;
            }
        }
        Ok(Self { segment, end })
    }
}

impl Searchable for CutSegment<'_> {
    fn data(&self) -> &Arc<DataFile> {
        self.segment.data()
    }

    fn end(&self) -> OffsetEntry {
        self.end
    }

    fn at_or_below(&self, offset: Offset) -> Option<OffsetEntry> {
        match offset >= self.end.offset {
            true => Some(self.end),
            false => self.segment.at_or_below(offset),
        }
    }

    fn at_or_below_position(&self, position: u32) -> Option<OffsetEntry> {
        match position >= self.end.position {
            true => Some(self.end),
            false => self.segment.at_or_below_position(position),
        }
    }

    fn before_time(&self, timestamp: Timestamp) -> Option<Offset> {
        self.segment.before_time(timestamp)
    }

    fn trusts(&self, boundary: OffsetEntry) -> bool {
        self.segment.trusts(boundary)
    }

    fn index_is_wrong(&self) -> bool {
        // It cannot be made anew from what is left.
        false
    }
}
