//! `Unfolding`: memory for compressed batches while they are unfolded. What unfolds to little is done on the
//! spot, which counts as work in the lane. The rest goes to the background, in steps of what it may unfold to, and only as many at a time as
//! there is memory for, so that bombs cost neither memory nor the time of an arbiter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_model::limits::{
    BATCH_DECOMPRESSED_BYTES_MAX, MEMORY_OWN_UNFOLDING, UNFOLDING_BYTES_MAX,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::answer_budget::{AnswerBudget, AnswersFull};
use super::ceiling::{Allowance, Ceiling, Drawn};
use crate::background::{BrokenOff, Workers};

const MIB: usize = 1024 * 1024;
/// Up to here a batch is unfolded where it is needed, and its connection has done as much work: producers of batches
/// as large as topics take by default need no other thread.
pub(crate) const UNFOLD_AT_ONCE_BYTES: usize = MIB;
/// What is tried first behind it: nearly every batch fits, and a few have room at once.
const STEP_BYTES: usize = 8 * MIB;
/// How many of those are unfolded at once.
const STEPS_AT_ONCE: usize = (UNFOLDING_BYTES_MAX - BATCH_DECOMPRESSED_BYTES_MAX) / STEP_BYTES;

/// So many fetches that unfold much hold memory for their answers: those that unfold, and some that are next.
const FETCHES_AT_ONCE: usize = STEPS_AT_ONCE + 1 + 4;

/// So many searches by time have batches looked at by the threads that unfold for fetches, too, which do not wait for
/// all that anybody looks for.
const SEARCHES_AT_ONCE: usize = 4;
/// So many things are tried at once for clients that have not shown that they read: others do not wait for all of them.
const NEWCOMERS_AT_ONCE: usize = 8;

/// The turn of a fetch that unfolds much, or of a search; over when dropped.
pub(crate) struct Turn {
    _one: OwnedSemaphorePermit,
    _of_newcomers: Option<OwnedSemaphorePermit>,
    _of_connection: Option<OwnedSemaphorePermit>,
}

/// So many fetches of a connection find out at once whether what they read unfolds to much: others' wait for the same
/// threads.
const TRIED_AT_ONCE: usize = 2;

/// Fetches of one connection that decode records.
pub(crate) struct MuchOfConnection {
    /// For those of which it is not known how much they unfold.
    places: Semaphore,
    /// Of those that unfold much one at a time has a turn, or waits for one among those of others.
    line: Arc<Semaphore>,
    /// The last one did.
    is_likely: AtomicBool,
}

impl Default for MuchOfConnection {
    fn default() -> Self {
        Self {
            places: Semaphore::new(TRIED_AT_ONCE),
            line: Arc::new(Semaphore::new(1)),
            is_likely: AtomicBool::new(false),
        }
    }
}

impl MuchOfConnection {
    /// Whether the next one is likely to do so, too.
    pub(crate) fn is_likely(&self) -> bool {
        self.is_likely.load(Ordering::Relaxed)
    }

    /// One has, or has not, unfolded much.
    pub(crate) fn note(&self, unfolds_much: bool) {
        self.is_likely.store(unfolds_much, Ordering::Relaxed);
    }

    /// Waits for the place of one that may unfold much or little.
    pub(crate) async fn place(&self) -> SemaphorePermit<'_> {
        let place = self.places.acquire().await;
        place.expect("this budget is never closed")
    }

    /// Waits for the turn of one, of a client that has read enough for another answer: who has a turn is not to wait
    /// for that.
    ///
    /// # Errors
    /// When it does not read.
    pub(crate) async fn turn(
        &self,
        unfolding: &Unfolding,
        answers: &AnswerBudget,
    ) -> Result<Turn, AnswersFull> {
        let of_connection = acquire(&self.line).await;
        loop {
            answers.until_read().await?;
            let of_newcomers = match answers.has_read() {
                true => None,
                false => Some(acquire(&unfolding.fetches_of_newcomers).await),
            };
            let one = acquire(&unfolding.fetches).await;
            // It may have been long.
            if answers.are_read() {
                return Ok(Turn {
                    _one: one,
                    _of_newcomers: of_newcomers,
                    _of_connection: Some(of_connection),
                });
            }
        }
    }
}

