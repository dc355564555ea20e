//! Dry runs: what a plugin would do to a topic, tried on the topic's real records and without any effect. Each
//! runs on a thread of the background, says how far it is, can be cancelled, and keeps its report for a while.

mod deciding;
mod partitioning;
mod records;
mod serializing;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use broker_cluster::PluginSlot;
use broker_model::Clock;
use broker_model::limits::DRY_RUNS_MAX;
use broker_protocol::api::dry_run_status::DryRunReport;
use broker_storage::Pace;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::background::Background;
use crate::net::unfolding::Unfolding;
use crate::plugins::{BoundSlot, Plugins, SlotError};
use crate::topics::HostedTopic;

/// How long the report of a run that has ended is kept.
const KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// How long one waits for a place. Who is refused at once asks again at once, which is work for nothing.
const PLACE_WITHIN: Duration = Duration::from_millis(500);

/// Bytes of a key that a report shows.
const SHOWN_KEY_BYTES_MAX: usize = 256;

/// What is to be tried.
pub(crate) struct DryRun {
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) topic: Arc<HostedTopic>,
    pub(crate) slot: BoundSlot,
    /// Newest records of each partition that are looked at; all when none.
    pub(crate) last: Option<u64>,
    /// How many keys are shown as samples.
    pub(crate) sample: usize,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where large batches get room from.
    pub(crate) unfolding: Unfolding,
}

/// How far a run has come.
pub(crate) struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
    /// The cleaning that is surveyed now, and what it counts for.
    surveying: Mutex<Option<(Arc<Pace>, u64)>>,
    unit: &'static str,
    ended: Mutex<Option<Ended>>,
}

struct Ended {
    /// On the monotonic clock.
    at: Duration,
    outcome: Outcome,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Done(Box<DryRunReport>),
    Failed(Failure),
    Cancelled,
}

/// Why a run failed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The plugin did.
    Plugin(SlotError),
    Other(String),
}

/// Why a run stopped before its end.
#[derive(Debug)]
pub(super) enum Stopped {
    Cancelled,
    Failed(Failure),
}

impl Stopped {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(Failure::Other(error.to_string()))
    }

    fn plugin(error: impl Into<SlotError>) -> Self {
        Self::Failed(Failure::Plugin(error.into()))
    }
}

impl Progress {
    fn new(slot: PluginSlot) -> Self {
        Self {
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            surveying: Mutex::default(),
            unit: match slot {
                PluginSlot::RetentionPolicy => "segments",
                PluginSlot::CompactionPolicy => "bytes",
                _ => "records",
            },
            ended: Mutex::default(),
        }
    }

    /// What was done, of how much, and in what it is counted.
    pub(crate) fn counts(&self) -> (u64, u64, &'static str) {
        let own = self.done.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let surveyed = self.surveying().as_ref().map_or(0, |(pace, bytes)| {
            let share = u128::from(*bytes) * u128::from(pace.done());
            let share = share.checked_div(u128::from(pace.total())).unwrap_or(0);
            u64::try_from(share).unwrap_or(*bytes).min(*bytes)
        });
        ((own + surveyed).min(total), total, self.unit)
    }

    /// How it ended; none while it runs.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.ended().as_ref().map(|ended| ended.outcome.clone())
    }

    /// Asks it to stop.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        if let Some((pace, _)) = self.surveying().as_ref() {
            pace.cancel();
        }
    }

    /// The pace of a survey of so many bytes, the next one of this run.
    fn survey(&self, bytes: u64) -> Arc<Pace> {
        let pace = Arc::new(Pace::unthrottled());
        *self.surveying() = Some((pace.clone(), bytes));
        if self.cancelled.load(Ordering::Relaxed) {
            pace.cancel();
        }
        pace
    }

    fn surveying(&self) -> MutexGuard<'_, Option<(Arc<Pace>, u64)>> {
        self.surveying
            .lock()
            .expect("no code panics while it holds this lock")
    }

    fn expect(&self, total: u64) {
        self.total.fetch_add(total, Ordering::Relaxed);
    }

    fn advance(&self, by: u64) -> Result<(), Stopped> {
        self.done.fetch_add(by, Ordering::Relaxed);
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Stopped::Cancelled);
        }
        Ok(())
    }

    fn end(&self, outcome: Outcome, at: Duration) {
        *self.ended() = Some(Ended { at, outcome });
    }

    fn ended(&self) -> MutexGuard<'_, Option<Ended>> {
        self.ended
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

/// One of the [`DRY_RUNS_MAX`] that may be under way.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Ends a run when it is dropped, also one that panicked or never began, and gives its place back after that.
struct Ending {
    progress: Arc<Progress>,
    clock: Arc<dyn Clock>,
    outcome: Option<Outcome>,
    _place: Place,
}

impl Ending {
    fn with(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            Outcome::Failed(Failure::Other(
                "the run was broken off: it panicked, there was no room for a thread, or the broker stops; see the broker's log".to_owned(),
            ))
        });
        self.progress.end(outcome, self.clock.monotonic());
    }
}

/// The runs of this broker.
pub(crate) struct DryRuns {
    places: Arc<Semaphore>,
    runs: Mutex<Runs>,
}

#[derive(Default)]
struct Runs {
    last_id: u64,
    runs: BTreeMap<u64, Arc<Progress>>,
}

