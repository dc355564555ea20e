//! Partitions that could not be opened for a reason that passes, such as a full disk or no file descriptor, are
//! tried again until they can be, and so are modules of plugins; those whose actor panicked get another one at once.

use std::sync::Arc;

use broker_model::{PartitionId, TopicPartition};
use tracing::{error, info};

use super::hosting::{Assignment, Hosting};
use super::opening::Patience;
use crate::topics::{HostedPartition, Outlook};

impl Hosting {
    /// Partitions whose logs could not be opened for a reason that passes.
    pub(super) fn waiting_to_open(&self) -> Vec<TopicPartition> {
        let mut waiting = Vec::new();
        for topic in self.topics.all().values() {
            for (number, partition) in (0_u32..).zip(topic.partitions.iter()) {
                if let HostedPartition::Offline {
                    outlook: Outlook::Passing,
                    ..
                } = partition
                {
                    let number = PartitionId::new(number);
                    waiting.push(TopicPartition::new(topic.name.clone(), number));
                }
            }
        }
        waiting
    }

    /// Tries again to open such a partition, which nobody waits for.
    pub(super) fn open_again(self: &Arc<Self>, partition: &TopicPartition) {
        let metadata = self.metadata.load_full();
        let index = usize::try_from(partition.partition.get()).unwrap_or(usize::MAX);
        let (Some(topic), Some(hosted)) = (
            metadata.topic(partition.topic.as_str()),
            self.topics.get(partition.topic.as_str()),
        ) else {
            return;
        };
        let Some(state) = topic
            .partitions
            .get(index)
            .filter(|_| hosted.id == topic.id)
        else {
            return;
        };
        let opening = self.begin_opening(Assignment {
            partition: partition.clone(),
            topic_id: topic.id,
            leader_epoch: state.leader_epoch,
            settings: hosted.settings(),
            stats: Arc::default(),
        });
        drop(opening);
    }

    /// Tries the modules of plugins again that could not be read for a reason that passes.
    pub(super) async fn read_modules_again(&self) {
        if !self.plugins.has_unread() {
            return;
        }
        let plugins = self.plugins.clone();
        let reading = actix_rt::task::spawn_blocking(move || plugins.readable_again());
        let readable = reading.await.unwrap_or_default();
        if !readable.is_empty() {
            self.handle().modules_readable(readable);
        }
    }

    /// Opens the log of a partition whose actor panicked and starts another actor on it.
    pub(super) async fn restart_partition(self: &Arc<Self>, partition: &TopicPartition) {
        let metadata = self.metadata.load_full();
        let Some(topic) = metadata.topic(partition.topic.as_str()) else {
            return;
        };
        let index = usize::try_from(partition.partition.get()).unwrap_or(usize::MAX);
        let Some(hosted) = self.topics.get(partition.topic.as_str()) else {
            return;
        };
        let Some(HostedPartition::Online(dead)) = hosted.partitions.get(index) else {
            return;
        };
        let Some(state) = topic.partitions.get(index) else {
            return;
        };
        dead.stats().restarted();
        let assignment = Assignment {
            partition: partition.clone(),
            topic_id: topic.id,
            leader_epoch: state.leader_epoch,
            settings: hosted.settings(),
            stats: dead.stats().clone(),
        };
        let restarted = self
            .start_partition(assignment, Patience::UntilItHangs)
            .await;
        match &restarted {
            HostedPartition::Online(_) => info!(%partition, "partition started again"),
            HostedPartition::Offline { reason, .. } => {
                error!(%partition, reason, "a partition is offline: its log cannot be opened again");
            }
        }
        self.replace(&partition.topic, [(partition.partition, restarted)]);
    }
}
