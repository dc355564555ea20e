//! The bytes of `durable-positions`: a header, then two slots a partition, each with a checksum. Reading
//! tells sound, empty and damaged slots apart; what the damage means the table above decides.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use broker_model::{LeaderEpoch, Offset, PartitionId, TopicId};

use super::PartitionKey;
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
/// | 52 | 8  | sequence, u64; the top bit: acknowledgements did not wait for syncs (from version 2 on) |
/// | 60 | 4  | crc32 of bytes 0..60 |
pub(super) const SLOT_LEN: usize = 64;
/// Bytes of a partition: its two slots, of which the one with the larger sequence is in force.
pub(super) const PAIR_LEN: usize = 2 * SLOT_LEN;
/// In place of the first slot is the file's header: magic `BDUR`, version u32, zeros, crc32.
const MAGIC: [u8; 4] = *b"BDUR";
const VERSION: u32 = 2;
/// Beside the sequence.
const IS_ASYNC: u64 = 1 << 63;
/// The file grows by zeros for so many partitions, which are durable before one is put there.
pub(super) const GROW_PAIRS: usize = 128;

const _: () = assert!(16 + 4 + 4 + 8 + 4 + 8 + 8 + 8 + 4 == SLOT_LEN);

/// Where the slots of a partition are; the header has a pair's room in front.
pub(super) fn pair_position(slot: usize) -> u64 {
    ((slot + 1) * PAIR_LEN) as u64
}

/// Both slots with the same point, for when there must be no older one to fall back on.
pub(super) fn encode_pair(key: &PartitionKey, point: &RecoveryPoint) -> [u8; PAIR_LEN] {
    let mut bytes = [0; PAIR_LEN];
    let slot = encode_slot(key, point);
    bytes[..SLOT_LEN].copy_from_slice(&slot);
    bytes[SLOT_LEN..].copy_from_slice(&slot);
    bytes
}

pub(super) fn encode_header() -> [u8; SLOT_LEN] {
    let mut bytes = [0; SLOT_LEN];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&VERSION.to_be_bytes());
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// The points in a file, and what is wrong with it.
#[derive(Default)]
pub(crate) struct FoundSlots {
    pub(crate) points: Vec<(PartitionKey, RecoveryPoint)>,
    /// What is wrong, and at which byte.
    pub(crate) problems: Vec<(Option<u64>, String)>,
    /// Whether no slot is left of some partition, or of all; otherwise each bad slot has a sound twin.
    pub(crate) lost_any: bool,
}

impl FoundSlots {
    /// Of a file that cannot be read.
    pub(crate) fn nothing() -> Self {
        Self {
            lost_any: true,
            ..Self::default()
        }
    }

    fn is_sound(&self) -> bool {
        self.problems.is_empty() && !self.lost_any
    }

    /// The points that are in force, with those of the checkpoint: of each partition the newest.
    pub(crate) fn merged_with(
        &self,
        checkpointed: &BTreeMap<PartitionKey, RecoveryPoint>,
    ) -> BTreeMap<PartitionKey, RecoveryPoint> {
        let of_file: BTreeSet<PartitionKey> = self.points.iter().map(|(key, _)| *key).collect();
        // A file that is whole has every partition; what only the checkpoint knows was deleted since.
        let is_there = |key: &PartitionKey| !self.is_sound() || of_file.contains(key);
        let checkpointed = checkpointed.iter().map(|(key, point)| (*key, *point));
        let checkpointed = checkpointed.filter(|(key, _)| is_there(key));
        let mut merged: BTreeMap<_, RecoveryPoint> = checkpointed.collect();
        for (key, point) in &self.points {
            let known = merged.entry(*key).or_insert(*point);
            if known.sequence <= point.sequence {
                *known = *point;
            }
        }
        merged
    }

    /// Partitions whose points only the checkpoint has, and may be older there.
    pub(crate) fn lagging(
        &self,
        checkpointed: &BTreeMap<PartitionKey, RecoveryPoint>,
    ) -> BTreeSet<PartitionKey> {
        let of_file: BTreeSet<PartitionKey> = self.points.iter().map(|(key, _)| *key).collect();
        let of_checkpoint = checkpointed.keys().filter(|_| !self.is_sound());
        let lagging = of_checkpoint.filter(|key| !of_file.contains(key));
        lagging.copied().collect()
    }
}

