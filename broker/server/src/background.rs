//! `Background`: threads for what takes long: requests of very many values, batches that unfold to much, large
//! lists. On an arbiter they would keep everybody else waiting. These threads have a low priority, so that an
//! arbiter that wakes goes first also when every core is busy. Tasks go to an arbiter of its own, which is one
//! thread; work without an await that soon ends goes to a few others, what takes a moment to others, and what may
//! take minutes or waits for a disk to others again, so that a few of those never keep everybody from the few.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use actix_rt::{Arbiter, ArbiterHandle};
use broker_model::limits::DRY_RUNS_MAX;
use rustix::process::nice;
use tokio::runtime;
use tokio::task::{JoinError, JoinHandle};
use tracing::debug;

/// Threads for work that soon ends, at least; half as many as there are cores, if that is more.
const WORKERS_MIN: usize = 2;
/// Threads for what may take minutes: every dry run that there may be, and modules and disks beside them.
const LONG_THREADS: usize = DRY_RUNS_MAX + 12;
/// How far its threads stand back: they get a tenth of what an arbiter gets that competes with them. With a third the
/// arbiter waits for milliseconds until it gets its share again.
const NICENESS: i32 = 10;

/// Handles of the background; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    arbiter: ArbiterHandle,
    /// The event loop of the arbiter, for its threads that may block.
    long: runtime::Handle,
    workers: Workers,
}

/// The threads for work that soon ends, without an await and without a disk to wait for; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    runtime: runtime::Handle,
    /// For what takes a moment.
    quick: runtime::Handle,
    /// What they are asked for and have not done.
    under_way: Arc<AtomicUsize>,
    _threads: Option<Arc<[Threads; 2]>>,
}

/// Work that is not done; it is when this is dropped.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn enter(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A runtime that is there for its threads alone; nothing runs on its event loop.
#[derive(Debug)]
struct Threads(Option<runtime::Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        // Whoever is last may be on an arbiter, which must not wait for them.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Background {
    /// Starts its arbiter; the other threads start when there is work.
    ///
    /// # Panics
    /// Outside an actix system, and when the system has no room for a thread.
    pub(crate) fn start() -> Self {
        let (sender, handle) = mpsc::sync_channel(1);
        let arbiter = Arbiter::with_tokio_rt(move || {
            stand_back();
            let runtime = low_priority_runtime(LONG_THREADS);
            // Whoever starts the arbiter waits for it.
            let _ = sender.send(runtime.handle().clone());
            runtime
        });
        let long = handle.recv();
        Self {
            arbiter: arbiter.handle(),
            long: long.expect("an arbiter starts with its event loop"),
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
    ) -> JoinHandle<T> {
        self.long.spawn_blocking(work)
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
    fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let few = || low_priority_runtime(WORKERS_MIN.max(cores / 2));
        let (runtime, quick) = (few(), few());
        Self {
            runtime: runtime.handle().clone(),
            quick: quick.handle().clone(),
            under_way: Arc::default(),
            _threads: Some(Arc::new([runtime, quick].map(|one| Threads(Some(one))))),
        }
    }

    /// Those of the runtime that this is called on.
    #[cfg(test)]
    pub(crate) fn of_this_runtime() -> Self {
        Self {
            runtime: runtime::Handle::current(),
            quick: runtime::Handle::current(),
            under_way: Arc::default(),
            _threads: None,
        }
    }

    /// Does `work` when one of the threads is free.
    ///
    /// # Errors
    /// When `work` panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.runtime.spawn_blocking(self.counted(work)).await
    }

    /// Does `work` that takes a moment, when one of the threads for it is free: it waits for nothing that takes
    /// longer.
    ///
    /// # Errors
    /// When `work` panicked.
    pub(crate) async fn run_quick<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.quick.spawn_blocking(self.counted(work)).await
    }

    /// Whether there is anything that they have not done.
    pub(crate) fn have_work(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    fn counted<T, W: FnOnce() -> T>(&self, work: W) -> impl FnOnce() -> T + use<T, W> {
        let under_way = UnderWay::enter(&self.under_way);
        move || {
            let _under_way = under_way;
            work()
        }
    }
}

/// An event loop whose other threads, at most so many, have a low priority.
fn low_priority_runtime(threads: usize) -> runtime::Runtime {
    runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(threads)
        .on_thread_start(stand_back)
        .build()
        .expect("the system has room for an event loop")
}

/// Lowers the priority of this thread alone.
fn stand_back() {
    if let Err(error) = nice(NICENESS) {
        debug!(%error, "a thread of the background keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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

    #[actix_rt::test]
    async fn workers_may_be_let_go_of_on_an_event_loop_and_on_one_of_their_threads() {
        let workers = Workers::start();
        let last = workers.clone();
        let (sender, gone) = tokio::sync::oneshot::channel();
        workers
            .run(move || std::thread::spawn(|| ()).join().is_ok())
            .await
            .unwrap();
        drop(workers.runtime.spawn_blocking(move || {
            drop(last);
            let _ = sender.send(());
        }));
        drop(workers);
        gone.await.unwrap();
    }
}
