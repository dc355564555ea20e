//! The control: no attack on the broker at all, but threads that keep every core busy. What its clients notice
//! of that is the machine's doing.

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Attack, Field};
use crate::flood::link::Fate;

pub(super) const BUSY_CPU: Attack = Attack {
    name: "busy-cpu",
    what: "nobody asks for anything: a thread on each core that only computes, to compare",
    connections: 1,
    payload: Vec::new,
    offend: |field| Box::pin(keep_busy(field)),
};

async fn keep_busy(field: Arc<Field>) -> io::Result<Fate> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads = JoinSet::new();
    for _ in 0..cores {
        let until = field.until;
        threads.spawn_blocking(move || compute(until));
    }
    threads.join_all().await;
    Ok(Fate::Answered)
}

fn compute(until: Instant) {
    let mut number = 1_u64;
    while Instant::now() < until {
        for _ in 0..10_000 {
            number = black_box(number.wrapping_mul(6_364_136_223_846_793_005) + 1);
        }
    }
}
