//! `Standing`: what is known of a connection by the frames that it has sent, and `InFlight`, the place of one
//! frame, which finds out. Frames that turn out to be little work make their sender known, up to a bit more than
//! their size. One that is much work takes that away, and makes all that follow be such until as many bytes have
//! come in frames that are little work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

use super::budget::{Frames, TINY_FRAME_BYTES};
use super::ceiling::Drawn;

/// A connection is known to complete frames up to so many times the largest one that it has completed.
const KNOWN_BY: usize = 2;
/// A batch that unfolds to more than so many times its frame is much work.
const UNFOLDED_BY: usize = 8;
/// So many records are little work, however small they are, ...
const RECORDS_FEW: usize = 1_000;
/// ... and more are, if they have so many bytes each.
const RECORD_BYTES: usize = 64;
/// Bytes of a tiny frame that count until it is answered, however little of it is left.
const COUNTED_OF_GONE: usize = 256;

/// What is known of a connection, and of where its frames go.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) frames: Arc<Frames>,
    /// Bytes of the largest frame that was little work, since the last one that was much.
    pub(super) completed: AtomicUsize,
    /// Bytes that are to come in frames that are little work, after one that was much.
    owed: AtomicUsize,
}

/// Who a frame of some size comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// One that has completed such frames before, or nearly.
    Known,
    Newcomer,
    /// One whose frames are much work.
    Costly,
}

impl Standing {
    /// Of a connection of which nothing is known.
    pub(super) fn of_newcomer(frames: Arc<Frames>) -> Self {
        Self {
            frames,
            completed: AtomicUsize::new(0),
            owed: AtomicUsize::new(0),
        }
    }

    /// Tiny frames take a place when they are complete: anybody may send them.
    pub(super) fn sender(&self, frame_bytes: usize) -> Sender {
        if frame_bytes <= TINY_FRAME_BYTES {
            Sender::Known
        } else if self.owed.load(Ordering::Relaxed) > 0 {
            Sender::Costly
        } else if frame_bytes <= self.completed.load(Ordering::Relaxed) * KNOWN_BY {
            Sender::Known
        } else {
            Sender::Newcomer
        }
    }
}

/// The place one request holds; given back when dropped, but what is for the frame when that is gone.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(super) _request: OwnedSemaphorePermit,
    /// For the bytes of its frame, as long as those are in memory: of its connection, of the broker.
    pub(super) bytes: Option<OwnedSemaphorePermit>,
    pub(super) total: Option<OwnedSemaphorePermit>,
    pub(super) memory: Option<Drawn>,
    pub(super) part: Option<OwnedSemaphorePermit>,
    /// Whether that part is the one for much work.
    pub(super) is_costly: bool,
    /// Whether the frame was found to be much work, whatever comes of it.
    pub(super) is_distrusted: bool,
    pub(super) standing: Arc<Standing>,
    pub(super) frame_bytes: usize,
}

impl InFlight {
    /// Nothing of the frame is in memory any more: what it occupied is others'. The request still counts among
    /// those of its connection, and one with a tiny frame a bit among all that are under way.
    pub(crate) fn let_frame_go(&mut self) {
        self.memory = None;
        self.part = None;
        if self.frame_bytes > TINY_FRAME_BYTES {
            self.bytes = None;
            self.total = None;
        } else if let Some(total) = &mut self.total {
            let surplus = total.num_permits().saturating_sub(COUNTED_OF_GONE);
            if surplus > 0 {
                drop(total.split(surplus));
            }
        }
    }

    /// The request was answered: until that is read it counts among those of its connection, and in nobody's way.
    pub(crate) fn is_answered(&mut self) {
        self.memory = None;
        self.part = None;
        self.bytes = None;
        self.total = None;
    }

    /// The frame was complete, and carrying it out is little work: its sender is a newcomer no more. Such
    /// frames that are together as large as one that was much work make up for that.
    pub(crate) fn trust(&mut self) {
        if self.is_distrusted {
            return;
        }
        let standing = &self.standing;
        standing
            .completed
            .fetch_max(self.frame_bytes, Ordering::Relaxed);
        let owed = standing.owed.load(Ordering::Relaxed);
        if owed > 0 {
            let left = owed.saturating_sub(self.frame_bytes);
            standing.owed.store(left, Ordering::Relaxed);
        }
        self.part = None;
        self.is_costly = false;
    }

    /// The frame is much work: it leaves the newcomers' part, and its sender takes the part of those from now on.
    /// Answers whether there is room in that part; without it the frame keeps the place that it has.
    pub(crate) fn distrust(&mut self) -> bool {
        self.is_distrusted = true;
        if self.frame_bytes > TINY_FRAME_BYTES {
            let standing = &self.standing;
            standing.completed.store(0, Ordering::Relaxed);
            standing.owed.fetch_max(self.frame_bytes, Ordering::Relaxed);
        }
        self.set_aside()
    }

    /// The same for a frame that is no batch, and not much work either: that says something only about a sender
    /// of whom nothing better is known.
    pub(crate) fn doubt(&mut self) -> bool {
        let standing = &self.standing;
        if self.frame_bytes > TINY_FRAME_BYTES.max(standing.completed.load(Ordering::Relaxed)) {
            standing.owed.fetch_max(self.frame_bytes, Ordering::Relaxed);
        }
        self.set_aside()
    }

    /// The frame keeps its place for long: it takes room in the part of those, if there is some, which says
    /// nothing about its sender yet.
    pub(crate) fn set_aside(&mut self) -> bool {
        if self.is_costly || self.frame_bytes <= TINY_FRAME_BYTES {
            return true;
        }
        let bytes = u32::try_from(self.frame_bytes).unwrap_or(u32::MAX);
        let costly = &self.standing.frames.places(self.frame_bytes).costly;
        let Ok(permit) = costly.bytes.clone().try_acquire_many_owned(bytes) else {
            return false;
        };
        self.part = Some(permit);
        self.is_costly = true;
        true
    }

    /// What the frame came to: so many records, in so many bytes once they were unfolded.
    pub(crate) fn judge(&mut self, records: usize, unfolded_bytes: usize) {
        let is_little = unfolded_bytes / UNFOLDED_BY <= self.frame_bytes
            && records <= RECORDS_FEW.max(unfolded_bytes / RECORD_BYTES);
        if is_little {
            self.trust();
        } else {
            self.distrust();
        }
    }
}
