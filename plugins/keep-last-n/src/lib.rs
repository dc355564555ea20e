//! Compaction that keeps the last records of each key. A tombstone is a record like the others and hides
//! everything before it. Records without a key stay.
//!
//! Option `n`: how many records of a key stay; 1 unless set, which is latest-by-key.
//!
//! To count what earlier cleanings left as well, the first pass goes over the whole log each time. So the
//! memory has to hold an entry for every key of the clean part (64 MiB: about a million keys, `memory` of
//! the plugin's limits): if it does not, the cleaning fails, which is said in the broker's log, and
//! everything stays.

mod key;

use plugin_sdk::{Batch, Bitmap, Columns, CompactionPolicy, Config, Environment, KeyTable, Scope};

use crate::key::Key;

struct KeepLastN {
    n: u32,
    keys: KeyTable<Key>,
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
            keys: KeyTable::new(environment),
        })
    }

    fn needs(&self) -> Columns {
        Columns::KEYS | Columns::VALUE_LENS
    }

    fn scope(&self) -> Scope {
        Scope::WholeLog
    }

    fn observe(&mut self, batch: &Batch) -> usize {
        let mut records = batch.keys().zip(batch.offsets()).zip(batch.tombstones());
        let full = records.position(|((key, offset), is_tombstone)| {
            let count = |key: &mut Key| key.count(offset, is_tombstone);
            key.is_some_and(|key| self.keys.update(key, count).is_err())
        });
        full.unwrap_or(batch.len())
    }

    fn retain(&mut self, batch: &Batch) -> Bitmap {
        let stays = |(key, offset): (Option<&[u8]>, u64)| {
            let Some(key) = key.and_then(|key| self.keys.get_mut(key)) else {
                return true;
            };
            if offset < key.from {
                return false;
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
mod tests;
