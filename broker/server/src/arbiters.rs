//! `Arbiters`: the threads the broker lives on, created once at start and handed down. Connections and
//! partitions share the shard arbiters, one per core; the controller has an arbiter of its own that no
//! client write can stall.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_rt::{Arbiter, ArbiterHandle};
use broker_model::TopicPartition;

/// Handles of all arbiters; cheap to clone.
#[derive(Clone)]
pub(crate) struct Arbiters {
    shards: Arc<[ArbiterHandle]>,
    control: ArbiterHandle,
    next_connection: Arc<AtomicUsize>,
}

impl Arbiters {
    /// Starts `shards` arbiters for partitions and connections, and one for the controller.
    ///
    /// # Panics
    /// Outside an actix system, which only start-up code could get wrong.
    pub(crate) fn start(shards: usize) -> Self {
        assert!(shards > 0, "a broker needs at least one arbiter");
        let shards = (0..shards).map(|_| start_arbiter()).collect();
        Self {
            shards,
            control: start_arbiter(),
            next_connection: Arc::default(),
        }
    }

    /// The arbiter of the controller and of the broker actor.
    pub(crate) fn control(&self) -> &ArbiterHandle {
        &self.control
    }

    /// The arbiter a partition lives on; always the same one.
    pub(crate) fn of_partition(&self, partition: &TopicPartition) -> &ArbiterHandle {
        let mut hasher = DefaultHasher::new();
        partition.hash(&mut hasher);
        let shards = self.shards.len() as u64;
        let index = usize::try_from(hasher.finish() % shards).unwrap_or(0);
        &self.shards[index]
    }

    /// The arbiter of the next connection, round robin.
    pub(crate) fn for_connection(&self) -> &ArbiterHandle {
        let next = self.next_connection.fetch_add(1, Ordering::Relaxed);
        &self.shards[next % self.shards.len()]
    }

    /// Stops every arbiter; what runs on them is dropped.
    pub(crate) fn stop(&self) {
        for shard in self.shards.iter() {
            shard.stop();
        }
        self.control.stop();
    }
}

/// Threads an arbiter may use for work that blocks: opening logs, checking cold data, decoding large answers.
const BLOCKING_THREADS: usize = 8;

fn start_arbiter() -> ArbiterHandle {
    let arbiter = Arbiter::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .expect("the system has room for an event loop")
    });
    arbiter.handle()
}
