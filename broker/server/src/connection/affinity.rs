//! `Affinity`: which shard the requests of a connection are for, and whether it should live there. A request
//! to a partition of another shard wakes a thread, and so does its answer; among neighbours neither does.
//! A shard that is busy already takes nobody in: then the work of reading and checking is better spread.

use std::time::Duration;

use crate::arbiters::{Arbiters, BusyTime, Shard};

/// Requests in a row for one other shard that make a connection look around.
const REQUESTS_IN_A_ROW: u32 = 16;
/// How long it looks at how busy the other shard is.
const LOOK_FOR: Duration = Duration::from_millis(2);
/// A shard that works for so much of the time takes nobody in.
const BUSY_PERCENT_MAX: u128 = 60;

/// Where a connection lives, and where it is drawn.
#[derive(Debug)]
pub(super) struct Affinity {
    home: Shard,
    wanted: Shard,
    in_a_row: u32,
    since: Option<BusyTime>,
}

impl Affinity {
    /// Of a connection that just came to `home`.
    pub(super) fn new(home: Shard) -> Self {
        Self {
            home,
            wanted: home,
            in_a_row: 0,
            since: None,
        }
    }

    /// A request is for a partition of `shard`.
    pub(super) fn note(&mut self, shard: Shard) {
        if shard != self.wanted {
            *self = Self {
                wanted: shard,
                ..Self::new(self.home)
            };
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    /// Where the connection should move, if it should.
    pub(super) fn better_shard(&mut self, arbiters: &Arbiters) -> Option<Shard> {
        if self.wanted == self.home || self.in_a_row < REQUESTS_IN_A_ROW {
            return None;
        }
        // A thread that is stuck does not count as busy.
        if arbiters.keeps_waiting(self.wanted) {
            return None;
        }
        let now = arbiters.busy_time(self.wanted);
        self.judge(now)
    }

    fn judge(&mut self, now: BusyTime) -> Option<Shard> {
        let since = *self.since.get_or_insert(now);
        if since.age(&now) < LOOK_FOR {
            return None;
        }
        self.in_a_row = 0;
        self.since = None;
        (since.percent_until(&now) <= BUSY_PERCENT_MAX).then_some(self.wanted)
    }
}
