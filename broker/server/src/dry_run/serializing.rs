//! A dry run of a serializer: which of the topic's stored records it would refuse, and why.

use std::collections::BTreeMap;

use broker_cluster::PluginSlot;
use broker_protocol::api::dry_run_status::{DryRunReport, RefusalReason, SerializerReport};
use broker_wasm::{BytesColumn, Serializer};

use super::records::for_each_batch;
use super::{DryRun, Progress, Stopped, shown_key};

/// Reasons that are told apart; records refused for further ones are counted alone.
const REASONS_MAX: usize = 100;

pub(super) fn run(dry_run: &DryRun, progress: &Progress) -> Result<DryRunReport, Stopped> {
    let slot = &dry_run.slot;
    let (engine, name) = (dry_run.plugins.engine(), dry_run.topic.name.as_str());
    let serializer = Serializer::new(engine, &slot.plugin, name, &slot.options);
    let mut serializer = serializer.map_err(Stopped::plugin)?;
    let mut report = SerializerReport::default();
    let mut reasons: BTreeMap<String, RefusalReason> = BTreeMap::new();
    let (mut rows, mut out) = (BytesColumn::default(), BytesColumn::default());
    for_each_batch(dry_run, progress, |partition, from, records| {
        rows.clear();
        let mut taken = Vec::new();
        for record in records {
            let record = record.map_err(Stopped::failed)?;
            if record.offset >= from {
                let part = match slot.slot {
                    PluginSlot::KeySerializer => record.key,
                    _ => record.value,
                };
                rows.push(part);
                taken.push(record);
            }
        }
        report.records += taken.len() as u64;
        let refused = serializer.deserialize(&rows, &mut out);
        for error in refused.map_err(Stopped::plugin)? {
            report.refused += 1;
            let Some(record) = taken.get(error.row as usize) else {
                continue;
            };
            if let Some(known) = reasons.get_mut(&error.message) {
                known.records += 1;
            } else if reasons.len() < REASONS_MAX {
                let first = RefusalReason {
                    reason: error.message.clone(),
                    records: 1,
                    partition,
                    offset: record.offset,
                    key: shown_key(record.key),
                };
                reasons.insert(error.message, first);
            }
        }
        Ok(())
    })?;
    report.reasons = reasons.into_values().collect();
    report
        .reasons
        .sort_by_key(|reason| std::cmp::Reverse(reason.records));
    report.reasons.truncate(dry_run.sample);
    Ok(DryRunReport {
        serializer: Some(report),
        ..DryRunReport::default()
    })
}
