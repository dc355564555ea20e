//! `Tally`: what a run of `broker produce` has stored so far, by partition, and what it has not.
//! `Summary` is the same at the end, as a line of text or a JSON object.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use broker_client::RecordMetadata;
use broker_client::model::PartitionId;
use serde::Serialize;

use super::refusals::{Refusals, RefusedLine};
use crate::output::{bytes, duration, number, per_second};

/// Counts of a run.
#[derive(Debug)]
pub(super) struct Tally {
    started: Instant,
    pub(super) stored: u64,
    bytes: u64,
    /// Lines that were no records, passed over.
    pub(super) bad_lines: u64,
    pub(super) blank_lines: u64,
    /// Records that were sent and not stored, or perhaps not.
    pub(super) not_stored: u64,
    /// Those of them that may be stored all the same.
    pub(super) uncertain: u64,
    partitions: BTreeMap<PartitionId, Stored>,
}

/// What went to one partition.
#[derive(Debug, Default)]
struct Stored {
    records: u64,
    first: Option<u64>,
    last: Option<u64>,
}

/// The sum, as `--json` shows it.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    topic: String,
    records: u64,
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    bytes_per_second: f64,
    bad_lines: u64,
    blank_lines: u64,
    not_stored: u64,
    /// How many of them a serializer refused; the first thousand follow.
    refused: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused_records: Vec<RefusedLine>,
    partitions: Vec<PartitionSummary>,
}

#[derive(Debug, Serialize)]
struct PartitionSummary {
    partition: u32,
    records: u64,
    first_offset: Option<u64>,
    last_offset: Option<u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            stored: 0,
            bytes: 0,
            bad_lines: 0,
            blank_lines: 0,
            not_stored: 0,
            uncertain: 0,
            partitions: BTreeMap::new(),
        }
    }

    /// A record of so many bytes was stored.
    pub(super) fn stored(&mut self, place: &RecordMetadata, bytes: u64) {
        self.stored += 1;
        self.bytes += bytes;
        let partition = self.partitions.entry(place.partition).or_default();
        partition.records += 1;
        if let Some(offset) = place.offset.map(|offset| offset.get()) {
            partition.first = Some(partition.first.map_or(offset, |first| first.min(offset)));
            partition.last = Some(partition.last.map_or(offset, |last| last.max(offset)));
        }
    }

    /// What has become of the records so far.
    pub(super) fn so_far(&self) -> String {
        let stored = number(self.stored);
        let not = self.not_stored - self.uncertain;
        match (not, self.uncertain) {
            (0, 0) => format!("{stored} record(s) were stored before it"),
            (not, 0) => format!("{stored} record(s) were stored, {} were not", number(not)),
            (0, maybe) => format!(
                "{stored} record(s) were stored, {} may or may not be",
                number(maybe)
            ),
            (not, maybe) => format!(
                "{stored} record(s) were stored, {} were not, {} may or may not be",
                number(not),
                number(maybe)
            ),
        }
    }

    pub(super) fn summary(&self, topic: &str, refusals: &Refusals) -> Summary {
        let elapsed = self.started.elapsed();
        Summary {
            topic: topic.to_owned(),
            records: self.stored,
            bytes: self.bytes,
            seconds: elapsed.as_secs_f64(),
            records_per_second: per_second(self.stored, elapsed),
            bytes_per_second: per_second(self.bytes, elapsed),
            bad_lines: self.bad_lines,
            blank_lines: self.blank_lines,
            not_stored: self.not_stored,
            refused: refusals.count,
            refused_records: refusals.listed().to_vec(),
            partitions: self
                .partitions
                .iter()
                .map(|(partition, stored)| PartitionSummary {
                    partition: partition.get(),
                    records: stored.records,
                    first_offset: stored.first,
                    last_offset: stored.last,
                })
                .collect(),
        }
    }
}

impl Summary {
    /// One line for people.
    pub(super) fn text(&self) -> String {
        let partitions: Vec<String> = self
            .partitions
            .iter()
            .take(8)
            .map(|part| match (part.first_offset, part.last_offset) {
                (Some(first), Some(last)) => format!("{}: {first}..{last}", part.partition),
                _ => format!("{}: {} records", part.partition, number(part.records)),
            })
            .collect();
        let more = if self.partitions.len() > 8 {
            ", …"
        } else {
            ""
        };
        let mut text = format!(
            "{} record(s), {} to {} in {}",
            number(self.records),
            bytes(self.bytes),
            self.topic,
            duration(Duration::from_secs_f64(self.seconds))
        );
        if self.records > 0 {
            text.push_str(&format!(" ({:.0}/s)", self.records_per_second));
            text.push_str(&format!(
                "; partition: offsets {}{more}",
                partitions.join(", ")
            ));
        }
        let others = [
            (self.not_stored, "not stored"),
            (self.bad_lines, "bad line(s) skipped"),
            (self.blank_lines, "blank line(s) passed over"),
        ];
        for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
            text.push_str(&format!("; {} {what}", number(*count)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use broker_client::model::{Offset, Timestamp};
    use broker_client::protocol::api::produce::Partial;

    use super::*;

    fn none() -> Refusals {
        Refusals::new(Partial::Accept)
    }

    fn at(partition: u32, offset: u64) -> RecordMetadata {
        RecordMetadata {
            partition: PartitionId::new(partition),
            offset: Some(Offset::new(offset)),
            timestamp: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn the_sum_has_first_and_last_offset_of_each_partition() {
        let mut tally = Tally::new();
        for (partition, offset) in [(1, 7), (0, 3), (1, 8), (1, 10)] {
            tally.stored(&at(partition, offset), 5);
        }
        tally.bad_lines = 2;
        let summary = tally.summary("orders", &none());
        assert_eq!((summary.records, summary.bytes), (4, 20));
        let text = summary.text();
        assert!(text.contains("0: 3..3, 1: 7..10"), "{text}");
        assert!(text.contains("2 bad line(s) skipped"), "{text}");
    }

    #[test]
    fn nothing_stored_is_said_without_dividing_by_zero() {
        let text = Tally::new().summary("orders", &none()).text();
        assert!(text.starts_with("0 record(s), 0 B to orders in "), "{text}");
    }
}
