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
    next_token: u64,
    /// By token. One is taken from the front, or, if nobody waits for it, from the back: both are cheap.
    queue: VecDeque<(u64, Parked)>,
}

impl ParkedAppends {
    /// Parks one; its token, which no other has had.
    pub(super) fn park(&mut self, parked: Parked) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.queue.push_back((token, parked));
        token
    }

    /// Takes one out, unless that was done before.
    pub(super) fn take(&mut self, token: u64) -> Option<Parked> {
        let place = self.queue.binary_search_by_key(&token, |(token, _)| *token);
        let (_, parked) = self.queue.remove(place.ok()?)?;
        Some(parked)
    }

    /// Tokens of those whose deadline has come.
    pub(super) fn late(&self, now: Duration) -> Vec<u64> {
        let late = self.queue.iter();
        let late = late.filter(|(_, parked)| parked.deadline <= now);
        late.map(|(token, _)| *token).collect()
    }

    /// Gives back the room of those that do not wait any more.
    pub(super) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
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
        assert!(appends.is_empty());
    }

    #[test]
    fn what_passes_behind_one_that_waits_leaves_nothing() {
        let mut appends = ParkedAppends::default();
        let waits = appends.park(parked(0));
        for _ in 0..1_000 {
            let passes = appends.park(parked(1));
            assert!(appends.take(passes).is_some());
        }
        assert_eq!(appends.queue.len(), 1);
        assert!(appends.take(waits).is_some());
    }

    #[test]
    fn a_burst_that_is_over_keeps_no_room() {
        let mut appends = ParkedAppends::default();
        let tokens: Vec<u64> = (0..1_000).map(|_| appends.park(parked(1))).collect();
        for token in &tokens[1..] {
            assert!(appends.take(*token).is_some());
        }
        appends.shrink();
        assert!(appends.queue.capacity() < 10);
        assert!(appends.take(tokens[0]).is_some());
        appends.shrink();
        assert_eq!(appends.queue.capacity(), 0);
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
