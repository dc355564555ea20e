//! What index files consist of: their header and the two kinds of entries, with their bytes.
//! Every entry checks itself; what a whole file has to say together, its readers know.

use broker_model::{Offset, PartitionId, Timestamp, TopicId};
use broker_record::{BatchHeader, LogMark};

/// A batch boundary of a segment, as both index files know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexPoint {
    /// The batch that begins here has this base offset.
    pub(crate) offset: Offset,
    /// Where in the data file it begins.
    pub(crate) position: u32,
    /// The largest timestamp of the segment's records before it.
    pub(crate) max_before: Timestamp,
}

impl IndexPoint {
    /// The boundary in front of a segment's first batch.
    pub(crate) fn first(base: Offset) -> Self {
        Self {
            offset: base,
            position: 0,
            max_before: Timestamp::MIN,
        }
    }

    /// The boundary behind a batch that stands at `position`.
    pub(crate) fn after(&self, position: u64, header: &BatchHeader) -> Self {
        Self {
            offset: header.next_offset(),
            position: u32::try_from(position + header.batch_len() as u64).unwrap_or(u32::MAX),
            max_before: self.max_before.max(header.max_timestamp),
        }
    }

    /// Whether an entry can say it: behind stale bytes of elsewhere, offsets may be far from the segment's.
    pub(crate) fn fits(&self, base: Offset) -> bool {
        u32::try_from(self.offset.distance_from(base)).is_ok()
    }

    /// Whether this boundary may come after `before`.
    pub(crate) fn follows(&self, before: &Self) -> bool {
        self.offset > before.offset
            && self.position > before.position
            && self.max_before >= before.max_before
    }
}

/// Whose segments index files belong to: a partition of a topic, folded to 32 bits. It tells that segments of
/// two partitions have changed places; batches state half of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner(u32);

impl Owner {
    pub(crate) fn of(topic_id: TopicId, partition: PartitionId) -> Self {
        let mut crc = crc32fast::Hasher::new();
        crc.update(topic_id.as_bytes());
        crc.update(&partition.get().to_be_bytes());
        // 0 is for nobody knows.
        Self(crc.finalize().max(1))
    }

    /// How a batch states it, which has less room.
    pub(crate) fn log_mark(self) -> LogMark {
        match self {
            Self(0) => LogMark::default(),
            Self(hash) => LogMark::of_hash(hash),
        }
    }

    /// Whether both are known, and two.
    pub(crate) fn differs_from(self, other: Self) -> bool {
        self != other && self != Self::default() && other != Self::default()
    }
}

/// Which segment an index is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentId {
    pub(crate) base: Offset,
    pub(crate) owner: Owner,
}

/// The first bytes of an index file. Version 1 has 0 in place of the owner.
///
/// | at | size | field |
/// |---:|-----:|-------|
/// | 0  | 4 | magic: `BOIX` offsets, `BTIX` timestamps |
/// | 4  | 4 | version 2, u32 |
/// | 8  | 8 | the segment's base offset, u64 |
/// | 16 | 8 | wall time of the segment's first append, i64 ms |
/// | 24 | 4 | owner: crc32 over topic id and partition (u32), 0 when not known |
/// | 28 | 4 | crc32 of bytes 0..28 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexHeader {
    pub(crate) id: SegmentId,
    pub(crate) first_append: Timestamp,
}

impl IndexHeader {
    pub(crate) const LEN: usize = 32;
    const VERSION: u32 = 2;

    pub(crate) fn encode(&self, magic: [u8; 4]) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&magic);
        bytes[4..8].copy_from_slice(&Self::VERSION.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.id.base.get().to_be_bytes());
        bytes[16..24].copy_from_slice(&self.first_append.as_millis().to_be_bytes());
        bytes[24..28].copy_from_slice(&self.id.owner.0.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Whether it is of this segment, as far as it says.
    pub(crate) fn is_of(&self, id: SegmentId) -> bool {
        self.id.base == id.base && !self.id.owner.differs_from(id.owner)
    }

    /// `None` when these are not the first bytes of such a file of a known version: it is made anew.
    pub(crate) fn decode(magic: [u8; 4], bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.first_chunk()?;
        let version = u32::from_be_bytes(field(bytes, 4));
        let sound = bytes[..4] == magic
            && (1..=Self::VERSION).contains(&version)
            && crc32fast::hash(&bytes[..28]).to_be_bytes() == bytes[28..];
        sound.then(|| Self {
            id: SegmentId {
                base: Offset::new(u64::from_be_bytes(field(bytes, 8))),
                owner: Owner(u32::from_be_bytes(field(bytes, 24))),
            },
            first_append: Timestamp::from_millis(i64::from_be_bytes(field(bytes, 16))),
        })
    }
}

