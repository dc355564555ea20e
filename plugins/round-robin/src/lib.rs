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
        let rows = 0..u64::from(batch.count);
        Ok(rows
            .map(|row| layout.turn(layout.sequence.wrapping_add(row)))
            .collect())
    }
}

plugin_sdk::export_partitioner!(RoundRobin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_carry_on_where_the_last_one_stopped() {
        let mut plugin = RoundRobin::new(&Config::default()).unwrap();
        let mut layout = Layout::of(3);
        assert_eq!(plugin.assign(&Batch::of(4), &layout).unwrap(), [0, 1, 2, 0]);
        layout.sequence = 4;
        assert_eq!(plugin.assign(&Batch::of(2), &layout).unwrap(), [1, 2]);
    }

    #[test]
    fn it_asks_for_no_column() {
        assert_eq!(RoundRobin.needs(), Columns::empty());
    }
}
