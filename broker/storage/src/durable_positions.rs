//! `durable-positions` at the top of a log directory: up to where each partition is durable, two
//! slots of 64 bytes a partition, rewritten in turn and in place by the sync thread after every sync.
//!
//! In-place writes into blocks that exist already are cheap (about 80 µs durable, against 400 µs for
//! the sync before it), and no acknowledgement waits for them: what is recorded lags by one sync at
//! most. A slot that was torn or damaged fails its checksum, and the other one is in force; with both
//! lost, the point in `recovery-point-checkpoint` is.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_model::{LeaderEpoch, Offset, PartitionId, TopicId};

use crate::io::{Io, IoFile, OpenMode};
use crate::small_file::RecoveryPoint;

/// Bytes of a slot.
///
/// | at | size | field |
/// |---:|-----:|-------|
/// | 0  | 16 | topic id |
/// | 16 | 4  | partition, u32 |
/// | 20 | 4  | leader epoch of the last durable batch, u32 |
/// | 24 | 8  | base offset of the segment, u64 |
/// | 32 | 4  | durable bytes of the segment, u32 |
/// | 36 | 8  | end offset, u64 |
/// | 44 | 8  | boot, u64 |
/// | 52 | 8  | sequence, u64 |
/// | 60 | 4  | crc32 of bytes 0..60 |
const SLOT_LEN: usize = 64;
/// Bytes of a partition: its two slots, of which the one with the larger sequence is in force.
const PAIR_LEN: usize = 2 * SLOT_LEN;
/// In place of the first slot is the file's header: magic `BDUR`, version u32, zeros, crc32.
const MAGIC: [u8; 4] = *b"BDUR";
const VERSION: u32 = 1;
/// The file grows by zeros for so many partitions, which are durable before one is put there.
const GROW_PAIRS: usize = 128;

const _: () = assert!(16 + 4 + 4 + 8 + 4 + 8 + 8 + 8 + 4 == SLOT_LEN);

/// The partition a slot is for.
pub(crate) type PartitionKey = (TopicId, PartitionId);

/// A slot in use, and which of the log's histories it belongs to: a truncation begins a new one, so
/// that a sync still under way for the old one does not raise the point again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotTicket {
    slot: usize,
    generation: u64,
}

/// A durable point to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DurablePoint {
    pub(crate) segment: Offset,
    pub(crate) position: u32,
    pub(crate) end: Offset,
    pub(crate) epoch: LeaderEpoch,
}

/// The file, and what was last recorded in it.
pub(crate) struct DurablePositions {
    path: PathBuf,
    file: Arc<dyn IoFile>,
    boot: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sequence: u64,
    capacity: usize,
    slots: Vec<Slot>,
    by_key: BTreeMap<PartitionKey, usize>,
    free: Vec<usize>,
}

#[derive(Clone, Copy)]
struct Slot {
    key: PartitionKey,
    generation: u64,
    point: RecoveryPoint,
    /// Which of the two slots was written last.
    last_was_second: bool,
}

impl DurablePositions {
    pub(crate) const FILE: &str = "durable-positions";

