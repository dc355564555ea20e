//! `NotOpened`: why a partition's log was not opened, as its clients are told, and whether that passes by itself.

use broker_storage::OpenLogError;

use crate::left_out::LeftOut;

/// Why a partition's log was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpened {
    /// It was tried.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// It may be in a directory that the broker was started without.
    #[error("its log is in none of log.dirs, and {left_out}")]
    LeftOut { left_out: LeftOut },
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
