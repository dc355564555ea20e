//! `Breaths`: large frames that are read and large answers that are written are copied in parts, and between some of them
//! an arbiter looks at its sockets. Those who wait for that go on by what they have copied, the least first: who
//! copies much now and then does not wait for a thousand who all want to at once.

use std::cell::Cell;
use std::rc::Rc;

use super::turns::Turns;

/// So many bytes are copied on a thread before it looks at its sockets again, whoever they are of.
pub(super) const COPIED_BYTES_MAX: usize = 256 * 1024;
/// So much somebody copies at once who seldom does, before it comes in turn with those who always want to.
const CREDIT_BYTES: u64 = 8 * 1024 * 1024;
/// A newcomer comes behind others who have copied so much more than everybody.
const NEWCOMER_BYTES: u64 = 8 * 1024 * 1024;
/// One of so many is whoever has waited longest.
const OLDEST_EVERY: u64 = 4;

/// Those of a thread.
#[derive(Debug)]
pub(super) struct Breaths {
    turns: Rc<Turns>,
    /// Bytes that were copied since the last one.
    copied: Cell<usize>,
    /// The most that anybody had copied whose turn it was.
    share: Cell<u64>,
}

/// What a connection has copied in one direction while others waited, or could have.
#[derive(Debug)]
pub(super) struct Copied(Cell<u64>);

impl Default for Breaths {
    fn default() -> Self {
        Self {
            turns: Rc::new(Turns::of_oldest_every(OLDEST_EVERY)),
            copied: Cell::new(0),
            share: Cell::new(0),
        }
    }
}

impl Breaths {
    /// What one has copied that comes now.
    pub(super) fn account(&self) -> Copied {
        Copied(Cell::new(self.share.get()))
    }

    /// Whether one may copy at once.
    pub(super) fn may_copy(&self) -> bool {
        self.copied.get() < COPIED_BYTES_MAX && self.turns.is_free()
    }

    /// Waits until one may copy, who is to do so before it waits for anything else.
    pub(super) async fn take(&self, account: &Copied, is_newcomer: bool) {
        if self.may_copy() {
            return;
        }
        let least = self.share.get().saturating_sub(CREDIT_BYTES);
        let had = account.0.get().max(least);
        account.0.set(had);
        let debt = if is_newcomer { NEWCOMER_BYTES } else { 0 };
        // Whoever is called next runs when this one has copied.
        let _place = self.turns.enter(had + debt).await;
        self.share.set(self.share.get().max(had));
        while self.copied.get() >= COPIED_BYTES_MAX {
            tokio::task::yield_now().await;
            self.copied.set(0);
        }
    }

    /// So many bytes were copied, which count for those who had to wait for it.
    pub(super) fn has_copied(&self, bytes: usize, account: Option<&Copied>) {
        self.copied.set(self.copied.get().saturating_add(bytes));
        if let Some(account) = account {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            account.0.set(account.0.get().saturating_add(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    const PART: usize = COPIED_BYTES_MAX / 2;

    /// Those who want to copy so many parts each, as they come: whether one is a newcomer, and how much it had copied
    /// while others waited. Who copied a part, in order.
    async fn order_of(of_each: &[(bool, u64, usize)]) -> Vec<usize> {
        let breaths = Rc::<Breaths>::default();
        let order = Rc::<RefCell<Vec<usize>>>::default();
        // What nobody has looked at sockets since.
        breaths.has_copied(COPIED_BYTES_MAX, None);
        let local = tokio::task::LocalSet::new();
        for (who, (is_newcomer, had, parts)) in of_each.iter().copied().enumerate() {
            let (breaths, order) = (breaths.clone(), order.clone());
            local.spawn_local(async move {
                let account = breaths.account();
                account.0.set(had);
                for _ in 0..parts {
                    breaths.take(&account, is_newcomer).await;
                    breaths.has_copied(PART, Some(&account));
                    order.borrow_mut().push(who);
                }
            });
        }
        local.await;
        order.take()
    }

    #[tokio::test]
    async fn who_has_copied_least_goes_first() {
        let order = order_of(&[(false, 0, 1), (false, 3 << 20, 1), (false, 1 << 20, 1)]).await;
        // The first of all has it before the others come.
        assert_eq!(order, [0, 2, 1]);
    }

    #[tokio::test]
    async fn who_is_known_copies_much_before_newcomers_who_have_not_copied_anything() {
        const PARTS: usize = 32;
        let mut all = vec![(true, 0, 8); 200];
        all.push((false, 0, PARTS));
        let order = order_of(&all).await;
        let last = order.iter().rposition(|who| *who == 200).unwrap();
        assert!(last < 2 * PARTS, "after {last} parts");
        let of_newcomers = order[..last].iter().filter(|who| **who != 200).count();
        assert!(of_newcomers > PARTS / 5, "one of a few is theirs");
        assert_eq!(order.len(), 200 * 8 + PARTS, "everybody gets on");
    }
}
