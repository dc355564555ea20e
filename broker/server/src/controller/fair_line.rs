//! `FairLine`: those who want to change metadata wait in it, and who has had the least comes first (start-time fair
//! queueing, Goyal, Vin and Cheng 1996): one change does not wait for the thousands that others have asked for. Now and
//! then it is whoever has waited longest, so that nobody waits for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use broker_model::limits::CHANGE_WORK_UNDER_WAY;
use tokio::sync::oneshot;

/// So much work somebody has at once who asks for little, before it comes in turn with those who always want more.
const CREDIT: u64 = 64;
/// One of so many is the one that has waited longest.
const OLDEST_EVERY: u64 = 4;

/// The line; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct FairLine(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What the one had had that came last; who has asked for nothing for long counts as having had about as much.
    clock: u64,
    /// The most that anybody will have had.
    last: u64,
    /// The work of the changes that were let in and are not over.
    under_way: u64,
    /// How many were let in.
    let_in: u64,
    /// Those that wait, as they come.
    order: BTreeSet<Rank>,
    /// The same, as they have come.
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    is_closed: bool,
}

/// What an asker has had before a change, how much work it is, and which number it has.
type Rank = (u64, u64, u64);

struct Waiting {
    rank: Rank,
    call: oneshot::Sender<Place>,
}

/// What one who asks for changes has had; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share(Arc<Mutex<u64>>);

/// A change that was let in, until it is carried out or refused.
pub(super) struct Place {
    line: FairLine,
    work: u64,
}

impl FairLine {
    /// Waits until a change of so much work is let in, that is until what is under way leaves room or nothing is; `None`
    /// once the line is closed.
    pub(super) async fn place(&self, share: &Share, work: u64) -> Option<Place> {
        let called = self.enter(share, work.max(1));
        self.let_in();
        called.await.ok()
    }

