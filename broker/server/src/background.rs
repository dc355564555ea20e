//! `Background`: threads for what takes long: requests of very many values, batches that unfold to much, large
//! lists. On an arbiter they would keep everybody else waiting. These threads have a low priority, so that an
//! arbiter that wakes goes first also when every core is busy. Tasks go to an arbiter of its own, which is one
//! thread, and work without an await to a few others.

use std::sync::mpsc;

use actix_rt::{Arbiter, ArbiterHandle};
use rustix::process::nice;
use tokio::runtime;
use tokio::task::JoinError;
use tracing::debug;

/// Threads for work without an await, at least; half as many as there are cores, if that is more.
const WORKERS_MIN: usize = 2;
/// How far its threads stand back: they get a third of what an arbiter gets that competes with them.
const NICENESS: i32 = 5;

/// Handles of the background; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    arbiter: ArbiterHandle,
    workers: Workers,
}

/// The threads for work without an await; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Workers(runtime::Handle);

impl Background {
    /// Starts its arbiter; the other threads start when there is work.
    ///
    /// # Panics
    /// Outside an actix system, and when the system has no room for a thread.
    pub(crate) fn start() -> Self {
        let (sender, handle) = mpsc::sync_channel(1);
        let arbiter = Arbiter::with_tokio_rt(move || {
            stand_back();
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(WORKERS_MIN.max(cores / 2))
                .on_thread_start(stand_back)
                .build()
                .expect("the system has room for an event loop");
            // Whoever starts the arbiter waits for it.
            let _ = sender.send(runtime.handle().clone());
            runtime
        });
        let runtime = handle.recv();
        Self {
            arbiter: arbiter.handle(),
            workers: Workers(runtime.expect("an arbiter starts with its event loop")),
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

    /// The threads for work without an await.
    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Stops the arbiter; what runs on it is dropped.
    pub(crate) fn stop(&self) {
        self.arbiter.stop();
    }
}

impl Workers {
    /// Those of the runtime that this is called on.
    #[cfg(test)]
    pub(crate) fn of_this_runtime() -> Self {
        Self(runtime::Handle::current())
    }

    /// Does `work` when one of the threads is free.
    ///
    /// # Errors
    /// When `work` panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.0.spawn_blocking(work).await
    }
}

/// Lowers the priority of this thread alone.
fn stand_back() {
    if let Err(error) = nice(NICENESS) {
        debug!(%error, "a thread of the background keeps its priority");
    }
}
