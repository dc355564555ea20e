//! `ParkedAppends`: batches that are written and whose acknowledgements wait, by token. Tokens rise, and most
//! acknowledgements leave in that order, so a queue is all it takes.

use std::collections::VecDeque;
use std::time::Duration;

use super::messages::{AppendReply, Appended};

/// A written batch whose acknowledgement waits for the high watermark.
pub(super) struct Parked {
    pub(super) answer: Appended,
    /// On the monotonic clock.
    pub(super) deadline: Duration,
    pub(super) timeout: Duration,
    pub(super) reply: AppendReply,
}

/// Those that wait.
#[derive(Default)]
pub(super) struct ParkedAppends {
    /// The token of the first in the queue.
    first: u64,
    /// None where one has been taken out.
    queue: VecDeque<Option<Parked>>,
    waiting: usize,
}

impl ParkedAppends {
    /// Parks one; its token.
    pub(super) fn park(&mut self, parked: Parked) -> u64 {
        let token = self.first + self.queue.len() as u64;
        self.queue.push_back(Some(parked));
        self.waiting += 1;
        token
    }

    /// Takes one out, unless that was done before.
    pub(super) fn take(&mut self, token: u64) -> Option<Parked> {
        let place = usize::try_from(token.checked_sub(self.first)?).ok()?;
        let taken = self.queue.get_mut(place)?.take()?;
        self.waiting -= 1;
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.first += 1;
        }
        Some(taken)
    }

    /// Tokens of those whose deadline has come.
    pub(super) fn late(&self, now: Duration) -> Vec<u64> {
        let tokens = (self.first..).zip(&self.queue);
        let is_late = |parked: &Parked| parked.deadline <= now;
        tokens
            .filter(|(_, parked)| parked.as_ref().is_some_and(is_late))
            .map(|(token, _)| token)
            .collect()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }
}

#[cfg(test)]
mod tests {
    use broker_model::Offset;

    use super::*;
    use crate::reply::Reply;

    fn parked(seconds: u64) -> Parked {
        Parked {
            answer: Appended {
                base_offset: Offset::new(seconds),
                log_append_time: None,
                log_start: Offset::ZERO,
            },
            deadline: Duration::from_secs(seconds),
            timeout: Duration::ZERO,
            reply: Reply::ignored(),
        }
    }

    #[test]
    fn each_is_taken_once_in_whatever_order() {
        let mut appends = ParkedAppends::default();
        let tokens: Vec<u64> = (0..4).map(|number| appends.park(parked(number))).collect();
        assert_eq!(tokens, [0, 1, 2, 3]);
        let mut take = |token| Some(appends.take(token)?.answer.base_offset.get());
        assert_eq!([take(1), take(1), take(0)], [Some(1), None, Some(0)]);
        assert_eq!([take(0), take(9), take(2)], [None, None, Some(2)]);
        assert_eq!(appends.len(), 1);
        assert_eq!(appends.park(parked(4)), 4);
        assert!(appends.take(3).is_some() && appends.take(4).is_some());
        assert!(appends.is_empty() && appends.queue.is_empty());
    }

    #[test]
    fn those_whose_deadline_has_come_are_late() {
        let mut appends = ParkedAppends::default();
        for seconds in [5, 1, 3, 2] {
            appends.park(parked(seconds));
        }
        appends.take(1);
        assert_eq!(appends.late(Duration::from_secs(3)), [2, 3]);
    }
}
