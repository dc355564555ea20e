//! `Questions`: what a directory's disk was asked and has not answered yet. A disk that hangs neither does
//! what it is told nor fails: all there is to see is how long ago it was asked.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::shared::{DirShared, lock};

/// How long a disk may be at one write or sync before it counts as hanging. One that is only slow is not given
/// up so soon, and who waits for one that hangs does so for hardly longer than requests wait at most.
const HANGS_AFTER: Duration = Duration::from_secs(20);

/// Writes and syncs that were begun and have not returned.
#[derive(Default)]
pub(super) struct Questions {
    open: Mutex<Open>,
    /// What the last look has found.
    hangs: AtomicBool,
}

#[derive(Default)]
struct Open {
    asked: u64,
    /// When, on the monotonic clock, by the number of the question.
    since: BTreeMap<u64, Duration>,
}

/// Until it is dropped the disk owes an answer.
struct Question<'a> {
    questions: &'a Questions,
    number: u64,
}

impl Questions {
    fn begin(&self, now: Duration) -> Question<'_> {
        let mut open = lock(&self.open);
        open.asked += 1;
        let number = open.asked;
        open.since.insert(number, now);
        Question {
            questions: self,
            number,
        }
    }

    /// When the oldest was asked.
    fn oldest(&self) -> Option<Duration> {
        lock(&self.open).since.values().min().copied()
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        lock(&self.questions.open).since.remove(&self.number);
    }
}

impl DirShared {
    /// Does something that waits for the disk.
    pub(crate) fn ask<T>(&self, work: impl FnOnce() -> T) -> T {
        let _waits = self.questions.begin(self.clock.monotonic());
        work()
    }

    /// Looks whether the disk hangs: how long it has owed an answer, if that is too long.
    pub(super) fn look_whether_it_hangs(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let oldest = self.questions.oldest();
        let owed = oldest.map(|oldest| now.saturating_sub(oldest));
        let hangs = owed.filter(|owed| *owed >= HANGS_AFTER);
        let hung = self
            .questions
            .hangs
            .swap(hangs.is_some(), Ordering::Relaxed);
        let dir = self.path.display();
        match (hung, hangs) {
            (false, Some(owed)) => {
                tracing::error!(%dir, ?owed, "the disk does not answer: until it does, nothing more is written in this log directory");
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
