//! Partitions whose files somebody removes while the broker runs: they are missed within a second, by
//! whoever reads or writes them at once, and are offline from then on. No other partition is disturbed.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_model::{PartitionId, TopicId, TopicName, TopicPartition};

use super::hosting::Hosting;
use super::messages::PartitionVanished;
use crate::controller::MetadataLog;
use crate::offline::Offline;
use crate::topics::HostedPartition;

impl Hosting {
    /// Looks at the log directories, what room there is and whether their partitions are still there: beside
    /// each other, so that a disk that hangs holds up nothing but the looks at itself.
    pub(super) fn look_at_dirs(self: &Arc<Self>) {
        self.dirs.clock_doubt().look();
        for look in self.dirs.looks() {
            let hosting = self.clone();
            actix_rt::spawn(async move {
                let looked = actix_rt::task::spawn_blocking(move || look.carry_out());
                // A look that panicked is made up for by the next.
                hosting.miss(looked.await.unwrap_or_default());
                hosting.read_modules_again().await;
            });
        }
    }

    fn miss(&self, partitions: Vec<TopicPartition>) {
        for missing in partitions {
            match self.online(&missing) {
                Some(HostedPartition::Online(handle)) => handle.look_for_files(),
                _ if missing == MetadataLog::partition() => {
                    self.controller.handle.look_for_files();
                }
                _ => {}
            }
        }
    }

    /// Takes partitions out of service whose files were removed. What was acknowledged has to be noted before,
    /// so that none of their offsets is given out again.
    pub(super) fn give_up(&self, vanished: Vec<PartitionVanished>) {
        let mut by_topic: BTreeMap<(TopicName, TopicId), Vec<(PartitionId, String)>> =
            BTreeMap::new();
        let mut told = Offline::default();
        for gone in vanished {
            let topic = (gone.partition.topic, gone.topic_id);
            let partitions = by_topic.entry(topic).or_default();
            partitions.push((gone.partition.partition, gone.reason));
        }
        for ((topic, id), partitions) in by_topic {
            let hosted = self.topics.get(topic.as_str());
            if hosted.is_some_and(|hosted| hosted.id == id) {
                for (number, reason) in &partitions {
                    told.add(TopicPartition::new(topic.clone(), *number), reason);
                }
                self.set_offline(&topic, partitions);
            }
        }
        told.tell("files of partitions were removed, cut or replaced");
    }

    fn online(&self, partition: &TopicPartition) -> Option<HostedPartition> {
        let hosted = self.topics.get(partition.topic.as_str())?;
        hosted.partition(partition.partition).cloned()
    }
}
