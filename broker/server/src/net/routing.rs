//! `Routing`: memory for records that partitioners and serializers look at, from before they are taken apart
//! until their partitions have answered. Each costs some hundred bytes then, however small it is in its frame.
//! Requests with a few records draw on nothing, and those with many do not hold up those with some.

use std::sync::Arc;

use broker_model::limits::{ROUTING_RECORDS_FEW, ROUTING_RECORDS_MANY};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests up to here cost no more than their frames do.
const RECORDS_FREE: u32 = 128;
/// Requests up to here have a budget of their own.
const RECORDS_FEW: u32 = 10_000;

/// The memory of a broker for it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Routing {
    few: Arc<Semaphore>,
    many: Arc<Semaphore>,
}

/// What the records of one request may occupy; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct RoutingRoom {
    _records: Option<OwnedSemaphorePermit>,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            few: Arc::new(Semaphore::new(ROUTING_RECORDS_FEW)),
            many: Arc::new(Semaphore::new(ROUTING_RECORDS_MANY)),
        }
    }
}

impl Routing {
    /// Room for so many records, if there is some at once.
    pub(crate) fn try_room(&self, records: u32) -> Option<RoutingRoom> {
        let Some(places) = self.places(records) else {
            return Some(RoutingRoom::default());
        };
        let permit = places.clone().try_acquire_many_owned(records).ok()?;
        Some(RoutingRoom {
            _records: Some(permit),
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
        let permit = places.clone().acquire_many_owned(records).await;
        RoutingRoom {
            _records: Some(permit.expect("this budget is never closed")),
        }
    }

    fn places(&self, records: u32) -> Option<&Arc<Semaphore>> {
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
    use broker_model::limits::PLUGIN_BATCH_RECORDS_MAX;

    use super::*;

    #[actix_rt::test]
    async fn large_requests_wait_for_each_other_and_hold_up_no_others() {
        let routing = Routing::default();
        let mut held = Vec::new();
        while let Some(room) = routing.try_room(PLUGIN_BATCH_RECORDS_MAX) {
            held.push(room);
        }
        assert_eq!(
            held.len(),
            ROUTING_RECORDS_MANY / PLUGIN_BATCH_RECORDS_MAX as usize
        );
        assert!(routing.try_room(1).is_some());
        assert!(routing.try_room(RECORDS_FEW).is_some());
        let waiting = routing.clone();
        let waiting = actix_rt::spawn(async move { waiting.room(PLUGIN_BATCH_RECORDS_MAX).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
        assert_eq!(routing.many.available_permits(), ROUTING_RECORDS_MANY);
    }
}
