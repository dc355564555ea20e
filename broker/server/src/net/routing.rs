//! `Routing`: memory for records that partitioners and serializers look at, from before they are taken apart
//! until their partitions have answered. Each costs some hundred bytes then, however small it is in its frame.
//! Requests with a few records draw on nothing, and those with many do not hold up those with some.

use std::sync::Arc;

use broker_model::limits::{
    MEMORY_OWN_ROUTING_FEW, MEMORY_OWN_ROUTING_MANY, ROUTING_RECORDS_FEW, ROUTING_RECORDS_MANY,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ceiling::{Allowance, Ceiling, Drawn};

/// Requests up to here cost no more than their frames do.
const RECORDS_FREE: u32 = 128;
/// Requests up to here have a budget of their own.
const RECORDS_FEW: u32 = 10_000;

/// What a record takes besides the frame that it came in, about.
const RECORD_BYTES: usize = 160;

/// The memory of a broker for it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Routing {
    few: Places,
    many: Places,
}

/// Memory for requests of one size; they get it in order.
#[derive(Clone)]
struct Places {
    records: Arc<Semaphore>,
    memory: Allowance,
}

impl Places {
    fn below(ceiling: &Ceiling, own: usize, records: usize) -> Self {
        Self {
            records: Arc::new(Semaphore::new(records)),
            memory: ceiling.allowance(own, records.saturating_mul(RECORD_BYTES)),
        }
    }
}

fn bytes(records: u32) -> usize {
    usize::try_from(records).map_or(usize::MAX, |records| records.saturating_mul(RECORD_BYTES))
}

/// What the records of one request may occupy; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct RoutingRoom {
    _held: Option<(OwnedSemaphorePermit, Drawn)>,
}

impl Routing {
    /// All of it.
    pub(super) fn below(ceiling: &Ceiling) -> Self {
        Self {
            few: Places::below(ceiling, MEMORY_OWN_ROUTING_FEW, ROUTING_RECORDS_FEW),
            many: Places::below(ceiling, MEMORY_OWN_ROUTING_MANY, ROUTING_RECORDS_MANY),
        }
    }

    /// Room for so many records, if there is some at once.
    pub(crate) fn try_room(&self, records: u32) -> Option<RoutingRoom> {
        let Some(places) = self.places(records) else {
            return Some(RoutingRoom::default());
        };
        let permit = places.records.clone().try_acquire_many_owned(records);
        let memory = places.memory.try_take(bytes(records))?;
        Some(RoutingRoom {
            _held: Some((permit.ok()?, memory)),
        })
    }

    /// Waits for room for so many records, of which there are no more than plugins are asked about at once.
    ///
    /// # Panics
    /// Never: the semaphores are not closed.
    pub(crate) async fn room(&self, records: u32) -> RoutingRoom {
        let Some(places) = self.places(records) else {
            return RoutingRoom::default();
        };
        let permit = places.records.clone().acquire_many_owned(records).await;
        let permit = permit.expect("this budget is never closed");
        RoutingRoom {
            _held: Some((permit, places.memory.take(bytes(records)).await)),
        }
    }

    fn places(&self, records: u32) -> Option<&Places> {
        if records <= RECORDS_FREE {
            None
        } else if records <= RECORDS_FEW {
            Some(&self.few)
        } else {
            Some(&self.many)
        }
    }
}

#[cfg(test)]
mod tests {
    use broker_model::limits::{MEMORY_IN_COMMON, PLUGIN_BATCH_RECORDS_MAX};

    use super::*;

    #[actix_rt::test]
    async fn large_requests_wait_for_each_other_and_hold_up_no_others() {
        let routing = Routing::below(&Ceiling::default());
        let mut held = Vec::new();
        while let Some(room) = routing.try_room(PLUGIN_BATCH_RECORDS_MAX) {
            held.push(room);
        }
        let all = (MEMORY_OWN_ROUTING_MANY + MEMORY_IN_COMMON) / bytes(PLUGIN_BATCH_RECORDS_MAX);
        assert_eq!(held.len(), all, "the ceiling is below all of their places");
        assert!(routing.try_room(1).is_some());
        assert!(routing.try_room(RECORDS_FEW).is_some());
        let waiting = routing.clone();
        let waiting = actix_rt::spawn(async move { waiting.room(PLUGIN_BATCH_RECORDS_MAX).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
        assert_eq!(
            routing.many.records.available_permits(),
            ROUTING_RECORDS_MANY
        );
    }
}
