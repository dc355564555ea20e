//! `Pool`: threads of a low priority that take work from two queues, what goes first and what is usual. An arbiter that
//! hands work over must never wait for one of them: a lock that such a thread holds while somebody else has its core is
//! held for milliseconds. So the queues have no lock, and no lock counts what there is to take. A thread starts when
//! there is more work than there are threads, and ends when there is none for a while, for it keeps instances of
//! plugins.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context as Task, Poll};
use std::thread;
use std::time::Duration;

use crossbeam_queue::SegQueue;
use rustix::io::Errno;
use rustix::thread::{futex, sched_yield};
use rustix::time::Timespec;
use tokio::sync::oneshot;
use tracing::warn;

use super::{Behind, Priority};
use crate::counted::Counted;

/// A thread that has had nothing to do for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// One of so many is usual work also when there is some that goes first: that does not wait for ever.
const USUAL_EVERY: usize = 4;

/// The threads; cheap to clone. When the last clone is dropped they end, each after the work in its hands, for which
/// nobody waits, and what none of them had taken is dropped.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Owner>);

/// The outcome of work that was handed over, when it is there. The work is done also when this is dropped.
#[derive(Debug)]
#[must_use = "it tells when the work is done; drop it when nobody needs to know"]
pub(crate) struct Handed<T>(oneshot::Receiver<T>);

/// Work that came to no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was broken off: it panicked, or the broker stops; see the broker's log")]
pub(crate) struct BrokenOff;

#[derive(Debug)]
struct Owner(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    threads_max: usize,
    idle_max: Duration,
    priority: Priority,
    threads: AtomicUsize,
    /// What was handed over and is not done.
    under_way: Arc<AtomicUsize>,
    first: SegQueue<Work>,
    usual: SegQueue<Work>,
    /// How often one was taken.
    popped: AtomicUsize,
    /// How many there are in both, and may be taken.
    to_take: Semaphore,
    is_over: AtomicBool,
}

type Work = Box<dyn FnOnce() + Send>;

/// When work is taken that waits for a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before most that is usual.
    First,
    Usual,
}

/// Counts what there is to take. Whoever adds wakes one that waits, never all of them.
#[derive(Debug, Default)]
struct Semaphore(AtomicU32);

impl Semaphore {
    fn add(&self, count: u32) {
        self.0.fetch_add(count, Ordering::SeqCst);
        // Cannot fail for a counter that is there.
        let _ = futex::wake(&self.0, futex::Flags::PRIVATE, count);
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }

    fn take_now(&self) -> bool {
        let (set, get) = (Ordering::SeqCst, Ordering::SeqCst);
        let one_less = |count: u32| count.checked_sub(1);
        self.0.fetch_update(set, get, one_less).is_ok()
    }

    /// Whether one was taken; it waits for one, but not for longer than that.
    fn take(&self, wait_max: Duration) -> bool {
        let wait_max = Timespec::try_from(wait_max).ok();
        while !self.take_now() {
            // Others end it for nothing: what was added just now, or a signal.
            let waited = futex::wait(&self.0, futex::Flags::PRIVATE, 0, wait_max.as_ref());
            if waited == Err(Errno::TIMEDOUT) {
                return self.take_now();
            }
        }
        true
    }
}

impl Pool {
    /// At most so many threads of that name, of a lower priority than this one; none has started.
    pub(super) fn new(name: &'static str, threads_max: usize, behind: Behind) -> Self {
        Self::ending_after(IDLE_MAX, name, threads_max, behind)
    }

    fn ending_after(
        idle_max: Duration,
        name: &'static str,
        threads_max: usize,
        behind: Behind,
    ) -> Self {
        Self(Arc::new(Owner(Arc::new(Shared {
            name,
            threads_max,
            idle_max,
            priority: Priority::behind_this(behind),
            threads: AtomicUsize::new(0),
            under_way: Arc::default(),
            first: SegQueue::new(),
            usual: SegQueue::new(),
            popped: AtomicUsize::new(0),
            to_take: Semaphore::default(),
            is_over: AtomicBool::new(false),
        }))))
    }

