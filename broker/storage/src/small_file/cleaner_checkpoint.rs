//! `cleaner-checkpoint` of a partition: up to where it was cleaned, and when. Lost or damaged it
//! costs another cleaning of everything, and tombstones that stay longer.
//!
//! `last_cleaned={ms}`, `policy_since={ms}`, `cleanings={count}`, then one line an entry, oldest first: `{offset} {ms}`.
//! Everything below the offset was covered by a cleaning at that time. Earlier versions wrote no `policy_since`.

use broker_model::{Offset, Timestamp};

use super::{SmallFile, value_of, word};

/// Entries kept. Beyond it two that are close in time become one.
const ENTRIES_MAX: usize = 64;

/// What the cleanings of a partition have covered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CleanerCheckpoint {
    /// Both columns grow strictly.
    entries: Vec<(Offset, Timestamp)>,
    pub(crate) last_cleaned: Option<Timestamp>,
    /// Since when the policy was in force by which that cleaning chose.
    pub(crate) policy_since: Option<Timestamp>,
    pub(crate) cleanings: u64,
}

impl CleanerCheckpoint {
    pub(crate) const FILE: &str = "cleaner-checkpoint";
    /// That of a partition that was never cleaned.
    pub(crate) const NONE: Self = Self {
        entries: Vec::new(),
        last_cleaned: None,
        policy_since: None,
        cleanings: 0,
    };

    /// Everything below it was covered by some cleaning.
    pub(crate) fn cleaned_to(&self) -> Offset {
        self.entries
            .last()
            .map_or(Offset::ZERO, |(offset, _)| *offset)
    }

    /// Everything below the answer was covered by a cleaning at or before `at`.
    pub(crate) fn covered_at(&self, at: Timestamp) -> Offset {
        let covered = self.entries.iter().rfind(|(_, cleaned)| *cleaned <= at);
        covered.map_or(Offset::ZERO, |(offset, _)| *offset)
    }

    /// A cleaning at this time has covered everything below `to`.
    pub(crate) fn note(&mut self, to: Offset, at: Timestamp) {
        self.last_cleaned = Some(at);
        self.cleanings += 1;
        if to <= self.cleaned_to() {
            // Covered earlier, which is what counts.
            return;
        }
        // A clock that went back: later coverage never counts as earlier.
        let at = self.entries.last().map_or(at, |(_, last)| at.max(*last));
        if self.entries.last().is_some_and(|(_, last)| *last == at) {
            self.entries.pop();
        }
        self.entries.push((to, at));
        if self.entries.len() > ENTRIES_MAX {
            self.merge_closest();
        }
    }

    /// Forgets what lies at or above `end`; says whether anything did.
    pub(crate) fn truncate_to(&mut self, end: Offset) -> bool {
        let Some(first) = self.entries.iter().position(|(offset, _)| *offset > end) else {
            return false;
        };
        // The first of them covered everything below `end` as well.
        self.entries.truncate(first + 1);
        if let Some((offset, _)) = self.entries.last_mut() {
            *offset = end;
        }
        let before = first
            .checked_sub(1)
            .and_then(|before| self.entries.get(before));
        if end == Offset::ZERO || before.is_some_and(|(offset, _)| *offset == end) {
            self.entries.pop();
        }
        true
    }

    /// Drops the entry that the next one can stand for at the least cost: what only the dropped one
    /// covered early counts as covered when the next one was, so tombstones only ever stay longer.
    fn merge_closest(&mut self) {
        let pairs = self.entries.windows(2).enumerate();
        let closest = pairs.min_by_key(|(_, pair)| match pair {
            [(_, earlier), (_, later)] => later.since(*earlier),
            _ => std::time::Duration::MAX,
        });
        if let Some((number, _)) = closest {
            self.entries.remove(number);
        }
    }
}

impl SmallFile for CleanerCheckpoint {
    fn write_lines(&self, text: &mut String) {
        if let Some(at) = self.last_cleaned {
            text.push_str(&format!("last_cleaned={at}\n"));
        }
        if let Some(since) = self.policy_since {
            text.push_str(&format!("policy_since={since}\n"));
        }
        text.push_str(&format!("cleanings={}\n", self.cleanings));
        for (offset, at) in &self.entries {
            text.push_str(&format!("{offset} {at}\n"));
        }
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        let number = |key: &str| -> Result<i64, String> {
            let value = value_of(lines, key)?;
            value.parse().map_err(|_| format!("its {key} is no number"))
        };
        let time = |key: &str| {
            let is_it = |line: &&str| line.split_once('=').is_some_and(|(name, _)| name == key);
            let is_there = lines.iter().any(is_it);
            is_there
                .then(|| number(key).map(Timestamp::from_millis))
                .transpose()
        };
        let cleanings = u64::try_from(number("cleanings")?)
            .map_err(|_| "its number of cleanings is negative".to_owned())?;
        let mut entries: Vec<(Offset, Timestamp)> = Vec::new();
        for line in lines.iter().filter(|line| !line.contains('=')) {
            let mut words = line.split(' ');
            let offset = Offset::new(word(&mut words, "offset")?);
            let at = Timestamp::from_millis(word(&mut words, "time")?);
            let follows = |(before, then): &(Offset, Timestamp)| *before < offset && *then < at;
            if !entries.last().is_none_or(follows) {
                return Err(format!("offset {offset} is out of order"));
            }
            entries.push((offset, at));
        }
        Ok(Self {
            entries,
            last_cleaned: time("last_cleaned")?,
            policy_since: time("policy_since")?,
            cleanings,
        })
    }
}

#[cfg(test)]
#[path = "cleaner_checkpoint_tests.rs"]
mod tests;
