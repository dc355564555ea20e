//! Partitions that could not be opened for a reason that passes, such as a full disk or no file descriptor, are
//! tried again until they can be.

use std::sync::Arc;

use broker_model::{PartitionId, TopicPartition};

use super::hanging::hanging;
use super::hosting::{Assignment, Hosting};
use crate::topics::{HostedPartition, Outlook};

impl Hosting {
    /// Partitions whose logs could not be opened for want of room or file descriptors.
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

    /// Tries again to open such a partition.
    pub(super) async fn open_again(self: &Arc<Self>, partition: &TopicPartition) {
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
        if hanging(&self.dirs.place(partition, topic.id)).is_some() {
            return;
        }
        let opened = self
            .start_partition(Assignment {
                partition: partition.clone(),
                topic_id: topic.id,
                leader_epoch: state.leader_epoch,
                settings: hosted.settings(),
                stats: Arc::default(),
            })
            .await;
        self.replace(&partition.topic, [(partition.partition, opened)]);
    }
}
