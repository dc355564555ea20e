//! A partitioner: decides which partition each produced record goes to. This one hashes what stands
//! before the first `-` of a key, so that `order-1` and `order-2` stay together, in order.

use plugin_sdk::{Batch, Config, Layout, Partitioner, murmur2};

/// What the options say. Keep nothing else here: the broker may drop an instance at any time.
struct Plugin {
    separator: u8,
}

impl Partitioner for Plugin {
    /// Options come from the topic: `partitioner.option.separator`. Refuse what you do not know.
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&["separator"])?;
        let separator: char = config.parse("separator", '-')?;
        let separator = u8::try_from(separator).map_err(|_| "option separator: ASCII only")?;
        Ok(Plugin { separator })
    }

    // `needs` is not here: keys are what a partitioner gets unless it asks for more columns. Nor is `keyless`:
    // it would save the broker taking batches without keys apart, see the page of the trait.

    /// One partition for each record, below `layout.partitions`. Same input, same answer.
    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
        let partition = |key: Option<&[u8]>| match key {
            Some(key) => {
                let group = key.split(|byte| *byte == self.separator).next().unwrap_or(key);
                murmur2(group) % layout.partitions
            }
            // Records without a key go round robin, batch by batch.
            None => layout.turn(layout.batches),
        };
        Ok(batch.keys().map(partition).collect())
    }
}

plugin_sdk::export_partitioner!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_keys_stays_together() {
        let mut plugin = Plugin::new(&Config::default()).unwrap();
        let batch = Batch::from_keys([Some("order-1"), Some("order-2"), Some("order")]);
        let partitions = plugin.assign(&batch, &Layout::of(16)).unwrap();
        assert_eq!(partitions, [partitions[0]; 3]);
        assert!(partitions[0] < 16);
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(Plugin::new(&Config::new("orders", [("seperator", ".")])).is_err());
    }
}
