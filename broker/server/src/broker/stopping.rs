//! The end of a broker: each log directory is closed beside the others, so that a disk that hangs leaves those
//! cleanly stopped.

use std::sync::atomic::Ordering;
use std::time::Duration;

use broker_storage::LogDir;
use tracing::warn;

use super::hanging::however_long;
use super::hosting::Hosting;
use crate::controller::MetadataLog;
use crate::partition::PartitionHandle;
use crate::topics::HostedPartition;

/// How long cleaning and scrubbing, which have been told to end, are waited for, and logs that are being opened.
const BACKGROUND_STOP_MAX: Duration = Duration::from_secs(10);

impl Hosting {
    /// Closes every partition, then marks the directories as cleanly stopped, as far as everything in them was
    /// closed.
    pub(super) async fn close_all(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let background = futures::future::join(self.cleaner.stop(), self.scrubber.stop());
        if tokio::time::timeout(BACKGROUND_STOP_MAX, background)
            .await
            .is_err()
        {
            warn!("a cleaning or a scrub does not end: it waits for a disk, and is left alone");
        }
        let dirs = self.dirs.all().iter().enumerate();
        let closing = dirs.map(async |(index, dir)| {
            let partitions = self.partitions_in(dir);
            let stuck = || partitions.iter().find_map(PartitionHandle::stuck);
            however_long(dir, stuck, self.close_dir(index, dir, &partitions)).await;
        });
        futures::future::join_all(closing).await;
    }

    async fn close_dir(&self, index: usize, dir: &LogDir, partitions: &[PartitionHandle]) {
        if self.dirs.index_of(&MetadataLog::partition()) == index {
            self.controller.close().await;
        }
        let closing = partitions.iter().map(PartitionHandle::close);
        let late = tokio::time::timeout(BACKGROUND_STOP_MAX, self.close_late(index));
        // One that could not be closed keeps its directory from being marked.
        let (_, late) = futures::future::join(futures::future::join_all(closing), late).await;
        match late {
            Ok(()) => self.close_clean(index).await,
            Err(_) => {
                let dir = dir.path().display();
                warn!(%dir, "not marked as cleanly stopped: its disk has not opened a log so far; the next start looks at what was written");
                self.write_checkpoints_for(index, || vec![()]).await;
            }
        }
    }

    fn partitions_in(&self, dir: &LogDir) -> Vec<PartitionHandle> {
        let topics = self.topics.all();
        let partitions = topics.values().flat_map(|topic| topic.partitions.iter());
        let online = partitions.filter_map(|partition| match partition {
            HostedPartition::Online(handle) => Some(handle),
            HostedPartition::Offline { .. } => None,
        });
        let here = online.filter(|handle| handle.dir().path() == dir.path());
        here.cloned().collect()
    }
}
