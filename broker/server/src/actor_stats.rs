//! What an actor shows of itself: how many messages wait, how many it has handled, how often it was
//! started again. Counted by its handle and by itself, read by `list_actors`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counters of one actor, shared between its handle and the actor; they outlive a restart.
#[derive(Debug, Default)]
pub(crate) struct ActorStats {
    waiting: AtomicUsize,
    handled: AtomicU64,
    restarts: AtomicU64,
}

impl ActorStats {
    /// A message is about to be sent.
    pub(crate) fn sent(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// A message could not be sent after all.
    pub(crate) fn not_sent(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// The actor took a message that was counted as sent.
    pub(crate) fn handled(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.handled.fetch_add(1, Ordering::Relaxed);
    }

    /// The actor was started again after a panic; what waited in its mailbox is gone.
    pub(crate) fn restarted(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages waiting now.
    pub(crate) fn mailbox_depth(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Messages handled since the broker started.
    pub(crate) fn handled_total(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// Restarts since the broker started.
    pub(crate) fn restart_total(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}
