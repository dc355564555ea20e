//! `Waits`: how many long polls may wait at once, weighed by the partitions they wait for. A connection that
//! asks for too many is refused; when the broker has too many, a poll is answered at once with what there is.

use std::sync::Arc;

use broker_model::limits::{WAITS_PER_CONNECTION, WAITS_TOTAL};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a poll weighs beside its partitions.
const POLL_WEIGHT: usize = 8;

/// The waits of a broker; cheap to clone.
#[derive(Clone)]
pub(crate) struct Waits(Arc<Semaphore>);

impl Default for Waits {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WAITS_TOTAL)))
    }
}

/// The waits of a connection; cheap to clone.
#[derive(Clone)]
pub(crate) struct WaitsOfConnection {
    own: Arc<Semaphore>,
    total: Waits,
}

/// One poll that waits; over when dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    _own: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

/// Why a poll may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWait {
    /// Its connection has too many that wait.
    Connection,
    /// The broker has.
    Broker,
}

impl Waits {
    /// The share of one connection.
    pub(super) fn for_connection(&self) -> WaitsOfConnection {
        WaitsOfConnection {
            own: Arc::new(Semaphore::new(WAITS_PER_CONNECTION)),
            total: self.clone(),
        }
    }
}

impl WaitsOfConnection {
    /// Lets a poll wait for so many partitions.
    ///
    /// # Errors
    /// When too many wait already.
    pub(crate) fn enter(&self, partitions: usize) -> Result<Wait, NoWait> {
        let weight = u32::try_from(partitions.saturating_add(POLL_WEIGHT)).unwrap_or(u32::MAX);
        let own = self.own.clone().try_acquire_many_owned(weight);
        let own = own.map_err(|_| NoWait::Connection)?;
        let total = self.total.0.clone().try_acquire_many_owned(weight);
        let total = total.map_err(|_| NoWait::Broker)?;
        Ok(Wait {
            _own: own,
            _total: total,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_cannot_take_every_wait() {
        let waits = Waits::default();
        let greedy = waits.for_connection();
        let held: Vec<_> = std::iter::from_fn(|| greedy.enter(1_000).ok()).collect();
        assert!(held.len() >= 2);
        assert_eq!(greedy.enter(1_000).err(), Some(NoWait::Connection));
        assert!(waits.for_connection().enter(1_000).is_ok());
    }

    #[test]
    fn a_wait_that_is_over_makes_room() {
        let waits = Waits::default();
        let mut held = Vec::new();
        let last = loop {
            match waits.for_connection().enter(1_000) {
                Ok(wait) => held.push(wait),
                Err(reason) => break reason,
            }
        };
        assert_eq!(last, NoWait::Broker);
        held.pop();
        assert!(waits.for_connection().enter(1_000).is_ok());
    }
}
