//! `Arbiters`: the threads the broker lives on, created once at start and handed down. Connections and
//! partitions share the shard arbiters, one per core; the controller has an arbiter of its own that no
//! client write can stall, and what takes long goes to the background.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use broker_model::{Clock, SystemClock, TopicPartition};
use tokio::runtime;

use crate::background::Background;
use crate::memory;
use crate::standstill::{STUCK_AFTER, Standstill, ThreadWatch};

/// One of the arbiters that connections and partitions share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shard(usize);

/// Handles of all arbiters; cheap to clone.
#[derive(Clone)]
pub(crate) struct Arbiters {
    shards: Arc<[EventLoop]>,
    control: Arc<EventLoop>,
    background: Background,
    clock: Arc<SystemClock>,
    next_connection: Arc<AtomicUsize>,
}

struct EventLoop {
    arbiter: ArbiterHandle,
    runtime: runtime::Handle,
    disk_wait: DiskWait,
    polled: Polled,
    standstill: Standstill,
}

/// How long an arbiter's thread was up for nothing but to look whether something has come; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Polled(Arc<AtomicU64>);

impl Polled {
    /// So much longer.
    pub(crate) fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }

    /// All of it.
    pub(crate) fn so_far(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Whether an arbiter's thread is at a call just now that may have to wait for a disk, and how many have ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskWait(Arc<DiskCalls>);

#[derive(Debug, Default)]
struct DiskCalls {
    is_at_one: AtomicBool,
    ended: AtomicU64,
}

impl DiskWait {
    /// Does such a thing on that thread.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Ends<'a>(&'a DiskCalls);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.is_at_one.store(false, Ordering::Relaxed);
                self.0.ended.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.0.is_at_one.store(true, Ordering::Relaxed);
        let _ends = Ends(&self.0);
        work()
    }

    /// How many have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.0.ended.load(Ordering::Relaxed)
    }

    fn is_at_one(&self) -> bool {
        self.0.is_at_one.load(Ordering::Relaxed)
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
            control: Arc::new(start_arbiter(BLOCKING_THREADS + disk_threads.of_control)),
            background: Background::start(),
            clock: Arc::default(),
            next_connection: Arc::default(),
        }
    }

    /// The arbiter of the controller and of the broker actor.
    pub(crate) fn control(&self) -> &ArbiterHandle {
        &self.control.arbiter
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

    /// The shard of the next connection, round robin, but none that waits for a disk at this moment or stands still
    /// if there is another.
    pub(crate) fn for_connection(&self) -> Shard {
        let shards = self.shards.len();
        let next = self.next_connection.fetch_add(1, Ordering::Relaxed) % shards;
        let mut from_next = (next..shards).chain(0..next);
        let is_free = |shard: &usize| !self.keeps_waiting(Shard(*shard));
        Shard(from_next.find(is_free).unwrap_or(next))
    }

    /// Whether the thread of a shard stands still, for others who ask it for something.
    pub(crate) fn standstill(&self, shard: Shard) -> &Standstill {
        &self.shards[shard.0].standstill
    }

    /// Whether somebody who goes to live on a shard may have to wait there for long.
    pub(crate) fn keeps_waiting(&self, shard: Shard) -> bool {
        self.waits_for_disk(shard) || self.standstill(shard).is_stuck()
    }

    /// The threads of partitions, connections and metadata, with their names and what it means to others that one is
    /// stuck.
    fn threads(&self) -> impl Iterator<Item = ((String, &'static str), &EventLoop)> {
        let shards = self.shards.iter().enumerate();
        let of_shard = "the connections that live on it wait, requests of others to its partitions are refused";
        let of_control =
            "changes of topics and plugins wait, and whatever else the controller decides";
        let shards =
            shards.map(move |(number, shard)| ((format!("shard {number}"), of_shard), shard));
        let control = std::iter::once((("control".to_owned(), of_control), &*self.control));
        shards.chain(control)
    }

    /// What looks whether they get on.
    pub(crate) fn watches(&self) -> Vec<ThreadWatch> {
        let watch = |(name, thread): ((String, &'static str), &EventLoop)| {
            let counts = (thread.runtime.clone(), thread.disk_wait.clone());
            ThreadWatch::new(name, counts, thread.standstill.clone())
        };
        self.threads().map(watch).collect()
    }

    /// What there is to say of those that are stuck.
    pub(crate) fn stuck(&self) -> impl Iterator<Item = String> {
        let stuck = self
            .threads()
            .filter(|(_, thread)| thread.standstill.is_stuck());
        stuck.map(|((name, until_then), _)| {
            let since = STUCK_AFTER.as_secs();
            format!(
                "thread {name} of the broker has been stuck for {since} s or more in one call or piece of work, a call to a disk if one hangs: {until_then} until it goes on"
            )
        })
    }

    /// Whether the thread of a shard is at a call at this moment that may have to wait for a disk.
    fn waits_for_disk(&self, shard: Shard) -> bool {
        self.shards[shard.0].disk_wait.is_at_one()
    }

    /// Where the thread of a shard notes that it waits for a disk.
    pub(crate) fn disk_wait(&self, shard: Shard) -> DiskWait {
        self.shards[shard.0].disk_wait.clone()
    }

    /// The arbiter of a shard.
    pub(crate) fn shard(&self, shard: Shard) -> &ArbiterHandle {
        &self.shards[shard.0].arbiter
    }

    /// Where the thread of a shard notes how long it has polled.
    pub(crate) fn polled(&self, shard: Shard) -> Polled {
        self.shards[shard.0].polled.clone()
    }

    /// How long a shard has been busy up to now, without the time for which it only polled.
    pub(crate) fn busy_time(&self, shard: Shard) -> BusyTime {
        let EventLoop {
            runtime, polled, ..
        } = &self.shards[shard.0];
        let busy = runtime.metrics().worker_total_busy_duration(0);
        BusyTime {
            at: self.clock.monotonic(),
            busy: busy.saturating_sub(polled.so_far()),
        }
    }

    /// Stops every arbiter; what runs on them is dropped.
    pub(crate) fn stop(&self) {
        for shard in self.shards.iter() {
            shard.arbiter.stop();
        }
        self.control.arbiter.stop();
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
    let standstill = Standstill::default();
    let of_thread = standstill.clone();
    let arbiter = Arbiter::with_tokio_rt(move || {
        of_thread.is_of_this_thread();
        memory::fresh::prepare_heap();
        memory::exchange::take_part();
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
        polled: Polled::default(),
        standstill,
        runtime: handle
            .recv()
            .expect("an arbiter starts with its event loop"),
    }
}
