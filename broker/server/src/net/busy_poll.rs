//! Busy polling: a thread that went to sleep takes longer to wake up than to answer a small request. So the thread
//! of a client that always asks again at once keeps looking at its sockets for a moment before it sleeps. How long
//! the last requests took to come decides, and only some threads do it at a time: clients need cores, too. A thread
//! that only polls is not busy: others may move there.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::arbiters::Polled;
use crate::background::Workers;
use crate::counted::Counted;

/// The average is over about so many requests.
const AVERAGE_OVER: u32 = 8;
/// A look at the sockets that is not so many times as much work as the least has found nothing to do: to answer the
/// smallest request is ten times as much.
const EMPTY_LOOK_TIMES: f64 = 4.0;
/// The least is that part more after each look, so that one that was measured as too little is forgotten: after some
/// million looks, among which a thread that is at work finds nothing to do at least once.
const LEAST_DRIFTS: f64 = 1.0 / 1_048_576.0;

thread_local! {
    /// This thread polls already: it does so for everybody on it.
    static POLLS: Cell<bool> = const { Cell::new(false) };
    /// How long it works at least in a look at its sockets, in seconds.
    static LEAST_LOOK: Cell<f64> = const { Cell::new(f64::INFINITY) };
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

    /// For a connection that has shown nothing yet, on a thread that notes there how long it polls.
    pub(crate) fn for_connection(&self, polled: Polled) -> Rhythm {
        Rhythm {
            polls: self.clone(),
            polled,
            average: self.longest,
        }
    }

    /// A place, if there is one.
    fn begin(&self, now: Instant, polled: &Polled) -> Option<BusyPoll> {
        if POLLS.get() || self.workers.have_work() {
            return None;
        }
        let place = Counted::one_of_few(self.threads.clone(), self.threads_max)?;
        POLLS.set(true);
        Some(BusyPoll {
            until: now + self.longest,
            polled: polled.clone(),
            worked: None,
            _place: place,
            _of_this_thread: PhantomData,
        })
    }
}

/// How soon a client sends its next request.
#[derive(Debug)]
pub(crate) struct Rhythm {
    polls: BusyPolls,
    polled: Polled,
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
        is_quick
            .then(|| self.polls.begin(now, &self.polled))
            .flatten()
    }
}

/// A thread polls, until this is dropped.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    until: Instant,
    polled: Polled,
    /// For how long the thread had ever worked when this was last looked at.
    worked: Option<Duration>,
    _place: Counted<Arc<AtomicUsize>>,
    _of_this_thread: PhantomData<*const ()>,
}

impl BusyPoll {
    /// Lets everybody else of this thread run and looks at all its sockets; false when it is time to sleep.
    pub(crate) async fn goes_on(&mut self) -> bool {
        tokio::task::yield_now().await;
        let worked = Handle::current().metrics().worker_total_busy_duration(0);
        // What came before the first look was a request.
        if let Some(before) = self.worked.replace(worked) {
            self.note_look(worked.saturating_sub(before));
        }
        Instant::now() < self.until
    }

    /// The thread has worked for so long in a look at its sockets.
    fn note_look(&self, worked: Duration) {
        if worked.is_zero() {
            // Nothing was measured.
            return;
        }
        let seconds = worked.as_secs_f64();
        let least = LEAST_LOOK.get().min(seconds);
        LEAST_LOOK.set(least * (1.0 + LEAST_DRIFTS));
        if seconds < least * EMPTY_LOOK_TIMES {
            self.polled.add(worked);
        }
    }
}

