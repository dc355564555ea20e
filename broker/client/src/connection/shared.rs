//! `Shared`: what the handles of a connection and its driver task both see: the pending requests,
//! when something last arrived, and the ids that were given out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker_protocol::api::ping::PingRequest;
use broker_protocol::request_frame;
use tokio::sync::Notify;

use super::pending::Pending;
use super::writer::Outgoing;

pub(super) struct Shared {
    pub(super) pending: Pending,
    start: Instant,
    /// How often bytes arrived.
    arrivals: AtomicU64,
    /// Milliseconds after `start` at which bytes last arrived.
    arrived_ms: AtomicU64,
    /// Milliseconds after `start` at which a request was last queued.
    asked_ms: AtomicU64,
    next_id: AtomicU64,
    stopped: Notify,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            pending: Pending::default(),
            start: Instant::now(),
            arrivals: AtomicU64::new(0),
            arrived_ms: AtomicU64::new(0),
            asked_ms: AtomicU64::new(0),
            next_id: AtomicU64::new(1),
            stopped: Notify::new(),
        }
    }

    /// Makes the driver task end.
    pub(super) fn stop(&self) {
        self.stopped.notify_one();
    }

    /// Completes once `stop` was called.
    pub(super) async fn stopped(&self) -> String {
        self.stopped.notified().await;
        "closed by this client".to_owned()
    }

    /// An id that this connection has not used before.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn something_arrived(&self) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        self.arrived_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// How often bytes arrived so far; unchanged since means that the peer was silent.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    pub(super) fn something_was_asked(&self) {
        self.asked_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Whether the peer has been silent for all of the last `time`.
    fn silent_for(&self, time: Duration) -> bool {
        let arrived = Duration::from_millis(self.arrived_ms.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(arrived) >= time
    }

    /// What the keep-alive tick has to do: nothing, send this, or give the peer up.
    pub(super) fn keep_alive(&self, every: Duration) -> Result<Option<Outgoing>, String> {
        let asked = Duration::from_millis(self.asked_ms.load(Ordering::Relaxed));
        let idle = self.start.elapsed().saturating_sub(asked) >= every;
        if self.silent_for(every * 2) && self.start.elapsed() >= every * 2 {
            return Err(format!("the broker has been silent for {:?}", every * 2));
        }
        if !idle && !self.silent_for(every) {
            return Ok(None);
        }
        let id = self.next_id();
        let head = request_frame(id, &PingRequest {}).map_err(|error| error.to_string())?;
        // Nobody waits for it: what counts is that something arrives.
        match self.pending.register(id, None) {
            Ok(_) => Ok(Some(Outgoing {
                id,
                head,
                rest: Vec::new(),
            })),
            Err(lost) => Err(lost.reason.to_string()),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
