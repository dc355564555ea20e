//! `Ceiling`: memory that all kinds of it have in common which clients make the broker use: frames, what they unfold
//! to, records on their way through plugins, lists, polls, answers. A kind has an `Allowance`: bytes of its own, which
//! hold one of its largest, and a bound; what it uses beyond its own counts here. So who holds memory of one kind may
//! wait for another, in the order above, and never for what only he could give back. Those of one kind get it in the
//! order in which they came; who waits longest of all has first claim to what is in common: others take none of the
//! bytes that he lacks, however few they want, and go on with what is theirs alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};

use broker_model::limits::MEMORY_IN_COMMON;
use tokio::sync::{Mutex, Notify};

use crate::counted::Counted;

/// Memory in common; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ceiling(Arc<Common>);

#[derive(Debug)]
struct Common {
    max: usize,
    used: std::sync::Mutex<Used>,
    /// How many wait, for those who only want to know whether it is worth a look.
    waiting: AtomicUsize,
    freed: Notify,
}

/// Bytes that are used. May be above a bound by what had to be counted.
#[derive(Debug, Default)]
struct Used {
    in_common: usize,
    of_kinds: Vec<usize>,
    /// Whoever is first in line of his kind and waits, the longest first.
    waiting: Vec<Wanted>,
}

/// What somebody waits for.
#[derive(Debug)]
struct Wanted {
    of: Bounds,
    bytes: usize,
}

/// What a kind may use.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Where it is among all kinds.
    index: usize,
    own: usize,
    max: usize,
}

impl Wanted {
    /// The bytes in common that it takes; none if it would be beyond the bound of its own kind.
    fn lacks(&self, used: &Used) -> Option<usize> {
        let Bounds { own, max, .. } = self.of;
        let before = self.of.used(used);
        let after = before.saturating_add(self.bytes);
        let in_common = after.saturating_sub(own) - before.saturating_sub(own);
        (after <= max).then_some(in_common)
    }
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
            of: Bounds {
                index: used.of_kinds.len() - 1,
                own,
                max,
            },
            line: Mutex::new(()),
            in_line: AtomicUsize::new(0),
        }))
    }

    /// Lets those look again who wait: there may be more.
    fn tell_those_waiting(&self, used: MutexGuard<'_, Used>) {
        let is_nobody = used.waiting.is_empty();
        drop(used);
        if !is_nobody {
            self.0.freed.notify_waiters();
        }
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
    of: Bounds,
    /// The one of this kind that waits for the ceiling; the others wait for it.
    line: Mutex<()>,
    /// How many those are together.
    in_line: AtomicUsize,
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

    /// Takes so many bytes more, if there are as many now and nobody waits for some.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        let Some(mut more) = self.from.try_take(bytes) else {
            return false;
        };
        self.bytes += std::mem::take(&mut more.bytes);
        true
    }

    /// Counts so many bytes more, which are there already.
    pub(crate) fn grow(&mut self, bytes: usize) {
        let mut more = self.from.charge(bytes);
        self.bytes += std::mem::take(&mut more.bytes);
    }

    /// Keeps so much and gives the rest back.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        if surplus > 0 {
            self.bytes -= surplus;
            self.from.give_back(surplus);
        }
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// The first in line of his kind. He waits among those of other kinds as soon as he has seen that there is too little.
struct First<'a> {
    kind: &'a Kind,
    waits: bool,
}

impl First<'_> {
    /// Takes so many bytes or waits from now on: whoever gives some back after this look sees it.
    fn take_or_wait(&mut self, from: &Allowance, bytes: usize) -> Option<Drawn> {
        let ceiling = &self.kind.ceiling;
        let mut used = ceiling.lock();
        if bytes <= self.kind.free(&used) {
            return Some(from.add(&mut used, bytes));
        }
        if !self.waits {
            let of = self.kind.of;
            used.waiting.push(Wanted { of, bytes });
            ceiling.0.waiting.fetch_add(1, Ordering::Relaxed);
            self.waits = true;
        }
        None
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        if !self.waits {
            return;
        }
        let ceiling = &self.kind.ceiling;
        let mut used = ceiling.lock();
        let index = self.kind.of.index;
        used.waiting.retain(|wanted| wanted.of.index != index);
        ceiling.0.waiting.fetch_sub(1, Ordering::Relaxed);
        // What he had a claim to.
        ceiling.tell_those_waiting(used);
    }
}

