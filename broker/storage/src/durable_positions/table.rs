//! `State`: the points of a directory in memory, which slot of the file each partition has, and which slots are free.

use std::collections::{BTreeMap, BTreeSet};

use broker_model::{PartitionId, TopicId};

use super::slots::{GROW_PAIRS, PAIR_LEN, encode_header, encode_pair, read_places};
use super::{DurablePoint, PartitionKey, SlotTicket};
use crate::small_file::RecoveryPoint;

#[derive(Default)]
pub(super) struct State {
    pub(super) sequence: u64,
    pub(super) capacity: usize,
    pub(super) slots: Vec<Slot>,
    pub(super) by_key: BTreeMap<PartitionKey, usize>,
    pub(super) free: Vec<usize>,
    /// Partitions forgotten since the start.
    pub(super) released: u64,
}

#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) key: PartitionKey,
    pub(super) generation: u32,
    pub(super) point: RecoveryPoint,
    /// Whether acknowledgements do not wait for syncs now.
    pub(super) is_async: bool,
    /// Which of the two slots was written last.
    pub(super) last_was_second: bool,
}

impl Slot {
    /// A ticket to its history, for the slot with this number.
    pub(super) fn ticket(&self, number: usize) -> SlotTicket {
        SlotTicket {
            slot: u32::try_from(number).expect("no directory has that many partitions"),
            generation: self.generation,
        }
    }
}

impl State {
    /// The table and the file for these points, packed.
    pub(super) fn rebuilt(points: &BTreeMap<PartitionKey, RecoveryPoint>) -> (Self, Vec<u8>) {
        let capacity = points.len().next_multiple_of(GROW_PAIRS).max(GROW_PAIRS);
        let mut image = vec![0; (1 + capacity) * PAIR_LEN];
        let mut state = Self {
            capacity,
            // Made in one go, it takes little more than half the room.
            by_key: points.keys().copied().zip(0..).collect(),
            slots: Vec::with_capacity(points.len()),
            ..Self::default()
        };
        let mut places = image.chunks_exact_mut(PAIR_LEN);
        if let Some(header) = places.next().and_then(|pair| pair.first_chunk_mut()) {
            *header = encode_header();
        }
        for ((key, point), place) in points.iter().zip(places) {
            place.copy_from_slice(&encode_pair(key, point));
            state.sequence = state.sequence.max(point.sequence);
            state.slots.push(Slot {
                key: *key,
                generation: 0,
                point: *point,
                is_async: point.is_async,
                last_was_second: false,
            });
        }
        (state, image)
    }

    /// The table as a sound file has it.
    pub(super) fn in_place(bytes: &[u8], points: &BTreeMap<PartitionKey, RecoveryPoint>) -> Self {
        let capacity = (bytes.len() / PAIR_LEN).saturating_sub(1);
        let nobody = Slot {
            key: (TopicId::from_bytes([0; 16]), PartitionId::new(0)),
            generation: 0,
            point: RecoveryPoint::default(),
            is_async: false,
            last_was_second: false,
        };
        let mut state = Self {
            capacity,
            slots: vec![nobody; capacity],
            ..Self::default()
        };
        for (place, key, last_was_second) in read_places(bytes) {
            let (Some(point), Some(slot)) = (points.get(&key), state.slots.get_mut(place)) else {
                continue;
            };
            *slot = Slot {
                key,
                point: *point,
                is_async: point.is_async,
                last_was_second,
                ..nobody
            };
            state.by_key.insert(key, place);
            state.sequence = state.sequence.max(point.sequence);
        }
        let used: BTreeSet<usize> = state.by_key.values().copied().collect();
        state.free = (0..capacity)
            .rev()
            .filter(|place| !used.contains(place))
            .collect();
        state
    }

    /// The capacity, when all of it is in use.
    pub(super) fn full_at(&self) -> Option<usize> {
        let is_full = self.free.is_empty() && self.slots.len() == self.capacity;
        is_full.then_some(self.capacity)
    }

    /// Every point that is set has a sequence of its own.
    pub(super) fn changes(&self) -> u64 {
        self.sequence + self.released
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn slot_mut(&mut self, slot: usize) -> &mut Slot {
        self.slots
            .get_mut(slot)
            .expect("slots are only ever added, and tickets are made from them")
    }
}

pub(super) fn recovery_point(point: DurablePoint, boot: u64, sequence: u64) -> RecoveryPoint {
    RecoveryPoint {
        segment: point.segment,
        position: point.position,
        end: point.end,
        epoch: point.epoch,
        boot,
        sequence,
        is_async: point.is_async,
    }
}
