//! `Cleaning`: one cleaning of one log. Owns what it reads, so that it can run on any thread beside
//! the log's owner, who appends, reads and deletes meanwhile.

use std::path::PathBuf;
use std::sync::Arc;

use broker_model::{Clock, Offset};

use super::cleaned::Cleaned;
use super::cleaned_files::CleanedFiles;
use super::cleaned_writer::{CleanedSegment, CleanedWriter, OutputLimits};
use super::first_pass::first_pass;
use super::run_reader::RunReader;
pub(crate) use super::run_reader::SegmentSource;
use super::second_pass::SecondPass;
use super::{
    CleaningFailed, CleaningOutcome, CleaningSummary, CleaningToken, CompactionPolicy,
    ObserveScope, Pace, RemovedRecord,
};
use crate::health::DirHealth;
use crate::index::{OffsetEntry, Owner};
use crate::io::Io;
use crate::log_dir::{DirShared, PlantedBugs};
use crate::segment::OpenFiles;

/// What a cleaning needs of its directory; not the directory itself, whose lock it must not hold.
pub(crate) struct Surroundings {
    pub(super) io: Arc<dyn Io>,
    pub(super) health: Arc<DirHealth>,
    pub(super) open_files: Arc<OpenFiles>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) planted: PlantedBugs,
    /// The partition's directory.
    pub(super) dir: PathBuf,
    pub(super) owner: Owner,
}

impl Surroundings {
    pub(crate) fn of(shared: &DirShared, dir: PathBuf, owner: Owner) -> Self {
        Self {
            io: Arc::clone(&shared.io),
            health: Arc::clone(&shared.health),
            open_files: Arc::clone(&shared.open_files),
            clock: Arc::clone(&shared.clock),
            planted: shared.planted,
            dir,
            owner,
        }
    }

    /// What a data file needs.
    pub(super) fn files(&self) -> (&Arc<dyn Io>, &Arc<DirHealth>, &Arc<OpenFiles>) {
        (&self.io, &self.health, &self.open_files)
    }
}

/// What is to be cleaned.
pub(crate) struct CleaningPlan {
    pub(crate) around: Surroundings,
    pub(crate) token: Arc<CleaningToken>,
    /// All segments that can be covered, oldest first.
    pub(crate) sources: Vec<SegmentSource>,
    /// Where what was not cleaned before begins: the number of the segment, and the batch in it.
    pub(crate) dirty_from: (usize, OffsetEntry),
    pub(crate) limits: OutputLimits,
    /// Tombstones below it have been kept for long enough.
    pub(crate) expired_below: Offset,
}

/// A cleaning that has not run yet; `Send`. Dropping it is as good as never having begun it.
#[must_use = "a cleaning does nothing until it runs"]
pub struct Cleaning {
    plan: CleaningPlan,
}

/// What both passes have come to.
pub(super) struct Passed {
    pub(super) outcome: CleaningOutcome,
    pub(super) segments: Vec<CleanedSegment>,
    /// `None` for a survey.
    pub(super) files: Option<CleanedFiles>,
}

impl Cleaning {
    pub(crate) fn new(plan: CleaningPlan) -> Self {
        Self { plan }
    }

    /// Bytes of the segments that it can cover.
    pub fn bytes(&self) -> u64 {
        let sources = self.plan.sources.iter();
        sources.map(|source| u64::from(source.len)).sum()
    }

    /// Carries it out, but for the swap: [`Log::finish_cleaning`](crate::Log::finish_cleaning). Reads
    /// and writes files, waits for syncs and for its pace: not for a thread that others wait for.
    ///
    /// # Errors
    /// The log is what it was before, and nothing is left of what was written.
    pub fn run(
        self,
        policy: &mut dyn CompactionPolicy,
        pace: &Pace,
    ) -> Result<Cleaned, CleaningFailed> {
        let files = CleanedFiles::new(&self.plan.around.io, &self.plan.around.dir);
        let passed = self.pass_twice(policy, pace, Some(files), None)?;
        let outcome = passed.outcome;
        let covered = self.plan.covered(outcome.cleaned_to);
        let replaced: Vec<Offset> = covered.iter().map(|source| source.data.base()).collect();
        let unchanged = outcome.records_removed == 0
            && outcome.bytes_before == outcome.bytes_after
            && replaced.len() == passed.segments.len();
        Ok(Cleaned {
            replaced,
            segments: passed.segments,
            unchanged,
            outcome,
            files: passed.files,
            token: self.plan.token,
        })
    }

