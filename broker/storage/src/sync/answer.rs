//! `Answer`: what waits for a sync request. It is told once, whatever happens: nobody may wait for ever for a
//! sync that was given up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{SyncOutcome, SyncRequest};
use crate::health::{DirFailed, DirHealth};
use crate::log_dir::DirShared;

/// Called once with what became of a request, on the sync thread: it must not wait.
pub type SyncDone = Box<dyn FnOnce(SyncOutcome) + Send>;

/// A callback that is called with a failure when it is dropped.
pub(crate) struct Answer {
    health: Arc<DirHealth>,
    /// As it is if all goes well.
    outcome: SyncOutcome,
    done: Option<SyncDone>,
}

impl Answer {
    pub(crate) fn new(dir: &DirShared, request: &SyncRequest, done: SyncDone) -> Self {
        Self {
            health: Arc::clone(&dir.health),
            outcome: SyncOutcome::of(request, &Ok(())),
            done: Some(done),
        }
    }

    /// Tells what became of the request.
    pub(super) fn tell(mut self, result: &Result<(), DirFailed>) {
        self.call(result.clone());
    }

    fn call(&mut self, result: Result<(), DirFailed>) {
        let Some(done) = self.done.take() else { return };
        let outcome = SyncOutcome {
            result,
            ..self.outcome.clone()
        };
        // A callback that panics must not take the others' answers with it.
        if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
            tracing::error!("a sync callback has panicked");
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.done.is_some() {
            // What the request covers may have been synced in part: nobody knows.
            let failed = self.health.fail("a sync was given up: it has panicked");
            self.call(Err(failed));
        }
    }
}
