//! `Lane`: one per arbiter, for connections that always have more to do. An arbiter runs whoever is ready in
//! turn: with a hundred connections that never run dry, a small request would wait for all of them, several
//! times. So a connection goes on freely only while what came at once is little work, beyond that in passes of
//! the lane, which are short: between two of them the arbiter looks at its sockets and runs everybody else. Who
//! did the least goes first: those who have much now and then do not wait for those who have much all the time.
//! Newcomers queue until they have shown that they are light, and that they stay.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::breaths::{Breaths, Copied};
use super::turns::{Place, Turns};

/// Work that a connection may do freely each time that something has come. Work is counted in requests, not
/// measured: a thread that the system did not let run has not worked.
const LIGHT_WORK: u32 = 16;
/// Work of a pass of the lane; connections with little to do share one.
const PASS_WORK: u32 = 16;
/// So many bytes that were worked on are as much work as a small request, ...
const BYTES_OF_WORK: usize = 32 * 1024;
/// ... and so many times as many that were only read.
const READ_TIMES: usize = 2;
/// Taking in a connection is as much work as so many requests, and so is taking it down.
const ARRIVAL_WORK: u32 = 8;
/// To be woken for a request or its first part, and to answer it alone, is as much work as so many that come together.
const WAKING_WORK: u32 = 4;
/// So often a newcomer has to show that it is light: many that come and go at once do not stay for so long.
const TRIALS: u32 = 32;
/// A newcomer comes behind others that have done so much more than everybody, ...
const NEWCOMER_WORK: u64 = 2048;
/// ... but one pass of so many is for whoever has waited longest.
const OLDEST_EVERY: u64 = 4;
/// How much less than others a connection may have done, for that to be made up for at once.
const CREDIT_MAX: u64 = 256;

thread_local! {
    static LANE: Rc<Lane> = Rc::new(Lane::default());
}

/// The lane of an arbiter.
#[derive(Debug)]
struct Lane {
    turns: Rc<Turns>,
    /// The work that whoever has or had the place had done before its pass: how much everybody could do who
    /// always had something.
    share: Cell<u64>,
    /// Work that is left of the pass.
    left: Cell<u32>,
    breaths: Breaths,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            turns: Rc::new(Turns::of_oldest_every(OLDEST_EVERY)),
            share: Cell::new(0),
            left: Cell::new(PASS_WORK),
            breaths: Breaths::default(),
        }
    }
}

impl Lane {
    /// One that did so much has the place now, or still.
    fn serves(&self, worked: u64) {
        self.share.set(self.share.get().max(worked));
    }

    /// For whoever has the place: waits until others had their turn, if the pass is over.
    async fn pass(&self) {
        if self.left.get() == 0 {
            let_others_run().await;
            self.left.set(PASS_WORK);
        }
    }
}

/// How often a connection still has to show that it is light.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trials(u32);

impl Default for Trials {
    /// Of one that nothing is known of.
    fn default() -> Self {
        Self(TRIALS)
    }
}

/// What a connection does from when something has come until it has to wait for more.
#[derive(Debug)]
pub(crate) struct Stint {
    lane: Rc<Lane>,
    place: RefCell<Option<Place>>,
    /// Whether it has to queue from the start.
    is_busy: Cell<bool>,
    /// How often it still has to, however little it does.
    trials: Cell<u32>,
    /// What it did in this stint.
    worked: Cell<u32>,
    /// Bytes that were worked on and are not counted yet: less than count.
    bytes: Cell<u32>,
    /// What it did in the lane, or could have done.
    account: Cell<u64>,
    copied: Copied,
    /// It had to wait for what it copies next.
    copies_count: Cell<bool>,
    /// It stopped to let others run, not for want of input.
    stands_back: Cell<bool>,
    /// The same, and it is woken when they have.
    breathes: Cell<bool>,
}

impl Stint {
    /// Of a connection that came to this thread just now.
    pub(crate) fn of_connection(trials: Trials) -> Self {
        let stint = Self::in_lane(LANE.with(Rc::clone));
        stint.trials.set(trials.0);
        stint
    }

    /// What it still has to show, wherever it goes.
    pub(crate) fn trials(&self) -> Trials {
        Trials(self.trials.get())
    }

    /// Of a task that starts with little to do.
    pub(crate) fn of_task() -> Self {
        let stint = Self::in_lane(LANE.with(Rc::clone));
        stint.is_busy.set(false);
        stint
    }

    fn in_lane(lane: Rc<Lane>) -> Self {
        Self {
            account: Cell::new(lane.share.get()),
            copied: lane.breaths.account(),
            copies_count: Cell::new(false),
            lane,
            place: RefCell::new(None),
            is_busy: Cell::new(true),
            trials: Cell::new(0),
            worked: Cell::new(0),
            bytes: Cell::new(0),
            stands_back: Cell::new(false),
            breathes: Cell::new(false),
        }
    }

    /// Takes in a connection that came to this thread just now.
    pub(crate) async fn arrive(&self) {
        self.go_on().await;
        self.work(ARRIVAL_WORK);
        // Whoever comes next follows this one: those who are here wait for a few, not for all that ever come.
        self.lane.serves(self.account.get());
    }