/// The memory of a broker for it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Unfolding {
    workers: Workers,
    steps: Arc<Semaphore>,
    /// One of the largest at a time, which are in nobody's way.
    largest: Arc<Semaphore>,
    /// Fetches whose turn it is.
    fetches: Arc<Semaphore>,
    /// Of these, for clients that have not shown that they read.
    fetches_of_newcomers: Arc<Semaphore>,
    searches: Arc<Semaphore>,
    newcomers: Arc<Semaphore>,
    is_for_reader: bool,
    memory: Allowance,
}

impl Unfolding {
    /// All of it, for work that `workers` do.
    pub(crate) fn by(workers: Workers, ceiling: &Ceiling) -> Self {
        Self {
            workers,
            steps: Arc::new(Semaphore::new(STEPS_AT_ONCE)),
            largest: Arc::new(Semaphore::new(1)),
            fetches: Arc::new(Semaphore::new(FETCHES_AT_ONCE)),
            fetches_of_newcomers: Arc::new(Semaphore::new(FETCHES_AT_ONCE / 2)),
            searches: Arc::new(Semaphore::new(SEARCHES_AT_ONCE)),
            newcomers: Arc::new(Semaphore::new(NEWCOMERS_AT_ONCE)),
            is_for_reader: false,
            memory: ceiling.allowance(MEMORY_OWN_UNFOLDING, UNFOLDING_BYTES_MAX),
        }
    }

    /// Waits until a search by time may have the next batch looked at.
    pub(crate) async fn search_turn(&self) -> Turn {
        Turn {
            _one: acquire(&self.searches).await,
            _of_newcomers: None,
            _of_connection: None,
        }
    }

    /// The same for a client that has shown that it reads its answers, or has not.
    pub(crate) fn for_client(&self, has_read: bool) -> Self {
        Self {
            is_for_reader: has_read,
            ..self.clone()
        }
    }

    /// Does `work` in the background that unfolds little, or finds that there is much; a moment of it, or more.
    ///
    /// # Errors
    /// When `work` panicked.
    pub(crate) async fn little<T: Send + 'static>(
        &self,
        is_quick: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BrokenOff> {
        if self.is_for_reader {
            return self.workers.run_for_known(is_quick, work).await;
        }
        let _one = self.newcomers.acquire().await;
        match is_quick {
            true => self.workers.run_quick(work).await,
            false => self.workers.run(work).await,
        }
    }

