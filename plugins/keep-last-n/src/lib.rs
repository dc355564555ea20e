//! Compaction that keeps the last records of each key. A tombstone is a record like the others and hides
//! everything before it. Records without a key stay.
//!
//! Option `n`: how many records of a key stay; 1 unless set, which is latest-by-key.
//!
//! Counts the records of each key in the first pass. What an earlier cleaning left is not counted there,
//! so that a record of it goes only when `n` newer ones came since, or a tombstone: never one too many.

use plugin_sdk::{Batch, Bitmap, Columns, CompactionPolicy, Config, Environment, KeyTable};

struct KeepLastN {
    n: u32,
    /// The first offset of the first pass.
    observed_from: Option<u64>,
    keys: KeyTable<Key>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Key {
    /// Where its latest tombstone is; nothing of the key before it stays.
    from: u64,
    /// Its records from there on that the second pass did not come to yet.
    left: u32,
}

impl CompactionPolicy for KeepLastN {
    fn new(config: &Config, environment: &Environment) -> Result<Self, String> {
        config.allow_only(&["n"])?;
        let n = config.parse("n", 1)?;
        if n == 0 {
            return Err("option n = 0: at least one record of a key stays".to_owned());
        }
        Ok(KeepLastN {
            n,
            observed_from: None,
            keys: KeyTable::new(environment),
        })
    }

    fn needs(&self) -> Columns {
        Columns::KEYS | Columns::VALUE_LENS
    }

    fn observe(&mut self, batch: &Batch) -> usize {
        self.observed_from = self.observed_from.or(batch.offsets().next());
        let mut records = batch.keys().zip(batch.offsets()).zip(batch.tombstones());
        let full = records.position(|((key, offset), is_tombstone)| {
            let count = |key: &mut Key| {
                if is_tombstone {
                    *key = Key {
                        from: offset,
                        left: 0,
                    };
                }
                key.left = key.left.saturating_add(1);
            };
            key.is_some_and(|key| self.keys.update(key, count).is_err())
        });
        full.unwrap_or(batch.len())
    }

    fn retain(&mut self, batch: &Batch) -> Bitmap {
        let observed_from = self.observed_from.unwrap_or(u64::MAX);
        let stays = |(key, offset): (Option<&[u8]>, u64)| {
            let Some(key) = key.and_then(|key| self.keys.get_mut(key)) else {
                return true;
            };
            if offset < key.from {
                return false;
            }
            if offset < observed_from {
                return key.left < self.n;
            }
            let is_among_the_last = key.left <= self.n;
            key.left = key.left.saturating_sub(1);
            is_among_the_last
        };
        batch.keys().zip(batch.offsets()).map(stays).collect()
    }
}

plugin_sdk::export_compaction!(KeepLastN);

#[cfg(test)]
mod tests {
    use super::*;

    /// Each record is a key, with `!` for a tombstone.
    fn kept(n: &str, records: &[&str], dirty_from: usize) -> Vec<usize> {
        let config = Config::new("orders", [("n", n)]);
        let mut policy = KeepLastN::new(&config, &Environment::at(0)).unwrap();
        let batch = |range: std::ops::Range<usize>| {
            let records = &records[range.clone()];
            let keys = records
                .iter()
                .map(|record| Some(record.trim_end_matches('!')));
            let lens = records
                .iter()
                .map(|record| (!record.ends_with('!')).then_some(1));
            let offsets = range.map(|row| row as u64 + 10);
            Batch::from_keys(keys)
                .with_value_lens(lens)
                .with_offsets(offsets)
        };
        let dirty = batch(dirty_from..records.len());
        assert_eq!(policy.observe(&dirty), dirty.len());
        policy.retain(&batch(0..records.len())).kept().collect()
    }

    #[test]
    fn the_last_n_of_each_key_stay() {
        let records = ["a", "b", "a", "a", "b", "a", "c"];
        assert_eq!(kept("1", &records, 0), [4, 5, 6]);
        assert_eq!(kept("2", &records, 0), [1, 3, 4, 5, 6]);
        assert_eq!(kept("9", &records, 0), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_tombstone_hides_everything_before_it() {
        assert_eq!(kept("3", &["a", "a!", "a", "a!", "a", "b"], 0), [3, 4, 5]);
        assert_eq!(kept("1", &["a", "a!"], 0), [1]);
        assert_eq!(kept("1", &["a!", "a"], 0), [1]);
    }

    #[test]
    fn what_an_earlier_cleaning_left_never_goes_too_early() {
        assert_eq!(kept("2", &["a", "a", "a"], 2), [0, 1, 2]);
        assert_eq!(kept("2", &["a", "a", "a", "a"], 2), [2, 3]);
        assert_eq!(kept("2", &["a", "b", "a!"], 2), [1, 2]);
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        for option in [("n", "0"), ("n", "-1"), ("m", "1")] {
            assert!(KeepLastN::new(&Config::new("t", [option]), &Environment::at(0)).is_err());
        }
    }
}