/// Reads the file; a damaged one is no error.
pub(crate) fn read_slots(bytes: Option<&[u8]>) -> io::Result<FoundSlots> {
    let mut found = FoundSlots::default();
    let Some(bytes) = bytes else {
        let problem = "the file is missing".to_owned();
        found.problems.push((None, problem));
        found.lost_any = true;
        return Ok(found);
    };
    if !read_header(bytes)? {
        let problem = "its header is damaged".to_owned();
        found.problems.push((Some(0), problem));
        found.lost_any = true;
        return Ok(found);
    }
    for (number, pair) in bytes.chunks(PAIR_LEN).enumerate().skip(1) {
        let (mut sound, mut damaged) = (0, 0);
        for (half, slot) in pair.chunks(SLOT_LEN).enumerate() {
            if let Some(point) = decode_slot(slot) {
                sound += 1;
                found.points.push(point);
            } else if slot.iter().any(|byte| *byte != 0) {
                damaged += 1;
                let at = (number * PAIR_LEN + half * SLOT_LEN) as u64;
                let problem = "a slot fails its checksum, or says what cannot be true".to_owned();
                found.problems.push((Some(at), problem));
            }
        }
        found.lost_any |= sound == 0 && damaged > 0;
    }
    let wanted = (1 + GROW_PAIRS) * PAIR_LEN;
    if bytes.len() < wanted || !(bytes.len() - PAIR_LEN).is_multiple_of(GROW_PAIRS * PAIR_LEN) {
        let problem = "the file ends inside its table".to_owned();
        found.problems.push((Some(bytes.len() as u64), problem));
        found.lost_any = true;
    }
    Ok(found)
}

/// Where the partitions of a sound file have their pairs, and whether the second slot is the newer one.
pub(super) fn read_places(bytes: &[u8]) -> Vec<(usize, PartitionKey, bool)> {
    let pairs = bytes.chunks_exact(PAIR_LEN).skip(1).enumerate();
    let placed = pairs.filter_map(|(place, pair)| {
        let (first, second) = pair.split_at(SLOT_LEN);
        let sequence = |slot: &Option<(PartitionKey, RecoveryPoint)>| {
            slot.as_ref().map(|(_, point)| point.sequence)
        };
        let (first, second) = (decode_slot(first), decode_slot(second));
        let second_is_newer = sequence(&second) > sequence(&first);
        let (key, _) = if second_is_newer { second? } else { first? };
        Some((place, key, second_is_newer))
    });
    placed.collect()
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
                "{} has format version {version}, this broker knows up to {VERSION}: start a newer broker",
                super::DurablePositions::FILE
            ),
        ));
    }
    Ok(true)
}

pub(super) fn encode_slot(key: &PartitionKey, point: &RecoveryPoint) -> [u8; SLOT_LEN] {
    let mut bytes = [0; SLOT_LEN];
    bytes[..16].copy_from_slice(key.0.as_bytes());
    bytes[16..20].copy_from_slice(&key.1.get().to_be_bytes());
    bytes[20..24].copy_from_slice(&point.epoch.get().to_be_bytes());
    bytes[24..32].copy_from_slice(&point.segment.get().to_be_bytes());
    bytes[32..36].copy_from_slice(&point.position.to_be_bytes());
    bytes[36..44].copy_from_slice(&point.end.get().to_be_bytes());
    bytes[44..52].copy_from_slice(&point.boot.to_be_bytes());
    let mode = if point.is_async { IS_ASYNC } else { 0 };
    bytes[52..60].copy_from_slice(&(point.sequence | mode).to_be_bytes());
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
    let sequence = u64::from_be_bytes(field(slot, 52));
    let point = RecoveryPoint {
        epoch: LeaderEpoch::new(u32::from_be_bytes(field(slot, 20))),
        segment: Offset::new(u64::from_be_bytes(field(slot, 24))),
        position: u32::from_be_bytes(field(slot, 32)),
        end: Offset::new(u64::from_be_bytes(field(slot, 36))),
        boot: u64::from_be_bytes(field(slot, 44)),
        sequence: sequence & !IS_ASYNC,
        is_async: sequence & IS_ASYNC != 0,
    };
    point.is_possible().then_some((key, point))
}

fn checksum_fits(slot: &[u8; SLOT_LEN]) -> bool {
    crc32fast::hash(&slot[..60]).to_be_bytes() == slot[60..]
}

fn field<const N: usize>(slot: &[u8; SLOT_LEN], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&slot[at..at + N]);
    bytes
}
