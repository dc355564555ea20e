//! Connections that are closed for what they sent, in the log. A flood of them must not become one of the log:
//! each thread tells a few a minute one by one, and of the others how many they were.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info};

use crate::net::ReadError;

/// How many a thread tells one by one in [`WINDOW`].
const TOLD_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

thread_local! {
    static CLOSURES: RefCell<Closures> = RefCell::default();
}

/// What was told since `began`.
#[derive(Debug, Default)]
struct Closures {
    began: Option<Instant>,
    told: u32,
    untold: u64,
}

/// Tells that a connection is closed for what it has sent.
pub(super) fn tell(peer: SocketAddr, problem: &ReadError) {
    let (is_told, untold) = CLOSURES.with_borrow_mut(|closures| closures.note(Instant::now()));
    if untold > 0 {
        info!(
            connections = untold,
            "more connections were closed for what they sent"
        );
    }
    match is_told {
        true => info!(%peer, %problem, "connection closed"),
        false => debug!(%peer, %problem, "connection closed"),
    }
}

impl Closures {
    /// Counts one; whether it is told by itself, and how many have not been that are told of now.
    fn note(&mut self, now: Instant) -> (bool, u64) {
        let is_over = self
            .began
            .is_none_or(|began| now.duration_since(began) >= WINDOW);
        let untold = match is_over {
            true => std::mem::take(self).untold,
            false => 0,
        };
        self.began.get_or_insert(now);
        let is_told = self.told < TOLD_MAX;
        match is_told {
            true => self.told += 1,
            false => self.untold += 1,
        }
        (is_told, untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_one_by_one_and_the_others_counted() {
        let (mut closures, start) = (Closures::default(), Instant::now());
        let told = (0..1_000).filter(|_| closures.note(start).0).count();
        assert_eq!(told, 10);
        assert_eq!(closures.note(start + WINDOW), (true, 990));
        assert_eq!(closures.note(start + WINDOW), (true, 0));
    }
}
