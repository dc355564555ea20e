//! What a plugin has cost so far, over all its instances. Updated with relaxed atomics: each figure is
//! right by itself, but a snapshot is not one moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The counters of one plugin.
#[derive(Debug, Default)]
pub struct Counters {
    calls: AtomicU64,
    records: AtomicU64,
    errors: AtomicU64,
    traps: AtomicU64,
    fallbacks: AtomicU64,
    suspensions: AtomicU64,
    time_ns: AtomicU64,
    memory_bytes: AtomicU64,
}

/// The counters' values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls with a batch; one per batch, more only for batches that are too large for one.
    pub calls: u64,
    /// Records in those batches; segments where the plugin is a retention policy.
    pub records: u64,
    /// Batches for which it gave no usable answer, and constructions that failed; traps included.
    pub errors: u64,
    /// Calls, constructions included, that ended in a trap: panic, time-out, memory, stack.
    pub traps: u64,
    /// Batches that the fallback answered in this plugin's place.
    pub fallbacks: u64,
    /// How often it was suspended.
    pub suspensions: u64,
    /// Time spent on those batches, in nanoseconds.
    pub time_ns: u64,
    /// The largest linear memory that an instance has had, in bytes.
    pub memory_bytes: u64,
}

impl Counters {
    /// The values now.
    pub fn usage(&self) -> Usage {
        Usage {
            calls: self.calls.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            traps: self.traps.load(Ordering::Relaxed),
            fallbacks: self.fallbacks.load(Ordering::Relaxed),
            suspensions: self.suspensions.load(Ordering::Relaxed),
            time_ns: self.time_ns.load(Ordering::Relaxed),
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn add_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_batch(&self, records: u32, time: Duration) {
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.records
            .fetch_add(u64::from(records), Ordering::Relaxed);
        self.time_ns.fetch_add(time_ns, Ordering::Relaxed);
    }

    pub(crate) fn add_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_trap(&self) {
        self.traps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_fallback(&self) {
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_suspension(&self) {
        self.suspensions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn see_memory(&self, bytes: usize) {
        self.memory_bytes.fetch_max(bytes as u64, Ordering::Relaxed);
    }
}
