//! `NotOpened`: why a partition's log was not opened, as its clients are told, and whether that passes by itself.

use std::path::PathBuf;

use broker_storage::OpenLogError;

/// Why a partition's log was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpened {
    /// It was tried.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// It may be in a directory that the broker was started without.
    #[error("its log is in none of log.dirs, and {} is left out, which this broker has kept data in: put it back into log.dirs and restart the broker", list(.left_out))]
    LeftOut { left_out: Vec<PathBuf> },
    /// The files of an earlier partition of its name are still being deleted.
    #[error(
        "the files of an earlier topic of this name are still being deleted, which the disk takes long for"
    )]
    NameInUse,
    /// Somebody who did not wait for the end of it has begun to open it.
    #[error("it is still being opened, which the disk takes long for")]
    UnderWay,
}

impl NotOpened {
    /// Whether it may be opened later, without anybody's doing.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Log(error) => error.is_passing(),
            Self::LeftOut { .. } => false,
            Self::NameInUse | Self::UnderWay => true,
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(" and ")
}