    /// What `run` would do, with nothing written: the same passes over the same segments. `visit` is
    /// shown every record that would be removed, by offset.
    ///
    /// # Errors
    /// As `run` would fail.
    pub fn run_survey(
        self,
        policy: &mut dyn CompactionPolicy,
        pace: &Pace,
        visit: &mut dyn FnMut(RemovedRecord<'_>),
    ) -> Result<CleaningSummary, CleaningFailed> {
        let mut outcome = self.pass_twice(policy, pace, None, Some(visit))?.outcome;
        let now = self.plan.around.clock.monotonic();
        outcome.took = now.saturating_sub(self.plan.token.began);
        Ok(outcome)
    }

    fn pass_twice(
        &self,
        policy: &mut dyn CompactionPolicy,
        pace: &Pace,
        files: Option<CleanedFiles>,
        visit: Option<&mut dyn FnMut(RemovedRecord<'_>)>,
    ) -> Result<Passed, CleaningFailed> {
        let plan = &self.plan;
        let scope = policy.scope();
        let (first, from) = plan.observed_from(scope);
        let observed = plan.sources.iter().skip(first);
        let observed_bytes: u64 = observed.map(|source| u64::from(source.len)).sum();
        let total = observed_bytes + self.bytes();
        pace.begin(total.saturating_sub(u64::from(from.position)));
        plan.check_order()?;
        let first = first_pass(plan, scope, policy, pace)?;
        let writer = CleanedWriter::new(&plan.around, pace, plan.limits, files);
        SecondPass::new(plan, &first, writer, visit).run(policy, pace)
    }
}

impl CleaningPlan {
    /// Where the first pass begins: the number of the segment, and the batch in it.
    pub(super) fn observed_from(&self, scope: ObserveScope) -> (usize, OffsetEntry) {
        match (scope, self.sources.first()) {
            (ObserveScope::WholeLog, Some(oldest)) => (0, oldest.beginning()),
            _ => self.dirty_from,
        }
    }

    /// A first pass that ends too early in the whole log leaves everything for the next cleaning, which
    /// would come no further.
    pub(super) fn check_gets_on(
        &self,
        scope: ObserveScope,
        reached: Offset,
    ) -> Result<(), CleaningFailed> {
        let (_, dirty) = self.dirty_from;
        match scope {
            ObserveScope::WholeLog if reached <= dirty.offset => {
                Err(CleaningFailed::FullInCleanPart {
                    reached,
                    clean_to: dirty.offset,
                })
            }
            _ => Ok(()),
        }
    }

    /// The segments that begin below an offset: those that a cleaning up to there replaces.
    pub(super) fn covered(&self, cleaned_to: Offset) -> &[SegmentSource] {
        let sources = &self.sources;
        let covered = sources.partition_point(|source| source.data.base() < cleaned_to);
        sources.get(..covered).unwrap_or_default()
    }

    /// Begins to read a segment. `None` when it was deleted meanwhile, with everything in it.
    pub(super) fn open<'a>(
        &'a self,
        source: &'a SegmentSource,
        from: OffsetEntry,
    ) -> Result<Option<RunReader<'a>>, CleaningFailed> {
        let opened = RunReader::open(source, from, &self.around.health)?;
        if opened.is_none() && self.token.start() < source.next {
            return Err(CleaningFailed::Changed {
                file: source.data.path().to_owned(),
            });
        }
        Ok(opened)
    }

    /// Bytes were read: waits as the pace says.
    pub(super) fn go_on(&self, pace: &Pace, bytes: u64) -> Result<(), CleaningFailed> {
        pace.read(bytes, &*self.around.clock);
        match pace.is_cancelled() || self.token.is_cancelled() {
            true => Err(CleaningFailed::Cancelled),
            false => Ok(()),
        }
    }

    /// Offsets that no segment has are damage that was there before: they stay what they are.
    fn check_order(&self) -> Result<(), CleaningFailed> {
        for pair in self.sources.windows(2) {
            if let [before, after] = pair
                && before.next != after.data.base()
            {
                return Err(before.hole_at(before.next, after.data.base()));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Cleaning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cleaning")
            .field("dir", &self.plan.around.dir)
            .field("segments", &self.plan.sources.len())
            .field("end", &self.plan.token.end)
            .finish_non_exhaustive()
    }
}
