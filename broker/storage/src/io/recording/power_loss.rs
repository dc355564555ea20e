//! What a power loss leaves of a recorded disk. Synced data and synced directory entries stay; of
//! everything else any part may be lost, in any order, file data by sectors of 512 bytes.

use std::collections::BTreeMap;

use super::disk::{Disk, FileChange, FileNode, Node, apply_to_dir, apply_to_file};

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

const SECTOR: usize = 512;

impl Disk {
    /// The disk as it is found at the next start.
    pub(super) fn after_power_loss(&self, survival: Survival) -> Self {
        let mut coin = Coin(match survival {
            Survival::Random(seed) => seed,
            _ => 0,
        });
        let mut keep = move || match survival {
            Survival::Synced => false,
            Survival::Everything => true,
            Survival::Random(_) => coin.flip(),
        };
        let mut found = self.clone();
        for node in found.nodes.values_mut() {
            match node {
                Node::Dir(dir) => {
                    for change in std::mem::take(&mut dir.pending) {
                        if keep() {
                            apply_to_dir(&mut dir.durable, &change);
                        }
                    }
                    dir.entries = dir.durable.clone();
                }
                Node::File(file) => *file = survivor(file, &mut keep),
            }
        }
        found
    }
}

fn survivor(file: &FileNode, keep: &mut impl FnMut() -> bool) -> FileNode {
    let mut bytes = file.durable.clone();
    let mut written_to = 0;
    for change in &file.pending {
        match change {
            FileChange::SetLen(_) => {
                if keep() {
                    apply_to_file(&mut bytes, change);
                }
            }
            FileChange::Write {
                position,
                bytes: new,
            } => {
                let mut at = 0;
                while at < new.len() {
                    let sector_end = SECTOR - (position + at) % SECTOR;
                    let end = (at + sector_end).min(new.len());
                    if keep() {
                        let part = FileChange::Write {
                            position: position + at,
                            bytes: new[at..end].to_vec(),
                        };
                        apply_to_file(&mut bytes, &part);
                    }
                    at = end;
                }
                written_to = position + new.len();
            }
        }
    }
    // The length may be durable although the data is not.
    if bytes.len() < written_to && keep() {
        bytes.resize(written_to, 0);
    }
    FileNode {
        data: bytes.clone(),
        durable: bytes,
        pending: Vec::new(),
    }
}

/// A seeded coin (SplitMix64).
struct Coin(u64);

impl Coin {
    fn flip(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) & 1 == 1
    }
}

/// Bytes read so far, by path.
pub(super) type BytesRead = BTreeMap<std::path::PathBuf, u64>;
