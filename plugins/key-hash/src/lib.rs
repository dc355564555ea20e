//! The default partitioner: the same key always goes to the same partition, with the same answer as
//! Kafka's Java client (murmur2 of the key, sign bit cleared, modulo the partition count).
//!
//! Records without a key go round robin batch by batch: all of one batch to one partition, those of
//! the next batch to the next one. (Going round per record would make tiny batches.) An empty key is
//! a key like any other.

use plugin_sdk::{Batch, Config, Layout, Partitioner};

mod murmur2;

/// Holds nothing: an answer depends on the key, the partition count and the number of the batch.
pub struct KeyHash;

impl Partitioner for KeyHash {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(KeyHash)
    }

    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
        let partitions = layout.partitions;
        let without_key = (layout.batches % u64::from(partitions)) as u32;
        let partition = |key: Option<&[u8]>| match key {
            Some(key) => (murmur2::hash(key) & 0x7fff_ffff) % partitions,
            None => without_key,
        };
        Ok(batch.keys().map(partition).collect())
    }
}

plugin_sdk::export_partitioner!(KeyHash);
