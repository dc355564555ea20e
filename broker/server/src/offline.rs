//! `Offline`: partitions that are out of service, gathered by the reason: what one disk takes with it is
//! one line of the log and one warning, however many partitions that are.

use std::collections::BTreeMap;

use broker_model::{PartitionId, TopicPartition};
use tracing::error;

use crate::topics::{HostedPartition, HostedTopic, Topics};

/// So many partitions are named; the others are counted.
const NAMED: usize = 5;

/// What stands for the name of a partition's own directory in a reason that several have.
const OWN: &str = "<partition>";

/// Partitions by the reason why they are offline. Reasons that differ in the name of the partition's own
/// directory alone are one.
#[derive(Debug, Default)]
pub(crate) struct Offline {
    by_reason: BTreeMap<String, Vec<TopicPartition>>,
}

impl Offline {
    pub(crate) fn add(&mut self, partition: TopicPartition, reason: &str) {
        let reason = in_general(reason, &partition);
        self.by_reason.entry(reason).or_default().push(partition);
    }

    /// What to say to who has made partitions of a topic, that some are offline.
    pub(crate) fn warnings_of(topics: &Topics, topic: &str) -> Vec<String> {
        let mut offline = Self::default();
        if let Some(topic) = topics.get(topic) {
            offline.add_all(&topic);
        }
        offline.warnings()
    }

    /// Those of a topic.
    pub(crate) fn add_all(&mut self, topic: &HostedTopic) {
        for (number, partition) in (0_u32..).zip(topic.partitions.iter()) {
            if let HostedPartition::Offline { reason, .. } = partition {
                let number = PartitionId::new(number);
                self.add(TopicPartition::new(topic.name.clone(), number), reason);
            }
        }
    }

    /// A line of the log for each reason; `what` is common to all.
    pub(crate) fn tell(&self, what: &str) {
        for (partitions, problem) in self.groups() {
            let (count, names) = (partitions.len(), names(partitions));
            error!(count, partitions = %names, problem, "offline: {what}");
        }
    }

    /// A sentence for each reason, in the order of the partitions' names.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self
            .groups()
            .map(|(partitions, reason)| match partitions {
                [one] => format!("partition {one} is offline: {reason}"),
                many => format!("partitions {} are offline: {reason}", names(many)),
            })
            .collect();
        warnings.sort();
        warnings
    }

    fn groups(&self) -> impl Iterator<Item = (&[TopicPartition], String)> {
        let all = self.by_reason.iter();
        all.map(|(reason, partitions)| match partitions.as_slice() {
            [one] => (&partitions[..], reason.replace(OWN, &one.to_string())),
            many => (many, reason.clone()),
        })
    }
}

/// A reason without the name of the partition's own directory in its paths.
fn in_general(reason: &str, partition: &TopicPartition) -> String {
    let own = format!("/{partition}");
    let mut general = String::with_capacity(reason.len());
    let mut rest = reason;
    while let Some((before, after)) = rest.split_once(&own) {
        general.push_str(before);
        general.push('/');
        // `t-1` is no part of the path that `t-11` is.
        let is_whole = after.is_empty() || after.starts_with(['/', ' ', ':', ',', ';']);
        general.push_str(if is_whole { OWN } else { &own[1..] });
        rest = after;
    }
    general.push_str(rest);
    general
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

    #[test]
    fn reasons_that_name_each_partitions_own_directory_are_one() {
        let mut offline = Offline::default();
        for number in [1, 11, 111] {
            let reason = format!("/data/t-{number} was removed, /data/t-111/x too");
            offline.add(partition(number), &reason);
        }
        offline.add(partition(12), "/data/t-12/9.log was cut");
        offline.add(partition(13), "/other/t-13: it is a file");
        assert_eq!(
            offline.warnings(),
            [
                "partition t-111 is offline: /data/t-111 was removed, /data/t-111/x too",
                "partition t-12 is offline: /data/t-12/9.log was cut",
                "partition t-13 is offline: /other/t-13: it is a file",
                "partitions t-1, t-11 are offline: /data/<partition> was removed, /data/t-111/x too",
            ]
        );
    }
}
