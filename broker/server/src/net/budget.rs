//! Back-pressure in bytes: what requests may occupy, per connection and on the whole broker. Permits are
//! taken before a frame is read and given back when its answer has been written. Large frames draw on
//! a budget of their own, so that senders of half a large frame cannot hold up small requests.

use std::sync::Arc;

use broker_model::limits::{
    IN_FLIGHT_BYTES_PER_CONNECTION, IN_FLIGHT_BYTES_TOTAL, IN_FLIGHT_REQUESTS_PER_CONNECTION,
    READ_BUFFER_TRUSTED_BYTES,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The broker-wide budget; cheap to clone.
#[derive(Clone)]
pub(crate) struct RequestBudget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl RequestBudget {
    /// Half of the total for frames up to the trusted size, half for larger ones.
    pub(crate) fn new() -> Self {
        let half = IN_FLIGHT_BYTES_TOTAL / 2;
        Self {
            small: Arc::new(Semaphore::new(half)),
            large: Arc::new(Semaphore::new(half)),
        }
    }

    /// The share of one connection.
    pub(crate) fn for_connection(&self) -> ConnectionBudget {
        ConnectionBudget {
            total: self.clone(),
            bytes: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_PER_CONNECTION)),
            requests: Arc::new(Semaphore::new(IN_FLIGHT_REQUESTS_PER_CONNECTION)),
        }
    }
}

/// What one connection may have under way.
pub(crate) struct ConnectionBudget {
    total: RequestBudget,
    bytes: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

/// The place one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    _request: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

impl ConnectionBudget {
    /// Waits until a request with a frame of `frame_bytes` may be read.
    ///
    /// # Panics
    /// Never: the semaphores are not closed and a frame is below every budget.
    pub(crate) async fn acquire(&self, frame_bytes: usize) -> InFlight {
        let bytes = u32::try_from(frame_bytes).unwrap_or(u32::MAX);
        let total = if frame_bytes <= READ_BUFFER_TRUSTED_BYTES {
            &self.total.small
        } else {
            &self.total.large
        };
        InFlight {
            _request: acquire(&self.requests, 1).await,
            _bytes: acquire(&self.bytes, bytes).await,
            _total: acquire(total, bytes).await,
        }
    }

    /// Whether a request of this connection is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.requests.available_permits() == IN_FLIGHT_REQUESTS_PER_CONNECTION
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, permits: u32) -> OwnedSemaphorePermit {
    if let Ok(permit) = semaphore.clone().try_acquire_many_owned(permits) {
        return permit;
    }
    semaphore
        .clone()
        .acquire_many_owned(permits)
        .await
        .expect("budgets are never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn large_frames_do_not_take_the_place_of_small_ones() {
        let budget = RequestBudget::new();
        let large = 16 * 1024 * 1024;
        let mut held = Vec::new();
        for _ in 0..IN_FLIGHT_BYTES_TOTAL / 2 / large {
            let connection = budget.for_connection();
            held.push(connection.acquire(large).await);
        }
        assert_eq!(budget.large.available_permits(), 0);
        let small = budget.for_connection();
        let _permit = small.acquire(100).await;
        assert!(!small.is_idle());
    }

    #[actix_rt::test]
    async fn a_permit_is_given_back_when_dropped() {
        let connection = RequestBudget::new().for_connection();
        let permit = connection.acquire(1_000).await;
        drop(permit);
        assert!(connection.is_idle());
        assert_eq!(
            connection.bytes.available_permits(),
            IN_FLIGHT_BYTES_PER_CONNECTION
        );
    }
}
