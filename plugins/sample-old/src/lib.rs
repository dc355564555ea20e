//! Compaction that thins out: of the records beyond an age one in so many stays, the younger ones all do.
//! Which ones is decided by the key (all records of a key, or none of them) or by the offset, so every
//! replica keeps the same and a second cleaning finds nothing more to remove.
//!
//! Options:
//! - `keep` (needed): one in so many stays, at least 1;
//! - `older.than` (needed): a duration such as `30d`, from the record's timestamp to the cleaning;
//! - `by`: `key` (unless set; records without a key are decided by their offset) or `offset`.

use std::str::FromStr;

use plugin_sdk::{Batch, Bitmap, Columns, CompactionPolicy, Config, Environment};

struct SampleOld {
    keep: u64,
    by: By,
    /// Younger than this stays.
    young_ms: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Key,
    Offset,
}

impl FromStr for By {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "key" => Ok(By::Key),
            "offset" => Ok(By::Offset),
            _ => Err("not key or offset"),
        }
    }
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
            *timestamp >= self.young_ms || key.map_or(offset, hash) % self.keep == 0
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

/// FNV-1a of 64 bits with its bits mixed once more. Not murmur2: that has chosen the partition, so that
/// inside one partition its remainders are not spread.
fn hash(key: &[u8]) -> u64 {
    let fnv = key.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

plugin_sdk::export_compaction!(SampleOld);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn policy(by: &str) -> SampleOld {
        let config = Config::new("orders", [("keep", "10"), ("older.than", "1d"), ("by", by)]);
        SampleOld::new(&config, &Environment::at(2 * DAY)).unwrap()
    }

    /// 2,000 records of 1,000 keys, the second half young.
    fn batch(keys: impl Fn(u64) -> Option<String>) -> Batch {
        Batch::from_keys((0..2_000).map(|row| keys(row % 1_000)))
            .with_timestamps((0..2_000).map(|row| if row < 1_000 { DAY - 1 } else { DAY }))
            .with_offsets(0..2_000)
    }

    #[test]
    fn one_in_so_many_of_the_old_ones_stays() {
        let by_offset = policy("offset").retain(&batch(|row| Some(row.to_string())));
        let expected = (0..1_000).filter(|row| row % 10 == 0).chain(1_000..2_000);
        assert!(by_offset.kept().eq(expected));
        let by_key = policy("key").retain(&batch(|row| Some(row.to_string())));
        let old = by_key.kept().filter(|row| *row < 1_000).count();
        assert!((60..140).contains(&old), "{old}");
        assert_eq!(by_key.kept().count() - old, 1_000);
    }

    #[test]
    fn the_keys_of_one_partition_are_sampled_as_well() {
        let of_partition = |key: &String| plugin_sdk::murmur2(key.as_bytes()) % 10 == 3;
        let keys: Vec<_> = (0..100_000_u32)
            .map(|key| key.to_string())
            .filter(of_partition)
            .take(1_000)
            .collect();
        let kept = keys
            .iter()
            .filter(|key| hash(key.as_bytes()) % 10 == 0)
            .count();
        assert!((60..140).contains(&kept), "{kept}");
    }

    #[test]
    fn a_second_cleaning_removes_nothing_more() {
        let batch = batch(|row| (row % 2 == 0).then(|| row.to_string()));
        let first = policy("key").retain(&batch);
        assert_eq!(policy("key").retain(&batch), first);
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        for options in [
            &[("keep", "10")][..],
            &[("older.than", "1d")],
            &[("keep", "0"), ("older.than", "1d")],
            &[("keep", "2"), ("older.than", "1d"), ("by", "value")],
            &[("keep", "2"), ("older.than", "1d"), ("x", "y")],
        ] {
            let config = Config::new("t", options.iter().copied());
            assert!(
                SampleOld::new(&config, &Environment::at(0)).is_err(),
                "{options:?}"
            );
        }
    }
}
