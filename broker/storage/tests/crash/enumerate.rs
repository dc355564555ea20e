//! Every disk that a stop can leave: each prefix of a script's changes, and for each the outcomes of
//! what was not synced.
//!
//! With up to [`Bounds::all`] combinations of outcomes, all are tried. With more: nothing and everything
//! kept; each outcome of each thing alone, against nothing; each thing lost alone, against everything; a
//! number of random pairs against either; and a random sample, seeded by the script and the prefix.
//! `BROKER_CRASH_SAMPLES=n` makes these bounds n times as large: with large n everything is exhausted.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use broker_storage::PlantedBugs;
use broker_storage::io::recording::{Moment, RecordingIo, SetBackNames};

use super::damage::is_never_torn;
use super::ledger::{Phase, World};
use super::recovered::{Found, goes_on, opened, recovered};
use super::runner::Runner;
use super::script::{Do, Script};
use super::{Checked, check};
use crate::support::inspected::damage;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Combinations of outcomes up to which all are tried.
    all: u64,
    /// Pairs of outcomes beyond.
    pairs: usize,
    /// Random combinations beyond.
    sample: usize,
    /// Of so many disks one is used again, and the recovery of one is stopped half-way.
    one_in: u64,
}

impl Bounds {
    fn from_env() -> Self {
        let factor = std::env::var("BROKER_CRASH_SAMPLES").ok();
        let factor = factor.map_or(1, |text| {
            let number = text.parse::<u32>().ok().filter(|number| *number > 0);
            number.expect("BROKER_CRASH_SAMPLES is a number from 1")
        });
        Self {
            all: 32 * u64::from(factor),
            pairs: 4 * factor as usize,
            sample: 6 * factor as usize,
            one_in: 12 / u64::from(factor.min(12)),
        }
    }
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Changes of the disk, each the last one before a stop.
    pub(crate) changes: u64,
    /// Different disks that were recovered.
    pub(crate) disks: u64,
    /// Prefixes whose outcomes were all tried.
    pub(crate) exhausted: u64,
    /// Recoveries that were stopped half-way and repeated.
    pub(crate) repeated: u64,
    /// Disks with a damaged batch.
    pub(crate) damaged: u64,
}

/// What an inspection may find of indexes, which are made anew from the data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IndexesMay {
    BeUnfinished,
    BeLost,
}

struct Enumeration<'a> {
    script: &'a Script,
    bugs: PlantedBugs,
    bounds: Bounds,
    seen: HashSet<(u64, usize, usize, bool)>,
    tally: Tally,
}

/// Runs a script and tries every stop.
pub(crate) fn enumerate(script: &Script, bugs: PlantedBugs) -> Checked<Tally> {
    let phases = Runner::run(script, bugs).map_err(|error| format!("{}: {error}", script.name))?;
    let mut enumeration = Enumeration {
        script,
        bugs,
        bounds: Bounds::from_env(),
        seen: HashSet::new(),
        tally: Tally::default(),
    };
    for (number, phase) in phases.iter().enumerate() {
        let done = enumeration.phase(number, phase);
        done.map_err(|error| format!("{}, life {number}: {error}", script.name))?;
    }
    Ok(enumeration.tally)
}

