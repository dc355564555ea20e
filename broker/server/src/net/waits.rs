//! `Fetches`: what those occupy that name many partitions while they are carried out, and those that wait for
//! records. A connection that asks for too many waits is refused; when the broker has too many, a fetch is answered at
//! once with what there is.

use std::sync::Arc;

use broker_model::limits::{
    FETCHES_BYTES_MAX, MEMORY_OWN_FETCHES, MEMORY_OWN_WAITS, WAITS_PER_CONNECTION, WAITS_TOTAL,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ceiling::{Allowance, Ceiling, Drawn};

/// What a poll weighs beside its partitions.
const POLL_WEIGHT: usize = 8;
/// What a partition takes while a poll waits for it, about.
const WAIT_BYTES: usize = 320;
/// Arguments up to this size name a handful of partitions, which nobody counts.
const FEW_PARTITIONS_BYTES: usize = 256;
/// Those up to this size are taken apart at once, when there is memory.
const TAKEN_APART_AT_ONCE_BYTES: usize = 2 * 1024;
/// Arguments take so many times as much when they are taken apart and their partitions are looked up.
const CARRIED_OUT_TIMES: usize = 16;

/// The fetches of a broker; cheap to clone.
#[derive(Clone)]
pub(crate) struct Fetches {
    carried_out: Allowance,
    waiting: Allowance,
}

/// What a fetch occupies while it is carried out; nothing that counts, for one of few partitions.
#[derive(Debug, Default)]
pub(crate) struct CarriedOut(Option<Drawn>);

impl CarriedOut {
    /// Keeps so much and gives the rest back.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(drawn) = &mut self.0 {
            drawn.shrink_to(bytes);
        }
    }
}

/// The waits of a connection; cheap to clone.
#[derive(Clone)]
pub(crate) struct WaitsOfConnection {
    own: Arc<Semaphore>,
    total: Fetches,
}

/// One poll that waits; over when dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    _own: OwnedSemaphorePermit,
    _memory: Drawn,
}

/// Why a poll may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWait {
    /// Its connection has too many that wait.
    Connection,
    /// The broker has.
    Broker,
}

impl Fetches {
    /// None yet.
    pub(super) fn below(ceiling: &Ceiling) -> Self {
        Self {
            carried_out: ceiling.allowance(MEMORY_OWN_FETCHES, FETCHES_BYTES_MAX),
            waiting: ceiling.allowance(MEMORY_OWN_WAITS, WAITS_TOTAL * WAIT_BYTES),
        }
    }

    /// Waits for memory to carry one out that has arguments of so many bytes.
    pub(crate) async fn memory(&self, args_bytes: usize) -> CarriedOut {
        let bytes = match args_bytes {
            ..=FEW_PARTITIONS_BYTES => return CarriedOut::default(),
            _ => args_bytes.saturating_mul(CARRIED_OUT_TIMES),
        };
        let drawn = self.carried_out.take(bytes.min(MEMORY_OWN_FETCHES));
        CarriedOut(Some(drawn.await))
    }

    /// The same for one that may be taken apart at once, if there is memory for it now.
    pub(crate) fn memory_at_once(&self, args_bytes: usize) -> Option<CarriedOut> {
        if args_bytes <= FEW_PARTITIONS_BYTES {
            return Some(CarriedOut::default());
        }
        if args_bytes > TAKEN_APART_AT_ONCE_BYTES {
            return None;
        }
        let bytes = args_bytes.saturating_mul(CARRIED_OUT_TIMES);
        Some(CarriedOut(Some(self.carried_out.try_take(bytes)?)))
    }

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
        let weight = partitions.saturating_add(POLL_WEIGHT);
        let permits = u32::try_from(weight).unwrap_or(u32::MAX);
        let own = self.own.clone().try_acquire_many_owned(permits);
        let own = own.map_err(|_| NoWait::Connection)?;
        let bytes = weight.saturating_mul(WAIT_BYTES);
        Ok(Wait {
            _own: own,
            _memory: self.total.waiting.try_take(bytes).ok_or(NoWait::Broker)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_cannot_take_every_wait() {
        let fetches = Fetches::below(&Ceiling::default());
        let greedy = fetches.for_connection();
        let held: Vec<_> = std::iter::from_fn(|| greedy.enter(1_000).ok()).collect();
        assert!(held.len() >= 2);
        assert_eq!(greedy.enter(1_000).err(), Some(NoWait::Connection));
        assert!(fetches.for_connection().enter(1_000).is_ok());
    }

    #[test]
    fn a_wait_that_is_over_makes_room() {
        let fetches = Fetches::below(&Ceiling::default());
        let mut held = Vec::new();
        let last = loop {
            match fetches.for_connection().enter(1_000) {
                Ok(wait) => held.push(wait),
                Err(reason) => break reason,
            }
        };
        assert_eq!(last, NoWait::Broker);
        assert_eq!(held.len(), WAITS_TOTAL / (1_000 + POLL_WEIGHT));
        held.pop();
        assert!(fetches.for_connection().enter(1_000).is_ok());
    }

    #[actix_rt::test]
    async fn a_fetch_of_few_partitions_waits_for_nobody() {
        let fetches = Fetches::below(&Ceiling::default());
        let _all = fetches.carried_out.charge(FETCHES_BYTES_MAX);
        assert!(fetches.memory(FEW_PARTITIONS_BYTES).await.0.is_none());
        assert!(fetches.memory_at_once(FEW_PARTITIONS_BYTES).is_some());
        let some = fetches.memory_at_once(TAKEN_APART_AT_ONCE_BYTES);
        assert!(some.is_none(), "those of some partitions are counted");
        let many = fetches.memory(FEW_PARTITIONS_BYTES + 1);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(10), many).await;
        assert!(waited.is_err());
    }
}
