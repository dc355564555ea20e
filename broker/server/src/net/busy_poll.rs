//! Busy polling: a thread that went to sleep takes longer to wake up than to answer a small request. So the thread
//! of a client that always asks again at once keeps looking at its sockets for a moment before it sleeps. How long
//! the last requests took to come decides, and only some threads do it at a time: clients need cores, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The average is over about so many requests.
const AVERAGE_OVER: u32 = 8;

/// Who may poll, and for how long; one per broker.
#[derive(Clone, Debug)]
pub(crate) struct BusyPolls {
    longest: Duration,
    threads: Arc<AtomicUsize>,
    threads_max: usize,
}

impl BusyPolls {
    /// At most for so long (`busy.poll.us`), on half of the machine's cores: on none if there is one.
    pub(crate) fn new(longest: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::on(cores / 2, longest)
    }

    /// On so many threads.
    pub(crate) fn on(threads_max: usize, longest: Duration) -> Self {
        Self {
            longest,
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
        // Counted before it is looked at, so that a place that is refused is given back by its drop.
        let others = self.threads.fetch_add(1, Ordering::Relaxed);
        let poll = BusyPoll {
            until: now + self.longest,
            threads: self.threads.clone(),
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(100);

    fn after(polls: &BusyPolls, waits: &[Duration]) -> Rhythm {
        let mut rhythm = polls.for_connection();
        waits.iter().for_each(|waited| rhythm.note(*waited));
        rhythm
    }

    fn polls(rhythm: &Rhythm) -> bool {
        rhythm.poll(Instant::now()).is_some()
    }

    #[test]
    fn a_client_that_asks_again_at_once_is_polled_for_and_one_that_takes_its_time_is_not() {
        let one = BusyPolls::on(1, LONGEST);
        assert!(!polls(&one.for_connection()), "nothing is known yet");
        assert!(polls(&after(&one, &[LONGEST / 5; 32])));
        assert!(!polls(&after(&one, &[LONGEST * 3 / 5; 32])));
    }

    #[test]
    fn one_long_pause_changes_nothing_and_several_do() {
        let one = BusyPolls::on(1, LONGEST);
        let mut rhythm = after(&one, &[LONGEST / 5; 32]);
        rhythm.note(Duration::from_secs(3600));
        assert!(polls(&rhythm));
        (0..4).for_each(|_| rhythm.note(LONGEST));
        assert!(!polls(&rhythm));
    }

    #[test]
    fn only_so_many_poll_at_a_time() {
        let two = BusyPolls::on(2, LONGEST);
        let quick = after(&two, &[Duration::ZERO; 32]);
        let first = quick.poll(Instant::now());
        let second = quick.poll(Instant::now());
        assert!(first.is_some() && second.is_some());
        assert!(!polls(&quick) && !polls(&quick));
        drop(first);
        assert!(polls(&quick), "a place was given back");
    }

    #[test]
    fn nobody_polls_where_it_is_turned_off_or_there_is_one_core() {
        let quick = |polls: &BusyPolls| after(polls, &[Duration::ZERO; 32]);
        assert!(!polls(&quick(&BusyPolls::on(2, Duration::ZERO))));
        assert!(!polls(&quick(&BusyPolls::on(0, LONGEST))));
    }
}
