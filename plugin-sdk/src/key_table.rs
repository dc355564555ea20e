//! `KeyTable`: what a compaction policy remembers per key, in as much memory as it may have. Extendible
//! hashing with buckets of one size: to grow takes one bucket more and moves one bucket's entries, so
//! there is never a second copy of the table and nothing is left unused between blocks.
//!
//! A key is stood for by 128 bits of its BLAKE3 hash: two keys that were made to collide would delete
//! each other's records, so the hash has to be a cryptographic one.

use crate::Environment;

/// Slots of a bucket; all but a few of them are filled before it is split.
const SLOTS: usize = 128;
const SLOTS_USED_MAX: usize = 116;
/// The directory has at most 2 to the power of this many entries, of four bytes each.
const DEPTH_MAX: u32 = 20;

/// There is no room for another key: a policy stops observing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A table from keys to values of a fixed size. Made for a cleaning, it takes three quarters of the
/// instance's memory less 2 MiB, and says so when they are used up; a key takes about 1.5 times its 16
/// bytes and the value's, so that 64 MiB hold about a million keys with an offset each.
///
/// ```
/// use plugin_sdk::{Environment, KeyTable};
///
/// let mut latest = KeyTable::new(&Environment::at(0));
/// latest.update(b"a", |offset| *offset = 7_u64).unwrap();
/// latest.update(b"a", |offset| *offset = 9).unwrap();
/// assert_eq!(latest.get(b"a"), Some(&9));
/// assert_eq!(latest.get(b"b"), None);
/// ```
#[derive(Debug)]
pub struct KeyTable<V> {
    /// Which bucket serves a digest, by its lowest `depth` bits.
    directory: Vec<u32>,
    depth: u32,
    buckets: Vec<Bucket<V>>,
    buckets_max: usize,
    len: usize,
}

#[derive(Debug)]
struct Bucket<V> {
    /// How many bits all its digests have in common.
    depth: u32,
    used: usize,
    slots: Box<[Slot<V>]>,
}

#[derive(Clone, Copy, Debug)]
struct Slot<V> {
    digest: Digest,
    value: V,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest([u64; 2]);

impl Digest {
    /// The slot is free. No key has it: the second half of a key's digest is never 0.
    const FREE: Digest = Digest([0, 0]);

    fn of(key: &[u8]) -> Self {
        let hash = blake3::hash(key);
        let half = |from: usize| {
            let bytes = hash.as_bytes()[from..from + 8].try_into();
            u64::from_le_bytes(bytes.expect("eight of 32 bytes"))
        };
        Digest([half(0), half(8).max(1)])
    }

    /// Where to begin in a bucket; not the bits that chose the bucket.
    fn slot(self) -> usize {
        usize::try_from(self.0[1] >> 57).expect("seven bits")
    }

    fn bits(self, depth: u32) -> usize {
        usize::try_from(self.0[0] & ((1 << depth) - 1)).expect("at most DEPTH_MAX bits")
    }
}

impl<V: Copy + Default> KeyTable<V> {
    /// An empty table for the memory of a cleaning.
    pub fn new(environment: &Environment) -> Self {
        let bytes = usize::try_from(environment.memory_bytes).unwrap_or(usize::MAX);
        // The stack, the batch that is being looked at, and what the allocator cannot use.
        let others = bytes / 4 + (2 << 20);
        KeyTable::with_bytes(bytes.saturating_sub(others))
    }

    /// An empty table of at most so many bytes, but never less than one bucket of 128 entries.
    pub fn with_bytes(bytes: usize) -> Self {
        // A bucket takes its slots, its own fields, and entries of the directory.
        let bucket = size_of::<Slot<V>>() * SLOTS + size_of::<Bucket<V>>() * 2 + 16;
        KeyTable {
            directory: vec![0],
            depth: 0,
            buckets: vec![Bucket::new(0)],
            buckets_max: (bytes / bucket).max(1),
            len: 0,
        }
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no keys.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is remembered of a key.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        let digest = Digest::of(key);
        let bucket = &self.buckets[self.bucket_of(digest)];
        let slot = &bucket.slots[bucket.position(digest)];
        (slot.digest == digest).then_some(&slot.value)
    }

    /// What is remembered of a key, to change it.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        let digest = Digest::of(key);
        let bucket = self.bucket_of(digest);
        let bucket = &mut self.buckets[bucket];
        let slot = &mut bucket.slots[bucket.position(digest)];
        (slot.digest == digest).then_some(&mut slot.value)
    }

