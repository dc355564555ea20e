//! `Turns`: one place on a thread, and who waits for it. The lowest rank goes first, and in order among those of one rank;
//! but one of a few turns is that of whoever has waited longest, so that nobody waits for ever.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The place, and the line for it.
#[derive(Debug)]
pub(super) struct Turns {
    is_taken: Cell<bool>,
    line: RefCell<Line>,
    /// How many there were.
    turns: Cell<u64>,
    /// One of so many is that of whoever has waited longest.
    oldest_every: u64,
}

#[derive(Debug, Default)]
struct Line {
    /// The number of whoever comes next.
    next: u64,
    by_rank: BTreeSet<(u64, u64)>,
    /// By the numbers that they were given when they came, with their ranks.
    by_age: BTreeMap<u64, (u64, Rc<Ticket>)>,
}

/// Of one that waits.
#[derive(Debug)]
struct Ticket {
    number: u64,
    is_called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// The place. The next is called when it is given up.
#[derive(Debug)]
pub(super) struct Place(Rc<Turns>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.call_next();
    }
}

/// One that waits for the place, also when it goes away. There are very many of these: it is small.
#[derive(Debug)]
pub(super) struct Entering<'a> {
    turns: &'a Rc<Turns>,
    rank: u64,
    /// Once it stands in line, and until it has the place.
    ticket: Option<Rc<Ticket>>,
}

impl Future for Entering<'_> {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Place> {
        let turns = self.turns;
        if let Some(ticket) = &self.ticket {
            if !ticket.is_called.get() {
                ticket.waker.replace(Some(task.waker().clone()));
                return Poll::Pending;
            }
            self.ticket = None;
        } else if turns.is_taken.replace(true) {
            let ticket = turns.line.borrow_mut().add(self.rank);
            ticket.waker.replace(Some(task.waker().clone()));
            self.ticket = Some(ticket);
            return Poll::Pending;
        }
        Poll::Ready(Place(turns.clone()))
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        if ticket.is_called.get() {
            self.turns.call_next();
        } else {
            self.turns.line.borrow_mut().take(ticket.number);
        }
    }
}

impl Turns {
    /// One of so many turns is that of whoever has waited longest.
    pub(super) fn of_oldest_every(turns: u64) -> Self {
        Self {
            is_taken: Cell::new(false),
            line: RefCell::default(),
            turns: Cell::new(0),
            oldest_every: turns,
        }
    }

    /// Waits for the place.
    pub(super) fn enter(self: &Rc<Self>, rank: u64) -> Entering<'_> {
        Entering {
            turns: self,
            rank,
            ticket: None,
        }
    }

    /// Whether nobody has the place.
    pub(super) fn is_free(&self) -> bool {
        !self.is_taken.get()
    }

    /// Whether who has the place, and is of that rank, has the next turn, too.
    pub(super) fn goes_on(&self, rank: u64) -> bool {
        let line = self.line.borrow();
        let Some((first, _)) = line.by_rank.first() else {
            return true;
        };
        let goes_on = rank <= *first && !self.is_for_oldest();
        if goes_on {
            self.turns.set(self.turns.get() + 1);
        }
        goes_on
    }

    fn is_for_oldest(&self) -> bool {
        (self.turns.get() + 1).is_multiple_of(self.oldest_every)
    }

    fn call_next(&self) {
        let is_for_oldest = self.is_for_oldest();
        self.turns.set(self.turns.get() + 1);
        let Some(ticket) = self.line.borrow_mut().pop(is_for_oldest) else {
            self.is_taken.set(false);
            return;
        };
        ticket.is_called.set(true);
        if let Some(waker) = ticket.waker.take() {
            waker.wake();
        }
    }
}

impl Line {
    fn add(&mut self, rank: u64) -> Rc<Ticket> {
        let number = self.next;
        self.next += 1;
        let ticket = Rc::new(Ticket {
            number,
            is_called: Cell::new(false),
            waker: RefCell::new(None),
        });
        self.by_rank.insert((rank, number));
        self.by_age.insert(number, (rank, ticket.clone()));
        ticket
    }

    fn pop(&mut self, is_for_oldest: bool) -> Option<Rc<Ticket>> {
        let number = match is_for_oldest {
            true => *self.by_age.first_key_value()?.0,
            false => self.by_rank.first()?.1,
        };
        self.take(number)
    }

    fn take(&mut self, number: u64) -> Option<Rc<Ticket>> {
        let (rank, ticket) = self.by_age.remove(&number)?;
        self.by_rank.remove(&(rank, number));
        Some(ticket)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const NEVER: u64 = u64::MAX;

    /// In which order these are called who wait for the place: each gives it up at once.
    async fn order_of(turns: &Rc<Turns>, ranks: &[u64]) -> Vec<u64> {
        let held = turns.enter(0).await;
        let mut waiting: Vec<_> = ranks
            .iter()
            .map(|rank| (*rank, Box::pin(turns.enter(*rank))))
            .collect();
        for (_, one) in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        drop(held);
        let mut order = Vec::new();
        while order.len() < ranks.len() {
            for (rank, one) in &mut waiting {
                if !order.contains(rank) && one.now_or_never().is_some() {
                    order.push(*rank);
                }
            }
        }
        order
    }

    #[tokio::test]
    async fn the_lowest_rank_goes_first() {
        let turns = Rc::new(Turns::of_oldest_every(NEVER));
        let order = order_of(&turns, &[5, 3, 9, 1]).await;
        assert_eq!(order, [1, 3, 5, 9]);
        assert!(turns.is_free());
    }

    #[tokio::test]
    async fn one_of_a_few_turns_is_for_who_has_waited_longest() {
        let turns = Rc::new(Turns::of_oldest_every(3));
        let order = order_of(&turns, &[9, 8, 5, 3, 1]).await;
        assert_eq!(order, [1, 3, 9, 5, 8]);
    }

    #[tokio::test]
    async fn who_keeps_the_place_gives_it_to_who_has_waited_longest_now_and_then() {
        let turns = Rc::new(Turns::of_oldest_every(4));
        let _held = turns.enter(0).await;
        assert!((0..10).all(|_| turns.goes_on(7)), "nobody waits");
        let mut waits = Box::pin(turns.enter(8));
        assert!((&mut waits).now_or_never().is_none());
        assert!(!turns.goes_on(9), "it is not first");
        let kept = (0..10).take_while(|_| turns.goes_on(0)).count();
        assert_eq!(kept, 3);
    }

    #[tokio::test]
    async fn one_in_line_that_goes_away_is_passed_over() {
        let turns = Rc::new(Turns::of_oldest_every(NEVER));
        let held = turns.enter(0).await;
        let mut gone = [1, 2].map(|rank| Box::pin(turns.enter(rank)));
        for waiting in &mut gone {
            assert!(waiting.now_or_never().is_none());
        }
        let mut last = Box::pin(turns.enter(3));
        assert!((&mut last).now_or_never().is_none());
        let [called, in_line] = gone;
        drop(in_line);
        drop(held);
        drop(called);
        assert!(last.now_or_never().is_some());
        assert!(turns.is_free(), "it was given up as well");
    }
}
