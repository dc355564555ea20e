//! Sparse indexes beside each segment: `.index` (offset → position) and `.timeindex` (timestamp →
//! offset). They only make lookups quick: every one can be made again from the data file.
//!
//! Both files hold the same batch boundaries, one entry each: a header of 32 bytes, then entries of
//! one size, each with a checksum over the segment's base offset, the entry's number and the entry,
//! so that a torn, damaged or stale entry is known for what it is. The files of a sealed segment
//! end with an entry for the segment's end: without it they are incomplete.

mod active_index;
mod agreement;
mod damaged;
mod entry;
mod sealed_index;
mod source;

pub(crate) use active_index::ActiveIndex;
pub(crate) use agreement::Agreement;
pub(crate) use damaged::IndexDamaged;
pub(crate) use entry::{IndexEntry, IndexPoint, OffsetEntry, Owner, SegmentId, TimeEntry};
pub(crate) use sealed_index::{SealedIndex, SealedSummary};
pub(crate) use source::{IndexPaths, boundary_at_or_below, is_of_another};
