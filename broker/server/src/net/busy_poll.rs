//! Busy polling: a thread that went to sleep takes longer to wake up than to answer a small request. So the thread
//! of a client that always asks again at once keeps looking at its sockets for a moment before it sleeps. How long
//! the last requests took to come decides, and only some threads do it at a time: clients need cores, too.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::background::Workers;

/// The average is over about so many requests.
const AVERAGE_OVER: u32 = 8;

thread_local! {
    /// This thread polls already: it does so for everybody on it.
    static POLLS: Cell<bool> = const { Cell::new(false) };
}

/// Who may poll, and for how long; one per broker.
#[derive(Clone, Debug)]
pub(crate) struct BusyPolls {
    longest: Duration,
    workers: Workers,
    threads: Arc<AtomicUsize>,
    threads_max: usize,
}

impl BusyPolls {
    /// At most for so long (`busy.poll.us`), on half of the machine's cores: on none if there is one. Whoever has
    /// something to do in the background needs a core more, since it would hardly get one that polls.
    pub(crate) fn new(longest: Duration, workers: Workers) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::on(cores / 2, longest, workers)
    }

    /// On so many threads.
    pub(crate) fn on(threads_max: usize, longest: Duration, workers: Workers) -> Self {
        Self {
            longest,
            workers,
            threads: Arc::default(),
            threads_max,
        }
    }

    /// For a connection that has shown nothing yet.
    pub(crate) fn for_connection(&self) -> Rhythm {
        Rhythm {
            polls: self.clone(),
            average: self.longest,
        }
    }

    /// A place, if there is one.
    fn begin(&self, now: Instant) -> Option<BusyPoll> {
        if POLLS.get() || self.workers.have_work() {
            return None;
        }
        POLLS.set(true);
        // Counted before it is looked at, so that a place that is refused is given back by its drop.
        let others = self.threads.fetch_add(1, Ordering::Relaxed);
        let poll = BusyPoll {
            until: now + self.longest,
            threads: self.threads.clone(),
            _of_this_thread: PhantomData,
        };
        (others < self.threads_max).then_some(poll)
    }
}

/// How soon a client sends its next request.
#[derive(Debug)]
pub(crate) struct Rhythm {
    polls: BusyPolls,
    average: Duration,
}

impl Rhythm {
    /// The next request has begun to come after that time.
    pub(crate) fn note(&mut self, waited: Duration) {
        // One pause, however long, does not make a client slow.
        let waited = waited.min(2 * self.polls.longest);
        self.average = (self.average * (AVERAGE_OVER - 1) + waited) / AVERAGE_OVER;
    }

    /// To poll from now on; none if the next request is not likely to come within that time, or others poll already.
    pub(crate) fn poll(&self, now: Instant) -> Option<BusyPoll> {
        let is_quick = self.average * 2 < self.polls.longest;
        is_quick.then(|| self.polls.begin(now)).flatten()
    }
}

/// A thread polls, until this is dropped.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    until: Instant,
    threads: Arc<AtomicUsize>,
    _of_this_thread: PhantomData<*const ()>,
}

impl BusyPoll {
    /// Lets everybody else of this thread run and looks at all its sockets; false when it is time to sleep.
    pub(crate) async fn goes_on(&self) -> bool {
        tokio::task::yield_now().await;
        Instant::now() < self.until
    }
}

impl Drop for BusyPoll {
    fn drop(&mut self) {
        self.threads.fetch_sub(1, Ordering::Relaxed);
        POLLS.set(false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONGEST: Duration = Duration::from_micros(100);

    fn on(threads_max: usize) -> BusyPolls {
        BusyPolls::on(threads_max, LONGEST, Workers::of_this_runtime())
    }

    fn after(polls: &BusyPolls, waits: &[Duration]) -> Rhythm {
        let mut rhythm = polls.for_connection();
        waits.iter().for_each(|waited| rhythm.note(*waited));
        rhythm
    }

    fn polls(rhythm: &Rhythm) -> bool {
        rhythm.poll(Instant::now()).is_some()
    }

    #[actix_rt::test]
    async fn a_client_that_asks_again_at_once_is_polled_for_and_one_that_takes_its_time_is_not() {
        let one = on(1);
        assert!(!polls(&one.for_connection()), "nothing is known yet");
        assert!(polls(&after(&one, &[LONGEST / 5; 32])));
        assert!(!polls(&after(&one, &[LONGEST * 3 / 5; 32])));
    }

    #[actix_rt::test]
    async fn one_long_pause_changes_nothing_and_several_do() {
        let mut rhythm = after(&on(1), &[LONGEST / 5; 32]);
        rhythm.note(Duration::from_secs(3600));
        assert!(polls(&rhythm));
        (0..4).for_each(|_| rhythm.note(LONGEST));
        assert!(!polls(&rhythm));
    }

    #[actix_rt::test]
    async fn a_thread_polls_once_for_everybody_and_only_so_many_do() {
        let two = on(2);
        let quick = after(&two, &[Duration::ZERO; 32]);
        let (release, held) = mpsc::channel::<()>();
        let (begun, other) = mpsc::channel();
        let elsewhere = two.clone();
        let thread = std::thread::spawn(move || {
            let quick = after(&elsewhere, &[Duration::ZERO; 32]);
            let poll = quick.poll(Instant::now());
            begun.send(poll.is_some()).unwrap();
            let _ = held.recv();
        });
        assert!(other.recv().unwrap());
        let first = quick.poll(Instant::now());
        assert!(first.is_some());
        assert!(!polls(&quick), "it polls already");
        let third = two.clone();
        let refused = std::thread::spawn(move || polls(&after(&third, &[Duration::ZERO; 32])));
        assert!(!refused.join().unwrap(), "two do");
        drop(first);
        assert!(polls(&quick), "a place was given back");
        drop(release);
        thread.join().unwrap();
    }

    #[actix_rt::test]
    async fn nobody_polls_while_somebody_works_in_the_background() {
        let workers = Workers::of_this_runtime();
        let polling = BusyPolls::on(1, LONGEST, workers.clone());
        let quick = after(&polling, &[Duration::ZERO; 32]);
        let (release, held) = mpsc::channel::<()>();
        let mut work = std::pin::pin!(workers.run(move || held.recv().is_ok()));
        assert!(tokio::time::timeout(LONGEST, &mut work).await.is_err());
        assert!(!polls(&quick));
        drop(release);
        work.await.unwrap();
        assert!(polls(&quick));
    }

    #[actix_rt::test]
    async fn nobody_polls_where_it_is_turned_off_or_there_is_one_core() {
        let quick = |polls: &BusyPolls| after(polls, &[Duration::ZERO; 32]);
        let off = BusyPolls::on(2, Duration::ZERO, Workers::of_this_runtime());
        assert!(!polls(&quick(&off)));
        assert!(!polls(&quick(&on(0))));
    }
}
