//! Retention and compaction plugins as the policies that storage asks. Both fail safe: whatever goes wrong
//! with a plugin, the data is kept.

use broker_cluster::{PluginSlot, TopicConfig};
use broker_model::Timestamp;
use broker_record::StoredBatch;
use broker_storage::{
    CompactionPolicy, ObserveScope, PolicyFailed, RetentionPolicy, RetentionView,
};
use broker_wasm::{Bounds, Compactor, PluginError, Retention, Scope, SegmentFacts};

use super::columns::Columns;
use super::topic_plugins::BoundSlot;
use super::{Plugins, SlotError, instances};
use crate::topic_settings::TopicSettings;

/// The topic's retention plugin.
pub(crate) struct PluginRetention<'a> {
    pub(crate) plugins: &'a Plugins,
    pub(crate) topic: &'a TopicSettings,
}

impl RetentionPolicy for PluginRetention<'_> {
    fn expired(&mut self, view: &RetentionView<'_>) -> Result<usize, PolicyFailed> {
        let segments: Vec<SegmentFacts> = view
            .segments
            .iter()
            .map(|segment| SegmentFacts {
                base_offset: segment.base.get(),
                next_offset: segment.next.get(),
                bytes: segment.bytes,
                max_timestamp_ms: segment.max_timestamp.as_millis(),
            })
            .collect();
        let asked = broker_wasm::RetentionView {
            now_ms: view.now.as_millis(),
            high_watermark: view.high_watermark.get(),
            log_start: view.log_start.get(),
            log_end: view.log_end.get(),
            log_bytes: view.log_bytes,
            segments: &segments,
        };
        let answer = self.plugins.expired(self.topic, &asked);
        let expired = answer.map_err(|error| PolicyFailed {
            reason: error.to_string(),
        })?;
        Ok(usize::try_from(expired).unwrap_or(0))
    }
}

/// The bounds that a topic's configuration sets.
pub(crate) fn bounds(config: &TopicConfig) -> Bounds {
    let millis =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Bounds {
        retention_ms: config.retention.map(millis),
        retention_bytes: config.retention_bytes,
    }
}

impl Plugins {
    fn expired(
        &self,
        topic: &TopicSettings,
        view: &broker_wasm::RetentionView<'_>,
    ) -> Result<u32, SlotError> {
        let slot = topic.plugins.required(PluginSlot::RetentionPolicy)?;
        instances::with(|instances| {
            let policy = instances.retention.get(topic.id, slot, || {
                let bounds = bounds(&topic.config);
                let name = topic.name.as_str();
                Retention::new(&self.engine, &slot.plugin, name, &slot.options, bounds)
            })?;
            Ok(policy.expired(view)?)
        })
    }

    /// The topic's compaction plugin for one cleaning.
    pub(crate) fn compaction(
        &self,
        topic: &TopicSettings,
        now: Timestamp,
    ) -> Result<PluginCompaction, SlotError> {
        let slot = topic.plugins.required(PluginSlot::CompactionPolicy)?;
        self.compaction_of(slot, topic.name.as_str(), now)
    }

    /// A plugin as a compaction policy, whether or not the topic is bound to it.
    pub(crate) fn compaction_of(
        &self,
        slot: &BoundSlot,
        topic: &str,
        now: Timestamp,
    ) -> Result<PluginCompaction, SlotError> {
        let now_ms = now.as_millis();
        let compactor = Compactor::new(&self.engine, &slot.plugin, topic, &slot.options, now_ms)?;
        Ok(PluginCompaction {
            compactor,
            columns: Columns::default(),
            bits: Vec::new(),
            failure: None,
        })
    }
}

/// A compaction plugin during one cleaning.
pub(crate) struct PluginCompaction {
    compactor: Compactor,
    columns: Columns,
    bits: Vec<u8>,
    failure: Option<PluginError>,
}

impl PluginCompaction {
    /// How the plugin failed, if it did.
    pub(crate) fn failure(&self) -> Option<&PluginError> {
        self.failure.as_ref()
    }