    /// Takes in the next request. It holds the lane only while it runs: whenever it has to wait for
    /// anything, the stint is over. What reads is pinned by whoever asks, for every connection has one: taken by
    /// value it would be in memory twice.
    pub(crate) async fn take_in<F: Future>(&self, mut reading: Pin<&mut F>) -> F::Output {
        let mut has_breathed = false;
        loop {
            // Others wait for what it copies next: that is done before it waits in the lane again.
            if !std::mem::take(&mut has_breathed) {
                self.go_on().await;
            }
            match std::future::poll_fn(|task| Poll::Ready(reading.as_mut().poll(task))).await {
                Poll::Ready(done) => {
                    let is_first = self.worked.get() == 0;
                    self.work(if is_first { WAKING_WORK } else { 1 });
                    return done;
                }
                Poll::Pending if self.breathes.take() => {
                    self.place.take();
                    until_woken().await;
                    has_breathed = true;
                }
                Poll::Pending if self.stands_back.take() => {}
                Poll::Pending => {
                    self.end();
                    until_woken().await;
                }
            }
        }
    }

    /// Takes down the connection, when it is its turn: many may be reset at once.
    pub(crate) async fn leave(&self) {
        // Whoever comes waits for its place.
        self.trials.set(0);
        self.is_busy.set(true);
        self.go_on().await;
        self.work(ARRIVAL_WORK);
    }

    /// Within [`Self::take_in`], it was woken for a request that is still to come in part.
    pub(crate) fn has_begun(&self) {
        self.work(WAKING_WORK);
    }

    /// Before many bytes are read or written: lets others run, if many were on this thread. Newcomers come behind others.
    pub(crate) async fn breathe(&self, is_newcomer: bool) {
        if self.lane.breaths.may_copy() {
            return;
        }
        self.copies_count.set(true);
        // Apart from the task, which is small while it waits for anything else.
        let mut breath = Box::pin(self.lane.breaths.take(&self.copied, is_newcomer));
        std::future::poll_fn(|task| {
            let waits = breath.as_mut().poll(task);
            self.breathes.set(waits.is_pending());
            waits
        })
        .await;
    }

    /// Whether it has not been here for long.
    pub(crate) fn is_newcomer(&self) -> bool {
        self.trials.get() > 0
    }

    /// So many bytes were copied from or to a socket.
    pub(crate) fn has_copied(&self, bytes: usize) {
        let account = self.copies_count.take().then_some(&self.copied);
        self.lane.breaths.has_copied(bytes, account);
    }

    /// Within [`Self::take_in`], so many bytes were read: others may run, if it was much.
    pub(crate) async fn has_read(&self, bytes: usize) {
        self.has_done(bytes / READ_TIMES).await;
    }

    /// Within [`Self::take_in`], so many bytes were worked on: others may run, if it was much.
    pub(crate) async fn has_done(&self, bytes: usize) {
        self.has_worked_on(bytes);
        if !self.may_go_on() {
            self.stands_back.set(true);
            until_woken().await;
        }
    }

    /// Between two requests, so many bytes were worked on: that counts before the next is taken in.
    pub(crate) fn has_worked_on(&self, bytes: usize) {
        let before = usize::try_from(self.bytes.get()).unwrap_or(0);
        let bytes = before.saturating_add(bytes);
        self.bytes
            .set(u32::try_from(bytes % BYTES_OF_WORK).unwrap_or(0));
        self.work(u32::try_from(bytes / BYTES_OF_WORK).unwrap_or(u32::MAX));
    }

    /// Waits for the lane if it is not light.
    pub(crate) async fn go_on(&self) {
        if self.may_go_on() {
            return;
        }
        self.is_busy.set(true);
        // Newcomers come in turn among each other.
        let (credit, debt) = match self.is_newcomer() {
            true => (0, NEWCOMER_WORK),
            false => (CREDIT_MAX, 0),
        };
        let least = self.lane.share.get().saturating_sub(credit);
        let account = self.account.get().max(least);
        self.account.set(account);
        let rank = account + debt;
        let has_place = self.place.borrow().is_some();
        if !has_place || !self.lane.turns.goes_on(rank) {
            self.place.take();
            let place = self.lane.turns.enter(rank).await;
            self.place.replace(Some(place));
        }
        self.lane.serves(account);
        self.lane.pass().await;
    }

    /// There is nothing to do for now: the stint is over.
    pub(crate) fn end(&self) {
        self.place.take();
        let worked = self.worked.take();
        if worked == 0 {
            // It only looked whether there was something to do.
            return;
        }
        let trials = self.trials.get().saturating_sub(1);
        self.trials.set(trials);
        self.is_busy.set(worked > LIGHT_WORK || trials > 0);
    }

    fn may_go_on(&self) -> bool {
        if self.place.borrow().is_some() {
            return self.lane.left.get() > 0;
        }
        !self.is_busy.get() && self.worked.get() < LIGHT_WORK
    }

    fn work(&self, work: u32) {
        self.worked.set(self.worked.get().saturating_add(work));
        if self.place.borrow().is_some() {
            let account = self.account.get().saturating_add(u64::from(work));
            self.account.set(account);
            let left = self.lane.left.get();
            self.lane.left.set(left.saturating_sub(work));
        }
    }
}

/// Waits until the thread has run everybody, has looked at its sockets, and has run those who got something to
/// do by that, with everything that comes of it: a request goes through several tasks until it is answered.
pub(crate) async fn let_others_run() {
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
}

/// Waits until the task is woken, by whatever it has waited for before.
async fn until_woken() {
    let mut waited = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut waited, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
