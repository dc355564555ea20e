//! Back-pressure in bytes: what requests and decoded answers may occupy, per connection and on the whole
//! broker. A request's permits are given back when its answer has been written. Large frames draw on a budget
//! of their own, and small answers on none, so that neither senders of half a frame nor clients that do not
//! read hold up small requests.

use std::sync::Arc;
use std::time::Duration;

use broker_model::limits::{
    ANSWER_BYTES_PER_CONNECTION, ANSWER_BYTES_TOTAL, IN_FLIGHT_BYTES_PER_CONNECTION,
    IN_FLIGHT_BYTES_TOTAL, IN_FLIGHT_REQUESTS_PER_CONNECTION, READ_BUFFER_TRUSTED_BYTES,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The broker-wide budget; cheap to clone.
#[derive(Clone)]
pub(crate) struct RequestBudget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl RequestBudget {
    /// Half of the total for frames up to the trusted size, half for larger ones.
    pub(crate) fn new() -> Self {
        let half = IN_FLIGHT_BYTES_TOTAL / 2;
        Self {
            small: Arc::new(Semaphore::new(half)),
            large: Arc::new(Semaphore::new(half)),
            answers: Arc::new(Semaphore::new(ANSWER_BYTES_TOTAL)),
        }
    }

    /// The share of one connection.
    pub(crate) fn for_connection(&self) -> ConnectionBudget {
        ConnectionBudget {
            total: self.clone(),
            bytes: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_PER_CONNECTION)),
            requests: Arc::new(Semaphore::new(IN_FLIGHT_REQUESTS_PER_CONNECTION)),
            answers: AnswerBudget {
                own: Arc::new(Semaphore::new(ANSWER_BYTES_PER_CONNECTION)),
                total: self.answers.clone(),
            },
        }
    }
}

/// What one connection may have under way.
pub(crate) struct ConnectionBudget {
    total: RequestBudget,
    bytes: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    answers: AnswerBudget,
}

/// What decoded answers of one connection may occupy; cheap to clone.
#[derive(Clone)]
pub(crate) struct AnswerBudget {
    own: Arc<Semaphore>,
    total: Arc<Semaphore>,
}

/// The place a decoded answer holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct AnswerMemory {
    _total: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

/// The budget for answers was used up for too long: others do not read theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswersFull;

/// How long a request waits for a place in the budget for answers.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// Answers up to this size are bounded by the number of requests under way.
const SMALL_ANSWER_BYTES: u64 = 64 * 1024;

impl AnswerBudget {
    /// Waits until an answer made of `bytes` may be built; a small one need not.
    ///
    /// # Errors
    /// When the broker's budget stays used up for `ANSWER_WAIT_MAX`.
    pub(crate) async fn acquire(&self, bytes: u64) -> Result<Option<AnswerMemory>, AnswersFull> {
        if bytes <= SMALL_ANSWER_BYTES {
            return Ok(None);
        }
        let most = u32::try_from(ANSWER_BYTES_PER_CONNECTION).unwrap_or(u32::MAX);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(most);
        let own = acquire(&self.own, permits).await;
        let total = tokio::time::timeout(ANSWER_WAIT_MAX, acquire(&self.total, permits)).await;
        let total = total.map_err(|_| AnswersFull)?;
        Ok(Some(AnswerMemory {
            _total: total,
            _own: own,
        }))
    }
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

    /// What its answers may occupy.
    pub(crate) fn answers(&self) -> &AnswerBudget {
        &self.answers
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

    #[actix_rt::test]
    async fn a_client_that_does_not_read_does_not_take_the_place_of_others() {
        let budget = RequestBudget::new();
        let (greedy, other) = (budget.for_connection(), budget.for_connection());
        let held = greedy
            .answers()
            .acquire(ANSWER_BYTES_PER_CONNECTION as u64)
            .await;
        assert!(matches!(held, Ok(Some(_))));
        assert_eq!(greedy.answers().own.available_permits(), 0);
        assert!(matches!(
            other.answers().acquire(1_000_000).await,
            Ok(Some(_))
        ));
        let small = greedy.answers().acquire(1_000).await;
        assert!(matches!(small, Ok(None)), "small answers take no place");
    }
}