    /// Gathers the columns of the first batches of `run`, as many as one call can name the offsets of;
    /// answers how many batches and how many records that are.
    fn gather(&mut self, run: &[StoredBatch]) -> Result<(usize, u32), PolicyFailed> {
        let failed = |reason: String| PolicyFailed { reason };
        let needs = self.compactor.needs();
        self.columns.clear();
        let mut records = 0_u32;
        let base = run
            .first()
            .map_or(0, |batch| batch.header.base_offset.get());
        for (taken, batch) in run.iter().enumerate() {
            let last = batch.header.last_offset().get();
            if taken > 0 && u32::try_from(last - base).is_err() {
                return Ok((taken, records));
            }
            let decoded = batch.records().map_err(|error| failed(error.to_string()))?;
            let gathered = self.columns.gather_stored(needs, base, &decoded);
            gathered.map_err(|error| failed(error.to_string()))?;
            records += batch.header.record_count;
        }
        Ok((run.len(), records))
    }
}

impl CompactionPolicy for PluginCompaction {
    fn scope(&self) -> ObserveScope {
        match self.compactor.scope() {
            Scope::NewRecords => ObserveScope::NewRecords,
            Scope::WholeLog => ObserveScope::WholeLog,
        }
    }

    fn observe(&mut self, mut run: &[StoredBatch]) -> Result<u64, PolicyFailed> {
        let mut taken = 0;
        while let Some(first) = run.first() {
            let base = first.header.base_offset.get();
            let (batches, records) = self.gather(run)?;
            if records > 0 {
                let columns = self
                    .columns
                    .stored_batch(records, base, self.compactor.needs());
                let took = self.compactor.observe(&columns);
                let took = took.map_err(|error| failed(&mut self.failure, error))?;
                taken += u64::from(took);
                if took < records {
                    break;
                }
            }
            run = run.get(batches..).unwrap_or_default();
        }
        Ok(taken)
    }

    fn retain(&mut self, mut run: &[StoredBatch], keep: &mut Vec<u8>) -> Result<(), PolicyFailed> {
        let mut done = 0_u64;
        while let Some(first) = run.first() {
            let base = first.header.base_offset.get();
            let (batches, records) = self.gather(run)?;
            if records > 0 {
                let columns = self
                    .columns
                    .stored_batch(records, base, self.compactor.needs());
                let answer = self.compactor.retain(&columns, &mut self.bits);
                answer.map_err(|error| failed(&mut self.failure, error))?;
                append_bits(keep, done, &self.bits, records);
            }
            done += u64::from(records);
            run = run.get(batches..).unwrap_or_default();
        }
        Ok(())
    }
}

fn failed(failure: &mut Option<PluginError>, error: PluginError) -> PolicyFailed {
    let reason = error.to_string();
    *failure = Some(error);
    PolicyFailed { reason }
}

/// Appends `count` bits, least significant first, behind the `done` bits that are there.
fn append_bits(to: &mut Vec<u8>, done: u64, bits: &[u8], count: u32) {
    if done.is_multiple_of(8) {
        to.extend_from_slice(bits);
        return;
    }
    for (index, target) in (0..count).zip(done..) {
        let bit = bits.get(index as usize / 8).copied().unwrap_or(0) >> (index % 8) & 1;
        if target.is_multiple_of(8) {
            to.push(bit);
        } else if let Some(last) = to.last_mut() {
            *last |= bit << (target % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_joined_wherever_the_first_ones_end() {
        for first in 0..20_u64 {
            let ones = vec![0xff; usize::try_from(first.div_ceil(8)).unwrap()];
            let mut bits = Vec::new();
            append_bits(&mut bits, 0, &ones, u32::try_from(first).unwrap());
            if let Some(last) = bits.last_mut().filter(|_| first % 8 != 0) {
                *last = 0xff >> (8 - first % 8);
            }
            append_bits(&mut bits, first, &[0b0000_0101, 0b10], 10);
            let at = |index: u64| bits[usize::try_from(index / 8).unwrap()] >> (index % 8) & 1;
            assert!((0..first).all(|index| at(index) == 1), "{first}");
            let tail: Vec<u8> = (first..first + 10).map(at).collect();
            assert_eq!(tail, [1, 0, 1, 0, 0, 0, 0, 0, 0, 1], "{first}");
        }
    }
}
