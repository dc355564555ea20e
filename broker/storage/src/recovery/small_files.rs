//! The small files of a partition, as a recovery reads and writes them: what the log has, too, may be damaged, or
//! find no room.

use super::OpenRequest;
use crate::log_dir::OpenLogError;
use crate::small_file::{CleanerCheckpoint, KnownLosses, LeaderEpochs, SmallFile, SmallFileError};

/// On a full disk a log can be read all the same, without what was to be written.
pub(super) fn unless_full(
    written: Result<(), SmallFileError>,
    then: &str,
) -> Result<(), SmallFileError> {
    match written {
        Err(error) if error.is_no_space() => {
            tracing::warn!(%error, then, "not written, the disk is full");
            Ok(())
        }
        done => done,
    }
}

pub(super) fn load_epochs(request: &OpenRequest) -> Result<Option<LeaderEpochs>, OpenLogError> {
    let file = request.dir.join(LeaderEpochs::FILE);
    match LeaderEpochs::load(&*request.shared.io, &file) {
        Err(error @ SmallFileError::Damaged { .. }) => {
            tracing::warn!(%error, "leader epochs are made anew");
            Ok(None)
        }
        other => Ok(other?),
    }
}

pub(super) fn load_losses(request: &OpenRequest) -> Result<KnownLosses, OpenLogError> {
    let file = request.dir.join(KnownLosses::FILE);
    match KnownLosses::load(&*request.shared.io, &file) {
        Err(error @ SmallFileError::Damaged { .. }) => {
            tracing::warn!(%error, "what was lost with the power earlier is not told any more");
            Ok(KnownLosses::default())
        }
        other => Ok(other?.unwrap_or_default()),
    }
}

pub(super) fn load_cleaned(request: &OpenRequest) -> Result<CleanerCheckpoint, OpenLogError> {
    let file = request.dir.join(CleanerCheckpoint::FILE);
    match CleanerCheckpoint::load(&*request.shared.io, &file) {
        Err(error @ SmallFileError::Damaged { .. }) => {
            tracing::warn!(%error, "everything counts as not cleaned");
            Ok(CleanerCheckpoint::default())
        }
        other => Ok(other?.unwrap_or_default()),
    }
}
