//! A dry run's report for people: the numbers first, then a table by partition or reason, then
//! examples. Texts and keys come from records and plugins, and are escaped.

use std::fmt::Write;

use broker_client::model::Timestamp;
use broker_client::protocol::api::dry_run_status::{
    CompactionReport, DryRunReport, PartitionerReport, RetentionReport, SerializerReport,
};

use super::bars::Bars;
use crate::output::{Align, JsonData, Table, bytes, number, time};

/// The part of the plugin's kind.
pub(super) fn text(topic: &str, report: &DryRunReport) -> String {
    let parts = [
        report
            .partitioner
            .as_ref()
            .map(|report| partitioner(topic, report)),
        report
            .serializer
            .as_ref()
            .map(|report| serializer(topic, report)),
        report
            .retention
            .as_ref()
            .map(|report| retention(topic, report)),
        report
            .compaction
            .as_ref()
            .map(|report| compaction(topic, report)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn partitioner(topic: &str, report: &PartitionerReport) -> String {
    let mut text = format!(
        "{} records of {topic}; {} would be in another partition\n\n",
        number(report.records),
        share(report.moved, report.records)
    );
    let bars = Bars::up_to(report.before.iter().chain(&report.after));
    let mut table = Table::new(&[
        ("PARTITION", Align::Right),
        ("BEFORE", Align::Right),
        ("", Align::Left),
        ("AFTER", Align::Right),
        ("", Align::Left),
    ]);
    for partition in 0..report.before.len().max(report.after.len()) {
        let at = |counts: &[u64]| counts.get(partition).copied().unwrap_or_default();
        let (before, after) = (at(&report.before), at(&report.after));
        table.row([
            partition.to_string(),
            number(before),
            bars.of(before),
            number(after),
            bars.of(after),
        ]);
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "{table}");
    if !report.hottest.is_empty() {
        let mut table = Table::new(&[
            ("HOTTEST KEYS", Align::Left),
            ("RECORDS", Align::Right),
            ("BEFORE", Align::Right),
            ("AFTER", Align::Right),
        ]);
        for hot in &report.hottest {
            table.row([
                key(hot.key.as_deref()),
                number(hot.records),
                hot.before.to_string(),
                hot.after.to_string(),
            ]);
        }
        let _ = write!(text, "\n{table}");
    }
    text
}

fn serializer(topic: &str, report: &SerializerReport) -> String {
    let mut text = format!(
        "{} records of {topic}; {} would be refused\n",
        number(report.records),
        share(report.refused, report.records)
    );
    if report.reasons.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        ("RECORDS", Align::Right),
        ("REASON", Align::Left),
        ("PARTITION", Align::Right),
        ("FIRST OFFSET", Align::Right),
        ("KEY", Align::Left),
    ]);
    for reason in &report.reasons {
        table.row([
            number(reason.records),
            reason.reason.escape_debug().to_string(),
            reason.partition.to_string(),
            reason.offset.to_string(),
            key(reason.key.as_deref()),
        ]);
    }
    let _ = write!(text, "\n{table}");
    text
}

fn retention(topic: &str, report: &RetentionReport) -> String {
    let mut text = format!(
        "{} segments of {topic} would go: {} records, {}\n",
        number(report.segments),
        number(report.records),
        bytes(report.bytes)
    );
    if report.partitions.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        ("PARTITION", Align::Right),
        ("SEGMENTS", Align::Right),
        ("RECORDS", Align::Right),
        ("SIZE", Align::Right),
        ("NEW START", Align::Right),
        ("OLDEST", Align::Left),
        ("NEWEST", Align::Left),
    ]);
    for partition in &report.partitions {
        table.row([
            partition.partition.to_string(),
            number(partition.segments),
            number(partition.records),
            bytes(partition.bytes),
            partition.new_start.to_string(),
            moment(partition.oldest_ms),
            moment(partition.newest_ms),
        ]);
    }
    let _ = write!(text, "\n{table}");
    text
}

fn compaction(topic: &str, report: &CompactionReport) -> String {
    let mut text = format!(
        "{} records of {topic}; {} would be removed\n\
         {} of them are tombstones that the policy kept and whose delete.retention.ms is over\n\
         {} in {} segments would become {} in {}\n",
        number(report.records),
        share(report.removed_records, report.records),
        number(report.tombstones_removed),
        bytes(report.bytes_before),
        number(report.segments_before),
        bytes(report.bytes_after),
        number(report.segments_after)
    );
    if report.removed_records > 0 {
        let (oldest, newest) = (moment(report.oldest_ms), moment(report.newest_ms));
        let _ = writeln!(text, "oldest of them {oldest}, newest {newest}");
    }
    if !report.partitions.is_empty() {
        let _ = write!(text, "\n{}", compaction_partitions(report));
    }
    if !report.sample.is_empty() {
        let mut table = Table::new(&[
            ("SOME OF THEM", Align::Left),
            ("PARTITION", Align::Right),
            ("OFFSET", Align::Right),
        ]);
        for sample in &report.sample {
            table.row([
                key(sample.key.as_deref()),
                sample.partition.to_string(),
                sample.offset.to_string(),
            ]);
        }
        let _ = write!(text, "\n{table}");
    }
    text
}

