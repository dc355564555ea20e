//! `Topics`: which topics there are, as the metadata says. Whoever can read that fills it in; the directories of
//! partitions, which say themselves whose data they hold, are compared with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use broker_model::{PartitionId, TopicId, TopicName, TopicPartition};

use super::{Finding, FindingKind};
use crate::small_file::PartitionMetadata;

/// Which topics there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    /// Their ids, by name.
    pub ids: BTreeMap<TopicName, TopicId>,
    /// Ids of those that were deleted.
    pub deleted: BTreeSet<TopicId>,
}

impl Topics {
    /// What is wrong with the directory of a partition that holds the data of this topic.
    pub(super) fn check(
        &self,
        dir: &Path,
        partition: &TopicPartition,
        found: TopicId,
    ) -> Option<Finding> {
        let topic = &partition.topic;
        let expected = match topic.is_cluster_metadata() {
            true => Some(TopicId::CLUSTER_METADATA),
            false => self.ids.get(topic).copied(),
        };
        if expected == Some(found) {
            return None;
        }
        if self.deleted.contains(&found) {
            let what = format!("it holds the data of a topic that was deleted, with id {found}");
            let then = "the deletion was interrupted: the next start completes it";
            return Some(about(dir, FindingKind::Unfinished, what, then));
        }
        let mut names = self.ids.iter().filter(|(_, id)| **id == found);
        let whose = names.next().map(|(name, _)| name);
        let holds = match whose {
            Some(name) => format!("the directory holds the data of topic {name}, with id {found}"),
            None => format!("the directory holds the data of a topic with id {found}"),
        };
        match expected {
            Some(expected) => {
                let what = format!("{holds}; that of {topic} is {expected}");
                let then = match topic.is_cluster_metadata() {
                    true => Finding::METADATA,
                    false => {
                        "the partition is offline: stop the broker and give each directory its own name again; if the right one is gone for good, move this one away and make an empty directory of this name, and the log begins behind the offsets it had"
                    }
                };
                Some(about(dir, FindingKind::Damage, what, then))
            }
            None if whose.is_some() => {
                let what = format!("{holds}; the metadata knows no topic {topic}");
                let then = "the partition whose data it is stays offline: stop the broker and give the directory its own name again";
                Some(about(dir, FindingKind::Damage, what, then))
            }
            None => {
                let what = format!("{holds}, which the metadata does not know");
                let then = "it is left alone, and nobody can read it: remove it when what is in it is not needed";
                Some(about(dir, FindingKind::Note, what, then))
            }
        }
    }
}

/// What is wrong with the directory of a partition of this number that says of which it is.
pub(super) fn check_number(
    dir: &Path,
    found: PartitionMetadata,
    number: PartitionId,
) -> Option<Finding> {
    let found = found.other_than(number)?;
    let what = format!("the directory holds the data of partition {found}");
    let then = "the partition is offline until each directory has its own name again";
    Some(about(dir, FindingKind::Damage, what, then))
}

fn about(dir: &Path, kind: FindingKind, what: String, then: &str) -> Finding {
    Finding {
        kind,
        file: dir.join(PartitionMetadata::FILE),
        position: None,
        offset: None,
        what,
        then: then.to_owned(),
    }
}