impl Allowance {
    /// Takes so many bytes, if there are as many now and nobody waits for some.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Drawn> {
        if self.0.in_line.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let mut used = self.0.ceiling.lock();
        (bytes <= self.0.free(&used)).then(|| self.add(&mut used, bytes))
    }

    /// Waits for so many bytes, or for all that there may be of this kind.
    pub(crate) async fn take(&self, bytes: usize) -> Drawn {
        let bytes = bytes.min(self.0.of.max);
        if let Some(drawn) = self.try_take(bytes) {
            return drawn;
        }
        let _in_line = Counted::one_of(&self.0.in_line);
        let _turn = self.0.line.lock().await;
        let mut first = First {
            kind: &self.0,
            waits: false,
        };
        loop {
            // Also what is given back between the look and the wait.
            let mut freed = std::pin::pin!(self.0.ceiling.0.freed.notified());
            freed.as_mut().enable();
            if let Some(drawn) = first.take_or_wait(self, bytes) {
                return drawn;
            }
            freed.await;
        }
    }

    /// Counts so many bytes, which are there already.
    pub(crate) fn charge(&self, bytes: usize) -> Drawn {
        self.add(&mut self.0.ceiling.lock(), bytes)
    }

    /// How many bytes could be taken now.
    pub(crate) fn free(&self) -> usize {
        self.0.free(&self.0.ceiling.lock())
    }

    /// Whether somebody waits for what is used of this kind: those who hold some and do not get on with it have to
    /// go. As long as it is within its own, that is nobody of another kind.
    pub(crate) fn is_waited_for(&self) -> bool {
        if self.0.ceiling.0.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let used = self.0.ceiling.lock();
        let is_in_the_way = self.0.of.used(&used) > self.0.of.own;
        used.waiting.iter().any(|wanted| {
            wanted.of.index == self.0.of.index || is_in_the_way && wanted.lacks(&used).is_some()
        })
    }

    fn add(&self, used: &mut Used, bytes: usize) -> Drawn {
        self.0.change(used, |of_kind| of_kind.saturating_add(bytes));
        Drawn {
            from: self.clone(),
            bytes,
        }
    }

    fn give_back(&self, bytes: usize) {
        let mut used = self.0.ceiling.lock();
        self.0
            .change(&mut used, |of_kind| of_kind.saturating_sub(bytes));
        self.0.ceiling.tell_those_waiting(used);
    }
}

impl Bounds {
    fn used(&self, used: &Used) -> usize {
        used.of_kinds.get(self.index).copied().unwrap_or(0)
    }
}

impl Kind {
    fn free(&self, used: &Used) -> usize {
        let Bounds { own, max, .. } = self.of;
        let of_kind = self.of.used(used);
        let in_common = self.ceiling.0.max.saturating_sub(used.in_common);
        let in_common = in_common.saturating_sub(self.claimed_by_another(used));
        let below_ceiling = own.saturating_sub(of_kind).saturating_add(in_common);
        below_ceiling.min(max.saturating_sub(of_kind))
    }

    /// What somebody of another kind lacks who waits for the ceiling longest of all.
    fn claimed_by_another(&self, used: &Used) -> usize {
        let mut waiting = used.waiting.iter();
        let first = waiting.find_map(|wanted| Some((wanted.of.index, wanted.lacks(used)?)));
        first.map_or(
            0,
            |(kind, lacks)| if kind == self.of.index { 0 } else { lacks },
        )
    }

    /// Changes what is used of this kind, and with it what is used in common.
    fn change(&self, used: &mut Used, change: impl FnOnce(usize) -> usize) {
        let Bounds { index, own, .. } = self.of;
        let before = self.of.used(used);
        let after = change(before);
        if let Some(of_kind) = used.of_kinds.get_mut(index) {
            *of_kind = after;
        }
        used.in_common += after.saturating_sub(own);
        used.in_common -= before.saturating_sub(own);
    }
}

#[cfg(test)]
#[path = "ceiling_tests.rs"]
mod tests;