fn compaction_partitions(report: &CompactionReport) -> Table {
    let mut table = Table::new(&[
        ("PARTITION", Align::Right),
        ("RECORDS", Align::Right),
        ("REMOVED", Align::Right),
        ("TOMBSTONES", Align::Right),
        ("SIZE BEFORE", Align::Right),
        ("AFTER", Align::Right),
        ("SEGMENTS BEFORE", Align::Right),
        ("AFTER", Align::Right),
        ("CLEANED TO", Align::Right),
    ]);
    for partition in &report.partitions {
        table.row([
            partition.partition.to_string(),
            number(partition.records),
            number(partition.removed_records),
            number(partition.tombstones_removed),
            bytes(partition.bytes_before),
            bytes(partition.bytes_after),
            number(partition.segments_before),
            number(partition.segments_after),
            partition.cleaned_to.to_string(),
        ]);
    }
    table
}

/// `12 (1.2 %)`.
fn share(part: u64, of: u64) -> String {
    let percent = part as f64 * 100.0 / (of.max(1) as f64);
    format!("{} ({percent:.1} %)", number(part))
}

fn key(key: Option<&[u8]>) -> String {
    serde_json::to_string(&JsonData(key)).unwrap_or_default()
}

fn moment(timestamp: Option<Timestamp>) -> String {
    timestamp.map_or_else(|| "-".to_owned(), time)
}

#[cfg(test)]
mod tests {
    use broker_client::model::{Offset, PartitionId};
    use broker_client::protocol::api::dry_run_status::{
        CompactionPartition, HotKey, RefusalReason, RetentionPartition, SampleKey,
    };

    use super::*;

    #[track_caller]
    fn assert_has(report: &DryRunReport, parts: &[&str]) {
        let text = text("orders", report);
        for part in parts {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }

    #[test]
    fn a_partitioner_is_shown_as_bars_before_and_after() {
        let report = PartitionerReport {
            records: 2_000,
            moved: 500,
            before: vec![2_000, 0],
            after: vec![1_500, 500],
            hottest: vec![HotKey {
                key: Some("eu:1".into()),
                records: 70,
                before: PartitionId::new(0),
                after: PartitionId::new(1),
            }],
        };
        let report = DryRunReport {
            partitioner: Some(report),
            ..DryRunReport::default()
        };
        assert_has(
            &report,
            &[
                "2,000 records of orders; 500 (25.0 %) would be in another partition",
                "█",
                "\"eu:1\"",
                "HOTTEST",
            ],
        );
    }

    #[test]
    fn refusals_are_shown_with_reason_and_example() {
        let report = SerializerReport {
            records: 10,
            refused: 1,
            reasons: vec![RefusalReason {
                reason: "not\u{1b}[2J text".to_owned(),
                records: 1,
                partition: PartitionId::new(2),
                offset: Offset::new(77),
                key: None,
            }],
        };
        let report = DryRunReport {
            serializer: Some(report),
            ..DryRunReport::default()
        };
        assert_has(
            &report,
            &[
                "1 (10.0 %) would be refused",
                "not\\u{1b}[2J text",
                "77",
                "null",
            ],
        );
    }

    #[test]
    fn what_would_go_is_shown_by_partition() {
        let retention = RetentionReport {
            segments: 3,
            records: 3_000,
            bytes: 3 << 20,
            partitions: vec![RetentionPartition {
                segments: 3,
                new_start: Offset::new(3_000),
                oldest_ms: Some(Timestamp::from_millis(0)),
                ..RetentionPartition::default()
            }],
        };
        let compaction = CompactionReport {
            records: 100,
            removed_records: 40,
            tombstones_removed: 7,
            segments_before: 4,
            segments_after: 1,
            sample: vec![SampleKey {
                key: Some("k".into()),
                ..SampleKey::default()
            }],
            partitions: vec![CompactionPartition {
                cleaned_to: Offset::new(90),
                ..CompactionPartition::default()
            }],
            ..CompactionReport::default()
        };
        let report = DryRunReport {
            retention: Some(retention),
            ..DryRunReport::default()
        };
        assert_has(
            &report,
            &[
                "3 segments of orders would go: 3,000 records, 3.0 MiB",
                "1970-01-01",
                "3000",
            ],
        );
        let report = DryRunReport {
            compaction: Some(compaction),
            ..DryRunReport::default()
        };
        assert_has(
            &report,
            &[
                "40 (40.0 %) would be removed",
                "7 of them are tombstones that the policy kept and whose delete.retention.ms is over",
                "90",
                "SOME OF THEM",
                "\"k\"",
            ],
        );
    }

    #[test]
    fn a_topic_without_records_divides_by_nothing() {
        let report = DryRunReport {
            serializer: Some(SerializerReport::default()),
            ..DryRunReport::default()
        };
        assert_has(
            &report,
            &["0 records of orders; 0 (0.0 %) would be refused"],
        );
    }
}
