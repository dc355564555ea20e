//! High watermarks and recovery points are saved now and then, and whenever something depends on it.

use std::cell::RefCell;

use broker_model::{PartitionId, TopicPartition};
use broker_storage::LogDir;
use tracing::error;

use super::hosting::Hosting;
use crate::topics::HostedPartition;

impl Hosting {
    /// Saves high watermarks and recovery points.
    pub(super) async fn write_checkpoints(&self) {
        let Ok(_writing) = self.checkpointing.try_lock() else {
            return;
        };
        self.note_high_watermarks();
        self.on_each_dir(LogDir::write_checkpoints).await;
    }

    /// The same, after what is under way, and once for all who have asked until it begins: those are answered.
    pub(super) async fn write_checkpoints_for<T>(&self, asked: &RefCell<Vec<T>>) -> Vec<T> {
        let _writing = self.checkpointing.lock().await;
        let covered = asked.take();
        if !covered.is_empty() {
            self.note_high_watermarks();
            self.on_each_dir(LogDir::write_checkpoints).await;
        }
        covered
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

    pub(super) async fn on_each_dir<E: std::fmt::Display + Send + 'static>(
        &self,
        work: fn(&LogDir) -> Result<(), E>,
    ) {
        let dirs = self.dirs.clone();
        let done = actix_rt::task::spawn_blocking(move || {
            for dir in dirs.all() {
                if let Err(problem) = work(dir) {
                    error!(dir = %dir.path().display(), %problem, "writing checkpoints failed");
                }
            }
        });
        if let Err(problem) = done.await {
            error!(%problem, "writing checkpoints panicked");
        }
    }
}
