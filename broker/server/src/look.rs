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

    /// Notes what the next start has to know of the clock; asks the file system how much room there is, and whether the
    /// directories of open logs are there; answers those that are not.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use broker_model::{BrokerId, ManualClock, Timestamp};
    use broker_storage::LogDirOptions;

    use super::*;

    #[actix_rt::test]
    async fn a_look_notes_a_clock_that_has_got_far_ahead() {
        let temp = tempfile::tempdir().unwrap();
        let [clock, wall] = [0; 2].map(|at| ManualClock::at(Timestamp::from_millis(at)));
        let (clock, wall) = (Arc::new(clock), Arc::new(wall));
        let mut options = LogDirOptions::new(temp.path(), BrokerId::new(1));
        options.clock = clock;
        options.wall_clock = Some(wall.clone());
        let dir = LogDir::open(options).unwrap();
        let note = temp.path().join("clock-doubt");
        for (ahead, is_noted) in [(0, false), (200_000_000, true), (0, false)] {
            wall.set_wall(Timestamp::from_millis(ahead));
            let alone = Arc::<tokio::sync::Mutex<()>>::default().lock_owned().await;
            assert_eq!(Look::new(dir.clone(), alone).carry_out(), []);
            assert_eq!(note.exists(), is_noted, "{ahead}");
        }
    }
}
