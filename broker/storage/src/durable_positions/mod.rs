//! `durable-positions` at the top of a log directory: up to where each partition is durable, two
//! slots of 64 bytes a partition, rewritten in turn and in place after every sync, beside the next one.
//!
//! In-place writes into blocks that exist already are cheap (about 80 µs durable, against 400 µs for the sync before
//! it), and no acknowledgement waits for the record of its own sync. It does wait for the record of the sync before,
//! which was made beside its own: what is recorded lags by one sync at most. A slot that was torn or damaged fails its
//! checksum, and the other one is in force; with both lost, the point in `recovery-point-checkpoint` is.

mod slots;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_model::{LeaderEpoch, Offset, PartitionId, TopicId};

use crate::health::{is_no_space, of_sync};
use crate::io::{Io, IoFile, OpenMode};
use crate::small_file::RecoveryPoint;
pub(crate) use slots::{FoundSlots, read_slots};
use slots::{GROW_PAIRS, PAIR_LEN, SLOT_LEN, encode_pair, encode_slot, pair_position};
use table::{Slot, State, recovery_point};

/// The partition a slot is for.
pub(crate) type PartitionKey = (TopicId, PartitionId);

/// A slot in use, and which of the log's histories it belongs to: a truncation begins a new one, so
/// that a sync still under way for the old one does not raise the point again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotTicket {
    slot: u32,
    generation: u32,
}

impl SlotTicket {
    fn slot(self) -> usize {
        self.slot as usize
    }
}

/// A durable point to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DurablePoint {
    pub(crate) segment: Offset,
    pub(crate) position: u32,
    pub(crate) end: Offset,
    pub(crate) epoch: LeaderEpoch,
    /// Whether what is behind it may be acknowledged before it is synced.
    pub(crate) is_async: bool,
}

/// The file, and what was last recorded in it.
pub(crate) struct DurablePositions {
    path: PathBuf,
    file: Arc<dyn IoFile>,
    boot: u64,
    lost: Lost,
    /// Never held while the disk is asked: who only wants to know a point does not wait for it.
    state: Mutex<State>,
    /// Held while slots are written, so that what is in the file follows the state in its order.
    writing: Mutex<()>,
    /// Held while a partition's point is set or forgotten, syncs included.
    changing: Mutex<()>,
}

/// What opening could not read back of the points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Where the file is damaged, and what that means, for the broker's log.
    problems: Vec<(Option<u64>, String)>,
    /// Partitions known from the checkpoint alone: their points may lag.
    lagging: BTreeSet<PartitionKey>,
    /// Whether points may be gone of which not even the partition is known.
    any: bool,
}

/// What a directory's checkpoint says of the points.
pub(crate) struct Checkpointed<'a> {
    pub(crate) points: &'a BTreeMap<PartitionKey, RecoveryPoint>,
    /// Nothing was written since: a lost file costs nothing.
    pub(crate) is_complete: bool,
    /// The directory is new, so that there is no file to be expected.
    pub(crate) is_fresh: bool,
}

impl DurablePositions {
    pub(crate) const FILE: &str = "durable-positions";

    /// Opens the file of a directory, or creates it, and merges it with the checkpoint's points.
    /// `bytes` is what is in it, and `boot` the boot that new points are recorded under.
    pub(crate) fn open(
        io: &dyn Io,
        dir: &Path,
        bytes: Option<Vec<u8>>,
        boot: u64,
        checkpoint: &Checkpointed<'_>,
    ) -> io::Result<Self> {
        let path = dir.join(Self::FILE);
        let found = read_slots(bytes.as_deref())?;
        let is_sound = found.problems.is_empty();
        let merged = found.merged_with(checkpoint.points);
        let lagging = found.lagging(checkpoint.points);
        let mut lost = Lost::default();
        if !checkpoint.is_fresh {
            lost.problems = found.problems;
        }
        if !checkpoint.is_fresh && !checkpoint.is_complete {
            lost.lagging = lagging;
            lost.any = found.lost_any;
        }
        let (mut state, image) = State::rebuilt(&merged);
        if let Err(error) = io.replace_small(&path, &image) {
            // On a full disk a file that is whole goes on as it is.
            let bytes = bytes.filter(|_| is_sound && is_no_space(&error));
            state = State::in_place(&bytes.ok_or(error)?, &merged);
            tracing::warn!(file = %path.display(), "the disk is full: the file is not written anew and goes on as it is");
        }
        Ok(Self {
            file: io.open(&path, OpenMode::Write)?,
            path,
            boot,
            lost,
            state: Mutex::new(state),
            writing: Mutex::default(),
            changing: Mutex::default(),
        })
    }

