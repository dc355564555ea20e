//! `partition.metadata`: which topic a partition directory belongs to, so that a topic deleted and
//! created again under its old name never reads the old one's data.

use broker_model::TopicId;

use super::{SmallFile, value_of};

/// The topic id of a partition directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    pub(crate) topic_id: TopicId,
}

impl PartitionMetadata {
    pub(crate) const FILE: &str = "partition.metadata";
}

impl SmallFile for PartitionMetadata {
    fn write_lines(&self, text: &mut String) {
        text.push_str(&format!("topic_id={}\n", self.topic_id));
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        let topic_id = value_of(lines, "topic_id")?
            .parse()
            .map_err(|_| "its topic_id is no UUID".to_owned())?;
        Ok(Self { topic_id })
    }
}