fn field<const N: usize>(header: &[u8; IndexHeader::LEN], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

/// An entry of an index file.
pub(crate) trait IndexEntry: Copy + PartialEq + std::fmt::Debug {
    /// The first bytes of such a file.
    const MAGIC: [u8; 4];
    /// Bytes of an entry, its checksum included.
    const LEN: usize;
    /// The file's extension.
    const EXTENSION: &str;

    /// The entry of a boundary.
    fn of(point: &IndexPoint) -> Self;

    /// The offset it speaks of.
    fn offset(&self) -> Offset;

    /// Appends the entry's bytes without the checksum. `base` is the segment's base offset.
    fn put(&self, base: Offset, out: &mut Vec<u8>);

    /// Reads them back.
    fn get(base: Offset, bytes: &[u8]) -> Option<Self>;

    /// Appends the entry's bytes as number `number` of its file.
    fn encode(&self, base: Offset, number: u32, out: &mut Vec<u8>) {
        let start = out.len();
        self.put(base, out);
        let crc = entry_crc(base, number, out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_be_bytes());
    }

    /// Reads entry `number` of a file; `None` when the bytes are something else.
    fn decode(base: Offset, number: u32, bytes: &[u8]) -> Option<Self> {
        let (payload, crc) = bytes.get(..Self::LEN)?.split_last_chunk()?;
        if entry_crc(base, number, payload) != u32::from_be_bytes(*crc) {
            return None;
        }
        Self::get(base, payload)
    }

    /// Where entry `number` begins in its file.
    fn position(number: u32) -> u64 {
        IndexHeader::LEN as u64 + u64::from(number) * Self::LEN as u64
    }

    /// How many whole entries a file of `len` bytes has.
    fn count(len: u64) -> u32 {
        let entries = len.saturating_sub(IndexHeader::LEN as u64) / Self::LEN as u64;
        u32::try_from(entries).unwrap_or(u32::MAX)
    }
}

fn entry_crc(base: Offset, number: u32, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&base.get().to_be_bytes());
    crc.update(&number.to_be_bytes());
    crc.update(payload);
    crc.finalize()
}

/// The batch with base offset `offset` begins at `position`.
///
/// | at | size | field |
/// |---:|-----:|-------|
/// | 0  | 4 | offset minus the segment's base offset, u32 |
/// | 4  | 4 | position in the data file, u32 |
/// | 8  | 4 | crc32 over base offset (u64), entry number (u32), bytes 0..8 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) offset: Offset,
    pub(crate) position: u32,
}

/// No record of the segment before `offset` has a timestamp above `timestamp`.
///
/// | at | size | field |
/// |---:|-----:|-------|
/// | 0  | 8 | timestamp, i64 ms |
/// | 8  | 4 | offset minus the segment's base offset, u32 |
/// | 12 | 4 | crc32 over base offset (u64), entry number (u32), bytes 0..12 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: Timestamp,
    pub(crate) offset: Offset,
}

/// What an offset is stored as. Segments are rolled before it overflows.
fn relative(base: Offset, offset: Offset) -> u32 {
    u32::try_from(offset.distance_from(base)).expect("a segment spans less than 2^32 offsets")
}

impl IndexEntry for OffsetEntry {
    const MAGIC: [u8; 4] = *b"BOIX";
    const LEN: usize = 12;
    const EXTENSION: &str = "index";

    fn of(point: &IndexPoint) -> Self {
        Self {
            offset: point.offset,
            position: point.position,
        }
    }

    fn offset(&self) -> Offset {
        self.offset
    }

    fn put(&self, base: Offset, out: &mut Vec<u8>) {
        out.extend_from_slice(&relative(base, self.offset).to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn get(base: Offset, bytes: &[u8]) -> Option<Self> {
        let (relative, rest) = bytes.split_first_chunk()?;
        let (position, _) = rest.split_first_chunk()?;
        Some(Self {
            offset: base.checked_plus(u64::from(u32::from_be_bytes(*relative)))?,
            position: u32::from_be_bytes(*position),
        })
    }
}

impl IndexEntry for TimeEntry {
    const MAGIC: [u8; 4] = *b"BTIX";
    const LEN: usize = 16;
    const EXTENSION: &str = "timeindex";

    fn of(point: &IndexPoint) -> Self {
        Self {
            timestamp: point.max_before,
            offset: point.offset,
        }
    }

    fn offset(&self) -> Offset {
        self.offset
    }

    fn put(&self, base: Offset, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.as_millis().to_be_bytes());
        out.extend_from_slice(&relative(base, self.offset).to_be_bytes());
    }

    fn get(base: Offset, bytes: &[u8]) -> Option<Self> {
        let (timestamp, rest) = bytes.split_first_chunk()?;
        let (relative, _) = rest.split_first_chunk()?;
        Some(Self {
            timestamp: Timestamp::from_millis(i64::from_be_bytes(*timestamp)),
            offset: base.checked_plus(u64::from(u32::from_be_bytes(*relative)))?,
        })
    }
}
