//! `Background`: threads for what takes long: requests of very many values, batches that unfold to much, large
//! lists. On an arbiter they would keep everybody else waiting. These threads have a low priority, and most of them a
//! longer slice and the policy for batches, so that an arbiter that wakes goes first also when every core is busy, and
//! one that hands work over goes on. Tasks go to an arbiter of its own, which is one thread; work without an await that soon
//! ends goes to a few others, what takes a moment to others, and what may take minutes or waits for a disk to others
//! again, so that a few of those never keep everybody from the few.

mod pool;
mod slice;

use actix_rt::{Arbiter, ArbiterHandle};
use broker_model::limits::DRY_RUNS_MAX;
use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime;
use tracing::debug;

pub(crate) use self::pool::{BrokenOff, Handed};
use self::pool::{Pool, Turn};

/// Threads for work that soon ends, at least; half as many as there are cores, if that is more.
const WORKERS_MIN: usize = 2;
/// Threads for what may take minutes: every dry run that there may be, and modules and disks beside them.
const LONG_THREADS: usize = DRY_RUNS_MAX + 12;

/// How far threads stand back behind arbiters, and behind each other.
#[derive(Clone, Copy, Debug)]
enum Behind {
    /// For what takes a moment and a client waits for that is known: a quarter of a core that they compete with an arbiter
    /// for, and six times as much as the others, from which they take it when they wake.
    Little,
    /// A twentieth: with a third an arbiter waits for milliseconds until it gets its share again.
    Far,
}

/// What threads that stand back take when they start.
#[derive(Clone, Copy, Debug)]
struct Priority {
    behind: Behind,
    niceness: i32,
}

impl Priority {
    /// Of threads that stand back so far behind this one.
    fn behind_this(behind: Behind) -> Self {
        let steps = match behind {
            Behind::Little => 5,
            Behind::Far => 13,
        };
        let niceness = getpriority_process(None).unwrap_or(0) + steps;
        Self { behind, niceness }
    }

    /// Gives it to the thread that this is called on, and to no other. What that began with was that of who started it,
    /// which may be a low one.
    fn take(self) {
        if let Err(error) = setpriority_process(None, self.niceness) {
            debug!(%error, "a thread of the background keeps its niceness");
        }
        if let Err(error) = slice::stand_back(self.behind, self.niceness) {
            debug!(%error, "a thread of the background keeps its policy and slice");
        }
    }
}

/// Handles of the background; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    arbiter: ArbiterHandle,
    long: Pool,
    workers: Workers,
}

/// The threads for work that soon ends, without an await and without a disk to wait for; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    usual: Pool,
    /// For what takes a moment.
    quick: Pool,
    /// For what takes a moment and is for clients that are known.
    known: Pool,
}

impl Background {
    /// Starts its arbiter; the other threads start when there is work.
    ///
    /// # Panics
    /// Outside an actix system, and when the system has no room for a thread.
    pub(crate) fn start() -> Self {
        let priority = Priority::behind_this(Behind::Far);
        let arbiter = Arbiter::with_tokio_rt(move || {
            priority.take();
            runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(LONG_THREADS)
                .on_thread_start(move || priority.take())
                .build()
                .expect("the system has room for an event loop")
        });
        Self {
            arbiter: arbiter.handle(),
            long: Pool::new("long-work", LONG_THREADS, Behind::Far),
            workers: Workers::start(),
        }
    }

    /// Runs a task that is made on the arbiter of the background. A broker that has stopped drops it.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        make: impl FnOnce() -> F + Send + 'static,
    ) {
        self.arbiter.spawn_fn(move || {
            actix_rt::spawn(make());
        });
    }

    /// Does `work` that may take minutes or wait for a disk, when one of the threads for it is free. It goes on
    /// when nobody waits for it any more.
    pub(crate) fn run_long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Handed<T> {
        self.long.hand_over(Turn::Usual, work)
    }

    /// The threads for work that soon ends.
    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Stops the arbiter; what runs on it is dropped.
    pub(crate) fn stop(&self) {
        self.arbiter.stop();
    }
}

impl Workers {
    /// They start when there is work.
    pub(crate) fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let few = WORKERS_MIN.max(cores / 2);
        Self {
            usual: Pool::new("work", few, Behind::Far),
            quick: Pool::new("quick-work", few, Behind::Far),
            known: Pool::new("known-work", few, Behind::Little),
        }
    }

    /// Does `work` when one of the threads is free.
    ///
    /// # Errors
    /// When `work` panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BrokenOff> {
        self.usual.hand_over(Turn::Usual, work).await
    }

    /// Does `work` that takes a moment, when one of the threads for it is free: it waits for nothing that takes
    /// longer.
    ///
    /// # Errors
    /// When `work` panicked.
    pub(crate) async fn run_quick<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BrokenOff> {
        self.quick.hand_over(Turn::Usual, work).await
    }

    /// Does `work` for a client that is known, before what others have handed over.
    pub(crate) fn run_for_known<T: Send + 'static>(
        &self,
        is_quick: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Handed<T> {
        let pool = if is_quick { &self.known } else { &self.usual };
        pool.hand_over(Turn::First, work)
    }

    /// Has `work` done that takes a moment and that nobody waits for.
    pub(crate) fn see_to(&self, work: impl FnOnce() + Send + 'static) {
        drop(self.quick.hand_over(Turn::Usual, work));
    }

    /// Whether there is anything that they have not done.
    pub(crate) fn have_work(&self) -> bool {
        [&self.usual, &self.quick, &self.known]
            .iter()
            .any(|pool| pool.has_work())
    }
}

/// What makes a thread that it is called on one that stands back behind this one.
pub(crate) fn low_priority_threads() -> impl Fn() + Send + Sync {
    let priority = Priority::behind_this(Behind::Far);
    move || priority.take()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[actix_rt::test]
    async fn what_is_for_clients_that_are_known_stands_back_less_than_the_rest() {
        let workers = Workers::start();
        let niceness = || getpriority_process(None).unwrap();
        let own = niceness();
        let known = workers.run_for_known(true, niceness).await.unwrap();
        let others = [
            workers.run_quick(niceness).await.unwrap(),
            workers.run(niceness).await.unwrap(),
        ];
        // Below the lowest there is nothing.
        let stands_back = |before: i32, behind: i32| before < behind || behind == 19;
        assert!(stands_back(own, known), "{own} {known}");
        for other in others {
            assert!(stands_back(known, other), "{known} {other}");
        }
    }

    #[actix_rt::test]
    async fn work_that_takes_long_never_keeps_the_workers() {
        let background = Background::start();
        // Each of them waits until all of these are gone.
        let mut held = Vec::new();
        for _ in 0..LONG_THREADS {
            let (release, one) = mpsc::channel::<()>();
            held.push(release);
            drop(background.run_long(move || one.recv().is_ok()));
            // A handler that runs on the arbiter of the background may do so, too.
            let (release, other) = mpsc::channel::<()>();
            held.push(release);
            background.spawn(move || async move {
                drop(actix_rt::task::spawn_blocking(move || other.recv().is_ok()));
            });
        }
        let soon = background.workers().run(|| 7);
        let done = tokio::time::timeout(Duration::from_secs(30), soon).await;
        drop(held);
        assert_eq!(done.expect("a thread was free").unwrap(), 7);
        let after = tokio::time::timeout(Duration::from_secs(30), background.run_long(|| 8)).await;
        assert_eq!(after.expect("those that ended made room").unwrap(), 8);
        background.stop();
    }
}
