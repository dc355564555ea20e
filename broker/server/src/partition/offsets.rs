//! What everybody may know of a partition without asking its actor: published after every change, so that long polls
//! wait in their own task and never in the mailbox. Each says for how many bytes more it waits, and what comes before
//! those wakes nobody: there may be many thousand polls of a busy partition. Bytes are counted as they are appended;
//! how many of them lie below the high watermark is known between two bounds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_model::Offset;
use tokio::sync::Notify;

/// The offsets of a partition at one moment: `start ≤ high watermark ≤ end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionOffsets {
    /// The first offset that can still be read.
    pub(crate) start: Offset,
    /// Consumers read below it.
    pub(crate) high_watermark: Offset,
    /// The offset the next record gets.
    pub(crate) end: Offset,
}

/// Says what the offsets are; when it is dropped, nobody does any more.
pub(crate) struct OffsetsPublisher(Arc<Published>);

/// Tells what was published last.
#[derive(Clone)]
pub(crate) struct OffsetsReader(Arc<Published>);

/// Counts what can be read since it was made, and waits for more.
pub(crate) struct OffsetsWatch {
    published: Arc<Published>,
    /// As it was then.
    high_watermark: Offset,
    /// At least so many bytes lay below that.
    bytes: u64,
    /// So many upheavals had been.
    upheavals: u32,
    /// Which bell rings at which count.
    set: Option<(u64, Bell)>,
}

/// Rung when one who waits, maybe for several partitions, should look again.
pub(crate) type Bell = Arc<Notify>;

/// What has become of a partition since a watch was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// At most so many bytes more can be read.
    Grown(u64),
    /// What was found then says nothing of what would be found now.
    Upheaval,
    /// The publisher has gone: nothing changes any more.
    Gone,
}

struct Published(Mutex<Newest>);

struct Newest {
    offsets: PartitionOffsets,
    /// Bytes of all batches that there ever were, up to the end.
    bytes: u64,
    /// At least so many of them lie below the high watermark, ...
    readable: u64,
    /// ... and at most as many as below this offset, which is no less.
    ahead: (Offset, u64),
    upheavals: u32,
    /// Just so many of them do.
    is_exact: bool,
    is_last: bool,
    /// None if nobody waits.
    bells: Option<Box<Bells>>,
}

/// By the count at which they are to be rung, and where they are.
type Bells = BTreeMap<(u64, usize), Bell>;

impl OffsetsPublisher {
    /// Begins with these, and so many bytes of batches.
    pub(crate) fn new(offsets: PartitionOffsets, bytes: u64) -> Self {
        let is_exact = offsets.high_watermark == offsets.end;
        Self(Arc::new(Published(Mutex::new(Newest {
            offsets,
            bytes,
            readable: if is_exact { bytes } else { 0 },
            ahead: (offsets.end, bytes),
            upheavals: 0,
            is_exact,
            is_last: false,
            bells: None,
        }))))
    }

    /// Tells others of these, if they are news, and wakes those who wait for no more than what can be read now. So many
    /// bytes were appended since it was called last.
    pub(crate) fn publish(&self, offsets: PartitionOffsets, appended: u64) {
        let ringing = self.0.newest().take(offsets, appended);
        ring(ringing);
    }

    /// Wakes everybody: what can be read is not what it was, or cannot be any more.
    pub(crate) fn note_upheaval(&self) {
        let ringing = self.0.newest().take_upheaval();
        ring(ringing);
    }

    pub(crate) fn reader(&self) -> OffsetsReader {
        OffsetsReader(Arc::clone(&self.0))
    }
}

impl Drop for OffsetsPublisher {
    fn drop(&mut self) {
        let ringing = {
            let mut newest = self.0.newest();
            newest.is_last = true;
            newest.bells.take()
        };
        ring(ringing);
    }
}

/// After the lock was let go of: whoever is woken looks at once.
fn ring(bells: Option<Box<Bells>>) {
    for bell in bells.into_iter().flat_map(|bells| bells.into_values()) {
        bell.notify_one();
    }
}

impl OffsetsReader {
    /// The offsets now.
    pub(crate) fn offsets(&self) -> PartitionOffsets {
        self.0.newest().offsets
    }

