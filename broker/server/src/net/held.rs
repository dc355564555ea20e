//! `Held`: what answers of a connection occupy that it has not read yet, and `Looks`: when one that waits for memory looks
//! again whether there is some, if nothing tells it before. Thousands may wait at once, and their threads are to do
//! something else as well: so most look the less often the longer they wait, and come at most twice as late as they could.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, timeout_at};

/// How long until the first look, and between those of one whom nobody is before.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Between two looks there is no more than that.
const LOOK_SELDOM: Duration = Duration::from_millis(250);

/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: AtomicUsize,
    given_back: Notify,
}

impl Held {
    /// How much it is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// So much more.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much less, which those are told who wait for it.
    pub(super) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.given_back.notify_waiters();
        }
    }

    /// Waits until some is given back, from this call on.
    pub(super) fn gets_less(&self) -> Notified<'_> {
        self.given_back.notified()
    }

    /// Whether it `is_so` within that time, as far as that depends on what is held, or is so for long.
    pub(super) async fn within(&self, time: Duration, is_so: impl Fn() -> bool) -> bool {
        let looks = Looks::within(time);
        loop {
            let gets_less = self.gets_less();
            if is_so() {
                return true;
            }
            if looks.are_over() {
                return false;
            }
            // Either way it looks again.
            let _ = timeout_at(looks.later(), gets_less).await;
        }
    }
}

/// Of one that waits.
#[derive(Debug)]
pub(super) struct Looks {
    begun: Instant,
    until: Instant,
}

impl Looks {
    /// Of one that begins to wait, so long at most.
    pub(super) fn within(time: Duration) -> Self {
        let begun = Instant::now();
        let until = begun + time;
        Self { begun, until }
    }

    /// When it has waited for so long.
    pub(super) fn end(&self) -> Instant {
        self.until
    }

    /// Whether it has.
    pub(super) fn are_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// When one looks again whom nobody is before.
    pub(super) fn soon(&self) -> Instant {
        self.until.min(Instant::now() + LOOK_EVERY)
    }

    /// When one of many looks again.
    pub(super) fn later(&self) -> Instant {
        self.after(Instant::now())
    }

    fn after(&self, look: Instant) -> Instant {
        let gap = (look - self.begun).clamp(LOOK_EVERY, LOOK_SELDOM);
        self.until.min(look + gap)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::poll;

    use super::*;

    #[test]
    fn one_of_many_looks_the_less_often_the_longer_it_waits_and_once_more_at_the_end() {
        let looks = Looks::within(Duration::from_secs(1));
        let next = |look: &Instant| (*look < looks.end()).then(|| looks.after(*look));
        let times = std::iter::successors(Some(looks.begun), next);
        let times: Vec<_> = times.map(|at| (at - looks.begun).as_millis()).collect();
        let expected = [0, 10, 20, 40, 80, 160, 320, 570, 820, 1_000];
        assert_eq!(times, expected);
    }

    #[tokio::test]
    async fn who_waits_for_its_own_answers_to_be_read_is_told() {
        let held = Held::default();
        held.add(2);
        let is_read = || held.bytes() == 0;
        let mut waits = Box::pin(held.within(Duration::from_secs(3_600), is_read));
        assert!(poll!(&mut waits).is_pending());
        held.give_back(1);
        assert!(poll!(&mut waits).is_pending());
        held.give_back(1);
        assert!(poll!(&mut waits).is_ready(), "without waiting for a look");
        assert!(held.within(Duration::ZERO, is_read).await);
    }

    #[tokio::test]
    async fn who_is_not_told_looks_until_its_time_is_over() {
        let (held, looked) = (Held::default(), Cell::new(0));
        let is_so = || looked.replace(looked.get() + 1) == 2;
        assert!(held.within(Duration::from_secs(3_600), is_so).await);
        assert!(!held.within(2 * LOOK_EVERY, || false).await);
    }
}