    /// Has `work` done when one of the threads is free.
    pub(super) fn hand_over<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Handed<T> {
        let shared = &self.0.0;
        let (done, outcome) = oneshot::channel();
        let under_way = Counted::one_of(shared.under_way.clone());
        let queue = match turn {
            Turn::First => &shared.first,
            Turn::Usual => &shared.usual,
        };
        queue.push(Box::new(move || {
            let outcome = {
                let _under_way = under_way;
                work()
            };
            // Perhaps nobody wants to know.
            let _ = done.send(outcome);
        }));
        shared.to_take.add(1);
        Shared::start_another(shared);
        Handed(outcome)
    }

    /// Whether there is anything that they have not done.
    pub(super) fn has_work(&self) -> bool {
        self.0.0.under_way.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
        while self.0.pop().is_some() {}
        let all = u32::try_from(self.0.threads_max).unwrap_or(u32::MAX);
        self.0.to_take.add(all);
    }
}

impl Shared {
    /// Starts a thread, unless there are as many as there may be or as there is work.
    fn start_another(this: &Arc<Self>) {
        if !this.counts_another() {
            return;
        }
        let shared = this.clone();
        let started = thread::Builder::new()
            .name(this.name.to_owned())
            .spawn(move || shared.work());
        if let Err(error) = started {
            warn!(%error, pool = this.name, "the system has no room for a thread of the background");
            // With others it only takes longer; without any, nobody is to wait for ever.
            if this.threads.fetch_sub(1, Ordering::SeqCst) == 1 {
                while this.pop().is_some() {}
            }
        }
    }

    fn counts_another(&self) -> bool {
        let most = self.threads_max.min(self.under_way.load(Ordering::SeqCst));
        let one_more = |threads| (threads < most).then_some(threads + 1);
        let (set, get) = (Ordering::SeqCst, Ordering::SeqCst);
        self.threads.fetch_update(set, get, one_more).is_ok()
    }

    fn pop(&self) -> Option<Work> {
        let popped = self.popped.fetch_add(1, Ordering::Relaxed);
        match popped.is_multiple_of(USUAL_EVERY) {
            true => self.usual.pop().or_else(|| self.first.pop()),
            false => self.first.pop().or_else(|| self.usual.pop()),
        }
    }

    fn work(&self) {
        self.priority.take();
        loop {
            self.work_until_idle();
            self.threads.fetch_sub(1, Ordering::SeqCst);
            // Whoever handed something over and did not see yet that this thread ends, relied on it.
            let is_over = self.is_over.load(Ordering::SeqCst);
            if is_over || self.to_take.is_empty() || !self.counts_another() {
                return;
            }
        }
    }

    fn work_until_idle(&self) {
        while self.to_take.take(self.idle_max) && !self.is_over.load(Ordering::SeqCst) {
            if let Some(work) = self.pop() {
                // Whoever waits sees that it has panicked by its end being dropped, and the log has the panic.
                let _ = catch_unwind(AssertUnwindSafe(work));
                // The system looks every few milliseconds, and only then, whether others have waited for long.
                sched_yield();
            }
        }
    }
}

impl<T> Future for Handed<T> {
    type Output = Result<T, BrokenOff>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(task)
            .map(|outcome| outcome.map_err(|_| BrokenOff))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc;

    use rustix::process::getpriority_process;

    use super::*;

    /// Work that waits until it is let go.
    fn held(pool: &Pool) -> (mpsc::Sender<()>, Handed<thread::ThreadId>) {
        let (release, held) = mpsc::channel::<()>();
        let work = move || {
            let _ = held.recv();
            thread::current().id()
        };
        (release, pool.hand_over(Turn::Usual, work))
    }

