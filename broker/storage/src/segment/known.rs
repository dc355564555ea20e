//! `Known`: what was found out about the bytes of a data file since the broker started, and of which file: an
//! operator may put another one in its place, or write to it. What is known of one file says nothing about
//! another, nor about what somebody has written to it since.

use std::ops::Range;

use super::verified::VerifiedRanges;
use crate::corruption::{Corruption, Damage};
use crate::io::FileIdentity;

/// A file as it was at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileVersion {
    file: FileIdentity,
    /// How often it has been met since as one that somebody had written to.
    changes: u64,
}

/// How a file is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    AsKnown,
    /// Somebody has written to it, who ought not to.
    Changed,
    /// It is another one.
    Other,
}

/// What is known of one file: nothing until it is met. There may be many thousand that nobody reads or writes.
#[derive(Default)]
pub(super) struct Known(Option<Box<Facts>>);

#[derive(Default)]
struct Facts {
    /// The file; `None` until it is met.
    of: Option<FileIdentity>,
    changes: u64,
    /// Whether nobody may write to it any more, not even the broker.
    is_sealed: bool,
    /// The stamp that it was met with last, or that the broker's own last write has left.
    stamp: Option<u64>,
    verified: VerifiedRanges,
    /// Batches that failed their checksums, by position: refused until they are found sound again.
    damage: Vec<Corruption>,
}

impl Known {
    fn facts(&mut self) -> &mut Facts {
        self.0.get_or_insert_default()
    }

    /// This is the file from now on. Nothing is known of it if it is not as it was.
    pub(super) fn meet(&mut self, file: FileIdentity, stamp: u64) -> Met {
        self.facts().meet(file, stamp)
    }

    /// The same of the file that it was.
    pub(super) fn meet_again(&mut self, stamp: u64) -> Met {
        self.facts().meet_again(stamp)
    }

    /// From now on nobody may write to the file, or the broker may again.
    pub(super) fn seal(&mut self, is_sealed: bool) {
        if is_sealed || self.0.is_some() {
            self.facts().is_sealed = is_sealed;
        }
    }

    /// The broker itself has changed the file, which has this stamp now; `None` where it could not be asked for.
    pub(super) fn changed_by_us(&mut self, stamp: Option<u64>) {
        self.facts().stamp = stamp;
    }

    /// The file as it is known.
    pub(super) fn version(&self, file: FileIdentity) -> FileVersion {
        let changes = self.0.as_ref().map_or(0, |known| known.changes);
        FileVersion { file, changes }
    }

    /// Whether it was met with another stamp than this, though nobody may write to it.
    pub(super) fn was_changed_since(&self, stamp: u64) -> bool {
        let other = |known: &Facts| known.is_sealed && known.stamp.is_some_and(|met| met != stamp);
        self.0.as_deref().is_some_and(other)
    }

    /// Whether what was found in this version may be added.
    pub(super) fn accepts_version(&mut self, version: FileVersion) -> bool {
        let known = self.facts();
        known.accepts(version.file) && known.changes == version.changes
    }

    /// Whether what was found in this file may be added.
    pub(super) fn accepts(&mut self, file: FileIdentity) -> bool {
        self.facts().accepts(file)
    }

    pub(super) fn is_verified(&self, range: &Range<u64>) -> bool {
        let covers = |known: &Facts| known.verified.covers(range);
        range.is_empty() || self.0.as_deref().is_some_and(covers)
    }

    pub(super) fn add_verified(&mut self, range: Range<u64>) {
        let known = self.facts();
        known.verified.add(range);
        known.doubt_damaged();
    }

    pub(super) fn forget_verified_from(&mut self, len: u64) {
        if let Some(known) = &mut self.0 {
            known.verified.cut(len);
        }
    }

    /// Batches are missing in front of this position, which a slice behind it has nothing to do with.
    pub(super) fn add_gap(&mut self, position: u64) {
        self.facts().verified.add_gap(position);
    }

    pub(super) fn damage(&self) -> &[Corruption] {
        self.0.as_ref().map_or(&[], |known| &known.damage)
    }

    /// Adds what was not known.
    pub(super) fn add_damage(&mut self, found: &Corruption) {
        self.facts().add_damage(found);
    }

    /// All damage there is, gaps too.
    pub(super) fn set_damage(&mut self, damage: Vec<Corruption>) {
        if self.0.is_some() || !damage.is_empty() {
            let known = self.facts();
            known.damage = damage;
            known.verified.forget_gaps();
            known.doubt_damaged();
        }
    }

    /// What was missing is there again, and not verified.
    pub(super) fn forget_missing_end(&mut self) {
        if let Some(known) = &mut self.0 {
            known.verified.cut(0);
            let is_other = |known: &Corruption| !matches!(known.damage, Damage::Missing { .. });
            known.damage.retain(is_other);
        }
    }
}

impl Facts {
    fn meet(&mut self, file: FileIdentity, stamp: u64) -> Met {
        if !self.accepts(file) {
            *self = Self {
                of: Some(file),
                changes: self.changes,
                is_sealed: self.is_sealed,
                ..Self::default()
            };
            self.meet_again(stamp);
            return Met::Other;
        }
        self.meet_again(stamp)
    }

    fn meet_again(&mut self, stamp: u64) -> Met {
        match self.stamp.replace(stamp) {
            Some(before) if before != stamp => {
                self.changes += 1;
                self.verified = VerifiedRanges::default();
                self.damage.clear();
                Met::Changed
            }
            _ => Met::AsKnown,
        }
    }

    fn accepts(&mut self, file: FileIdentity) -> bool {
        *self.of.get_or_insert(file) == file
    }

    fn add_damage(&mut self, found: &Corruption) {
        let known = &mut self.damage;
        if !known.iter().any(|known| known.position == found.position) {
            known.push(found.clone());
            known.sort_by_key(|known| known.position);
            self.doubt_damaged();
        }
    }

    fn doubt_damaged(&mut self) {
        for known in &self.damage {
            match known.is_gap() {
                true => self.verified.add_gap(known.position),
                false => self.verified.remove(known.position),
            }
        }
    }
}