impl Drop for BusyPoll {
    fn drop(&mut self) {
        POLLS.set(false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::arbiters::{Arbiters, DiskThreads};

    const LONGEST: Duration = Duration::from_micros(100);

    fn on(threads_max: usize) -> BusyPolls {
        BusyPolls::on(threads_max, LONGEST, Workers::start())
    }

    fn after(polls: &BusyPolls, waits: &[Duration]) -> Rhythm {
        let mut rhythm = polls.for_connection(Polled::default());
        waits.iter().for_each(|waited| rhythm.note(*waited));
        rhythm
    }

    fn polls(rhythm: &Rhythm) -> bool {
        rhythm.poll(Instant::now()).is_some()
    }

    #[actix_rt::test]
    async fn a_client_that_asks_again_at_once_is_polled_for_and_one_that_takes_its_time_is_not() {
        let one = on(1);
        assert!(
            !polls(&one.for_connection(Polled::default())),
            "nothing is known yet"
        );
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
        let workers = Workers::start();
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
    async fn a_look_that_finds_something_to_do_is_work() {
        let polled = Polled::default();
        let mut quick = on(1).for_connection(polled.clone());
        (0..32).for_each(|_| quick.note(Duration::ZERO));
        let poll = quick.poll(Instant::now()).expect("nobody else polls");
        let empty = Duration::from_nanos(500);
        for looked in [empty, empty * 5, empty * 2] {
            poll.note_look(looked);
        }
        assert_eq!(polled.so_far(), empty * 3);
    }

    #[actix_rt::test]
    async fn a_look_that_seemed_too_short_does_not_count_for_ever() {
        let polled = Polled::default();
        let mut quick = on(1).for_connection(polled.clone());
        (0..32).for_each(|_| quick.note(Duration::ZERO));
        let poll = quick.poll(Instant::now()).expect("nobody else polls");
        let (empty, too_short) = (Duration::from_nanos(500), Duration::from_nanos(50));
        [Duration::ZERO, too_short, empty]
            .into_iter()
            .for_each(|looked| poll.note_look(looked));
        assert_eq!(polled.so_far(), too_short, "it is ten times as much");
        (0..1_000_000).for_each(|_| poll.note_look(empty));
        let before = polled.so_far();
        poll.note_look(empty);
        assert_eq!(polled.so_far(), before + empty);
    }

    #[actix_rt::test]
    async fn a_thread_that_only_polls_is_not_busy() {
        // The first look of each counts as work: there are to be many others, however slow the build is.
        let longest = Duration::from_millis(10);
        let polls = BusyPolls::on(1, longest, Workers::start());
        let disk_threads = DiskThreads {
            of_shard: 1,
            of_control: 1,
        };
        let arbiters = Arbiters::start(1, disk_threads);
        let shard = arbiters.for_connection();
        let polled = arbiters.polled(shard);
        let noted = polled.clone();
        let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
        arbiters.shard(shard).spawn_fn(move || {
            actix_rt::spawn(async move {
                let mut quick = polls.for_connection(noted);
                (0..32).for_each(|_| quick.note(Duration::ZERO));
                while ended.try_recv().is_err() {
                    let mut poll = quick.poll(Instant::now()).expect("nobody else polls");
                    while poll.goes_on().await {}
                }
            });
        });
        // As connections look at it; a machine that has much else to do lets some looks take long.
        let mut is_idle = false;
        for _ in 0..1_000 {
            let (before, polled_before) = (arbiters.busy_time(shard), polled.so_far());
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = arbiters.busy_time(shard);
            let polled = (polled.so_far() - polled_before).as_nanos() * 100;
            let polled_percent = polled / before.age(&now).as_nanos();
            is_idle = polled_percent > 4 * before.percent_until(&now);
            if is_idle {
                break;
            }
        }
        assert!(is_idle, "what it did was to poll");
        drop(end);
        arbiters.stop();
    }

    #[actix_rt::test]
    async fn nobody_polls_where_it_is_turned_off_or_there_is_one_core() {
        let quick = |polls: &BusyPolls| after(polls, &[Duration::ZERO; 32]);
        let off = BusyPolls::on(2, Duration::ZERO, Workers::start());
        assert!(!polls(&quick(&off)));
        assert!(!polls(&quick(&on(0))));
    }
}
