//! `Pending`: the requests of one connection that wait for their answer, by id.
//!
//! An entry lives until its answer arrives or the connection dies, also when the caller has gone:
//! only then has the broker finished with it, and only then are its in-flight permits given back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_protocol::WireError;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::Outcome;

/// Why an answer will never come.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) reason: Arc<str>,
    pub(super) outcome: Outcome,
}

/// An answer: the undecoded result, or the broker's error.
pub type Answered = Result<Bytes, WireError>;

/// What a waiting caller gets.
pub(super) type Received = Result<Answered, Lost>;

/// The in-flight budget a request holds: one request and its bytes.
pub(super) struct Permits {
    pub(super) _request: OwnedSemaphorePermit,
    pub(super) _bytes: OwnedSemaphorePermit,
}

struct Waiting {
    answer: oneshot::Sender<Received>,
    written: bool,
    _permits: Option<Permits>,
}

#[derive(Default)]
struct Table {
    waiting: HashMap<u64, Waiting>,
    dead: Option<Arc<str>>,
}

#[derive(Default)]
pub(super) struct Pending {
    table: Mutex<Table>,
}

impl Pending {
    /// Enters a request that is about to be queued for writing.
    pub(super) fn register(
        &self,
        id: u64,
        permits: Option<Permits>,
    ) -> Result<oneshot::Receiver<Received>, Lost> {
        let (answer, receiver) = oneshot::channel();
        let mut table = self.lock();
        if let Some(reason) = &table.dead {
            return Err(Lost {
                reason: reason.clone(),
                outcome: Outcome::Definite,
            });
        }
        let waiting = Waiting {
            answer,
            written: false,
            _permits: permits,
        };
        let previous = table.waiting.insert(id, waiting);
        assert!(previous.is_none(), "request id {id} is under way already");
        Ok(receiver)
    }

    /// The writer is about to hand these requests to the network: from here on a lost connection
    /// leaves their outcome unknown.
    pub(super) fn mark_written(&self, ids: impl Iterator<Item = u64>) {
        let mut table = self.lock();
        for id in ids {
            if let Some(waiting) = table.waiting.get_mut(&id) {
                waiting.written = true;
            }
        }
    }

    /// Whether the request was handed to the network, or is answered already.
    pub(super) fn outcome_of(&self, id: u64) -> Outcome {
        match self.lock().waiting.get(&id) {
            Some(waiting) if !waiting.written => Outcome::Definite,
            _ => Outcome::Unknown,
        }
    }

    /// Hands an answer to its caller. `false` when nobody asked for this id.
    pub(super) fn complete(&self, id: u64, answer: Answered) -> bool {
        let Some(waiting) = self.lock().waiting.remove(&id) else {
            return false;
        };
        // The caller may have given up; the answer is of no use to anybody then.
        let _ = waiting.answer.send(Ok(answer));
        true
    }

    /// Fails everything that waits and everything that comes; the first reason stays.
    pub(super) fn die(&self, reason: impl Into<Arc<str>>) {
        let mut table = self.lock();
        if table.dead.is_some() {
            return;
        }
        let reason = reason.into();
        table.dead = Some(reason.clone());
        let waiting = std::mem::take(&mut table.waiting);
        drop(table);
        for entry in waiting.into_values() {
            let outcome = if entry.written {
                Outcome::Unknown
            } else {
                Outcome::Definite
            };
            let reason = reason.clone();
            let _ = entry.answer.send(Err(Lost { reason, outcome }));
        }
    }

    /// Why the connection is over, if it is.
    pub(super) fn death(&self) -> Option<Arc<str>> {
        self.lock().dead.clone()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while the lock is held except the assertion on ids, which changes nothing.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn death_is_unknown_for_written_requests_and_definite_for_queued_ones() {
        let pending = Pending::default();
        let mut written = pending.register(1, None).unwrap();
        let mut queued = pending.register(2, None).unwrap();
        pending.mark_written([1].into_iter());
        pending.die("reset");
        pending.die("a later reason");

        let lost = written.try_recv().unwrap().unwrap_err();
        assert_eq!((lost.outcome, &*lost.reason), (Outcome::Unknown, "reset"));
        let lost = queued.try_recv().unwrap().unwrap_err();
        assert_eq!(lost.outcome, Outcome::Definite);
        let lost = pending.register(3, None).unwrap_err();
        assert_eq!(lost.outcome, Outcome::Definite);
    }

    #[test]
    fn an_answer_nobody_waits_for_is_reported() {
        let pending = Pending::default();
        assert!(!pending.complete(7, Ok(Bytes::new())));
        drop(pending.register(7, None).unwrap());
        assert!(!pending.is_empty(), "the broker still works at it");
        assert!(pending.complete(7, Ok(Bytes::new())));
        assert!(pending.is_empty());
    }
}
