//! `Line`: those who wait for something that each looks for himself, in the order in which they came. Only the first one
//! may take it, and is told as soon as he is: the others need not look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Those who wait.
#[derive(Default)]
pub(super) struct Line(Mutex<Places>);

#[derive(Default)]
struct Places {
    /// The number of the next one.
    next: u64,
    /// By their numbers: how to tell them that they are the first.
    taken: BTreeMap<u64, Arc<Notify>>,
}

/// A place in a line; left when dropped.
pub(super) struct PlaceInLine {
    line: Arc<Line>,
    number: u64,
    is_first: Arc<Notify>,
}

impl Line {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().taken.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

impl PlaceInLine {
    /// Behind all that are there.
    pub(super) fn at_the_end_of(line: &Arc<Line>) -> Self {
        let mut places = line.lock();
        let number = places.next;
        places.next += 1;
        let is_first = Arc::new(Notify::new());
        places.taken.insert(number, Arc::clone(&is_first));
        Self {
            line: Arc::clone(line),
            number,
            is_first,
        }
    }

    /// Whether all who came before have left.
    pub(super) fn is_first(&self) -> bool {
        let places = self.line.lock();
        places.taken.keys().next() == Some(&self.number)
    }

    /// Waits until the last one before has left, or until then.
    pub(super) async fn is_first_by(&self, time: Instant) {
        let _ = timeout_at(time, self.is_first.notified()).await;
    }
}

impl Drop for PlaceInLine {
    fn drop(&mut self) {
        let mut places = self.line.lock();
        places.taken.remove(&self.number);
        if let Some(first) = places.taken.values().next() {
            first.notify_one();
        }
    }
}
