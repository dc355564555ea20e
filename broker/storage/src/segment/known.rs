//! `Known`: what was found out about the bytes of a data file since the broker started, and of which file: an
//! operator may put another one in its place. What is known of one file says nothing about another.

use std::ops::Range;

use super::verified::VerifiedRanges;
use crate::corruption::{Corruption, Damage};
use crate::io::FileIdentity;

/// What is known of one file.
#[derive(Default)]
pub(super) struct Known {
    /// The file; `None` until it is met.
    of: Option<FileIdentity>,
    verified: VerifiedRanges,
    /// Batches that failed their checksums, by position: refused until they are found sound again.
    damage: Vec<Corruption>,
}

impl Known {
    /// This is the file from now on. Whether it is another one than before, of which nothing is known.
    pub(super) fn meet(&mut self, file: FileIdentity) -> bool {
        let is_other = !self.accepts(file);
        if is_other {
            *self = Self {
                of: Some(file),
                ..Self::default()
            };
        }
        is_other
    }

    /// Whether what was found in this file may be added.
    pub(super) fn accepts(&mut self, file: FileIdentity) -> bool {
        *self.of.get_or_insert(file) == file
    }

    pub(super) fn is_verified(&self, range: &Range<u64>) -> bool {
        self.verified.covers(range)
    }

    pub(super) fn add_verified(&mut self, range: Range<u64>) {
        self.verified.add(range);
        self.doubt_damaged();
    }

    pub(super) fn forget_verified_from(&mut self, len: u64) {
        self.verified.cut(len);
    }

    pub(super) fn damage(&self) -> &[Corruption] {
        &self.damage
    }

    /// Adds what was not known.
    pub(super) fn add_damage(&mut self, found: &Corruption) {
        let known = &mut self.damage;
        if !known.iter().any(|known| known.position == found.position) {
            known.push(found.clone());
            known.sort_by_key(|known| known.position);
            self.doubt_damaged();
        }
    }

    pub(super) fn set_damage(&mut self, damage: Vec<Corruption>) {
        self.damage = damage;
        self.doubt_damaged();
    }

    /// What was missing is there again, and not verified.
    pub(super) fn forget_missing_end(&mut self) {
        self.verified.cut(0);
        self.damage
            .retain(|known| !matches!(known.damage, Damage::Missing { .. }));
    }

    fn doubt_damaged(&mut self) {
        for known in &self.damage {
            self.verified.remove(known.position);
        }
    }
}