    /// Does `work` in the background, with growing limits of what it may unfold to, as long as `work` says
    /// that the limit was too low.
    ///
    /// # Errors
    /// When `work` panicked.
    pub(crate) async fn in_steps<T: Send + 'static>(
        &self,
        work: impl Fn(usize) -> T + Clone + Send + 'static,
        is_too_low: impl Fn(&T) -> bool,
    ) -> Result<T, BrokenOff> {
        let done = self.step(&self.steps, work.clone(), STEP_BYTES).await?;
        if is_too_low(&done) {
            let limit = BATCH_DECOMPRESSED_BYTES_MAX;
            return self.step(&self.largest, work, limit).await;
        }
        Ok(done)
    }

    /// Room for one of the largest, for who unfolds it on a thread of its own, until it is done with that.
    pub(crate) async fn room_for_largest(&self) -> (OwnedSemaphorePermit, Drawn) {
        let place = self.largest.clone().acquire_owned().await;
        let place = place.expect("this budget is never closed");
        (place, self.memory.take(BATCH_DECOMPRESSED_BYTES_MAX).await)
    }

    async fn step<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        work: impl Fn(usize) -> T + Send + 'static,
        limit: usize,
    ) -> Result<T, BrokenOff> {
        let place = places.clone().acquire_owned().await;
        let place = place.expect("this budget is never closed");
        let memory = self.memory.take(limit).await;
        let work = move || {
            let done = work(limit);
            drop((place, memory));
            done
        };
        self.workers.run(work).await
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = semaphore.clone().acquire_owned().await;
    permit.expect("this budget is never closed")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use broker_model::limits::{ANSWER_BYTES_PER_CONNECTION, ANSWER_BYTES_TOTAL};

    use super::*;
    use crate::net::answer_budget::UnreadAnswers;

    #[actix_rt::test]
    async fn work_is_tried_with_a_higher_limit_when_the_first_was_too_low() {
        let unfolding = Unfolding::by(Workers::start(), &Ceiling::default());
        let tried = Arc::new(Mutex::new(Vec::new()));
        let seen = tried.clone();
        let work = move |limit| {
            seen.lock().unwrap().push(limit);
            limit
        };
        let done = unfolding.in_steps(work, |limit| *limit < 9 * MIB).await;
        assert_eq!(done.unwrap(), BATCH_DECOMPRESSED_BYTES_MAX);
        let steps = [STEP_BYTES, BATCH_DECOMPRESSED_BYTES_MAX];
        assert_eq!(*tried.lock().unwrap(), steps);
        assert_eq!(unfolding.steps.available_permits(), STEPS_AT_ONCE);
        assert_eq!(unfolding.largest.available_permits(), 1);
    }

    #[actix_rt::test]
    async fn one_of_the_largest_at_a_time_is_in_nobodys_way() {
        let unfolding = Unfolding::by(Workers::start(), &Ceiling::default());
        let _bomb = unfolding.largest.acquire().await.unwrap();
        let second = unfolding.in_steps(|limit| limit, |limit| *limit < 9 * MIB);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(50), second).await;
        assert!(waited.is_err());
        let honest = unfolding.in_steps(|limit| limit, |_| false).await;
        assert_eq!(honest.unwrap(), STEP_BYTES);
    }

    #[actix_rt::test]
    async fn who_has_shown_that_it_reads_does_not_wait_for_all_that_newcomers_have_tried() {
        const TRIES: usize = 200;
        let newcomers = Unfolding::by(Workers::start(), &Ceiling::default());
        let reader = newcomers.for_client(true);
        let tried = Arc::new(AtomicUsize::new(0));
        let tries = (0..TRIES).map(|_| {
            let tried = tried.clone();
            newcomers.little(true, move || {
                std::thread::sleep(std::time::Duration::from_millis(1));
                tried.fetch_add(1, Ordering::Relaxed);
            })
        });
        let tries = futures::future::join_all(tries);
        let seen = tried.clone();
        let (ended, before) = tokio::join!(
            tries,
            reader.little(true, move || seen.load(Ordering::Relaxed))
        );
        let before = before.expect("it ends");
        assert!(before < TRIES / 2, "it waited for {before}");
        assert!(ended.iter().all(Result::is_ok));
        assert_eq!(tried.load(Ordering::Relaxed), TRIES);
    }

    fn connection() -> (MuchOfConnection, AnswerBudget) {
        let answers = UnreadAnswers::below(&Ceiling::default());
        (MuchOfConnection::default(), answers.for_connection())
    }

    #[actix_rt::test]
    async fn of_a_connection_with_many_that_unfold_much_one_has_a_turn_or_waits_among_those_of_others()
     {
        let unfolding = Unfolding::by(Workers::start(), &Ceiling::default());
        let (greedy, greedys) = connection();
        let first = greedy.turn(&unfolding, &greedys).await;
        let mut second = Box::pin(greedy.turn(&unfolding, &greedys));
        assert!(futures::poll!(&mut second).is_pending());
        let others = [(); FETCHES_AT_ONCE / 2].map(|()| connection());
        let mut held = Vec::new();
        for (other, others) in &others[1..] {
            held.push(other.turn(&unfolding, others).await.ok());
        }
        let (last, lasts) = &others[0];
        let mut last = Box::pin(last.turn(&unfolding, lasts));
        assert!(
            futures::poll!(&mut last).is_pending(),
            "newcomers have all they may"
        );
        let (reader, readers) = connection();
        readers.note_read(1024 * 1024);
        assert!(reader.turn(&unfolding, &readers).await.is_ok());
        drop(first);
        let _last = last.await;
        assert!(futures::poll!(&mut second).is_pending(), "it came later");
        held.clear();
        assert!(second.await.is_ok());
    }

    #[actix_rt::test]
    async fn who_has_not_read_its_answers_takes_no_turn_from_others() {
        let unfolding = Unfolding::by(Workers::start(), &Ceiling::default());
        let greedy = MuchOfConnection::default();
        let all = UnreadAnswers::below(&Ceiling::default());
        let (answers, others) = (all.for_connection(), all.for_connection());
        let unread = answers.charge(ANSWER_BYTES_PER_CONNECTION / 2 + 1);
        let mut waiting = Box::pin(greedy.turn(&unfolding, &answers));
        assert!(futures::poll!(&mut waiting).is_pending());
        assert_eq!(unfolding.fetches.available_permits(), FETCHES_AT_ONCE);
        drop(unread);
        assert!(waiting.await.is_ok());
        // Little is much where there is not plenty, and others have to get some.
        let little = answers.charge(1024);
        assert!(answers.are_read());
        let _of_others = others.charge(ANSWER_BYTES_TOTAL * 3 / 4);
        assert!(!answers.are_read());
        drop(little);
        assert!(answers.are_read());
    }
}
