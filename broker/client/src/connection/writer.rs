//! The writing half: takes everything that is queued and hands it to the socket in one vectored
//! write, so that requests issued together cost one system call together. Keeps an idle
//! connection open with `ping`.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior};

use super::shared::Shared;

/// Requests joined into one flush.
const FLUSH_REQUESTS_MAX: usize = 256;
/// Slices handed to one `writev`; the kernel takes 1,024.
const SLICES_MAX: usize = 512;

/// A frame that waits for the socket: its head, and pieces that follow without a copy.
pub(super) struct Outgoing {
    pub(super) id: u64,
    pub(super) head: Bytes,
    pub(super) rest: Vec<Bytes>,
}

impl Outgoing {
    /// A frame in one piece.
    pub(super) fn whole(id: u64, frame: Bytes) -> Self {
        let rest = Vec::new();
        let head = frame;
        Self { id, head, rest }
    }

    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Writes until the connection ends and says why; `None` when nobody can ask for more.
pub(super) async fn run(
    mut queue: UnboundedReceiver<Outgoing>,
    mut socket: OwnedWriteHalf,
    shared: &Shared,
    keep_alive: Duration,
) -> Option<String> {
    let mut flush = Vec::with_capacity(16);
    let mut slices = VecDeque::new();
    let mut ticks = tokio::time::interval_at(Instant::now() + keep_alive, keep_alive);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            taken = queue.recv_many(&mut flush, FLUSH_REQUESTS_MAX) => {
                if taken == 0 {
                    let _ = socket.shutdown().await;
                    return None;
                }
            }
            _ = ticks.tick() => match shared.keep_alive(keep_alive) {
                Ok(None) => continue,
                Ok(Some(ping)) => flush.push(ping),
                Err(reason) => return Some(reason),
            },
        }
        shared
            .pending
            .mark_written(flush.iter().map(|outgoing| outgoing.id));
        for outgoing in flush.drain(..) {
            slices.push_back(outgoing.head);
            slices.extend(outgoing.rest);
        }
        if let Err(error) = write_all(&mut socket, &mut slices).await {
            return Some(format!("write failed: {error}"));
        }
    }
}

async fn write_all(socket: &mut OwnedWriteHalf, slices: &mut VecDeque<Bytes>) -> io::Result<()> {
    while !slices.is_empty() {
        let gathered: Vec<IoSlice<'_>> = slices
            .iter()
            .take(SLICES_MAX)
            .map(|slice| IoSlice::new(slice))
            .collect();
        let written = socket.write_vectored(&gathered).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        advance(slices, written);
    }
    Ok(())
}

/// Drops the first `written` bytes.
fn advance(slices: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(front) = slices.front_mut() {
        if front.len() > written {
            front.advance(written);
            return;
        }
        written -= front.len();
        slices.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_write_leaves_exactly_the_rest() {
        let whole = ["ab", "", "cde", "f"];
        for written in 0..=6 {
            let mut slices: VecDeque<Bytes> = whole.into_iter().map(Bytes::from).collect();
            advance(&mut slices, written);
            let rest: Vec<u8> = slices.iter().flatten().copied().collect();
            assert_eq!(rest, b"abcdef"[written..]);
        }
    }
}
