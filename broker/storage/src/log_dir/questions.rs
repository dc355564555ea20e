//! `Questions`: what a directory's disk was asked and has not answered yet. A disk that hangs neither does
//! what it is told nor fails: all there is to see is how long ago it was asked. Every call that may wait for it
//! is a question ([`AskingIo`](super::asking_io::AskingIo)), so asking costs no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use broker_model::Clock;

use super::shared::DirShared;

/// How long a disk may be at one call before it counts as hanging. One that is only slow is not given
/// up so soon, and who waits for one that hangs does so for hardly longer than requests wait at most.
const HANGS_AFTER: Duration = Duration::from_secs(20);

/// Questions that are told apart. When there are more at once, the disk owes answers enough to be seen.
const PLACES: usize = 64;

/// No question.
const FREE: u64 = 0;

/// Calls that were begun and have not returned.
pub(super) struct Questions {
    clock: Arc<dyn Clock>,
    /// When each was asked: nanoseconds on the monotonic clock, and one more.
    places: [AtomicU64; PLACES],
    /// What the last look has found.
    hangs: AtomicBool,
}

/// Until it is dropped the disk owes an answer.
struct Question<'a>(Option<&'a AtomicU64>);

impl Questions {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            places: std::array::from_fn(|_| AtomicU64::new(FREE)),
            hangs: AtomicBool::new(false),
        })
    }

    /// Does something that may wait for the disk.
    pub(super) fn ask<T>(&self, work: impl FnOnce() -> T) -> T {
        let _waits = self.begin();
        work()
    }

    fn begin(&self) -> Question<'_> {
        let since = nanos(self.clock.monotonic()).saturating_add(1);
        let first = place_of_this_thread();
        let (before, from) = self.places.split_at(first);
        let mut places = from.iter().chain(before);
        let is_taken = |place: &&AtomicU64| {
            let taken = place.compare_exchange(FREE, since, Ordering::Relaxed, Ordering::Relaxed);
            taken.is_ok()
        };
        Question(places.find(is_taken))
    }

    /// How long the oldest has waited.
    pub(super) fn longest(&self) -> Option<Duration> {
        let asked = self
            .places
            .iter()
            .map(|place| place.load(Ordering::Relaxed));
        let oldest = asked.filter(|since| *since != FREE).min()?;
        let now = nanos(self.clock.monotonic());
        Some(Duration::from_nanos(now.saturating_sub(oldest - 1)))
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            place.store(FREE, Ordering::Relaxed);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Where a thread looks for a place first: so that threads do not get into each other's way, the next one's is
/// in another line of the processors' caches.
fn place_of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static FIRST: usize = THREADS.fetch_add(1, Ordering::Relaxed).wrapping_mul(9) % PLACES;
    }
    FIRST.with(|first| *first)
}

impl DirShared {
    /// Looks whether the disk hangs: how long it has owed an answer, if that is too long.
    pub(super) fn look_whether_it_hangs(&self) -> Option<Duration> {
        let owed = self.questions.longest();
        let hangs = owed.filter(|owed| *owed >= HANGS_AFTER);
        let hung = self
            .questions
            .hangs
            .swap(hangs.is_some(), Ordering::Relaxed);
        let dir = self.path.display();
        match (hung, hangs) {
            (false, Some(owed)) => {
                tracing::error!(%dir, ?owed, "the disk does not answer: until it does, nothing more is written in this log directory, and only what is in memory is read");
            }
            (true, None) => tracing::info!(%dir, "the disk answers again"),
            _ => {}
        }
        hangs
    }

    /// What the last look has found.
    pub(super) fn hangs(&self) -> bool {
        self.questions.hangs.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use broker_model::{ManualClock, Timestamp};

    use super::*;

    fn questions() -> (Arc<ManualClock>, Arc<Questions>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
        (clock.clone(), Questions::new(clock))
    }

    #[test]
    fn the_oldest_question_counts_until_it_is_answered() {
        let (clock, questions) = questions();
        assert_eq!(questions.longest(), None);
        questions.ask(|| {
            clock.advance(Duration::from_secs(5));
            questions.ask(|| {
                clock.advance(Duration::from_secs(2));
                assert_eq!(questions.longest(), Some(Duration::from_secs(7)));
            });
            assert_eq!(questions.longest(), Some(Duration::from_secs(7)));
        });
        assert_eq!(questions.longest(), None);
    }

    #[test]
    fn more_questions_than_places_are_asked_all_the_same() {
        fn ask(questions: &Questions, deeper: usize) -> usize {
            match deeper {
                0 => 0,
                _ => questions.ask(|| 1 + ask(questions, deeper - 1)),
            }
        }
        let (_, questions) = questions();
        assert_eq!(ask(&questions, 3 * PLACES), 3 * PLACES);
        assert_eq!(questions.longest(), None);
    }

    #[test]
    fn a_call_that_panics_owes_nothing() {
        let (_, questions) = questions();
        let asked = Arc::clone(&questions);
        let panicked = std::thread::spawn(move || asked.ask(|| panic!("it does"))).join();
        assert!(panicked.is_err());
        assert_eq!(questions.longest(), None);
    }
}
