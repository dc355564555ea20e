//! The end of topics: their partitions are closed, their files deleted and what is known of them forgotten, also
//! when a crash came in between, or the files have gone by themselves.

use std::sync::Arc;

use broker_cluster::ClusterMetadata;
use broker_model::{PartitionId, TopicId, TopicName, TopicPartition};
use broker_storage::LogDirError;
use futures::StreamExt;
use tracing::{error, info, warn};

use super::hanging::{hanging, unless};
use super::hosting::{Hosting, OPENS_AT_ONCE};
use crate::topics::HostedPartition;

impl Hosting {
    pub(super) async fn drop_topic(self: &Arc<Self>, name: &TopicName, id: TopicId) {
        let Some(hosted) = self
            .topics
            .get(name.as_str())
            .filter(|hosted| hosted.id == id)
        else {
            return;
        };
        self.topics.remove(name);
        let numbered = (0_u32..).zip(hosted.partitions.iter());
        let deleting = numbered.map(async |(number, hosted)| {
            let partition = TopicPartition::new(name.clone(), PartitionId::new(number));
            self.delete_partition(partition, id, hosted.clone()).await;
        });
        let mut deleted = futures::stream::iter(deleting).buffer_unordered(OPENS_AT_ONCE);
        while deleted.next().await.is_some() {}
        info!(topic = %name, "topic deleted");
    }

    /// Ends a partition and deletes its files. Where its disk hangs or its thread is stuck that goes on without anybody
    /// waiting for it.
    async fn delete_partition(
        self: &Arc<Self>,
        partition: TopicPartition,
        id: TopicId,
        hosted: HostedPartition,
    ) {
        let dir = self.dirs.begin_deletion(&partition, id);
        let (hosting, name, online) = (self.clone(), partition.clone(), hosted.clone());
        let deleting = actix_rt::spawn(async move {
            if let HostedPartition::Online(handle) = online {
                // An actor that died instead has closed its log all the same.
                let _ = handle.close().await;
            }
            hosting.delete_files(name, id).await;
        });
        let hangs = || {
            let stuck = match &hosted {
                HostedPartition::Online(handle) => handle.stuck(),
                HostedPartition::Offline { .. } => None,
            };
            stuck.or_else(|| dir.as_ref().and_then(hanging))
        };
        let deleted = match hangs() {
            Some(reason) => Err(reason),
            None => unless(hangs, deleting).await,
        };
        if let Err(reason) = deleted {
            warn!(%partition, reason, "files of a deleted partition stay until that goes on");
        }
    }

    async fn delete_files(&self, partition: TopicPartition, id: TopicId) {
        let (dirs, name) = (self.dirs.clone(), partition.clone());
        let place = self.dirs.place_at_work(&partition).await;
        let deleting = actix_rt::task::spawn_blocking(move || {
            let _place = place;
            dirs.delete_log(&name, id)
        });
        match deleting.await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => {
                error!(%partition, %problem, "files of a deleted partition are left behind");
            }
            Err(problem) => error!(%partition, %problem, "deleting a partition's files panicked"),
        }
    }

    /// Deletes the files of topics whose deletion was committed but cut short by a crash, and names
    /// directories that no metadata knows. Those are left alone: absence is no order to delete.
    ///
    /// # Errors
    /// When a partition is in two directories, and neither copy is a deleted topic's.
    pub(crate) async fn finish_deletions(
        &self,
        deleted: &[TopicId],
        metadata: &ClusterMetadata,
    ) -> Result<(), LogDirError> {
        self.dirs.settle_doubles(deleted)?;
        for (partition, id) in self.dirs.partitions() {
            let topic = metadata.topic(partition.topic.as_str());
            let wanted = topic.is_some_and(|topic| id.is_none_or(|id| topic.id == id));
            match id {
                Some(id) if deleted.contains(&id) => self.delete_files(partition, id).await,
                _ if wanted || partition.topic.is_reserved() => {}
                _ => warn!(%partition, "a directory belongs to no topic and is left alone"),
            }
        }
        self.forget(deleted).await;
        Ok(())
    }

    /// Partitions of deleted topics whose directories were gone already.
    async fn forget(&self, deleted: &[TopicId]) {
        let (dirs, deleted) = (self.dirs.clone(), deleted.to_vec());
        let forgotten = actix_rt::task::spawn_blocking(move || dirs.forget(&deleted)).await;
        if let Err(problem) = forgotten {
            error!(%problem, "forgetting deleted topics panicked");
        }
    }
}
