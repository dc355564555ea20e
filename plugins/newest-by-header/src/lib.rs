//! Compaction by a version: of each key the record with the highest version stays, and the version is in
//! a header, whatever the order of the offsets. Of equal versions the higher offset stays. A record
//! without the header, or with one that is no version, counts as older than every version: with a key
//! that has a version it goes, and among themselves the higher offset stays. Tombstones are judged like
//! the others, so a delete needs its version too. Records without a key stay.
//!
//! Options:
//! - `header` (needed): the header's name;
//! - `order`: `number` (unless set): a whole number in decimal digits, negative ones included, that
//!   127 bits hold; or `bytes`: byte by byte, up to 32 of them.

mod rank;
mod version;

use plugin_sdk::{Batch, Bitmap, Columns, CompactionPolicy, Config, Environment, KeyTable};

use crate::rank::{Rank, ranked};
use crate::version::Order;

struct NewestByHeader {
    header: String,
    order: Order,
    newest: KeyTable<Rank>,
}

impl CompactionPolicy for NewestByHeader {
    fn new(config: &Config, environment: &Environment) -> Result<Self, String> {
        config.allow_only(&["header", "order"])?;
        Ok(NewestByHeader {
            header: config.require("header")?,
            order: config.parse("order", Order::Number)?,
            newest: KeyTable::new(environment),
        })
    }

    fn needs(&self) -> Columns {
        Columns::KEYS | Columns::HEADERS
    }

    fn observe(&mut self, batch: &Batch) -> usize {
        for (row, (key, rank)) in ranked(&self.header, self.order, batch).enumerate() {
            let Some(key) = key else { continue };
            if self
                .newest
                .update(key, |newest| *newest = rank.max(*newest))
                .is_err()
            {
                return row;
            }
        }
        batch.len()
    }

    /// What was cleaned before was not observed: it may be newer than all that was, and then counts. It is
    /// shown before those, so that a late record with a low version goes.
    fn retain(&mut self, batch: &Batch) -> Bitmap {
        let stays = |(key, rank): (Option<&[u8]>, Rank)| {
            let Some(newest) = key.and_then(|key| self.newest.get_mut(key)) else {
                return true;
            };
            let stays = rank >= *newest;
            *newest = rank.max(*newest);
            stays
        };
        ranked(&self.header, self.order, batch).map(stays).collect()
    }
}

plugin_sdk::export_compaction!(NewestByHeader);

#[cfg(test)]
mod tests;
