//! Strict round robin: record after record to the next partition, whatever its key.
//!
//! It counts from the number of records that the broker has routed for the topic before, so batches
//! carry on where the last one stopped.

use plugin_sdk::{Batch, Columns, Config, Layout, Partitioner};

/// Holds nothing: an answer depends on the record's number alone.
pub struct RoundRobin;

impl Partitioner for RoundRobin {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(RoundRobin)
    }

    fn needs(&self) -> Columns {
        Columns::empty()
    }

    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
        let first = (layout.sequence % u64::from(layout.partitions)) as u32;
        let turn = |row| ((u64::from(first) + row) % u64::from(layout.partitions)) as u32;
        Ok((0..u64::from(batch.count)).map(turn).collect())
    }
}

plugin_sdk::export_partitioner!(RoundRobin);