    /// Nobody is let in any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.order.clear();
        state.waiting.clear();
    }

    fn enter(&self, share: &Share, work: u64) -> oneshot::Receiver<Place> {
        let (call, called) = oneshot::channel();
        let mut state = self.lock();
        if state.is_closed {
            return called;
        }
        let had = share.charge(work, state.clock);
        state.last = state.last.max(had + work);
        let number = state.next;
        state.next += 1;
        let rank = (had, work, number);
        state.order.insert(rank);
        state.waiting.insert(number, Waiting { rank, call });
        called
    }

    /// Calls those whom there is room for.
    fn let_in(&self) {
        loop {
            let first = self.lock().pop();
            let Some((work, call)) = first else {
                return;
            };
            let line = self.clone();
            // Who has gone gives the place back at once.
            drop(call.send(Place { line, work }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

impl State {
    /// Takes out the next one, if there is room for it: nobody overtakes it then.
    fn pop(&mut self) -> Option<(u64, oneshot::Sender<Place>)> {
        let is_for_oldest = self.let_in % OLDEST_EVERY == OLDEST_EVERY - 1;
        let rank = match is_for_oldest {
            true => self.waiting.values().next()?.rank,
            false => *self.order.first()?,
        };
        let (had, work, number) = rank;
        if self.under_way > 0 && self.under_way + work > CHANGE_WORK_UNDER_WAY {
            return None;
        }
        self.order.remove(&rank);
        let first = self.waiting.remove(&number)?;
        self.let_in += 1;
        self.under_way += work;
        if !is_for_oldest {
            self.clock = self.clock.max(had);
        }
        if self.waiting.is_empty() {
            // Nobody owes anything.
            self.clock = self.last + CREDIT;
        }
        Some((work, first.call))
    }
}

impl Share {
    /// Charges it with so much work; answers what it counts as having had before, which is not far behind the clock.
    fn charge(&self, work: u64, clock: u64) -> u64 {
        let mut had = self.0.lock().expect("no code panics while it holds this");
        let before = clock.saturating_sub(CREDIT).max(*had);
        *had = before + work;
        before
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.lock().under_way -= self.work;
        self.line.let_in();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::FutureExt;

    use super::*;

    type Waits = std::pin::Pin<Box<dyn Future<Output = Place>>>;

    /// Enters, and waits or is in.
    fn enter(line: &FairLine, share: &Share, work: u64) -> Result<Place, Waits> {
        let (line, share) = (line.clone(), share.clone());
        let mut place: Waits =
            Box::pin(async move { line.place(&share, work).await.expect("it is open") });
        match (&mut place).now_or_never() {
            Some(place) => Ok(place),
            None => Err(place),
        }
    }

    #[test]
    fn so_much_work_is_under_way_and_a_change_of_more_comes_alone() {
        let (line, share) = (FairLine::default(), Share::default());
        let half = CHANGE_WORK_UNDER_WAY / 2;
        let first = enter(&line, &share, half).ok().expect("room");
        let second = enter(&line, &share, half).ok().expect("room");
        let mut large = enter(&line, &share, 10 * CHANGE_WORK_UNDER_WAY)
            .err()
            .expect("none");
        let mut next = enter(&line, &share, 1).err().expect("none");
        drop(first);
        assert!((&mut large).now_or_never().is_none(), "not alone");
        assert!((&mut next).now_or_never().is_none(), "behind its own");
        drop(second);
        let large = large.now_or_never().expect("alone");
        assert!((&mut next).now_or_never().is_none(), "no room");
        drop(large);
        assert!(next.now_or_never().is_some());
    }

    /// How many changes of so much work of fifty others, who always want another, are let in before the first one of
    /// somebody who comes when some have been.
    fn let_in_before(work: u64, work_of_others: u64, been: usize) -> usize {
        let line = FairLine::default();
        let full = enter(&line, &Share::default(), CHANGE_WORK_UNDER_WAY).ok();
        let shares: Vec<Share> = std::iter::repeat_with(Share::default).take(50).collect();
        let mut waiting: VecDeque<(usize, Waits)> = VecDeque::new();
        for (number, share) in shares.iter().enumerate() {
            for _ in 0..2 {
                let waits = enter(&line, share, work_of_others).err();
                waiting.push_back((number, waits.expect("no room")));
            }
        }
        drop(full);
        let (mut modest, mut before) = (None, 0);
        for let_in in 0.. {
            if let_in == been {
                match enter(&line, &Share::default(), work) {
                    Ok(_) => break,
                    Err(waits) => modest = Some(waits),
                }
            }
            if modest
                .as_mut()
                .is_some_and(|waits| waits.now_or_never().is_some())
            {
                break;
            }
            let is_in = |(_, waits): &mut (usize, Waits)| waits.now_or_never();
            let Some((at, place)) = waiting
                .iter_mut()
                .enumerate()
                .find_map(|(at, waits)| Some((at, is_in(waits)?)))
            else {
                panic!("nobody is let in");
            };
            let (number, _) = waiting.remove(at).expect("there");
            let again = enter(&line, &shares[number], work_of_others).err();
            waiting.push_back((number, again.expect("no room")));
            before += usize::from(let_in >= been);
            drop(place);
        }
        before
    }

    #[test]
    fn who_has_asked_for_nothing_yet_does_not_wait_for_those_who_have() {
        for (work, work_of_others) in [(2, 21), (2, 2), (21, 2), (1_000, 2)] {
            for been in [70, 125, 400] {
                let before = let_in_before(work, work_of_others, been);
                // Some were in already.
                assert!(before <= 20, "{before} when {been} had been let in");
            }
        }
    }

    #[test]
    fn of_those_who_have_asked_for_nothing_yet_the_smallest_comes_first() {
        for been in [0, 10, 40] {
            let before = let_in_before(2, 21, been);
            assert!(before <= 2, "{before} when {been} had been let in");
        }
    }

    #[test]
    fn newcomers_do_not_keep_others_waiting_for_ever() {
        let line = FairLine::default();
        let full = enter(&line, &Share::default(), CHANGE_WORK_UNDER_WAY).ok();
        let known = Share::default();
        let mut first = enter(&line, &known, 2).err().expect("no room");
        let mut second = enter(&line, &known, 2).err().expect("no room");
        let newcomer = || enter(&line, &Share::default(), CHANGE_WORK_UNDER_WAY - 1).err();
        let mut newcomers: VecDeque<Waits> = std::iter::repeat_with(newcomer)
            .take(20)
            .flatten()
            .collect();
        drop(full);
        drop(
            (&mut first)
                .now_or_never()
                .expect("the smallest comes first"),
        );
        for _ in 0..100 {
            let place = match (&mut second).now_or_never() {
                Some(_) => return,
                None => newcomers
                    .pop_front()
                    .expect("there are more")
                    .now_or_never(),
            };
            newcomers.extend(newcomer());
            drop(place.expect("the first of the line"));
        }
        panic!("it never came");
    }

    #[test]
    fn a_place_that_nobody_takes_is_the_next_ones() {
        let (line, share) = (FairLine::default(), Share::default());
        let full = enter(&line, &share, CHANGE_WORK_UNDER_WAY).ok();
        let gone = enter(&line, &share, 1).err();
        let next = enter(&line, &share, 1).err().expect("no room");
        drop(gone);
        drop(full);
        assert!(next.now_or_never().is_some());
    }

    #[test]
    fn who_waits_when_it_is_closed_and_who_comes_then_gets_no_place() {
        let (line, share) = (FairLine::default(), Share::default());
        let full = line.place(&share, CHANGE_WORK_UNDER_WAY).now_or_never();
        let mut waiting = Box::pin(line.place(&share, 1));
        assert!((&mut waiting).now_or_never().is_none());
        line.close();
        assert!(waiting.now_or_never().is_some_and(|place| place.is_none()));
        drop(full);
        let late = line.place(&share, 1).now_or_never();
        assert!(late.is_some_and(|place| place.is_none()));
    }

    #[test]
    fn nothing_is_owed_once_nobody_waits() {
        let (line, much) = (FairLine::default(), Share::default());
        drop(enter(&line, &much, 10_000));
        let full = enter(&line, &Share::default(), CHANGE_WORK_UNDER_WAY).ok();
        let first = enter(&line, &much, 2).err().expect("no room");
        let second = enter(&line, &Share::default(), 40).err().expect("no room");
        drop(full);
        let first = first.now_or_never();
        assert!(first.is_some());
        drop(first);
        assert!(second.now_or_never().is_some());
    }
}
