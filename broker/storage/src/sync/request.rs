//! `SyncRequest`: everything a log has written that is not durable yet. It is complete by itself
//! and `Send`; a request that is dropped loses nothing, the next one covers the same and more.

use std::path::PathBuf;
use std::sync::Arc;

use broker_model::Offset;

use crate::durable_positions::{DurablePoint, SlotTicket};
use crate::io::IoFile;

/// What has to be synced so that a log is durable up to [`SyncRequest::end`].
#[must_use = "nothing is durable until the request has been carried out"]
pub struct SyncRequest {
    pub(crate) ticket: SlotTicket,
    pub(crate) change: u64,
    pub(crate) point: DurablePoint,
    /// Files to sync.
    pub(crate) files: Vec<Arc<dyn IoFile>>,
    /// Directories whose entries to sync.
    pub(crate) directories: Vec<PathBuf>,
    /// Small files to replace, with their new contents.
    pub(crate) replacements: Vec<(PathBuf, Vec<u8>)>,
}

impl SyncRequest {
    /// The offset up to which the log is durable when the sync has succeeded.
    pub fn end(&self) -> Offset {
        self.point.end
    }
}
