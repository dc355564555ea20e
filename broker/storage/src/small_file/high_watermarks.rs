//! `replication-offset-checkpoint`: the high watermark of every partition of a directory, as of the
//! last time it was written. A lower bound after a crash, never more than the log's end.
//!
//! One line a partition: `{topic} {partition} {offset}`.

use std::collections::BTreeMap;

use broker_model::{Offset, PartitionId, TopicName, TopicPartition};

use super::{SmallFile, word};

/// High watermarks by partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HighWatermarks(pub(crate) BTreeMap<TopicPartition, Offset>);

impl HighWatermarks {
    pub(crate) const FILE: &str = "replication-offset-checkpoint";
}

impl SmallFile for HighWatermarks {
    fn write_lines(&self, text: &mut String) {
        for (partition, offset) in &self.0 {
            text.push_str(&format!(
                "{} {} {offset}\n",
                partition.topic, partition.partition
            ));
        }
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        // Made in one go, and with one name for each topic: there may be many thousand.
        let mut found: Vec<(TopicPartition, Offset)> = Vec::with_capacity(lines.len());
        for line in lines {
            let mut words = line.split(' ');
            let topic: String = word(&mut words, "topic")?;
            let topic = match found.last() {
                Some((last, _)) if last.topic.as_str() == topic => last.topic.clone(),
                _ => TopicName::new(&topic).map_err(|error| error.to_string())?,
            };
            let partition = PartitionId::new(word(&mut words, "partition")?);
            let offset = Offset::new(word(&mut words, "offset")?);
            found.push((TopicPartition::new(topic, partition), offset));
        }
        Ok(Self(found.into_iter().collect()))
    }
}
