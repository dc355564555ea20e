//! `Offline`: partitions that are out of service, gathered by the reason: what one disk takes with it is
//! one line of the log and one warning, however many partitions that are.

use std::collections::BTreeMap;

use broker_model::TopicPartition;
use tracing::error;

/// So many partitions are named; the others are counted.
const NAMED: usize = 5;

/// Partitions by the reason why they are offline.
#[derive(Debug, Default)]
pub(crate) struct Offline {
    by_reason: BTreeMap<String, Vec<TopicPartition>>,
}

impl Offline {
    pub(crate) fn add(&mut self, partition: TopicPartition, reason: &str) {
        match self.by_reason.get_mut(reason) {
            Some(partitions) => partitions.push(partition),
            None => drop(self.by_reason.insert(reason.to_owned(), vec![partition])),
        }
    }

    /// A line of the log for each reason.
    pub(crate) fn tell(&self) {
        for (problem, partitions) in &self.by_reason {
            let (count, names) = (partitions.len(), names(partitions));
            error!(count, partitions = %names, problem, "offline: logs of partitions cannot be opened");
        }
    }

    /// A sentence for each reason, in the order of the partitions' names.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let all = self.by_reason.iter();
        let mut warnings: Vec<String> = all
            .map(|(reason, partitions)| match partitions.as_slice() {
                [one] => format!("partition {one} is offline: {reason}"),
                many => format!("partitions {} are offline: {reason}", names(many)),
            })
            .collect();
        warnings.sort();
        warnings
    }
}

fn names(partitions: &[TopicPartition]) -> String {
    let named: Vec<String> = partitions
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let named = named.join(", ");
    match partitions.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use broker_model::{PartitionId, TopicName};

    use super::*;

    fn partition(number: u32) -> TopicPartition {
        let topic = TopicName::new("t").unwrap();
        TopicPartition::new(topic, PartitionId::new(number))
    }

    #[test]
    fn partitions_with_one_reason_are_one_warning_that_names_the_first_of_them() {
        let mut offline = Offline::default();
        (0..152).for_each(|number| offline.add(partition(number), "disk b is gone"));
        offline.add(partition(700), "its index is a directory");
        assert_eq!(
            offline.warnings(),
            [
                "partition t-700 is offline: its index is a directory",
                "partitions t-0, t-1, t-2, t-3, t-4 and 147 more are offline: disk b is gone",
            ]
        );
        assert!(Offline::default().warnings().is_empty());
    }
}
