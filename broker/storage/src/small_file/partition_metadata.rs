//! `partition.metadata`: whose records a partition directory holds, so that a topic deleted and created
//! again under its old name never reads the old one's data, and directories that change places are
//! noticed. Version 1 has the topic alone.

use broker_model::{PartitionId, TopicId};

use super::{SmallFile, value_of};

/// The topic id and the number of a partition directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    pub(crate) topic_id: TopicId,
    /// `None` in a file of version 1.
    pub(crate) partition: Option<PartitionId>,
}

impl PartitionMetadata {
    pub(crate) const FILE: &str = "partition.metadata";

    /// The number in it, where it is another than the directory's.
    pub(crate) fn other_than(&self, partition: PartitionId) -> Option<PartitionId> {
        self.partition.filter(|found| *found != partition)
    }
}

impl SmallFile for PartitionMetadata {
    const VERSION: u32 = 2;

    fn write_lines(&self, text: &mut String) {
        text.push_str(&format!("topic_id={}\n", self.topic_id));
        if let Some(partition) = self.partition {
            text.push_str(&format!("partition={partition}\n"));
        }
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        let topic_id = value_of(lines, "topic_id")?
            .parse()
            .map_err(|_| "its topic_id is no UUID".to_owned())?;
        let partition = match value_of(lines, "partition") {
            Ok(number) => Some(number.parse().map_err(|_| "its partition is no number")?),
            Err(_) => None,
        };
        Ok(Self {
            topic_id,
            partition: partition.map(PartitionId::new),
        })
    }
}
