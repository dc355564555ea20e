//! Dry runs of retention and compaction policies: the log answers as if it were its turn, and nothing is
//! touched. A compaction is surveyed by the very code that carries one out.

use broker_cluster::PluginSlot;
use broker_model::{Offset, Timestamp};
use broker_protocol::api::dry_run_status::{
    CompactionPartition, CompactionReport, DryRunReport, RetentionPartition, RetentionReport,
    SampleKey,
};
use broker_wasm::{Retention, RetentionView, SegmentFacts};
use tokio::runtime::Handle;

use super::records::partitions;
use super::{DryRun, Progress, Stopped, shown_key};
use crate::partition::{CleaningPurpose, PartitionSummary};
use crate::plugins::{bound_plugin, bounds};

pub(super) fn retention(dry_run: &DryRun, progress: &Progress) -> Result<DryRunReport, Stopped> {
    let slot = &dry_run.slot;
    let (engine, name) = (dry_run.plugins.engine(), dry_run.topic.name.as_str());
    let bounds = bounds(&dry_run.topic.config);
    let policy = Retention::new(engine, &slot.plugin, name, &slot.options, bounds);
    let mut policy = policy.map_err(Stopped::plugin)?;
    let mut report = RetentionReport::default();
    for (number, handle) in partitions(dry_run) {
        let summary = Handle::current()
            .block_on(handle.summarize())
            .map_err(Stopped::failed)?;
        progress.expect(summary.segments.len() as u64);
        let offsets = handle.offsets();
        let eligible = eligible(&summary, offsets.high_watermark);
        let view = RetentionView {
            now_ms: dry_run.clock.now().as_millis(),
            high_watermark: offsets.high_watermark.get(),
            log_start: offsets.start.get(),
            log_end: offsets.end.get(),
            log_bytes: summary.size_bytes,
            segments: &eligible,
        };
        let expired = policy.expired(&view).map_err(Stopped::plugin)?;
        let gone = eligible.get(..expired as usize).unwrap_or_default();
        let start = gone
            .last()
            .map_or(offsets.start.get(), |last| last.next_offset);
        let times = || gone.iter().map(|segment| segment.max_timestamp_ms);
        let partition = RetentionPartition {
            partition: number,
            segments: gone.len() as u64,
            records: start.saturating_sub(offsets.start.get()),
            bytes: gone.iter().map(|segment| segment.bytes).sum(),
            new_start: Offset::new(start.max(offsets.start.get())),
            oldest_ms: times().min().map(Timestamp::from_millis),
            newest_ms: times().max().map(Timestamp::from_millis),
        };
        report.segments += partition.segments;
        report.records += partition.records;
        report.bytes += partition.bytes;
        if partition.segments > 0 {
            report.partitions.push(partition);
        }
        progress.advance(summary.segments.len() as u64)?;
    }
    Ok(DryRunReport {
        retention: Some(report),
        ..DryRunReport::default()
    })
}

/// The sealed segments below the high watermark, as storage shows them to a policy.
fn eligible(summary: &PartitionSummary, high_watermark: Offset) -> Vec<SegmentFacts> {
    let sealed = summary
        .segments
        .split_last()
        .map_or(&[][..], |(_, sealed)| sealed);
    sealed
        .iter()
        .take_while(|segment| segment.next <= high_watermark)
        .map(|segment| SegmentFacts {
            base_offset: segment.base.get(),
            next_offset: segment.next.get(),
            bytes: segment.bytes,
            max_timestamp_ms: segment.max_timestamp.as_millis(),
        })
        .collect()
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (known, other) => known.or(other),
    }
}

/// Whoever gives a topic another policy has it cleaned from its start.
fn survey_purpose(dry_run: &DryRun) -> CleaningPurpose {
    let tried = bound_plugin(&dry_run.slot.plugin, &dry_run.slot.options);
    let present = dry_run.topic.plugins.slot(PluginSlot::CompactionPolicy);
    let present = present.ok().flatten();
    let is_present = present.is_some_and(|present| {
        let present = bound_plugin(&present.plugin, &present.options);
        (present.digest, present.options) == (tried.digest, tried.options)
    });
    if is_present {
        CleaningPurpose::Survey
    } else {
        CleaningPurpose::SurveyAnew
    }
}

pub(super) fn compaction(dry_run: &DryRun, progress: &Progress) -> Result<DryRunReport, Stopped> {
    let name = dry_run.topic.name.as_str();
    let mut report = CompactionReport::default();
    let mut cleanings = Vec::new();
    let purpose = survey_purpose(dry_run);
    for (number, handle) in partitions(dry_run) {
        let begun = Handle::current().block_on(handle.begin_cleaning(purpose.clone()));
        if let Some(cleaning) = begun.map_err(Stopped::failed)? {
            progress.expect(cleaning.bytes());
            cleanings.push((number, cleaning));
        }
    }
    for (number, cleaning) in cleanings {
        let policy = dry_run
            .plugins
            .compaction_of(&dry_run.slot, name, dry_run.clock.now());
        let mut policy = policy.map_err(Stopped::plugin)?;
        let bytes = cleaning.bytes();
        let pace = progress.survey(bytes);
        let mut oldest: Option<Timestamp> = None;
        let mut newest: Option<Timestamp> = None;
        let sample = &mut report.sample;
        let summary = cleaning.run_survey(&mut policy, &pace, &mut |removed| {
            let removed = removed.record;
            oldest = Some(oldest.map_or(removed.timestamp, |known| known.min(removed.timestamp)));
            newest = Some(newest.map_or(removed.timestamp, |known| known.max(removed.timestamp)));
            if sample.len() < dry_run.sample {
                sample.push(SampleKey {
                    partition: number,
                    offset: removed.offset,
                    key: shown_key(removed.key),
                });
            }
        });
        let summary = summary.map_err(|error| match policy.failure() {
            Some(failure) => Stopped::plugin(failure.clone()),
            None => Stopped::failed(error),
        })?;
        *progress.surveying() = None;
        progress.advance(bytes)?;
        let partition = CompactionPartition {
            partition: number,
            records: summary.records_before,
            removed_records: summary.records_removed,
            tombstones_removed: summary.tombstones_removed,
            bytes_before: summary.bytes_before,
            bytes_after: summary.bytes_after,
            segments_before: summary.segments_before,
            segments_after: summary.segments_after,
            cleaned_to: summary.cleaned_to,
        };
        report.records += partition.records;
        report.removed_records += partition.removed_records;
        report.tombstones_removed += partition.tombstones_removed;
        report.bytes_before += partition.bytes_before;
        report.bytes_after += partition.bytes_after;
        report.segments_before += partition.segments_before;
        report.segments_after += partition.segments_after;
        report.oldest_ms = earlier(report.oldest_ms, oldest);
        report.newest_ms = report.newest_ms.max(newest);
        report.partitions.push(partition);
    }
    Ok(DryRunReport {
        compaction: Some(report),
        ..DryRunReport::default()
    })
}