    /// A watch of what comes after them.
    pub(crate) fn watch(&self) -> OffsetsWatch {
        let newest = self.0.newest();
        OffsetsWatch {
            published: Arc::clone(&self.0),
            high_watermark: newest.offsets.high_watermark,
            bytes: newest.readable,
            upheavals: newest.upheavals,
            set: None,
        }
    }
}

impl OffsetsWatch {
    /// What has become of the partition since.
    pub(crate) fn since(&self) -> Since {
        self.compare(&self.published.newest())
    }

    /// Has the bell rung, in place of what was set before, when at least so many bytes may have come since this watch
    /// was made, and on everything but growth: at once if that is so. With `u64::MAX` no growth rings it.
    pub(crate) fn ring_at(&mut self, grown: u64, bell: &Bell) {
        let mut newest = self.published.newest();
        newest.forget(self.set.take());
        match self.compare(&newest) {
            Since::Grown(already) if already < grown => {
                let count = self.bytes.saturating_add(grown);
                let key = (count, Arc::as_ptr(bell).addr());
                newest
                    .bells
                    .get_or_insert_default()
                    .insert(key, bell.clone());
                drop(newest);
                self.set = Some((count, bell.clone()));
            }
            _ => bell.notify_one(),
        }
    }

    fn compare(&self, newest: &Newest) -> Since {
        if newest.upheavals != self.upheavals {
            return Since::Upheaval;
        }
        if newest.is_last {
            return Since::Gone;
        }
        match newest.offsets.high_watermark == self.high_watermark {
            true => Since::Grown(0),
            false => Since::Grown(newest.readable_max().saturating_sub(self.bytes)),
        }
    }
}

impl Drop for OffsetsWatch {
    fn drop(&mut self) {
        if self.set.is_some() {
            self.published.newest().forget(self.set.take());
        }
    }
}

impl Newest {
    /// Answers the bells that are to be rung for it.
    fn take(&mut self, offsets: PartitionOffsets, appended: u64) -> Option<Box<Bells>> {
        self.bytes += appended;
        let before = std::mem::replace(&mut self.offsets, offsets);
        if before == offsets {
            return None;
        }
        let (below, end) = (offsets.high_watermark, (offsets.end, self.bytes));
        if below == offsets.end {
            (self.readable, self.is_exact, self.ahead) = (self.bytes, true, end);
        } else if below >= self.ahead.0 {
            (self.readable, self.is_exact) = (self.ahead.1, below == self.ahead.0);
            self.ahead = end;
        } else if below != before.high_watermark {
            self.is_exact = false;
        }
        let only_grows = before.high_watermark <= below && before.end <= offsets.end;
        if before.start != offsets.start || !only_grows {
            return self.take_upheaval();
        }
        match before.high_watermark == below {
            true => None,
            false => self.reached(),
        }
    }

    fn take_upheaval(&mut self) -> Option<Box<Bells>> {
        self.upheavals = self.upheavals.wrapping_add(1);
        self.bells.take()
    }

    /// At most so many bytes lie below the high watermark.
    fn readable_max(&self) -> u64 {
        if self.is_exact {
            self.readable
        } else {
            self.ahead.1
        }
    }

    /// The bells that are set to no more than can be read now.
    fn reached(&mut self) -> Option<Box<Bells>> {
        let readable = self.readable_max();
        let bells = self.bells.as_deref_mut()?;
        let ((first, _), _) = bells.first_key_value()?;
        if *first > readable {
            return None;
        }
        let later = match readable.checked_add(1) {
            Some(next) => bells.split_off(&(next, 0)),
            None => Bells::new(),
        };
        let reached = self.bells.take();
        self.bells = (!later.is_empty()).then(|| Box::new(later));
        reached
    }

    fn forget(&mut self, set: Option<(u64, Bell)>) {
        if let (Some((count, bell)), Some(bells)) = (set, &mut self.bells) {
            bells.remove(&(count, Arc::as_ptr(&bell).addr()));
            if bells.is_empty() {
                self.bells = None;
            }
        }
    }
}

impl Published {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "offsets_tests.rs"]
mod tests;
