//! `Pool`: at most one connection to each broker, opened when it is needed, kept while it lives,
//! opened again after a growing pause when it died. Callers that need the same broker at the same
//! time wait for the same attempt.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::backoff::{Backoff, BackoffBounds};
use crate::connection::{Connection, ConnectionOptions};
use crate::error::ClientError;

pub(crate) struct Pool {
    options: ConnectionOptions,
    bounds: BackoffBounds,
    slots: Mutex<HashMap<Arc<str>, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    present: Mutex<Option<Connection>>,
    attempts: tokio::sync::Mutex<Attempts>,
}

/// What failed attempts leave behind.
#[derive(Default)]
struct Attempts {
    failed: Option<Failed>,
}

struct Failed {
    error: ClientError,
    backoff: Backoff,
    not_before: Instant,
}

impl Pool {
    pub(crate) fn new(options: ConnectionOptions, bounds: BackoffBounds) -> Self {
        Self {
            options,
            bounds,
            slots: Mutex::new(HashMap::new()),
        }
    }

    /// The live connection to `address`, or a new one. While an address is in its pause after a
    /// failure, that failure is the answer.
    pub(crate) async fn get(&self, address: &Arc<str>) -> Result<Connection, ClientError> {
        let slot = self.slot(address);
        if let Some(connection) = slot.alive() {
            return Ok(connection);
        }
        let mut attempts = slot.attempts.lock().await;
        if let Some(connection) = slot.alive() {
            return Ok(connection);
        }
        if let Some(failed) = &attempts.failed
            && Instant::now() < failed.not_before
        {
            return Err(failed.error.clone());
        }
        match Connection::connect(address, self.options.clone()).await {
            Ok(connection) => {
                attempts.failed = None;
                slot.set(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                let before = attempts.failed.take();
                let mut backoff =
                    before.map_or_else(|| Backoff::new(self.bounds), |failed| failed.backoff);
                let not_before = Instant::now() + backoff.next_wait();
                attempts.failed = Some(Failed {
                    error: error.clone(),
                    backoff,
                    not_before,
                });
                Err(error)
            }
        }
    }

    /// The connections that are alive, for requests that any broker can answer.
    pub(crate) fn alive(&self) -> Vec<Connection> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter_map(|slot| slot.alive()).collect()
    }

    /// Closes all connections.
    pub(crate) fn close(&self) {
        for connection in self.alive() {
            connection.close();
        }
    }

    fn slot(&self, address: &Arc<str>) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(address.clone()).or_default().clone()
    }
}

impl Slot {
    fn alive(&self) -> Option<Connection> {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.clone().filter(Connection::is_alive)
    }

    fn set(&self, connection: Connection) {
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }
}
