//! Compaction that thins out: of the records beyond an age one in so many stays, the younger ones all do.
//! Which ones is decided by the key (all records of a key, or none of them) or by the offset, so every
//! replica keeps the same and a second cleaning finds nothing more to remove.
//!
//! Options:
//! - `keep` (needed): one in so many stays, at least 1;
//! - `older.than` (needed): a duration such as `30d`, from the record's timestamp to the cleaning;
//! - `by`: `key` (unless set; records without a key are decided by their offset) or `offset`.

mod choice;

use plugin_sdk::{Batch, Bitmap, Columns, CompactionPolicy, Config, Environment};

use crate::choice::{By, hash};

struct SampleOld {
    keep: u64,
    by: By,
    /// Younger than this stays.
    young_ms: i64,
}

impl CompactionPolicy for SampleOld {
    fn new(config: &Config, environment: &Environment) -> Result<Self, String> {
        config.allow_only(&["keep", "older.than", "by"])?;
        let keep = config.require("keep")?;
        if keep == 0 {
            return Err("option keep = 0: one in how many?".to_owned());
        }
        let age = config
            .millis("older.than")?
            .ok_or("option older.than is missing")?;
        let age = i64::try_from(age).unwrap_or(i64::MAX);
        let young_ms = environment.now_ms.saturating_sub(age);
        Ok(SampleOld {
            keep,
            by: config.parse("by", By::Key)?,
            young_ms,
        })
    }

    fn needs(&self) -> Columns {
        match self.by {
            By::Key => Columns::KEYS | Columns::TIMESTAMPS,
            By::Offset => Columns::TIMESTAMPS,
        }
    }

    fn retain(&mut self, batch: &Batch) -> Bitmap {
        let records = batch.offsets().zip(batch.timestamps());
        let stays = |offset, timestamp: &i64, key: Option<&[u8]>| {
            *timestamp >= self.young_ms || key.map_or(offset, hash).is_multiple_of(self.keep)
        };
        match self.by {
            By::Key => {
                let keyed = records.zip(batch.keys());
                keyed
                    .map(|((offset, timestamp), key)| stays(offset, timestamp, key))
                    .collect()
            }
            By::Offset => records
                .map(|(offset, timestamp)| stays(offset, timestamp, None))
                .collect(),
        }
    }
}

plugin_sdk::export_compaction!(SampleOld);

#[cfg(test)]
mod tests;
