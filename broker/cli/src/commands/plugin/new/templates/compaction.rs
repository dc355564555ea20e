//! A compaction policy: decides which records a cleaning keeps. This one keeps the newest record of
//! each key, and every record whose key begins with the option `keep`.

use std::collections::HashMap;

use plugin_sdk::{Batch, Bitmap, CompactionPolicy, Config, Environment};

/// What one cleaning of one partition gathers: the offset of each key's newest record.
struct Plugin {
    keep: Option<Vec<u8>>,
    newest: HashMap<Vec<u8>, u64>,
    bytes_left: u64,
}

impl CompactionPolicy for Plugin {
    /// Options come from the topic: `compaction.policy.option.keep`. Refuse what you do not know.
    fn new(config: &Config, environment: &Environment) -> Result<Self, String> {
        config.allow_only(&["keep"])?;
        Ok(Plugin {
            keep: config.option("keep").map(|text| text.as_bytes().to_owned()),
            newest: HashMap::new(),
            // More memory than that is a trap. A map may double, and a batch has to fit as well.
            bytes_left: environment.memory_bytes / 4,
        })
    }

    // `needs` is not here: keys and offsets are what a policy gets unless it asks for more columns.

    /// First pass, oldest first. Fewer than all records says "my memory is full": what was not
    /// taken in here is left as it is until the next cleaning.
    fn observe(&mut self, batch: &Batch) -> usize {
        for (row, (key, offset)) in batch.keys().zip(batch.offsets()).enumerate() {
            let Some(key) = key else { continue };
            if let Some(newest) = self.newest.get_mut(key) {
                *newest = offset;
                continue;
            }
            let Some(left) = self.bytes_left.checked_sub(key.len() as u64 + 64) else {
                return row;
            };
            self.bytes_left = left;
            self.newest.insert(key.to_owned(), offset);
        }
        batch.len()
    }

    /// Second pass, over the same records and all older ones: which of them stay?
    fn retain(&mut self, batch: &Batch) -> Bitmap {
        let stays = |(key, offset): (Option<&[u8]>, u64)| {
            let Some(key) = key else { return true };
            let kept = self.keep.as_ref().is_some_and(|prefix| key.starts_with(prefix));
            kept || self.newest.get(key).is_none_or(|newest| offset >= *newest)
        };
        batch.keys().zip(batch.offsets()).map(stays).collect()
    }
}

plugin_sdk::export_compaction!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_record_of_a_key_stays_and_so_does_what_is_to_be_kept() {
        let config = Config::new("orders", [("keep", "audit")]);
        let mut plugin = Plugin::new(&config, &Environment::at(0)).unwrap();
        let keys = [Some("a"), Some("audit"), None, Some("a"), Some("audit")];
        let batch = Batch::from_keys(keys).with_offsets([0, 1, 2, 3, 4]);
        assert_eq!(plugin.observe(&batch), 5);
        assert_eq!(plugin.retain(&batch).kept().collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}
