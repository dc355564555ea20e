//! Partitions that are in two log directories of one broker: which of them is the newer one nobody can tell but an
//! operator.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use broker_model::{TopicId, TopicPartition};
use uuid::Uuid;

use super::{Finding, FindingKind, PartitionDir, partitions};
use crate::io::Io;
use crate::small_file::{MetaProperties, PartitionMetadata, SmallFile};

/// What is wrong with these log directories taken together. What cannot be read is told elsewhere.
pub fn check_twice(io: &dyn Io, log_dirs: &[&Path]) -> Vec<Finding> {
    let identities = log_dirs.iter().map(|log_dir| {
        let identity = MetaProperties::load(io, &log_dir.join(MetaProperties::FILE));
        identity.ok().flatten().map(|identity| identity.cluster_id)
    });
    let clusters: Vec<Option<Uuid>> = identities.collect();
    // One without an identity is taken for one of the others.
    let some_cluster = clusters.iter().copied().flatten().next();
    let mut known: BTreeMap<_, (Option<TopicId>, PathBuf)> = BTreeMap::new();
    let mut found = Vec::new();
    for (log_dir, cluster) in log_dirs.iter().zip(clusters) {
        for PartitionDir { partition, path } in partitions(io, log_dir).unwrap_or_default() {
            let metadata = PartitionMetadata::load(io, &path.join(PartitionMetadata::FILE));
            let id = metadata.ok().flatten().map(|metadata| metadata.topic_id);
            let key = (cluster.or(some_cluster), partition);
            let Some((other_id, other)) = known.get(&key) else {
                known.insert(key, (id, path));
                continue;
            };
            // Of two topics, one is deleted: the metadata says which.
            let is_of_another = id.is_some() && other_id.is_some() && id != *other_id;
            if *other != path && (!is_of_another || key.1.topic.is_reserved()) {
                found.push(finding(&key.1, other, path));
            }
        }
    }
    found
}

fn finding(partition: &TopicPartition, other: &Path, path: PathBuf) -> Finding {
    Finding {
        kind: FindingKind::Damage,
        file: path,
        position: None,
        offset: None,
        what: format!(
            "partition {partition} is in {} too, in another directory of log.dirs",
            other.display()
        ),
        then: "it does not start with both directories: move the one of the two away that is the older (its end is the lower one, as a rule)".to_owned(),
    }
}
