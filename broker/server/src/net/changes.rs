//! `Changes`: changes of metadata that clients ask for. A few of each connection are under way at once, in the order in
//! which it asked for them, so that nobody waits for all that another has asked for. How many wait is bounded.

use std::sync::Arc;

use broker_model::limits::{CHANGES_PER_CONNECTION, CHANGES_WAITING_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::controller::Share;

/// Those of the whole broker.
#[derive(Clone)]
pub(super) struct Changes {
    counted: Arc<Semaphore>,
}

/// Those of a connection; cheap to clone.
#[derive(Clone)]
pub(crate) struct ChangesOfConnection(Arc<Own>);

struct Own {
    under_way: Arc<Semaphore>,
    counted: Arc<Semaphore>,
    share: Share,
}

/// One that is under way; over when dropped.
#[derive(Debug)]
pub(crate) struct ChangeTurn {
    _own: OwnedSemaphorePermit,
    _counted: Option<OwnedSemaphorePermit>,
}

/// Too many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChangesFull;

impl ChangesFull {
    /// What the client is told.
    pub(crate) const MESSAGE: &str = "too many changes of metadata wait for their turn";
}

impl Changes {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            counted: Arc::new(Semaphore::new(CHANGES_WAITING_MAX)),
        }
    }

    /// The share of one connection.
    pub(super) fn for_connection(&self) -> ChangesOfConnection {
        ChangesOfConnection(Arc::new(Own {
            under_way: Arc::new(Semaphore::new(CHANGES_PER_CONNECTION)),
            counted: self.counted.clone(),
            share: Share::default(),
        }))
    }
}

impl ChangesOfConnection {
    /// What it has had of the controller.
    pub(crate) fn share(&self) -> Share {
        self.0.share.clone()
    }

    /// Waits until few enough that this connection has asked for are under way. The first of each is not counted: there
    /// are no more of those than connections, and clients that ask for one thing at a time are never refused.
    ///
    /// # Errors
    /// When too many are counted.
    pub(crate) async fn turn(&self) -> Result<ChangeTurn, ChangesFull> {
        let is_first = self.0.under_way.available_permits() == CHANGES_PER_CONNECTION;
        let counted = if is_first {
            None
        } else {
            let counted = self.0.counted.clone().try_acquire_owned();
            Some(counted.map_err(|_| ChangesFull)?)
        };
        let own = self.0.under_way.clone().acquire_owned().await;
        Ok(ChangeTurn {
            _own: own.expect("it is never closed"),
            _counted: counted,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// All it may have under way, as far as it may.
    fn asked_by(own: &ChangesOfConnection) -> Vec<ChangeTurn> {
        let turns = std::iter::from_fn(|| own.turn().now_or_never());
        turns.map_while(Result::ok).collect()
    }

    #[test]
    fn of_one_connection_a_few_changes_are_under_way_and_those_of_others_do_not_wait_for_its() {
        let changes = Changes::new();
        let greedy = changes.for_connection();
        let mut under_way = asked_by(&greedy);
        assert_eq!(under_way.len(), CHANGES_PER_CONNECTION);
        let mut next = Box::pin(greedy.turn());
        assert!((&mut next).now_or_never().is_none(), "it waits");
        let mut one_later = Box::pin(greedy.turn());
        assert!((&mut one_later).now_or_never().is_none());
        assert_eq!(
            asked_by(&changes.for_connection()).len(),
            CHANGES_PER_CONNECTION
        );
        under_way.pop();
        assert!((&mut one_later).now_or_never().is_none(), "not its turn");
        assert!(matches!(next.now_or_never(), Some(Ok(_))));
        assert!(matches!(one_later.now_or_never(), Some(Ok(_))));
    }

    #[test]
    fn a_client_that_asks_for_one_change_is_not_refused_for_those_of_others() {
        let changes = Changes::new();
        let connections = std::iter::repeat_with(|| changes.for_connection());
        let greedy = connections.map(|own| asked_by(&own));
        let mut held: Vec<_> = greedy.take(CHANGES_WAITING_MAX + 1).collect();
        let last = held.last().map(Vec::len);
        assert_eq!(last, Some(1), "its second was refused");
        let modest = changes.for_connection();
        let first = modest.turn().now_or_never();
        assert!(matches!(first, Some(Ok(_))));
        let second = modest.turn().now_or_never();
        assert_eq!(second.map(|turn| turn.err()), Some(Some(ChangesFull)));
        held.clear();
        assert!(matches!(modest.turn().now_or_never(), Some(Ok(_))));
    }
}
