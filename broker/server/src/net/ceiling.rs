//! `Ceiling`: memory that all kinds of it have in common which clients make the broker use: frames, what they unfold
//! to, records on their way through plugins, lists, polls, answers. Each kind has an `Allowance`: some bytes that are
//! its alone, and a bound. What it uses beyond its own counts here, so that each kind by itself gets what it may and
//! all together get no more than the ceiling leaves. Its own bytes hold one of the largest that it may have. So who
//! holds memory of one kind may wait for another, in the order above, and never for what only he could give back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};

use broker_model::limits::MEMORY_IN_COMMON;
use tokio::sync::{Mutex, Notify};

/// Memory in common; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ceiling(Arc<Common>);

#[derive(Debug)]
struct Common {
    max: usize,
    used: std::sync::Mutex<Used>,
    waiting: AtomicUsize,
    freed: Notify,
}

/// Bytes that are used. May be above a bound by what had to be counted.
#[derive(Debug, Default)]
struct Used {
    in_common: usize,
    of_kinds: Vec<usize>,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self::new(MEMORY_IN_COMMON)
    }
}

impl Ceiling {
    /// Of so many bytes, beside those that kinds have of their own.
    fn new(max: usize) -> Self {
        Self(Arc::new(Common {
            max,
            used: std::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        }))
    }

    /// What one kind of memory may use: `own` bytes in any case, and at most `max`.
    pub(crate) fn allowance(&self, own: usize, max: usize) -> Allowance {
        let mut used = self.lock();
        used.of_kinds.push(0);
        Allowance(Arc::new(Kind {
            ceiling: self.clone(),
            index: used.of_kinds.len() - 1,
            own,
            max,
            line: Mutex::new(()),
        }))
    }

    /// Whether somebody waits: those who hold memory and do not get on with it have to go.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.0
            .used
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

/// What one kind of memory may use; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Allowance(Arc<Kind>);

#[derive(Debug)]
struct Kind {
    ceiling: Ceiling,
    /// Where it is among all kinds.
    index: usize,
    own: usize,
    max: usize,
    /// The one of this kind that waits for the ceiling; the others wait for it.
    line: Mutex<()>,
}

/// Memory that is used; given back when dropped.
#[derive(Debug)]
pub(crate) struct Drawn {
    from: Allowance,
    bytes: usize,
}

impl Drawn {
    /// How much it is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps so much and gives the rest back.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.from.give_back(surplus);
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        self.from.give_back(self.bytes);
    }
}

/// Counts one among those that wait, also when it goes away.
struct Waiting<'a>(&'a Common);

impl<'a> Waiting<'a> {
    fn enter(common: &'a Common) -> Self {
        common.waiting.fetch_add(1, Ordering::Relaxed);
        Self(common)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Allowance {
    /// Takes so many bytes, if there are as many now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Drawn> {
        let fits = |used: &Used| bytes <= self.0.free(used);
        self.add_if(bytes, fits)
    }

    /// Waits for so many bytes, or for all that there may be of this kind.
    pub(crate) async fn take(&self, bytes: usize) -> Drawn {
        let bytes = bytes.min(self.0.max);
        if let Some(drawn) = self.try_take(bytes) {
            return drawn;
        }
        let common = &self.0.ceiling.0;
        let _turn = self.0.line.lock().await;
        loop {
            // Also what is given back between the look and the wait.
            let mut freed = std::pin::pin!(common.freed.notified());
            freed.as_mut().enable();
            if let Some(drawn) = self.try_take(bytes) {
                return drawn;
            }
            // Who waits for his own kind is in nobody else's line.
            let _waiting = self.lacks_common(bytes).then(|| Waiting::enter(common));
            freed.await;
        }
    }

    /// Counts so many bytes, which are there already.
    pub(crate) fn charge(&self, bytes: usize) -> Drawn {
        let drawn = self.add_if(bytes, |_| true);
        drawn.expect("there is no condition")
    }

    /// How many bytes could be taken now.
    pub(crate) fn free(&self) -> usize {
        self.0.free(&self.0.ceiling.lock())
    }

    /// Whether so many bytes would be within the bound of their kind.
    fn lacks_common(&self, bytes: usize) -> bool {
        let of_kind = self.0.used(&self.0.ceiling.lock());
        of_kind.saturating_add(bytes) <= self.0.max
    }

    /// The memory in common that this draws on.
    pub(crate) fn ceiling(&self) -> &Ceiling {
        &self.0.ceiling
    }

    fn add_if(&self, bytes: usize, condition: impl FnOnce(&Used) -> bool) -> Option<Drawn> {
        let mut used = self.0.ceiling.lock();
        if !condition(&used) {
            return None;
        }
        self.0
            .change(&mut used, |of_kind| of_kind.saturating_add(bytes));
        Some(Drawn {
            from: self.clone(),
            bytes,
        })
    }

    fn give_back(&self, bytes: usize) {
        let ceiling = &self.0.ceiling;
        self.0
            .change(&mut ceiling.lock(), |of_kind| of_kind.saturating_sub(bytes));
        ceiling.0.freed.notify_waiters();
    }
}

impl Kind {
    fn used(&self, used: &Used) -> usize {
        used.of_kinds.get(self.index).copied().unwrap_or(0)
    }

    fn free(&self, used: &Used) -> usize {
        let of_kind = self.used(used);
        let in_common = self.ceiling.0.max.saturating_sub(used.in_common);
        let below_ceiling = self.own.saturating_sub(of_kind).saturating_add(in_common);
        below_ceiling.min(self.max.saturating_sub(of_kind))
    }

    /// Changes what is used of this kind, and with it what is used in common.
    fn change(&self, used: &mut Used, change: impl FnOnce(usize) -> usize) {
        let before = self.used(used);
        let after = change(before);
        if let Some(of_kind) = used.of_kinds.get_mut(self.index) {
            *of_kind = after;
        }
        used.in_common += after.saturating_sub(self.own);
        used.in_common -= before.saturating_sub(self.own);
    }
}

#[cfg(test)]
#[path = "ceiling_tests.rs"]
mod tests;
