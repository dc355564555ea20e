//! `SyncRequest`: everything a log has written that is not durable yet. It is complete by itself
//! and `Send`; a request that is dropped loses nothing, the next one covers the same and more.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_model::Offset;

use crate::durable_positions::{DurablePoint, SlotTicket};
use crate::io::{Io, OpenMode};
use crate::segment::DataFile;

/// What has to be synced so that a log is durable up to [`SyncRequest::end`].
#[must_use = "nothing is durable until the request has been carried out"]
pub struct SyncRequest {
    pub(crate) ticket: SlotTicket,
    pub(crate) change: u64,
    pub(crate) point: DurablePoint,
    /// Files to sync.
    pub(crate) files: Vec<SyncFile>,
    /// Directories whose entries to sync.
    pub(crate) directories: Vec<PathBuf>,
    /// Small files to replace, with their new contents.
    pub(crate) replacements: Vec<(PathBuf, Vec<u8>)>,
    /// Whether its point has to be recorded before anybody is told.
    pub(crate) is_noted_first: bool,
}

impl SyncRequest {
    /// The offset up to which the log is durable when the sync has succeeded.
    pub fn end(&self) -> Offset {
        self.point.end
    }

    /// Whether it takes no more than one sync of a data file, which is open as long as it has to be synced:
    /// nothing to open, to make or to replace.
    pub fn is_one_data_file(&self) -> bool {
        let nothing_else = self.directories.is_empty() && self.replacements.is_empty();
        nothing_else && !self.is_noted_first && matches!(self.files.as_slice(), [SyncFile::Data(_)])
    }
}

/// A file to sync. It need not be open meanwhile.
#[derive(Clone)]
pub(crate) enum SyncFile {
    /// A data file: opened, if need be, and synced for certain.
    Data(Arc<DataFile>),
    /// An index file: one that cannot be opened is lost, and made anew.
    Index(PathBuf),
}

/// Which file it is. A path alone does not tell: one that was removed, with a segment that was taken back or a topic
/// that was deleted, may stand beside another that has its path by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SyncFileKey<'a> {
    Data(*const DataFile),
    Index(&'a Path),
}

impl SyncFile {
    pub(super) fn key(&self) -> SyncFileKey<'_> {
        match self {
            Self::Data(data) => SyncFileKey::Data(Arc::as_ptr(data)),
            Self::Index(path) => SyncFileKey::Index(path),
        }
    }

    /// Makes what was written to it durable.
    pub(crate) fn sync(&self, io: &dyn Io) -> io::Result<()> {
        match self {
            Self::Data(data) => data.sync(),
            Self::Index(path) => match io.open(path, OpenMode::Write) {
                Ok(file) => file.sync_data(),
                Err(error) => {
                    tracing::debug!(file = %path.display(), %error, "an index is not synced");
                    Ok(())
                }
            },
        }
    }
}
