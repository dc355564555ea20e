//! `Arbiters`: the threads the broker lives on, created once at start and handed down. Connections and
//! partitions share the shard arbiters, one per core; the controller has an arbiter of its own that no
//! client write can stall, and what takes long goes to the background.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use broker_model::{Clock, SystemClock, TopicPartition};
use tokio::runtime;

use crate::background::Background;

/// One of the arbiters that connections and partitions share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shard(usize);

/// Handles of all arbiters; cheap to clone.
#[derive(Clone)]
pub(crate) struct Arbiters {
    shards: Arc<[EventLoop]>,
    control: ArbiterHandle,
    background: Background,
    clock: Arc<SystemClock>,
    next_connection: Arc<AtomicUsize>,
}

struct EventLoop {
    arbiter: ArbiterHandle,
    runtime: runtime::Handle,
    disk_wait: DiskWait,
}

/// Whether an arbiter's thread is at a call just now that may have to wait for a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskWait(Arc<AtomicBool>);

impl DiskWait {
    /// Does such a thing on that thread.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Ends<'a>(&'a AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Relaxed);
            }
        }
        self.0.store(true, Ordering::Relaxed);
        let _ends = Ends(&self.0);
        work()
    }
}

/// Threads for what waits for the disks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskThreads {
    /// Of each arbiter for partitions and connections.
    pub(crate) of_shard: usize,
    /// Of the controller's.
    pub(crate) of_control: usize,
}

/// How long a shard had been busy at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BusyTime {
    /// On the monotonic clock.
    at: Duration,
    busy: Duration,
}

impl Arbiters {
    /// Starts `shards` arbiters for partitions and connections, and one for the controller. Each gets so many
    /// threads more for what waits for the disks: if all of them hang, it still has those that every arbiter has.
    ///
    /// # Panics
    /// Outside an actix system, which only start-up code could get wrong.
    pub(crate) fn start(shards: usize, disk_threads: DiskThreads) -> Self {
        assert!(shards > 0, "a broker needs at least one arbiter");
        let shards = (0..shards)
            .map(|_| start_arbiter(BLOCKING_THREADS + disk_threads.of_shard))
            .collect();
        Self {
            shards,
            control: start_arbiter(BLOCKING_THREADS + disk_threads.of_control).arbiter,
            background: Background::start(),
            clock: Arc::default(),
            next_connection: Arc::default(),
        }
    }

    /// The arbiter of the controller and of the broker actor.
    pub(crate) fn control(&self) -> &ArbiterHandle {
        &self.control
    }

    /// Where work goes that takes long.
    pub(crate) fn background(&self) -> &Background {
        &self.background
    }

    /// The shard a partition lives on; always the same one. The partitions of a topic take the shards in
    /// turn, so that as many share the work as can.
    pub(crate) fn of_partition(&self, partition: &TopicPartition) -> Shard {
        let mut hasher = DefaultHasher::new();
        partition.topic.hash(&mut hasher);
        let place = hasher
            .finish()
            .wrapping_add(u64::from(partition.partition.get()));
        let index = place % self.shards.len() as u64;
        Shard(usize::try_from(index).unwrap_or(0))
    }

    /// The shard of the next connection, round robin, but none that waits for a disk at this moment if there is
    /// another: it may wait for long.
    pub(crate) fn for_connection(&self) -> Shard {
        let shards = self.shards.len();
        let next = self.next_connection.fetch_add(1, Ordering::Relaxed) % shards;
        let mut from_next = (next..shards).chain(0..next);
        let is_free = |shard: &usize| !self.waits_for_disk(Shard(*shard));
        Shard(from_next.find(is_free).unwrap_or(next))
    }

    /// Whether the thread of a shard is at a call at this moment that may have to wait for a disk.
    pub(crate) fn waits_for_disk(&self, shard: Shard) -> bool {
        self.shards[shard.0].disk_wait.0.load(Ordering::Relaxed)
    }

    /// Where the thread of a shard notes that it waits for a disk.
    pub(crate) fn disk_wait(&self, shard: Shard) -> DiskWait {
        self.shards[shard.0].disk_wait.clone()
    }

    /// The arbiter of a shard.
    pub(crate) fn shard(&self, shard: Shard) -> &ArbiterHandle {
        &self.shards[shard.0].arbiter
    }

    /// How long a shard has been busy up to now.
    pub(crate) fn busy_time(&self, shard: Shard) -> BusyTime {
        let metrics = self.shards[shard.0].runtime.metrics();
        BusyTime {
            at: self.clock.monotonic(),
            busy: metrics.worker_total_busy_duration(0),
        }
    }

    /// Stops every arbiter; what runs on them is dropped.
    pub(crate) fn stop(&self) {
        for shard in self.shards.iter() {
            shard.arbiter.stop();
        }
        self.control.stop();
        self.background.stop();
    }
}

impl BusyTime {
    /// The time between two moments.
    pub(crate) fn age(&self, now: &Self) -> Duration {
        now.at.saturating_sub(self.at)
    }

    /// Which part of the time between two moments was spent working, in percent.
    pub(crate) fn percent_until(&self, now: &Self) -> u128 {
        let busy = now.busy.saturating_sub(self.busy);
        busy.as_nanos() * 100 / self.age(now).as_nanos().max(1)
    }
}

/// Threads an arbiter may use for work that blocks: opening logs, checking cold data, giving back much memory.
const BLOCKING_THREADS: usize = 8;

fn start_arbiter(blocking_threads: usize) -> EventLoop {
    let (sender, handle) = mpsc::sync_channel(1);
    let arbiter = Arbiter::with_tokio_rt(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(blocking_threads)
            .build()
            .expect("the system has room for an event loop");
        // Whoever starts the arbiter waits for it.
        let _ = sender.send(runtime.handle().clone());
        runtime
    });
    EventLoop {
        arbiter: arbiter.handle(),
        disk_wait: DiskWait::default(),
        runtime: handle
            .recv()
            .expect("an arbiter starts with its event loop"),
    }
}
