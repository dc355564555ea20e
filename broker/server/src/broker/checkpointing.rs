//! High watermarks and recovery points are saved now and then, and whenever something depends on it: of each
//! log directory beside the others, so that a disk that hangs holds up nothing but what is on it.

use std::fmt::Display;

use broker_model::{PartitionId, TopicPartition};
use broker_storage::LogDir;
use tokio::sync::OwnedMutexGuard;
use tracing::error;

use super::hosting::Hosting;
use crate::topics::HostedPartition;

impl Hosting {
    /// Saves high watermarks and recovery points, where that is not being done already.
    pub(super) fn write_checkpoints(&self) {
        self.note_high_watermarks();
        for (dir, alone) in self.dirs.all().iter().zip(&self.checkpointing) {
            if let Ok(alone) = alone.clone().try_lock_owned() {
                actix_rt::spawn(carry_out(dir.clone(), alone, LogDir::write_checkpoints));
            }
        }
    }

    /// The same in one directory, after what is under way and once for all who have asked until it begins: `take`
    /// takes those, who are answered.
    pub(super) async fn write_checkpoints_for<T>(
        &self,
        dir: usize,
        take: impl FnOnce() -> Vec<T>,
    ) -> Vec<T> {
        let alone = self.alone_in(dir).await;
        let covered = take();
        if !covered.is_empty() {
            self.note_high_watermarks();
            carry_out(
                self.dirs.all()[dir].clone(),
                alone,
                LogDir::write_checkpoints,
            )
            .await;
        }
        covered
    }

    /// Marks a directory as cleanly stopped.
    pub(super) async fn close_clean(&self, dir: usize) {
        let alone = self.alone_in(dir).await;
        carry_out(self.dirs.all()[dir].clone(), alone, LogDir::close_clean).await;
    }

    async fn alone_in(&self, dir: usize) -> OwnedMutexGuard<()> {
        self.checkpointing[dir].clone().lock_owned().await
    }

    fn note_high_watermarks(&self) {
        for topic in self.topics.all().values() {
            for (number, partition) in (0_u32..).zip(topic.partitions.iter()) {
                if let HostedPartition::Online(handle) = partition {
                    let name = TopicPartition::new(topic.name.clone(), PartitionId::new(number));
                    self.dirs
                        .record_high_watermark(&name, handle.offsets().high_watermark);
                }
            }
        }
    }
}

/// Does the work on a blocking thread, which keeps others out until it is done.
async fn carry_out<E: Display + Send + 'static>(
    dir: LogDir,
    alone: OwnedMutexGuard<()>,
    work: fn(&LogDir) -> Result<(), E>,
) {
    let done = actix_rt::task::spawn_blocking(move || {
        let _alone = alone;
        if let Err(problem) = work(&dir) {
            error!(dir = %dir.path().display(), %problem, "writing checkpoints failed");
        }
    });
    if let Err(problem) = done.await {
        error!(%problem, "writing checkpoints panicked");
    }
}