    #[tokio::test]
    async fn there_are_as_many_threads_as_there_was_work_at_once_and_no_more_than_may_be() {
        let pool = Pool::new("test", 3, Behind::Far);
        for _ in 0..10 {
            pool.hand_over(Turn::Usual, || ()).await.unwrap();
        }
        assert!(!pool.has_work());
        assert_eq!(pool.0.0.threads.load(Ordering::Relaxed), 1);
        let (releases, all): (Vec<_>, Vec<_>) = (0..7).map(|_| held(&pool)).unzip();
        assert!(pool.has_work());
        drop(releases);
        let mut threads = HashSet::new();
        for one in all {
            threads.insert(one.await.unwrap());
        }
        assert!(!pool.has_work());
        assert!(threads.len() <= 3, "{threads:?}");
        assert_eq!(pool.0.0.threads.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn work_that_panics_is_told_and_costs_no_thread() {
        let pool = Pool::new("test", 1, Behind::Far);
        for _ in 0..3 {
            let panics = || panic!("a test of panics");
            assert_eq!(
                pool.hand_over(Turn::Usual, panics).await,
                Err::<(), _>(BrokenOff)
            );
            assert!(!pool.has_work());
            assert_eq!(pool.hand_over(Turn::Usual, || 7).await, Ok(7));
        }
    }

    #[tokio::test]
    async fn what_goes_first_does_not_wait_for_all_that_is_usual_which_gets_on_as_well() {
        let pool = Pool::new("test", 1, Behind::Far);
        let (release, held) = held(&pool);
        let (sender, done) = mpsc::channel();
        let noting = |turn, what| {
            let sender = sender.clone();
            pool.hand_over(turn, move || sender.send(what))
        };
        let usual = [10, 11].map(|what| noting(Turn::Usual, what));
        let first = [0, 1, 2, 3, 4].map(|what| noting(Turn::First, what));
        drop(release);
        held.await.unwrap();
        for one in usual.into_iter().chain(first) {
            one.await.unwrap().unwrap();
        }
        assert_eq!(done.try_iter().collect::<Vec<_>>(), [0, 1, 2, 10, 3, 4, 11]);
    }

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits_for_it() {
        let pool = Pool::new("test", 1, Behind::Far);
        let (sender, done) = oneshot::channel();
        drop(pool.hand_over(Turn::Usual, move || sender.send(()).is_ok()));
        done.await.unwrap();
    }

    #[tokio::test]
    async fn a_pool_that_is_let_go_of_drops_what_nobody_has_taken_and_its_threads_end() {
        let pool = Pool::new("test", 1, Behind::Far);
        let shared = Arc::downgrade(&pool.0.0);
        let (release, taken) = held(&pool);
        while !pool.0.0.usual.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (_release, waits) = held(&pool);
        drop(pool);
        assert_eq!(waits.await, Err(BrokenOff));
        drop(release);
        taken.await.unwrap();
        while shared.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_thread_without_work_ends_and_another_starts_when_there_is_some() {
        let pool = Pool::ending_after(Duration::from_millis(1), "test", 2, Behind::Far);
        for round in 0..300 {
            // Now and then just when the thread ends.
            assert_eq!(pool.hand_over(Turn::Usual, move || round).await, Ok(round));
            tokio::time::sleep(Duration::from_micros(round * 10)).await;
        }
        while pool.0.0.threads.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn threads_of_threads_have_the_same_priority() {
        let (outer, inner) = (
            Pool::new("test", 1, Behind::Far),
            Pool::new("test", 1, Behind::Far),
        );
        let niceness = || getpriority_process(None).unwrap();
        let of_outer = outer.hand_over(Turn::Usual, niceness).await.unwrap();
        // Below the lowest there is nothing.
        let own = niceness();
        assert!(of_outer > own || own == 19, "{of_outer}");
        let started = inner.clone();
        let inside = outer.hand_over(Turn::Usual, move || {
            started.hand_over(Turn::Usual, niceness)
        });
        assert_eq!(inside.await.unwrap().await, Ok(of_outer));
    }

    #[tokio::test]
    async fn one_of_its_threads_may_be_the_last_that_has_it() {
        let pool = Pool::new("test", 1, Behind::Far);
        let last = pool.clone();
        let work = pool.hand_over(Turn::Usual, move || drop(last));
        drop(pool);
        work.await.unwrap();
    }
}