    /// Changes what is remembered of a key; a new key begins with the default value.
    ///
    /// # Errors
    /// There is no room for the new key. The table is as before.
    pub fn update(&mut self, key: &[u8], change: impl FnOnce(&mut V)) -> Result<(), Full> {
        let digest = Digest::of(key);
        loop {
            let index = self.bucket_of(digest);
            let bucket = &mut self.buckets[index];
            let position = bucket.position(digest);
            if bucket.slots[position].digest == digest {
                change(&mut bucket.slots[position].value);
                return Ok(());
            }
            if bucket.used < SLOTS_USED_MAX {
                bucket.used += 1;
                self.len += 1;
                let slot = &mut bucket.slots[position];
                slot.digest = digest;
                change(&mut slot.value);
                return Ok(());
            }
            self.split(index)?;
        }
    }

    fn bucket_of(&self, digest: Digest) -> usize {
        self.directory[digest.bits(self.depth)] as usize
    }

    /// Moves the entries of a full bucket whose next bit is set to a new one.
    fn split(&mut self, index: usize) -> Result<(), Full> {
        let depth = self.buckets[index].depth;
        if self.buckets.len() >= self.buckets_max || depth >= DEPTH_MAX {
            return Err(Full);
        }
        if depth == self.depth {
            self.directory.extend_from_within(..);
            self.depth += 1;
        }
        let new = u32::try_from(self.buckets.len()).expect("at most 2^DEPTH_MAX buckets");
        let mut halves = [Bucket::new(depth + 1), Bucket::new(depth + 1)];
        for slot in &self.buckets[index].slots {
            if slot.digest != Digest::FREE {
                halves[slot.digest.bits(depth + 1) >> depth].insert(*slot);
            }
        }
        let [low, high] = halves;
        self.buckets[index] = low;
        self.buckets.push(high);
        for (bits, bucket) in self.directory.iter_mut().enumerate() {
            if *bucket as usize == index && bits >> depth & 1 == 1 {
                *bucket = new;
            }
        }
        Ok(())
    }
}

impl<V: Copy + Default> Bucket<V> {
    fn new(depth: u32) -> Self {
        let free = Slot {
            digest: Digest::FREE,
            value: V::default(),
        };
        Bucket {
            depth,
            used: 0,
            slots: vec![free; SLOTS].into_boxed_slice(),
        }
    }

    /// Where the digest is, or where it would go. There is always a free slot.
    fn position(&self, digest: Digest) -> usize {
        let mut position = digest.slot();
        while self.slots[position].digest != digest && self.slots[position].digest != Digest::FREE {
            position = (position + 1) % SLOTS;
        }
        position
    }

    fn insert(&mut self, slot: Slot<V>) {
        let position = self.position(slot.digest);
        self.slots[position] = slot;
        self.used += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_again() {
        let mut table = KeyTable::<u64>::with_bytes(64 << 20);
        for number in 0..50_000_u64 {
            table
                .update(&number.to_be_bytes(), |value| *value += number)
                .unwrap();
            table
                .update(&(number / 2).to_be_bytes(), |value| *value += 1)
                .unwrap();
        }
        assert_eq!(table.len(), 50_000);
        for number in 0..50_000_u64 {
            let times = if number < 25_000 { 2 } else { 0 };
            assert_eq!(table.get(&number.to_be_bytes()), Some(&(number + times)));
        }
        assert_eq!(table.get(b"another"), None);
        assert_eq!(table.get_mut(b"another"), None);
    }

    #[test]
    fn it_says_when_it_is_full_and_forgets_nothing() {
        let mut table = KeyTable::<u64>::with_bytes(1 << 20);
        let mut taken = 0_u64;
        while table
            .update(&taken.to_be_bytes(), |value| *value = taken)
            .is_ok()
        {
            taken += 1;
        }
        assert!((15_000..45_000).contains(&taken), "{taken}");
        let buckets = table.buckets.len() * size_of::<Slot<u64>>() * SLOTS;
        assert!(buckets + table.directory.len() * 4 <= 1 << 20);
        assert_eq!(table.get(&taken.to_be_bytes()), None);
        assert_eq!(
            table.update(&0_u64.to_be_bytes(), |value| *value = 5),
            Ok(())
        );
        assert_eq!(table.get(&0_u64.to_be_bytes()), Some(&5));
        assert!((1..taken).all(|key| table.get(&key.to_be_bytes()) == Some(&key)));
    }
}
