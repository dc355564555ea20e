//! `Counted`: one among those that a counter counts: it counts up, and down again when this is dropped, also when a
//! panic or an end in the middle does that. What the counter limits or tells is for its owner to say.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One of those that a counter counts; the counter is borrowed, or shared.
#[derive(Debug)]
pub(crate) struct Counted<C: Deref<Target = AtomicUsize>>(C);

impl<C: Deref<Target = AtomicUsize>> Counted<C> {
    /// One more.
    pub(crate) fn one_of(counter: C) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }

    /// One more, unless there are `max` already.
    pub(crate) fn one_of_few(counter: C, max: usize) -> Option<Self> {
        let others = counter.fetch_add(1, Ordering::Relaxed);
        // Counted until dropped, also when it is one too many.
        let one = Self(counter);
        (others < max).then_some(one)
    }
}

impl<C: Deref<Target = AtomicUsize>> Drop for Counted<C> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn it_counts_until_it_is_dropped() {
        let counter = Arc::new(AtomicUsize::new(0));
        let (shared, borrowed) = (Counted::one_of(counter.clone()), Counted::one_of(&*counter));
        assert_eq!(counter.load(Ordering::Relaxed), 2);
        drop((shared, borrowed));
        assert_eq!(counter.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_too_many_leaves_no_trace() {
        let counter = AtomicUsize::new(0);
        let one = Counted::one_of_few(&counter, 1);
        assert!(one.is_some());
        assert!(Counted::one_of_few(&counter, 1).is_none());
        assert_eq!(counter.load(Ordering::Relaxed), 1);
        drop(one);
        assert!(Counted::one_of_few(&counter, 1).is_some());
    }
}