    /// Says what could not be read back, as loudly as it deserves. `clean` is whether the last stop
    /// was, so that the checkpoint has every point.
    pub(crate) fn tell_what_is_lost(&self, clean: bool) {
        let file = self.path.display();
        for (position, problem) in &self.lost.problems {
            if clean {
                tracing::warn!(%file, position, problem, "durable points are damaged; the checkpoint of the clean stop has them all, nothing is lost");
            } else if self.lost.any || !self.lost.lagging.is_empty() {
                tracing::error!(%file, position, problem, "durable points are lost: what was acknowledged since the last checkpoint cannot be told from unfinished writes, so nothing that may have been is cut; if data files were cut short too, records may be missing");
            } else {
                tracing::warn!(%file, position, problem, "a durable point is damaged; its twin, older by one sync at most, is in force");
            }
        }
    }

    /// Whether the point of a partition that has data may be older than what was acknowledged.
    pub(crate) fn is_doubtful(&self, key: &PartitionKey) -> bool {
        self.lost.lagging.contains(key) || (self.lost.any && self.known(key).is_none())
    }

    /// Whether some partition of this number had data, of whatever topic.
    pub(crate) fn had_data(&self, partition: PartitionId) -> bool {
        let state = self.lock();
        let mut slots = state.slots.iter();
        slots.any(|slot| slot.key.1 == partition && slot.point.end > Offset::ZERO)
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
        let _alone = self.change();
        let known = self.lock().by_key.get(&key).copied();
        let slot = match known {
            Some(slot) => slot,
            None => self.allocate(key)?,
        };
        let ticket = {
            let _in_order = self.write();
            let (bytes, ticket) = {
                let mut state = self.lock();
                let sequence = state.next_sequence();
                let entry = state.slot_mut(slot);
                entry.generation += 1;
                entry.point = recovery_point(to, self.boot, sequence);
                entry.is_async = to.is_async;
                let bytes = encode_pair(&entry.key, &entry.point);
                (bytes, entry.ticket(slot))
            };
            self.file.write_all_at(&bytes, pair_position(slot))?;
            ticket
        };
        self.sync()?;
        Ok(ticket)
    }

    /// Takes up a point that another directory has noted, as it is, durably; one of its own stays in force.
    pub(crate) fn adopt(&self, key: PartitionKey, point: RecoveryPoint) -> io::Result<()> {
        let _alone = self.change();
        if self.known(&key).is_some() {
            return Ok(());
        }
        let slot = self.allocate(key)?;
        {
            let _in_order = self.write();
            let bytes = {
                let mut state = self.lock();
                let sequence = state.next_sequence();
                let entry = state.slot_mut(slot);
                entry.point = RecoveryPoint { sequence, ..point };
                encode_pair(&key, &entry.point)
            };
            self.file.write_all_at(&bytes, pair_position(slot))?;
        }
        self.sync()
    }

    /// Goes on with a partition's point as it is, under this boot, in a new history. Not synced: if
    /// it is lost, the boot is another one anyway. `None` when the partition is not known.
    pub(crate) fn resume(
        &self,
        key: &PartitionKey,
        is_async: bool,
    ) -> io::Result<Option<SlotTicket>> {
        let _in_order = self.write();
        let (bytes, ticket) = {
            let mut state = self.lock();
            let Some(slot) = state.by_key.get(key).copied() else {
                return Ok(None);
            };
            let sequence = state.next_sequence();
            let entry = state.slot_mut(slot);
            entry.generation += 1;
            entry.point.boot = self.boot;
            entry.point.is_async = is_async;
            entry.is_async = is_async;
            entry.point.sequence = sequence;
            let bytes = encode_pair(&entry.key, &entry.point);
            (bytes, entry.ticket(slot))
        };
        self.file
            .write_all_at(&bytes, pair_position(ticket.slot()))?;
        Ok(Some(ticket))
    }