    /// Opens the file of a directory, or creates it, and merges it with the checkpoint's points.
    /// `boot` is the boot that new points are recorded under.
    pub(crate) fn open(
        io: &dyn Io,
        dir: &Path,
        boot: u64,
        checkpoint: &BTreeMap<PartitionKey, RecoveryPoint>,
    ) -> io::Result<Self> {
        let path = dir.join(Self::FILE);
        let bytes = io.read_small(&path)?.unwrap_or_default();
        let mut merged = checkpoint.clone();
        let usable = read_header(&bytes)?;
        for (key, point) in bytes
            .chunks_exact(SLOT_LEN)
            .skip(2)
            .filter(|_| usable)
            .filter_map(decode_slot)
        {
            let known = merged.entry(key).or_insert(point);
            if known.sequence <= point.sequence {
                *known = point;
            }
        }
        let (state, image) = State::rebuilt(&merged);
        io.replace_small(&path, &image)?;
        Ok(Self {
            file: io.open(&path, OpenMode::Write)?,
            path,
            boot,
            state: Mutex::new(state),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of a partition from earlier.
    pub(crate) fn known(&self, key: &PartitionKey) -> Option<RecoveryPoint> {
        let state = self.lock();
        let slot = state.by_key.get(key)?;
        state.slots.get(*slot).map(|slot| slot.point)
    }

    /// Sets a partition's point, up or down, durably, and begins a new history of it.
    pub(crate) fn reset(&self, key: PartitionKey, to: DurablePoint) -> io::Result<SlotTicket> {
        let mut state = self.lock();
        let slot = match state.by_key.get(&key) {
            Some(slot) => *slot,
            None => self.allocate(&mut state, key)?,
        };
        let sequence = state.next_sequence();
        let entry = state.slot_mut(slot);
        entry.generation += 1;
        entry.point = recovery_point(to, self.boot, sequence);
        let ticket = SlotTicket {
            slot,
            generation: entry.generation,
        };
        let bytes = encode_pair(&entry.key, &entry.point);
        self.file.write_all_at(&bytes, pair_position(slot))?;
        self.file.sync_data()?;
        Ok(ticket)
    }

    /// Goes on with a partition's point as it is, under this boot, in a new history. Not synced: if
    /// it is lost, the boot is another one anyway. `None` when the partition is not known.
    pub(crate) fn resume(&self, key: &PartitionKey) -> io::Result<Option<SlotTicket>> {
        let mut state = self.lock();
        let Some(slot) = state.by_key.get(key).copied() else {
            return Ok(None);
        };
        let sequence = state.next_sequence();
        let entry = state.slot_mut(slot);
        entry.generation += 1;
        entry.point.boot = self.boot;
        entry.point.sequence = sequence;
        let generation = entry.generation;
        let bytes = encode_pair(&entry.key, &entry.point);
        self.file.write_all_at(&bytes, pair_position(slot))?;
        Ok(Some(SlotTicket { slot, generation }))
    }

    /// Records points that a sync has just made true; those of an ended history are ignored.
    pub(crate) fn record(&self, points: &[(SlotTicket, DurablePoint)]) -> io::Result<()> {
        let mut written = false;
        {
            let mut state = self.lock();
            for (ticket, point) in points {
                let sequence = state.next_sequence();
                let entry = state.slot_mut(ticket.slot);
                if entry.generation != ticket.generation || entry.point.end > point.end {
                    continue;
                }
                entry.point = recovery_point(*point, self.boot, sequence);
                let bytes = encode_slot(&entry.key, &entry.point);
                let half = if entry.last_was_second { 0 } else { SLOT_LEN };
                entry.last_was_second = !entry.last_was_second;
                let position = pair_position(ticket.slot) + half as u64;
                self.file.write_all_at(&bytes, position)?;
                written = true;
            }
        }
        if written {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Ends a partition's history: nothing is recorded for it any more.
    pub(crate) fn retire(&self, key: &PartitionKey) {
        let mut state = self.lock();
        if let Some(slot) = state.by_key.get(key).copied() {
            state.slot_mut(slot).generation += 1;
        }
    }

    /// Whether a ticket's history still goes on.
    pub(crate) fn is_current(&self, ticket: SlotTicket) -> bool {
        let state = self.lock();
        let slot = state.slots.get(ticket.slot);
        slot.is_some_and(|slot| slot.generation == ticket.generation)
    }

    /// Forgets a partition.
    pub(crate) fn release(&self, key: &PartitionKey) -> io::Result<()> {
        let mut state = self.lock();
        let Some(slot) = state.by_key.remove(key) else {
            return Ok(());
        };
        state.slot_mut(slot).generation += 1;
        state.free.push(slot);
        self.file
            .write_all_at(&[0; PAIR_LEN], pair_position(slot))?;
        self.file.sync_data()
    }

    /// All points, for the checkpoint.
    pub(crate) fn snapshot(&self) -> BTreeMap<PartitionKey, RecoveryPoint> {
        let state = self.lock();
        state
            .by_key
            .iter()
            .filter_map(|(key, slot)| Some((*key, state.slots.get(*slot)?.point)))
            .collect()
    }

    fn allocate(&self, state: &mut State, key: PartitionKey) -> io::Result<usize> {
        let slot = match state.free.pop() {
            Some(slot) => slot,
            None => {
                if state.slots.len() == state.capacity {
                    let zeros = vec![0; GROW_PAIRS * PAIR_LEN];
                    self.file
                        .write_all_at(&zeros, pair_position(state.capacity))?;
                    self.file.sync_data()?;
                    state.capacity += GROW_PAIRS;
                }
                state.slots.push(Slot {
                    key,
                    generation: 0,
                    point: RecoveryPoint::default(),
                    last_was_second: false,
                });
                state.slots.len() - 1
            }
        };
        state.slot_mut(slot).key = key;
        state.by_key.insert(key, slot);
        Ok(slot)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the table whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The table and the file for these points, packed.
    fn rebuilt(points: &BTreeMap<PartitionKey, RecoveryPoint>) -> (Self, Vec<u8>) {
        let capacity = points.len().next_multiple_of(GROW_PAIRS).max(GROW_PAIRS);
        let mut image = vec![0; (1 + capacity) * PAIR_LEN];
        let mut state = Self {
            capacity,
            ..Self::default()
        };
        let mut places = image.chunks_exact_mut(PAIR_LEN);
        if let Some(header) = places.next().and_then(|pair| pair.first_chunk_mut()) {
            *header = encode_header();
        }
        for ((key, point), place) in points.iter().zip(places) {
            place.copy_from_slice(&encode_pair(key, point));
            state.by_key.insert(*key, state.slots.len());
            state.sequence = state.sequence.max(point.sequence);
            state.slots.push(Slot {
                key: *key,
                generation: 0,
                point: *point,
                last_was_second: false,
            });
        }
        (state, image)
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn slot_mut(&mut self, slot: usize) -> &mut Slot {
        self.slots
            .get_mut(slot)
            .expect("slots are only ever added, and tickets are made from them")
    }
}

fn recovery_point(point: DurablePoint, boot: u64, sequence: u64) -> RecoveryPoint {
    RecoveryPoint {
        segment: point.segment,
        position: point.position,
        end: point.end,
        epoch: point.epoch,
        boot,
        sequence,
    }
}

/// Where the slots of a partition are; the header has a pair's room in front.
fn pair_position(slot: usize) -> u64 {
    ((slot + 1) * PAIR_LEN) as u64
}

/// Both slots with the same point, for when there must be no older one to fall back on.
fn encode_pair(key: &PartitionKey, point: &RecoveryPoint) -> [u8; PAIR_LEN] {
    let mut bytes = [0; PAIR_LEN];
    let slot = encode_slot(key, point);
    bytes[..SLOT_LEN].copy_from_slice(&slot);
    bytes[SLOT_LEN..].copy_from_slice(&slot);
    bytes
}

fn encode_header() -> [u8; SLOT_LEN] {
    let mut bytes = [0; SLOT_LEN];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&VERSION.to_be_bytes());
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Whether the slots can be used: a damaged header loses the file's points, not the directory.
fn read_header(bytes: &[u8]) -> io::Result<bool> {
    let Some(header) = bytes.first_chunk::<SLOT_LEN>() else {
        return Ok(false);
    };
    if !checksum_fits(header) || header[..4] != MAGIC {
        return Ok(false);
    }
    let version = u32::from_be_bytes(field(header, 4));
    if version > VERSION {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "format version {version}, this broker knows up to {VERSION}: start a newer broker"
            ),
        ));
    }
    Ok(true)
}

fn encode_slot(key: &PartitionKey, point: &RecoveryPoint) -> [u8; SLOT_LEN] {
    let mut bytes = [0; SLOT_LEN];
    bytes[..16].copy_from_slice(key.0.as_bytes());
    bytes[16..20].copy_from_slice(&key.1.get().to_be_bytes());
    bytes[20..24].copy_from_slice(&point.epoch.get().to_be_bytes());
    bytes[24..32].copy_from_slice(&point.segment.get().to_be_bytes());
    bytes[32..36].copy_from_slice(&point.position.to_be_bytes());
    bytes[36..44].copy_from_slice(&point.end.get().to_be_bytes());
    bytes[44..52].copy_from_slice(&point.boot.to_be_bytes());
    bytes[52..60].copy_from_slice(&point.sequence.to_be_bytes());
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn decode_slot(bytes: &[u8]) -> Option<(PartitionKey, RecoveryPoint)> {
    let slot: &[u8; SLOT_LEN] = bytes.first_chunk()?;
    if !checksum_fits(slot) {
        return None;
    }
    let key = (
        TopicId::from_bytes(field(slot, 0)),
        PartitionId::new(u32::from_be_bytes(field(slot, 16))),
    );
    let point = RecoveryPoint {
        epoch: LeaderEpoch::new(u32::from_be_bytes(field(slot, 20))),
        segment: Offset::new(u64::from_be_bytes(field(slot, 24))),
        position: u32::from_be_bytes(field(slot, 32)),
        end: Offset::new(u64::from_be_bytes(field(slot, 36))),
        boot: u64::from_be_bytes(field(slot, 44)),
        sequence: u64::from_be_bytes(field(slot, 52)),
    };
    Some((key, point))
}

fn checksum_fits(slot: &[u8; SLOT_LEN]) -> bool {
    crc32fast::hash(&slot[..60]).to_be_bytes() == slot[60..]
}

fn field<const N: usize>(slot: &[u8; SLOT_LEN], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&slot[at..at + N]);
    bytes
}
