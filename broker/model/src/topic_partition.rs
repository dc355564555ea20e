//! `TopicPartition`: a topic and one of its partitions, and the directory name the pair has on disk.

use std::fmt;

use crate::{PartitionId, TopicName};

/// One partition of one topic. Displays as its directory name, `{topic}-{partition}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition, from 0.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// Pairs the two.
    pub const fn new(topic: TopicName, partition: PartitionId) -> Self {
        Self { topic, partition }
    }

    /// Reads a directory name back; `None` when it is not `{topic}-{partition}` in its one spelling.
    pub fn from_dir_name(name: &str) -> Option<Self> {
        let (topic, digits) = name.rsplit_once('-')?;
        let partition: u32 = digits.parse().ok()?;
        let found = Self::new(TopicName::new(topic).ok()?, PartitionId::new(partition));
        (found.to_string() == name).then_some(found)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_names_are_read_back_exactly() {
        for name in ["orders-0", "a-b-17", "x.y_z-4294967295"] {
            let parsed = TopicPartition::from_dir_name(name).map(|tp| tp.to_string());
            assert_eq!(parsed.as_deref(), Some(name));
        }
        for bad in [
            "orders",
            "orders-",
            "orders-01",
            "orders-+1",
            "-0",
            "a b-0",
            "orders--1x",
        ] {
            assert_eq!(TopicPartition::from_dir_name(bad), None, "{bad:?}");
        }
    }
}
