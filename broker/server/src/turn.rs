//! `Turn`: how much an actor takes in a row. actix takes messages for as long as there are any, and
//! meanwhile neither the actor's own timers nor anybody else on the thread gets to run. After
//! `limits::MESSAGES_PER_TURN` of them, or `limits::BYTES_PER_TURN`, the actor does what its timers are for
//! and stands back until the thread has looked at its sockets and everybody else has run.

use std::pin::Pin;
use std::task::{Context as Task, Poll};

use actix::prelude::*;
use broker_model::limits::{BYTES_PER_TURN, MESSAGES_PER_TURN};
use tokio::task::JoinHandle;

/// An actor that clients can flood.
pub(crate) trait TakesTurns: Actor<Context = Context<Self>> {
    /// The turn is over: what waits for the end of the mailbox or for a timer that is due is done now.
    /// Under a flood actix polls one future of an actor at a time, so timers alone cannot be relied on.
    fn end_turn(&mut self, ctx: &mut Context<Self>);
}

/// What was taken in a turn so far.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    messages: usize,
    bytes: usize,
}

impl Turn {
    /// Counts a message that brings so many bytes to be written; answers whether the turn is over, in which
    /// case [`stand_back`] is to be called.
    pub(crate) fn took(&mut self, bytes: usize) -> bool {
        self.messages += 1;
        self.bytes += bytes;
        let is_over = self.messages >= MESSAGES_PER_TURN || self.bytes >= BYTES_PER_TURN;
        if is_over {
            *self = Self::default();
        }
        is_over
    }
}

/// Ends the turn before the next message is taken.
pub(crate) fn stand_back<A: TakesTurns>(ctx: &mut Context<A>) {
    // A task of its own, for new messages wake the actor, and would end a wait that is the actor's alone.
    let others = actix_rt::spawn(tokio::task::yield_now());
    ctx.wait(StandBack {
        has_ended: false,
        others,
    });
}

struct StandBack {
    has_ended: bool,
    /// Ends when the thread has looked at its sockets and everybody who was ready has run.
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
        if !std::mem::replace(&mut self.has_ended, true) {
            actor.end_turn(ctx);
        }
        Pin::new(&mut self.others).poll(task).map(drop)
    }
}
