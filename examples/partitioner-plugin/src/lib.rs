//! A partitioner of one's own: keys that begin with `eu:` go to the first half of a topic's
//! partitions, all others to the second half. Inside its half a key always goes to the same partition.

use plugin_sdk::{Batch, Config, Layout, Partitioner, murmur2};

struct EuFirst;

impl Partitioner for EuFirst {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(EuFirst)
    }

    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
        let eu = layout.partitions.div_ceil(2);
        let others = (layout.partitions - eu).max(1);
        let partition = |key: Option<&[u8]>| match key.unwrap_or_default() {
            key if key.starts_with(b"eu:") => murmur2(key) % eu,
            key => layout.partitions - others + murmur2(key) % others,
        };
        Ok(batch.keys().map(partition).collect())
    }
}

plugin_sdk::export_partitioner!(EuFirst);

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(keys: &[&str], partitions: u32) -> Vec<u32> {
        let batch = Batch::from_keys(keys.iter().map(Some));
        EuFirst.assign(&batch, &Layout::of(partitions)).unwrap()
    }

    #[test]
    fn the_halves_do_not_mix() {
        let eu = assign(&["eu:1", "eu:2", "eu:3", "eu:4", "eu:5"], 5);
        assert!(eu.iter().all(|partition| *partition < 3), "{eu:?}");
        let others = assign(&["us:1", "us:2", "", "eu", "x"], 5);
        assert!(others.iter().all(|partition| (3..5).contains(partition)), "{others:?}");
    }

    #[test]
    fn one_partition_takes_everything() {
        assert_eq!(assign(&["eu:1", "us:1"], 1), [0, 0]);
    }
}
