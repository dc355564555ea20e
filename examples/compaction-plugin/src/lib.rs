//! A compaction policy of one's own: of each key the first record stays and all later ones go, so that events
//! that were sent twice are there once. Records without a key stay.

use plugin_sdk::{Batch, Bitmap, CompactionPolicy, Config, Environment, KeyTable};

struct FirstByKey {
    /// The offset of each key's first record, plus one; 0 for a key that was not met yet.
    first: KeyTable<u64>,
}

impl CompactionPolicy for FirstByKey {
    fn new(config: &Config, environment: &Environment) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(FirstByKey { first: KeyTable::new(environment) })
    }

    // No first pass: the second one meets the first record of a key before all others. A key for which
    // there is no room in memory is not remembered, and its records stay.
    fn retain(&mut self, batch: &Batch) -> Bitmap {
        let mut is_first = |key: &[u8], offset: u64| {
            let remember = |first: &mut u64| {
                if *first == 0 {
                    *first = offset + 1;
                }
            };
            let _ = self.first.update(key, remember);
            self.first.get(key).is_none_or(|first| *first == offset + 1)
        };
        let records = batch.keys().zip(batch.offsets());
        records.map(|(key, offset)| key.is_none_or(|key| is_first(key, offset))).collect()
    }
}

plugin_sdk::export_compaction!(FirstByKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_of_each_key_stays() {
        let mut policy = FirstByKey::new(&Config::default(), &Environment::at(0)).unwrap();
        let keys = [Some("a"), Some("b"), None, Some("a"), None];
        let batch = Batch::from_keys(keys).with_offsets([0, 1, 2, 5, 6]);
        assert_eq!(policy.observe(&batch), 5);
        assert_eq!(policy.retain(&batch).kept().collect::<Vec<_>>(), [0, 1, 2, 4]);
        let later = Batch::from_keys([Some("b"), Some("c")]).with_offsets([7, 8]);
        assert_eq!(policy.retain(&later).kept().collect::<Vec<_>>(), [1]);
    }
}
