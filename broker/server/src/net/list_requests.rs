//! `ListRequests`: requests that are much work to take apart or whose answers may be large. How many wait for their
//! turn, on the whole broker, and what those may occupy that are carried out.

use std::sync::Arc;

use broker_model::limits::{
    LIST_REQUESTS_PER_CONNECTION, LIST_REQUESTS_WAITING, LISTS_BYTES_MAX, MEMORY_OWN_LISTS,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ceiling::{Allowance, Ceiling, Drawn};

/// What one is counted as, for the list that it makes. One that lets others go on, for it takes long, keeps no more:
/// what its arguments came to takes the place of their frame, which is counted apart.
pub(crate) const LIST_BYTES: usize = 1024 * 1024;
/// Arguments take so many times as much when they are taken apart.
const TAKEN_APART_TIMES: usize = 4;

/// A place of one that waits; over when dropped.
#[derive(Debug)]
pub(crate) struct ListPlace {
    _counted: Option<OwnedSemaphorePermit>,
}

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

    /// A place for one of a connection that has `own` left, unless too many wait. The first of each does not count:
    /// there are no more of those than connections, and clients that ask for one thing at a time are never refused.
    pub(crate) fn enter(&self, own: &Semaphore) -> Option<ListPlace> {
        if own.available_permits() == LIST_REQUESTS_PER_CONNECTION {
            return Some(ListPlace { _counted: None });
        }
        let counted = self.waiting.clone().try_acquire_owned().ok()?;
        Some(ListPlace {
            _counted: Some(counted),
        })
    }

    /// Waits for memory to carry one out that has arguments of so many bytes.
    pub(crate) async fn memory(&self, args_bytes: usize) -> Drawn {
        let taken_apart = args_bytes.saturating_mul(TAKEN_APART_TIMES);
        let bytes = LIST_BYTES.saturating_add(taken_apart);
        self.memory.take(bytes.min(MEMORY_OWN_LISTS)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_asks_for_one_list_is_not_refused_for_those_of_others() {
        let lists = ListRequests::below(&Ceiling::default());
        let greedy = || Semaphore::new(LIST_REQUESTS_PER_CONNECTION - 1);
        let held: Vec<_> = std::iter::from_fn(|| lists.enter(&greedy())).collect();
        assert_eq!(held.len(), LIST_REQUESTS_WAITING);
        let modest = Semaphore::new(LIST_REQUESTS_PER_CONNECTION);
        assert!(lists.enter(&modest).is_some());
        let _under_way = modest.try_acquire().unwrap();
        assert!(lists.enter(&modest).is_none(), "its second counts");
        drop(held);
        assert!(lists.enter(&modest).is_some());
    }
}
