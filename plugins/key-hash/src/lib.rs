//! The default partitioner: the same key always goes to the same partition, with the same answer as
//! Kafka's Java client (murmur2 of the key, sign bit cleared, modulo the partition count).
//!
//! Records without a key go round robin batch by batch: all of one to one partition, of the next to the next.
//! (Going round per record would make tiny batches.) An empty key is a key like any other.

use plugin_sdk::{Batch, Config, Layout, Partitioner, murmur2};

/// Holds nothing: an answer depends on the key, the partition count and the number of the batch.
pub struct KeyHash;

impl Partitioner for KeyHash {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(KeyHash)
    }

    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
        let without_key = layout.turn(layout.batches);
        let partition = |key: Option<&[u8]>| match key {
            Some(key) => (murmur2(key) & 0x7fff_ffff) % layout.partitions,
            None => without_key,
        };
        Ok(batch.keys().map(partition).collect())
    }

    fn keyless(&mut self, _count: u32, layout: &Layout) -> Option<u32> {
        Some(layout.turn(layout.batches))
    }
}

plugin_sdk::export_partitioner!(KeyHash);

#[cfg(test)]
mod vectors_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(keys: &[Option<&str>], partitions: u32, batches: u64) -> Vec<u32> {
        let mut plugin = KeyHash::new(&Config::default()).unwrap();
        let layout = Layout {
            batches,
            ..Layout::of(partitions)
        };
        plugin
            .assign(&Batch::from_keys(keys.iter().copied()), &layout)
            .unwrap()
    }

    /// `(murmur2(key) & 0x7fffffff) % partitions`, worked out from Kafka's own hashes outside of this code.
    #[test]
    fn a_keys_partition_is_that_of_kafkas_default_partitioner() {
        let keys = ["21", "foobar", "abc"].map(Some);
        assert_eq!(assign(&keys, 8, 0), [4, 6, 3]);
        assert_eq!(assign(&keys, 100, 0), [40, 66, 7]);
        assert_eq!(assign(&keys, 1, 7), [0, 0, 0]);
    }

    #[test]
    fn records_without_a_key_go_round_robin_batch_by_batch() {
        assert_eq!(assign(&[None, None], 3, 4), [1, 1]);
        assert_eq!(assign(&[None, None], 3, 5), [2, 2]);
    }

    #[test]
    fn an_empty_key_is_a_key() {
        assert_eq!(
            assign(&[Some(""), None], 100, 0),
            assign(&[Some(""), None], 100, 0)
        );
        assert_eq!(assign(&[Some("")], 100, 0), assign(&[Some("")], 100, 1));
    }

    #[test]
    fn an_option_is_refused() {
        assert!(KeyHash::new(&Config::new("orders", [("seed", "1")])).is_err());
    }
}
