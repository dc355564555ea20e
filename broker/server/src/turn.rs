//! `Turn`: how much an actor takes in a row. actix takes messages for as long as there are any, and
//! meanwhile neither the actor's own timers nor anybody else on the thread gets to run. So after a few of them
//! the actor pauses until the thread has looked at its sockets and everybody else has run; what it took waits,
//! to be written with what comes. After `limits::MESSAGES_PER_TURN`, or `limits::BYTES_PER_TURN`, the turn is
//! over: between two pauses the actor does what the end of the mailbox and its timers are for.

use std::pin::Pin;
use std::task::{Context as Task, Poll};

use actix::prelude::*;
use broker_model::limits::{BYTES_PER_TURN, MESSAGES_PER_TURN};
use tokio::task::JoinHandle;

use crate::net::lane::let_others_run;

/// An actor that clients can flood.
pub(crate) trait TakesTurns: Actor<Context = Context<Self>> {
    /// The turn is over: what waits for the end of the mailbox or for a timer that is due is done now.
    /// Under a flood actix polls one future of an actor at a time, so timers alone cannot be relied on.
    fn end_turn(&mut self, ctx: &mut Context<Self>);
}

/// Messages that are taken without a pause.
const MESSAGES_IN_A_ROW: usize = 16;
/// To write so many bytes takes so long that others get to run first: they may have waited while these were read.
pub(crate) const MUCH_TO_WRITE: usize = 256 * 1024;

/// What was taken in a turn so far.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    messages: usize,
    bytes: usize,
    /// Of these messages, since the last pause.
    in_a_row: usize,
}

/// What comes before the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Others get to run.
    Within,
    /// The turn is over, and others get to run.
    End,
}

impl Turn {
    /// Counts a message that brings so many bytes to be written, while so many others wait; answers what is to
    /// come before the next, for which [`stand_back`] is to be called.
    pub(crate) fn took(&mut self, bytes: usize, waiting: usize) -> Option<Pause> {
        self.messages += 1;
        self.bytes += bytes;
        self.in_a_row += 1;
        if self.messages >= MESSAGES_PER_TURN || self.bytes >= BYTES_PER_TURN {
            *self = Self::default();
            return Some(Pause::End);
        }
        let is_much = bytes >= MUCH_TO_WRITE;
        // Whoever has taken everything pauses anyway.
        if self.in_a_row < MESSAGES_IN_A_ROW && waiting > 0 && !is_much {
            return None;
        }
        self.in_a_row = 0;
        (waiting > 0 || is_much).then_some(Pause::Within)
    }
}

/// Pauses before the next message is taken.
pub(crate) fn stand_back<A: TakesTurns>(ctx: &mut Context<A>, pause: Pause) {
    ctx.wait(StandBack {
        is_over: pause == Pause::End,
        others: others(),
    });
}

/// Ends when the thread has looked at its sockets and everybody has run who was ready or got something to do by that.
fn others() -> JoinHandle<()> {
    // A task of its own, for new messages wake the actor, and would end a wait that is the actor's alone.
    actix_rt::spawn(let_others_run())
}

struct StandBack {
    /// The turn is, and its end is still to be seen to.
    is_over: bool,
    others: JoinHandle<()>,
}

impl<A: TakesTurns> ActorFuture<A> for StandBack {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        while Pin::new(&mut self.others).poll(task).is_ready() {
            if !std::mem::take(&mut self.is_over) {
                return Poll::Ready(());
            }
            actor.end_turn(ctx);
            self.others = others();
        }
        Poll::Pending
    }
}

/// Counts how often others get to run on this thread.
#[cfg(test)]
pub(crate) fn count_turns() -> (std::rc::Rc<std::cell::Cell<u32>>, JoinHandle<()>) {
    let turns = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = turns.clone();
    let others = actix_rt::spawn(async move {
        loop {
            counted.set(counted.get() + 1);
            tokio::task::yield_now().await;
        }
    });
    (turns, others)
}