impl Enumeration<'_> {
    fn phase(&mut self, number: usize, phase: &Phase) -> Checked {
        for (changes, moment) in phase.moments.iter().enumerate() {
            self.tally.changes += 1;
            for known in phase.known_after(changes) {
                self.moment((number, known), moment, &phase.timeline[known].1)
                    .map_err(|error| {
                        format!(
                            "stopped before change {changes} ({:?}): {error}",
                            moment.next()
                        )
                    })?;
            }
            // The write that follows is torn: it is under way, so the last entry holds.
            let known = phase.known_after(changes).end.saturating_sub(1);
            let world = &phase.timeline[known].1;
            for written in moment.torn_at() {
                let io = moment.after_kill_in_write(written);
                self.disk((number, known), &io, world, false)
                    .map_err(|error| {
                        format!(
                            "killed after {written} bytes of change {changes} ({:?}): {error}",
                            moment.next()
                        )
                    })?;
            }
        }
        self.end_of(phase)
    }

    fn moment(&mut self, known: (usize, usize), moment: &Moment, world: &World) -> Checked {
        let killed = self.disk(known, &moment.after_kill(), world, false);
        killed.map_err(|error| format!("killed: {error}"))?;
        for names in SetBackNames::EACH {
            let set_back = self.set_back(known, &moment.after_set_back(names), world);
            set_back.map_err(|error| format!("set back to what was synced, {names:?}: {error}"))?;
        }
        let counts = moment.undecided();
        for outcomes in self.combinations(&counts, known) {
            let io = moment.after_power_loss(&outcomes);
            self.disk(known, &io, world, true).map_err(|error| {
                format!("power lost, outcomes {outcomes:?} of {counts:?}: {error}")
            })?;
        }
        Ok(())
    }

    /// What is left of the file system while the machine goes on is what is left of a power loss. But for a
    /// truncation, which a log that nobody replicates never sees, and whose segments may come back by themselves.
    fn set_back(&mut self, known: (usize, usize), io: &Arc<RecordingIo>, world: &World) -> Checked {
        let truncates = |step: &Do| matches!(step, Do::Truncate(..));
        let is_new = self.seen.insert((io.fingerprint(), known.0, known.1, true));
        if is_new && !self.script.steps.iter().any(truncates) {
            self.tally.disks += 1;
            self.inspected(io, IndexesMay::BeLost)?;
            recovered(io, world, true, self.bugs)?;
        }
        Ok(())
    }

    /// Recovers a disk, unless it was the same as one before.
    fn disk(
        &mut self,
        known: (usize, usize),
        io: &Arc<RecordingIo>,
        world: &World,
        is_restart: bool,
    ) -> Checked {
        let fingerprint = io.fingerprint();
        if !self
            .seen
            .insert((fingerprint, known.0, known.1, is_restart))
        {
            return Ok(());
        }
        self.tally.disks += 1;
        self.inspected(io, IndexesMay::BeUnfinished)?;
        let found = recovered(&io.after_kill(), world, is_restart, self.bugs)?;
        // By number and not by fingerprint, which has a random directory id in it.
        let number = self.tally.disks;
        if number.is_multiple_of(self.bounds.one_in) {
            goes_on(&io.after_kill(), world, self.bugs)?;
        }
        if number % (2 * self.bounds.one_in) == 1 {
            let at = number / (2 * self.bounds.one_in) * 7;
            self.repeated(io, world, is_restart, (&found, Some(at)))?;
        }
        Ok(())
    }

    /// Nothing is missing, so an inspection names no damage, but for indexes that are lost or that the script has
    /// broken itself.
    fn inspected(&self, io: &Arc<RecordingIo>, indexes: IndexesMay) -> Checked {
        let breaks = |step: &Do| matches!(step, Do::BreakIndexes(..));
        let is_lost = indexes == IndexesMay::BeLost;
        let breaks_indexes = is_lost || self.script.steps.iter().any(breaks);
        let is_index = |extension: &OsStr| extension == "index" || extension == "timeindex";
        let is_excused = |file: &Path| breaks_indexes && file.extension().is_some_and(is_index);
        let damage = damage(io, &is_excused).map_err(|error| error.to_string())?;
        match damage {
            Some(damage) => Err(format!("an inspection names {damage}")),
            None => Ok(()),
        }
    }

    /// What a life of the disk ends with: every recovery of it is stopped at each of its changes, it
    /// is used again, and it is damaged.
    fn end_of(&mut self, phase: &Phase) -> Checked {
        let (Some(moment), Some((_, world))) = (phase.moments.last(), phase.timeline.last()) else {
            return Err("nothing happened".to_owned());
        };
        let counts = moment.undecided();
        let mut left = vec![(moment.after_kill(), false)];
        let kept: Vec<u32> = counts.iter().map(|count| count - 1).collect();
        let mixed = counts
            .iter()
            .enumerate()
            .map(|(at, count)| (at as u32 + 1) % count);
        for outcomes in [vec![], kept, mixed.collect()] {
            left.push((moment.after_power_loss(&outcomes), true));
        }
        for (io, is_restart) in left {
            let of = |error| format!("the end, restart {is_restart}: {error}");
            let found = recovered(&io.after_kill(), world, is_restart, self.bugs).map_err(of)?;
            goes_on(&io.after_kill(), world, self.bugs).map_err(of)?;
            self.repeated(&io, world, is_restart, (&found, None))
                .map_err(of)?;
            if !is_restart || !phase.recorded_late {
                let damaged = is_never_torn(&io, world, is_restart, self.bugs);
                self.tally.damaged += damaged.map_err(of)?;
            }
        }
        Ok(())
    }

    /// Stops the recovery of a disk at one of its changes, or at each, by a kill and by power losses:
    /// the next one ends with the same result.
    fn repeated(
        &mut self,
        io: &Arc<RecordingIo>,
        world: &World,
        is_restart: bool,
        (found, at): (&[Option<Found>], Option<u64>),
    ) -> Checked {
        let first = io.after_kill();
        first.keep_moments();
        drop(opened(&first, world, self.bugs)?);
        let moments = first.moments();
        let chosen = at.map(|at| (at % moments.len() as u64) as usize);
        for (changes, moment) in moments.iter().enumerate() {
            if chosen.is_some_and(|chosen| chosen != changes) {
                continue;
            }
            let counts = moment.undecided();
            let kept: Vec<u32> = counts.iter().map(|count| count - 1).collect();
            let odd: Vec<u32> = counts
                .iter()
                .enumerate()
                .map(|(at, count)| at as u32 % count)
                .collect();
            let mut stops = vec![(moment.after_kill(), is_restart)];
            let lost = [vec![], kept, odd];
            let lost = &lost[changes % lost.len()];
            stops.push((moment.after_power_loss(lost), true));
            for (stopped, has_restarted) in stops {
                let again = recovered(&stopped, world, has_restarted, self.bugs);
                let again = again.map_err(|error| {
                    format!(
                        "recovery was stopped before change {changes} ({:?}): {error}",
                        moment.next()
                    )
                })?;
                // What was only in the page cache may go while recovery makes it durable.
                check!(
                    again == found || has_restarted != is_restart,
                    "recovery was stopped before change {changes}, and the next one has found something else"
                );
                self.tally.repeated += 1;
            }
        }
        Ok(())
    }

    /// The outcomes to try: see the page of this file.
    fn combinations(&mut self, counts: &[u32], known: (usize, usize)) -> Vec<Vec<u32>> {
        let all = counts.iter().try_fold(1_u64, |all, count| {
            let all = all.saturating_mul(u64::from(*count));
            (all <= self.bounds.all).then_some(all)
        });
        if let Some(all) = all {
            self.tally.exhausted += 1;
            return (0..all).map(|number| digits(number, counts)).collect();
        }
        let kept: Vec<u32> = counts.iter().map(|count| count - 1).collect();
        let lost = vec![0; counts.len()];
        let mut dice = Dice::of(self.script.name, known);
        let mut chosen = vec![lost.clone(), kept.clone()];
        for (place, count) in counts.iter().enumerate() {
            for outcome in 1..*count {
                let mut one = lost.clone();
                one[place] = outcome;
                chosen.push(one);
            }
            let mut one = kept.clone();
            one[place] = 0;
            chosen.push(one);
        }
        for base in [&lost, &kept] {
            for _ in 0..self.bounds.pairs {
                let mut two = base.clone();
                for _ in 0..2 {
                    let place = dice.below(counts.len() as u32) as usize;
                    two[place] = dice.below(counts[place]);
                }
                chosen.push(two);
            }
        }
        for _ in 0..self.bounds.sample {
            chosen.push(counts.iter().map(|count| dice.below(*count)).collect());
        }
        chosen
    }
}

/// A number in the mixed base of the counts.
fn digits(mut number: u64, counts: &[u32]) -> Vec<u32> {
    let mut found = Vec::with_capacity(counts.len());
    for count in counts {
        found.push((number % u64::from(*count)) as u32);
        number /= u64::from(*count);
    }
    found
}

/// Seeded dice.
struct Dice(u64);

impl Dice {
    fn of(name: &str, known: (usize, usize)) -> Self {
        let mut hasher = DefaultHasher::new();
        (name, known).hash(&mut hasher);
        Self(hasher.finish() | 1)
    }

    fn below(&mut self, count: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(count)) as u32
    }
}
