//! Partitions by a header instead of the key: equal values of the header go to one partition, the one that
//! key-hash gives to a key of those bytes.
//!
//! Options:
//! - `header` (needed): the header's name;
//! - `missing`: what becomes of a record without it (or with null): `key` (unless set): as key-hash does it
//!   with the key; `spread`: round robin batch by batch; `refuse`: the batch is refused.

use plugin_sdk::{Batch, Columns, Config, Layout, Partitioner, murmur2};

struct ByHeader {
    header: String,
    missing: Missing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Key,
    Spread,
    Refuse,
}

impl Partitioner for ByHeader {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&["header", "missing"])?;
        let missing = match config.option("missing") {
            None | Some("key") => Missing::Key,
            Some("spread") => Missing::Spread,
            Some("refuse") => Missing::Refuse,
            Some(other) => {
                return Err(format!(
                    "option missing = {other:?}: not key, spread or refuse"
                ));
            }
        };
        Ok(ByHeader {
            header: config.require("header")?,
            missing,
        })
    }

    fn needs(&self) -> Columns {
        match self.missing {
            Missing::Key => Columns::HEADERS | Columns::KEYS,
            Missing::Spread | Missing::Refuse => Columns::HEADERS,
        }
    }

    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
        let mut keys = (self.missing == Missing::Key).then(|| batch.keys());
        let mut partitions = Vec::with_capacity(batch.len());
        for (row, value) in batch.header_values(&self.header).enumerate() {
            let key = keys.as_mut().and_then(Iterator::next).flatten();
            let by = value.flatten().or(key);
            if by.is_none() && self.missing == Missing::Refuse {
                return Err(format!("record {row} has no header {}", self.header));
            }
            partitions.push(match by {
                Some(by) => (murmur2(by) & 0x7fff_ffff) % layout.partitions,
                None => layout.turn(layout.batches),
            });
        }
        Ok(partitions)
    }
}

plugin_sdk::export_partitioner!(ByHeader);

#[cfg(test)]
mod tests;
