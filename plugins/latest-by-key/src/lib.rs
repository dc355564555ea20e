//! The default compaction policy: of each key the newest record stays, also if it is a tombstone (the
//! broker removes that one after `delete.retention.ms`). Records without a key stay. No options.
//!
//! Remembers one offset per key, in 128 bits of the key's BLAKE3 hash; when its memory is full the cleaning
//! ends there, and the next one goes on.

use plugin_sdk::{Batch, Bitmap, CompactionPolicy, Config, Environment, KeyTable};

struct LatestByKey {
    latest: KeyTable<u64>,
}

impl CompactionPolicy for LatestByKey {
    fn new(config: &Config, environment: &Environment) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(LatestByKey {
            latest: KeyTable::new(environment),
        })
    }

    fn observe(&mut self, batch: &Batch) -> usize {
        let mut records = batch.keys().zip(batch.offsets());
        let full = records.position(|(key, offset)| {
            key.is_some_and(|key| self.latest.update(key, |latest| *latest = offset).is_err())
        });
        full.unwrap_or(batch.len())
    }

    fn retain(&mut self, batch: &Batch) -> Bitmap {
        let is_latest = |(key, offset): (Option<&[u8]>, u64)| {
            let latest = key.and_then(|key| self.latest.get(key));
            latest.is_none_or(|latest| offset >= *latest)
        };
        batch.keys().zip(batch.offsets()).map(is_latest).collect()
    }
}

plugin_sdk::export_compaction!(LatestByKey);

#[cfg(test)]
mod tests;
