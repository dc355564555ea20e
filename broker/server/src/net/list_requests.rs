//! `ListRequests`: requests that are much work to take apart or whose answers may be large. How many wait for their
//! turn, on the whole broker, and what those may occupy that are carried out.

use std::sync::Arc;

use broker_model::limits::{LIST_REQUESTS_WAITING, LISTS_BYTES_MAX, MEMORY_OWN_LISTS};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ceiling::{Allowance, Ceiling, Drawn};

/// What one is counted as, for the list that it makes.
const LIST_BYTES: usize = 1024 * 1024;
/// Arguments take so many times as much when they are taken apart.
const TAKEN_APART_TIMES: usize = 4;

/// Those of the whole broker; cheap to clone.
#[derive(Clone)]
pub(crate) struct ListRequests {
    waiting: Arc<Semaphore>,
    memory: Allowance,
}

impl ListRequests {
    /// What a client is told when too many wait.
    pub(crate) const MESSAGE: &str = "too many requests for lists wait for their turn";

    /// None yet.
    pub(super) fn below(ceiling: &Ceiling) -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(LIST_REQUESTS_WAITING)),
            memory: ceiling.allowance(MEMORY_OWN_LISTS, LISTS_BYTES_MAX),
        }
    }

    /// A place for one that waits, unless too many do.
    pub(crate) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.clone().try_acquire_owned().ok()
    }

    /// Waits for memory to carry one out that has arguments of so many bytes.
    pub(crate) async fn memory(&self, args_bytes: usize) -> Drawn {
        let taken_apart = args_bytes.saturating_mul(TAKEN_APART_TIMES);
        let bytes = LIST_BYTES.saturating_add(taken_apart);
        self.memory.take(bytes.min(MEMORY_OWN_LISTS)).await
    }
}
