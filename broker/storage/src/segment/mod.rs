//! A log is cut into segments: one data file and its indexes each. All but the last are sealed.

mod active_segment;
mod batch_scanner;
mod cut;
mod data_file;
mod file_names;
mod known;
mod locate;
mod open_files;
mod sealed_segment;
mod verified;

pub(crate) use active_segment::{ActiveSegment, SegmentAge};
pub(crate) use batch_scanner::{BatchScanner, ScanDepth, Scanned};
pub(crate) use cut::CutSegment;
pub(crate) use data_file::DataFile;
pub(crate) use file_names::{base_of, file_name};
pub(crate) use locate::{Searchable, SoughtTime, locate, locate_end_damage, locate_time};
pub(crate) use open_files::OpenFiles;
pub(crate) use sealed_segment::SealedSegment;

use broker_model::{Offset, Timestamp};

/// What is known of a segment without looking into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The offset its file is named by.
    pub base: Offset,
    /// The offset after its last record.
    pub next: Offset,
    /// Bytes of its data file.
    pub bytes: u64,
    /// The largest timestamp of its records; [`Timestamp::MIN`] when it has none.
    pub max_timestamp: Timestamp,
    /// Whether it will not be written any more.
    pub sealed: bool,
}

// There may be many thousand, most of them idle.
const _: () = assert!(size_of::<DataFile>() <= 160);