    /// Records points that a sync has just made true; those of an ended history are ignored.
    pub(crate) fn record(&self, points: &[(SlotTicket, DurablePoint)]) -> io::Result<()> {
        let mut written = false;
        {
            let _in_order = self.write();
            for (ticket, point) in points {
                let Some((bytes, position)) = self.take_up(*ticket, *point) else {
                    continue;
                };
                self.file.write_all_at(&bytes, position)?;
                // Only now: a slot that was torn is written again, not the good one beside it. It is still the
                // same partition's: slots are given to others by who writes, too.
                let mut state = self.lock();
                let entry = state.slot_mut(ticket.slot());
                entry.last_was_second = !entry.last_was_second;
                written = true;
            }
        }
        if written {
            self.sync()?;
        }
        Ok(())
    }

    /// Has points say from now on whether acknowledgements wait for syncs.
    pub(crate) fn set_async(&self, ticket: SlotTicket, is_async: bool) {
        let mut state = self.lock();
        let entry = state.slot_mut(ticket.slot());
        if entry.generation == ticket.generation {
            entry.is_async = is_async;
        }
    }

    /// Has the next checkpoint say that a log has come this far, whether that is durable or not: what of it is not there
    /// at the next start is missed.
    pub(crate) fn raise(&self, ticket: SlotTicket, reach: DurablePoint) {
        // Of an ended history nothing is missed.
        let _ = self.take_up(ticket, reach);
    }

    /// Takes a point up, unless its history has ended; what to write of it, and where.
    fn take_up(&self, ticket: SlotTicket, point: DurablePoint) -> Option<([u8; SLOT_LEN], u64)> {
        let mut state = self.lock();
        let sequence = state.next_sequence();
        let entry = state.slot_mut(ticket.slot());
        if entry.generation != ticket.generation || entry.point.end > point.end {
            return None;
        }
        entry.point = recovery_point(point, self.boot, sequence);
        entry.point.is_async |= entry.is_async;
        let half = if entry.last_was_second { 0 } else { SLOT_LEN };
        let position = pair_position(ticket.slot()) + half as u64;
        Some((encode_slot(&entry.key, &entry.point), position))
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
        let slot = state.slots.get(ticket.slot());
        slot.is_some_and(|slot| slot.generation == ticket.generation)
    }

    /// Forgets a partition.
    pub(crate) fn release(&self, key: &PartitionKey) -> io::Result<()> {
        let _alone = self.change();
        {
            let _in_order = self.write();
            let slot = {
                let mut state = self.lock();
                let Some(slot) = state.by_key.remove(key) else {
                    return Ok(());
                };
                state.slot_mut(slot).generation += 1;
                state.free.push(slot);
                state.released += 1;
                slot
            };
            self.file
                .write_all_at(&[0; PAIR_LEN], pair_position(slot))?;
        }
        self.sync()
    }

    /// Whether anything is known of any partition.
    pub(crate) fn has_any(&self) -> bool {
        !self.lock().by_key.is_empty()
    }

    /// All points, for the checkpoint, and the number of changes so far.
    pub(crate) fn snapshot(&self) -> (BTreeMap<PartitionKey, RecoveryPoint>, u64) {
        let state = self.lock();
        let points = state
            .by_key
            .iter()
            .filter_map(|(key, slot)| Some((*key, state.slots.get(*slot)?.point)));
        (points.collect(), state.changes())
    }

    /// How many changes there were so far: a checkpoint of as many is of the same points.
    pub(crate) fn changes(&self) -> u64 {
        self.lock().changes()
    }

    /// Under the lock of changes, which alone take slots and give them back.
    fn allocate(&self, key: PartitionKey) -> io::Result<usize> {
        let full_at = self.lock().full_at();
        if let Some(capacity) = full_at {
            let zeros = vec![0; GROW_PAIRS * PAIR_LEN];
            self.file.write_all_at(&zeros, pair_position(capacity))?;
            self.sync()?;
            self.lock().capacity += GROW_PAIRS;
        }
        let mut state = self.lock();
        let slot = match state.free.pop() {
            Some(slot) => slot,
            None => {
                state.slots.push(Slot {
                    key,
                    generation: 0,
                    point: RecoveryPoint::default(),
                    is_async: false,
                    last_was_second: false,
                });
                state.slots.len() - 1
            }
        };
        state.slot_mut(slot).key = key;
        state.by_key.insert(key, slot);
        Ok(slot)
    }

    /// Makes what was written durable, or says that it is not, in words that are never those of a full disk.
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data().map_err(of_sync)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        // Nothing panics while it is held.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> MutexGuard<'_, ()> {
        // Nothing panics while it is held.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the table whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
