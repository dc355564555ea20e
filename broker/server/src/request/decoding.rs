//! Where batches are decoded that clients ask for: little on the arbiter that asks, more on the threads of the background,
//! and what unfolds to much there as well, within the memory for it.

use crate::net::unfolding::{UNFOLD_AT_ONCE_BYTES, Unfolding};
use crate::partition::PartitionError;

/// Above this many bytes they are decoded on a thread of low priority, ...
const INLINE_BYTES_MAX: u64 = 64 * 1024;
/// ... and above this many on one for what takes longer.
const LIGHT_BYTES_MAX: u64 = 1024 * 1024;
/// Batches that unfold to more are not decoded on an arbiter: with the slowest codec this takes half a millisecond.
pub(super) const DECODED_HERE_BYTES: usize = 128 * 1024;

/// Batches to be decoded; cheap to clone.
pub(super) trait Decode: Clone + Send + 'static {
    /// What comes of it.
    type Decoded: Send + 'static;

    /// How many bytes the batches have as they are stored.
    fn bytes(&self) -> u64;

    /// To how many bytes they may unfold on an arbiter, all together.
    fn here_bytes(&self) -> usize {
        DECODED_HERE_BYTES
    }

    /// Decodes them on this thread, within this limit.
    fn decode(&self, limit: Unfolded) -> Result<Self::Decoded, NotDecoded>;

    /// Bytes that were worked on.
    fn work(decoded: &Self::Decoded) -> usize;
}

/// Bytes that batches may unfold to.
#[derive(Clone, Copy)]
pub(super) struct Unfolded {
    /// Each of them.
    pub(super) batch: usize,
    /// Those of a slice together.
    pub(super) in_all: usize,
}

impl Unfolded {
    fn batches_up_to(batch: usize) -> Self {
        Self {
            batch,
            in_all: usize::MAX,
        }
    }
}

/// Why batches were not decoded.
pub(super) enum NotDecoded {
    Failed(PartitionError),
    /// The first batch unfolds to more than was allowed just now.
    UnfoldsToMore,
}

/// Decodes batches where nobody waits for it. `worked_on` is raised by what is decoded on this thread.
pub(super) async fn decode<D: Decode>(
    wanted: D,
    unfolding: &Unfolding,
    worked_on: &mut usize,
) -> Result<D::Decoded, PartitionError> {
    match decode_little(&wanted, unfolding, worked_on).await {
        Err(NotDecoded::UnfoldsToMore) => decode_much(wanted, unfolding).await,
        Err(NotDecoded::Failed(error)) => Err(error),
        Ok(decoded) => Ok(decoded),
    }
}

/// The same of batches that unfold to little each.
pub(super) async fn decode_little<D: Decode>(
    wanted: &D,
    unfolding: &Unfolding,
    worked_on: &mut usize,
) -> Result<D::Decoded, NotDecoded> {
    let bytes = wanted.bytes();
    if bytes <= INLINE_BYTES_MAX {
        let decoded = decode_here(wanted, worked_on);
        if !matches!(decoded, Err(NotDecoded::UnfoldsToMore)) {
            return decoded;
        }
    }
    let first = wanted.clone();
    let work = move || first.decode(Unfolded::batches_up_to(UNFOLD_AT_ONCE_BYTES));
    let unfolded = unfolding.little(bytes <= LIGHT_BYTES_MAX, work).await;
    unfolded.unwrap_or_else(|panicked| Err(NotDecoded::Failed(unreadable(&panicked))))
}

/// The same of batches that may unfold to much.
pub(super) async fn decode_much<D: Decode>(
    wanted: D,
    unfolding: &Unfolding,
) -> Result<D::Decoded, PartitionError> {
    let work = move |limit| wanted.decode(Unfolded::batches_up_to(limit));
    let too_low = |done: &Result<_, _>| matches!(done, Err(NotDecoded::UnfoldsToMore));
    let unfolded = unfolding.in_steps(work, too_low).await;
    let decoded = unfolded.map_err(|panicked| unreadable(&panicked))?;
    decoded.map_err(|not_decoded| match not_decoded {
        NotDecoded::Failed(error) => error,
        NotDecoded::UnfoldsToMore => unreadable(&"a batch unfolds to more than any may"),
    })
}

/// Decodes on this thread: as much as unfolds to little, all batches together.
fn decode_here<D: Decode>(wanted: &D, worked_on: &mut usize) -> Result<D::Decoded, NotDecoded> {
    let in_all = wanted.here_bytes();
    let batch = in_all;
    let decoded = wanted.decode(Unfolded { batch, in_all });
    *worked_on += match &decoded {
        Ok(decoded) => D::work(decoded),
        Err(_) => in_all,
    };
    decoded
}

/// What stopped a read that no client could help.
pub(super) fn unreadable(problem: &dyn std::fmt::Display) -> PartitionError {
    PartitionError::ReadFailed {
        reason: problem.to_string(),
    }
}
