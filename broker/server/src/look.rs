//! `Look`: one look at a log directory, on a thread of its own: how much room there is, and whether the
//! directories of open logs are still there; a clock that was moved is noted in it. On a disk that hangs it may take
//! for ever.

use broker_model::TopicPartition;
use broker_storage::LogDir;
use tokio::sync::OwnedMutexGuard;
use tracing::debug;

/// A look at a directory.
pub(crate) struct Look {
    dir: LogDir,
    _alone: OwnedMutexGuard<()>,
}

impl Look {
    /// A look at `dir`; nobody begins another one while `alone` is held.
    pub(crate) fn new(dir: LogDir, alone: OwnedMutexGuard<()>) -> Self {
        Self { dir, _alone: alone }
    }

    /// Notes what the next start has to know of the clock; asks the file system how much room there is, and whether the directories of open logs are there;
    /// answers those that are not.
    pub(crate) fn carry_out(self) -> Vec<TopicPartition> {
        let path = self.dir.path().display();
        if let Err(error) = self.dir.look_at_clock() {
            debug!(dir = %path, %error, "the next start may believe a clock that is far ahead");
        }
        if let Err(error) = self.dir.look_at_space() {
            debug!(dir = %path, %error, "the room on the disk is not known");
        }
        let missing = self.dir.look_for_partitions();
        missing.unwrap_or_else(|error| {
            debug!(dir = %path, %error, "it cannot be listed");
            Vec::new()
        })
    }
}
