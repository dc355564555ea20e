//! `ScrubTarget`: the durable part of one segment. Every header and body is read and its checksum
//! verified, offsets have to follow each other, and the indexes of a sealed segment have to agree.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_model::{Clock, Offset};

use crate::compaction::Pace;
use crate::corruption::{Corruption, Damage};
use crate::index::{Agreement, IndexPoint, OffsetEntry, TimeEntry};
use crate::io::{FileIdentity, OpenMode};
use crate::segment::{BatchScanner, DataFile, ScanDepth, Scanned, SealedSegment};

use super::from_disk::FromDisk;

/// Something to be scrubbed.
pub struct ScrubTarget {
    clock: Arc<dyn Clock>,
    data: Arc<DataFile>,
    /// Where the durable part ends, and with which offset.
    end: (u64, Offset),
    is_sealed: bool,
}

/// What a scrub of one segment has found.
pub struct Scrubbed {
    pub(crate) data: Arc<DataFile>,
    /// The file that was read, and its stamp before that; `None` when there was none.
    pub(crate) of: Option<(FileIdentity, u64)>,
    pub(crate) damage: Vec<Corruption>,
    pub(crate) wrong_index: Option<String>,
    bytes: u64,
}

/// What the log makes of what a scrub of one segment has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubFound {
    /// Damage that was not known before.
    pub new: Vec<Corruption>,
    /// Damaged places in all; none where the segment was deleted or replaced meanwhile.
    pub damages: usize,
}

/// Why a scrub of a segment came to no end.
#[derive(Debug, thiserror::Error)]
pub enum ScrubFailed {
    /// It was told to stop.
    #[error("the scrub was stopped")]
    Cancelled,
    /// The file cannot be read.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Scrubbed {
    /// Whether an index has to be made anew.
    pub fn index_is_wrong(&self) -> bool {
        self.wrong_index.is_some()
    }

    /// Bytes of data read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl ScrubTarget {
    pub(crate) fn sealed(clock: &Arc<dyn Clock>, segment: &SealedSegment) -> Self {
        Self {
            clock: Arc::clone(clock),
            data: Arc::clone(&segment.data),
            end: (u64::from(segment.len), segment.next),
            is_sealed: true,
        }
    }

    pub(crate) fn active(clock: &Arc<dyn Clock>, data: &Arc<DataFile>, end: (u64, Offset)) -> Self {
        Self {
            clock: Arc::clone(clock),
            data: Arc::clone(data),
            end,
            is_sealed: false,
        }
    }

    /// The data file.
    pub fn path(&self) -> &Path {
        self.data.path()
    }

    /// Bytes to read.
    pub fn bytes(&self) -> u64 {
        self.end.0
    }

    /// Reads everything. Blocks for as long as the pace says.
    ///
    /// # Errors
    /// When it is cancelled, or the file cannot be read. The disk's own errors take the directory out
    /// of service, like those of any other read.
    pub fn run(&self, pace: &Pace) -> Result<Scrubbed, ScrubFailed> {
        let mut scrubbed = Scrubbed {
            data: Arc::clone(&self.data),
            of: None,
            damage: Vec::new(),
            wrong_index: None,
            bytes: 0,
        };
        let path = self.data.path();
        let opened = self.data.io().open(path, OpenMode::Read);
        let (file, (identity, state)) =
            match opened.and_then(|file| Ok((Arc::clone(&file), file.identify()?))) {
                Ok(found) => found,
                // The log says whether it was deleted by the broker itself.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    scrubbed.damage.push(self.missing(0, self.data.base()));
                    return Ok(scrubbed);
                }
                Err(source) => return Err(self.failed(source)),
            };
        scrubbed.of = Some((identity, state.stamp));
        let len = state.len;
        let end = self.end.0.min(len);
        let file = Arc::new(FromDisk(file));
        let mut scanner = BatchScanner::new(
            file,
            self.data.id().owner,
            ScanDepth::Bodies,
            0..end,
            self.data.base(),
        )
        .up_to(self.end.1);
        let mut indexes = self.is_sealed.then(|| Indexes::open(self));
        let mut last = IndexPoint::first(self.data.base());
        while let Some(scanned) = scanner.next().map_err(|source| self.failed(source))? {
            if pace.is_cancelled() {
                return Err(ScrubFailed::Cancelled);
            }
            let read_to = match scanned {
                Scanned::Batch { position, header } => {
                    last = last.after(position, &header);
                    if let Some(indexes) = &mut indexes {
                        indexes.pass(&last);
                    }
                    u64::from(last.position)
                }
                bad => {
                    if let Some(indexes) = &mut indexes {
                        indexes.pass_damage();
                    }
                    let next = (end == self.end.0).then_some(self.end.1);
                    scrubbed.damage.push(bad.into_corruption(path, next));
                    scanner.position()
                }
            };
            pace.read(read_to.saturating_sub(scrubbed.bytes), &*self.clock);
            scrubbed.bytes = scrubbed.bytes.max(read_to);
        }
        if len < self.end.0 {
            let cut_in_batch = |known: &Corruption| known.damage == Damage::Incomplete;
            scrubbed.damage.retain(|known| !cut_in_batch(known));
            scrubbed.damage.push(self.missing(len, last.offset));
        }
        scrubbed.wrong_index = indexes.and_then(|indexes| indexes.finish(&last));
        Ok(scrubbed)
    }

    fn missing(&self, len: u64, offset: Offset) -> Corruption {
        Corruption {
            file: self.data.path().to_owned(),
            position: len,
            offset,
            next_good: Some(self.end.1),
            damage: Damage::Missing {
                bytes: self.end.0 - len,
            },
        }
    }

    fn failed(&self, source: io::Error) -> ScrubFailed {
        self.data.observe(&source);
        ScrubFailed::Io {
            file: self.data.path().to_owned(),
            source,
        }
    }
}

/// The two indexes of a sealed segment.
struct Indexes {
    offsets: Agreement<OffsetEntry>,
    times: Agreement<TimeEntry>,
}

impl Indexes {
    fn open(target: &ScrubTarget) -> Self {
        let (io, path, base) = (target.data.io(), target.data.path(), target.data.base());
        Self {
            offsets: Agreement::open(io, path, base),
            times: Agreement::open(io, path, base),
        }
    }

    fn pass(&mut self, point: &IndexPoint) {
        self.offsets.pass(point);
        self.times.pass(point);
    }

    fn pass_damage(&mut self) {
        self.offsets.pass_damage();
        self.times.pass_damage();
    }

    /// The first thing that does not fit.
    fn finish(self, end: &IndexPoint) -> Option<String> {
        let offsets = self.offsets.finish(Some(end)).into_iter();
        let mut problems = offsets.chain(self.times.finish(Some(end)));
        let first = problems.next()?;
        let (file, position) = (first.file.display(), first.position);
        Some(format!("{file} at byte {position}: {}", first.what))
    }
}

impl std::fmt::Debug for ScrubTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScrubTarget")
            .field("file", &self.data.path())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
