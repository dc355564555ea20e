//! What a power loss leaves of a recorded disk. Synced data and synced directory entries stay. Of
//! everything else any part may be lost, in any order: each change of a directory by itself; a file's
//! length, which may be any that it had; and each of its sectors of 512 bytes, which may be as it was at
//! any time, because the page cache writes a sector as it is at that moment. A length that survived
//! without its data shows zeros.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::disk::{DirChange, DirNode, extend_to};
use super::disk::{Disk, FileChange, FileNode, Id, Node, ROOT, apply_to_dir, apply_to_file};

/// How much of what was not synced survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Synced,
    /// Everything, as when the disk was quick.
    Everything,
    /// A part chosen by this seed.
    Random(u64),
}

/// Which names there are when a file system is set back to what was synced while the machine goes on. What they name
/// holds what was synced of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBackNames {
    /// Those that were synced.
    Synced,
    /// All that there were: files alone are cut back.
    All,
    /// All that there were, but for files that were never synced.
    OfSyncedFiles,
}

impl SetBackNames {
    /// Each of them.
    pub const EACH: [Self; 3] = [Self::Synced, Self::All, Self::OfSyncedFiles];
}

/// Bytes that the disk writes as a whole.
pub(super) const SECTOR: usize = 512;

/// Boundaries of sectors that one write may stop at.
const STOPS_MAX: usize = 8;

/// Says which of so many outcomes it is: from 0, as it was synced, to the last, as it was seen.
type Choose<'a> = dyn FnMut(u32) -> u32 + 'a;

impl Disk {
    /// The disk as it is found at the next start.
    pub(super) fn after_power_loss(&self, survival: Survival) -> Self {
        let mut dice = Dice(match survival {
            Survival::Random(seed) => seed,
            _ => 0,
        });
        self.after_power_loss_as(&mut |count| match survival {
            Survival::Synced => 0,
            Survival::Everything => count - 1,
            Survival::Random(_) => dice.below(count),
        })
    }

    /// The same; what is asked for does not depend on the answers.
    pub(super) fn after_power_loss_as(&self, choose: &mut Choose<'_>) -> Self {
        let mut found = self.clone();
        let reachable = self.reachable();
        found.nodes.retain(|id, _| reachable.contains(id));
        for node in found.nodes.values_mut() {
            let is_settled = match &**node {
                Node::Dir(dir) => dir.pending.is_empty() && dir.entries == dir.durable,
                Node::File(file) => {
                    file.is_synced && file.pending.is_empty() && file.data == file.durable
                }
            };
            if is_settled {
                continue;
            }
            match Arc::make_mut(node) {
                Node::Dir(dir) => {
                    for change in std::mem::take(&mut dir.pending) {
                        if choose(2) == 1 {
                            apply_to_dir(&mut dir.durable, &change);
                        }
                    }
                    dir.entries = dir.durable.clone();
                }
                Node::File(file) => *file = survivor(file, choose),
            }
        }
        found
    }

    /// The disk set back to what was synced.
    pub(super) fn set_back(&self, names: SetBackNames) -> Self {
        let mut seen = self.clone();
        if names != SetBackNames::Synced {
            for node in seen.nodes.values_mut() {
                if let Node::Dir(dir) = Arc::make_mut(node) {
                    if names == SetBackNames::OfSyncedFiles {
                        dir.entries.retain(|_, id| {
                            let file = self.file(*id);
                            file.map_or(true, |file| file.is_synced)
                        });
                    }
                    dir.durable = dir.entries.clone();
                    dir.pending.clear();
                }
            }
        }
        seen.after_power_loss(Survival::Synced)
    }

    /// What some outcome of a power loss has a name for.
    fn reachable(&self) -> BTreeSet<Id> {
        let mut found = BTreeSet::new();
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            if found.insert(id)
                && let Ok(dir) = self.dir(id)
            {
                open.extend(possible_entries(dir));
            }
        }
        found
    }
}

fn possible_entries(dir: &DirNode) -> impl Iterator<Item = Id> {
    let pending = dir.pending.iter().filter_map(|change| match change {
        DirChange::Set(_, id) | DirChange::Rename { id, .. } => Some(*id),
        DirChange::Remove(_) => None,
    });
    dir.durable.values().copied().chain(pending)
}

fn survivor(file: &FileNode, choose: &mut Choose<'_>) -> FileNode {
    let mut now = file.durable.clone();
    let mut lens = vec![now.len()];
    let mut sectors: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    for change in &file.pending {
        let touched = touched_sectors(change, now.len());
        for sector in touched.clone() {
            sectors
                .entry(sector)
                .or_insert_with(|| vec![sector_of(&now, sector)]);
        }
        apply_to_file(&mut now, change);
        for sector in touched {
            let content = sector_of(&now, sector);
            if let Some(versions) = sectors.get_mut(&sector)
                && versions.last() != Some(&content)
            {
                versions.push(content);
            }
        }
        note_lens(&mut lens, now.len());
    }
    let mut bytes = file.durable.clone();
    let len = pick(&lens, choose).copied().unwrap_or(bytes.len());
    extend_to(&mut bytes, len);
    for (sector, versions) in &sectors {
        let from = sector * SECTOR;
        let to = bytes.len().min(from + SECTOR);
        if let Some(content) = pick(versions, choose).filter(|_| from < to) {
            bytes[from..to].copy_from_slice(&content[..to - from]);
        }
    }
    bytes.truncate(len);
    FileNode {
        data: bytes.clone(),
        durable: bytes,
        pending: Vec::new(),
        // It is on the disk now.
        is_synced: true,
        changes: file.changes,
    }
}

/// A file that grows may stop at every boundary of a sector on the way; of very many, at two.
fn note_lens(lens: &mut Vec<usize>, new: usize) {
    let old = lens.last().copied().unwrap_or(0);
    let mut between: Vec<usize> = (old / SECTOR + 1..new.div_ceil(SECTOR))
        .map(|sector| sector * SECTOR)
        .collect();
    if between.len() > STOPS_MAX {
        between.drain(1..between.len() - 1);
    }
    lens.extend(between);
    if old != new {
        lens.push(new);
    }
}

fn pick<'a, T>(of: &'a [T], choose: &mut Choose<'_>) -> Option<&'a T> {
    let outcome = match u32::try_from(of.len()).unwrap_or(u32::MAX) {
        0 | 1 => 0,
        count => choose(count),
    };
    of.get(outcome as usize)
}

/// The sectors whose content a change of a file of this length is about.
fn touched_sectors(change: &FileChange, len: usize) -> std::ops::Range<usize> {
    let (from, to) = match change {
        FileChange::Write { position, bytes } => (*position, position + bytes.len()),
        FileChange::SetLen(cut) => (*cut, len.max(*cut)),
    };
    from / SECTOR..to.div_ceil(SECTOR)
}

/// A sector, with zeros behind the end of the file.
fn sector_of(bytes: &[u8], sector: usize) -> Vec<u8> {
    let from = bytes.len().min(sector * SECTOR);
    let mut content = bytes[from..bytes.len().min(from + SECTOR)].to_vec();
    extend_to(&mut content, SECTOR);
    content
}

/// Seeded dice (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = (mixed ^ (mixed >> 31)) >> 32;
        u32::try_from(high % u64::from(count)).unwrap_or(0)
    }
}

/// Bytes read so far, by path.
pub(super) type BytesRead = BTreeMap<std::path::PathBuf, u64>;