impl DryRuns {
    pub(crate) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(DRY_RUNS_MAX)),
            runs: Mutex::default(),
        }
    }

    /// A place, in the order in which they were asked for; none when the runs that are under way go on for long.
    pub(crate) async fn place(&self) -> Option<Place> {
        let place = timeout(PLACE_WITHIN, self.places.clone().acquire_owned()).await;
        let _permit = place.ok()?.ok()?;
        Some(Place { _permit })
    }

    /// Starts a run, for which the oldest that has ended is forgotten when there are as many as may be.
    pub(crate) fn start(&self, background: &Background, dry_run: DryRun, place: Place) -> u64 {
        let progress = Arc::new(Progress::new(dry_run.slot.slot));
        let id = {
            let mut runs = self.runs();
            runs.forget_old(dry_run.clock.monotonic());
            runs.last_id += 1;
            let id = runs.last_id;
            runs.runs.insert(id, progress.clone());
            id
        };
        let runtime = Handle::current();
        let ending = Ending {
            progress,
            clock: dry_run.clock.clone(),
            outcome: None,
            _place: place,
        };
        // It ends when it ends, whoever waits.
        drop(background.run_long(move || {
            // It asks partitions, and waits for what they answer.
            let _entered = runtime.enter();
            let outcome = match run(&dry_run, &ending.progress) {
                Ok(report) => Outcome::Done(Box::new(report)),
                Err(_) if ending.progress.cancelled.load(Ordering::Relaxed) => Outcome::Cancelled,
                Err(Stopped::Cancelled) => Outcome::Cancelled,
                Err(Stopped::Failed(failure)) => Outcome::Failed(failure),
            };
            ending.with(outcome);
        }));
        id
    }

    /// A run that is under way or whose report is still kept.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<Progress>> {
        self.runs().runs.get(&id).cloned()
    }

    /// Asks every run to stop, and lets no other one begin.
    pub(crate) fn cancel_all(&self) {
        self.places.close();
        self.runs().runs.values().for_each(|run| run.cancel());
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

impl Runs {
    fn forget_old(&mut self, now: Duration) {
        let old = |run: &Progress| {
            let ended = run.ended();
            ended
                .as_ref()
                .is_some_and(|ended| now.saturating_sub(ended.at) > KEPT_FOR)
        };
        self.runs.retain(|_, run| !old(run));
        while self.runs.len() >= DRY_RUNS_MAX {
            let ended = self.runs.iter().find(|(_, run)| run.outcome().is_some());
            let Some(id) = ended.map(|(id, _)| *id) else {
                return;
            };
            self.runs.remove(&id);
        }
    }
}

/// A key as a report shows it, cut if it is long.
fn shown_key(key: Option<&[u8]>) -> Option<bytes::Bytes> {
    let shown = key?;
    let shown = shown.get(..SHOWN_KEY_BYTES_MAX).unwrap_or(shown);
    Some(bytes::Bytes::copy_from_slice(shown))
}

fn run(dry_run: &DryRun, progress: &Progress) -> Result<DryRunReport, Stopped> {
    match dry_run.slot.slot {
        PluginSlot::Partitioner => partitioning::run(dry_run, progress),
        PluginSlot::KeySerializer | PluginSlot::ValueSerializer => {
            serializing::run(dry_run, progress)
        }
        PluginSlot::RetentionPolicy => deciding::retention(dry_run, progress),
        PluginSlot::CompactionPolicy => deciding::compaction(dry_run, progress),
    }
}

#[cfg(test)]
mod tests {
    use broker_model::{ManualClock, Timestamp};

    use super::*;

    #[actix_rt::test]
    async fn a_run_waits_a_moment_for_a_place() {
        let all = DryRuns::new();
        let mut taken = Vec::new();
        for _ in 0..DRY_RUNS_MAX {
            taken.push(all.place().await.expect("nobody has it"));
        }
        assert!(all.place().await.is_none(), "they are under way");
        let waiting = all.place();
        let ending = async { drop(taken.pop()) };
        let (place, ()) = tokio::join!(waiting, ending);
        assert!(place.is_some());
    }

    #[actix_rt::test]
    async fn a_run_that_never_began_makes_room_for_others() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let all = DryRuns::new();
        let progress = Arc::new(Progress::new(PluginSlot::Partitioner));
        let mut endings = Vec::new();
        for id in 0..DRY_RUNS_MAX as u64 {
            all.runs().runs.insert(id, progress.clone());
            endings.push(Ending {
                progress: progress.clone(),
                clock: clock.clone(),
                outcome: None,
                _place: all.place().await.expect("nobody has it"),
            });
        }
        all.runs().forget_old(clock.monotonic());
        assert_eq!(all.runs().runs.len(), DRY_RUNS_MAX, "they are under way");
        drop(endings.pop());
        assert!(matches!(progress.outcome(), Some(Outcome::Failed(_))));
        assert!(all.place().await.is_some());
        all.runs().forget_old(clock.monotonic());
        assert!(all.runs().runs.len() < DRY_RUNS_MAX);
    }

    #[actix_rt::test]
    async fn no_run_begins_once_all_are_to_stop() {
        let all = DryRuns::new();
        all.cancel_all();
        assert!(all.place().await.is_none());
    }
}
