//! The same partition for a key, also after the topic grew. A key is hashed (as key-hash does it) over the
//! partition count that the topic had when the key came into being, and that count never changes again.
//!
//! A partitioner has no memory and cannot know which keys a topic has seen, so the record says it:
//! - without options, every key is taken for as old as the topic: all keys stay on the partitions of its
//!   creation, and the new partitions get records without a key only;
//! - option `boundaries`: keys that ascend with time (numbers from a sequence, UUIDv7, ULIDs, dates in
//!   front). When the topic grows, add a boundary: a key above every key that exists. Keys below the first
//!   boundary are hashed over the count at creation, keys from the first to the second one over the count
//!   after the first growth, and so on. `boundaries = 500000,1200000`
//!   - option `order`: how keys are compared with boundaries: `number` (unless set; decimal digits; a key
//!     that is no number is as old as the topic) or `bytes`;
//! - option `header`: the name of a header with the number of growths that the key was born after, in
//!   decimal digits: 0 or no header for the count at creation, 1 for the one after the first growth. It
//!   is the producer that has to say the same for a key each time.
//!
//! What it promises: with the same options (and header) a key's partition depends on nothing but the
//! counts up to its own growth, so no later growth moves it. A boundary or a number beyond the growths
//! that there were means the newest count. To change a boundary that is in use moves the keys between.
//! Records without a key go round robin batch by batch over all partitions.

mod generation;

use plugin_sdk::{Batch, Columns, Config, Layout, Partitioner, murmur2};

use crate::generation::Generation;

struct StickyGrow(Generation);

impl Partitioner for StickyGrow {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&["boundaries", "order", "header"])?;
        Generation::new(config).map(StickyGrow)
    }

    fn needs(&self) -> Columns {
        match self.0 {
            Generation::Header(_) => Columns::KEYS | Columns::HEADERS,
            _ => Columns::KEYS,
        }
    }

    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
        let partition = |key: &[u8], growths: usize| {
            let counts = &layout.counts;
            let count = counts.get(growths).or(counts.last()).copied();
            let count = count.map_or(layout.partitions, |count| count.clamp(1, layout.partitions));
            (murmur2(key) & 0x7fff_ffff) % count
        };
        let without_key = layout.turn(layout.batches);
        let mut partitions = Vec::with_capacity(batch.len());
        let mut headers = self.0.header().map(|name| batch.header_values(name));
        for key in batch.keys() {
            let header = headers
                .as_mut()
                .and_then(Iterator::next)
                .flatten()
                .flatten();
            let Some(key) = key else {
                partitions.push(without_key);
                continue;
            };
            partitions.push(partition(key, self.0.of(key, header)?));
        }
        Ok(partitions)
    }

    fn keyless(&mut self, _count: u32, layout: &Layout) -> Option<u32> {
        Some(layout.turn(layout.batches))
    }
}

plugin_sdk::export_partitioner!(StickyGrow);

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors_tests;
