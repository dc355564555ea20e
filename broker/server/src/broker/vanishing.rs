//! Partitions whose files somebody removes while the broker runs: they are missed within a second, by
//! whoever reads or writes them at once, and are offline from then on. No other partition is disturbed.

use broker_model::{TopicId, TopicPartition};
use tracing::error;

use super::hosting::Hosting;
use crate::log_dirs::LogDirs;
use crate::topics::HostedPartition;

impl Hosting {
    /// Looks whether the directories of the partitions are still there.
    pub(super) async fn look_for_partitions(&self) {
        let dirs = self.dirs.clone();
        let looked = actix_rt::task::spawn_blocking(move || LogDirs::look_for_partitions(&dirs));
        // A look that panicked is made up for by the next.
        for missing in looked.await.unwrap_or_default() {
            match self.online(&missing) {
                Some(HostedPartition::Online(handle)) => handle.look_for_files(),
                _ if missing.topic.is_reserved() => {
                    error!(partition = %missing, "its directory was removed while the broker is running: topics cannot be changed any more; stop the broker and restore it from a copy");
                }
                _ => {}
            }
        }
    }

    /// Takes a partition out of service whose files were removed. What was acknowledged is noted, so that
    /// none of its offsets is given out again.
    pub(super) async fn give_up(&self, partition: &TopicPartition, id: TopicId, reason: &str) {
        let hosted = self.topics.get(partition.topic.as_str());
        if hosted.is_none_or(|hosted| hosted.id != id) {
            return;
        }
        self.write_checkpoints_now().await;
        self.set_offline(partition, reason);
    }

    fn online(&self, partition: &TopicPartition) -> Option<HostedPartition> {
        let hosted = self.topics.get(partition.topic.as_str())?;
        hosted.partition(partition.partition).cloned()
    }
}
