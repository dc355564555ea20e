//! `Turn`: how many messages an actor takes in a row. actix takes messages for as long as there are any,
//! and meanwhile neither the actor's own timers nor anybody else on the thread gets to run. After
//! `limits::MESSAGES_PER_TURN` of them the actor does what its timers are for and stands back once.

use std::pin::Pin;
use std::task::{Context as Task, Poll};

use actix::prelude::*;
use broker_model::limits::MESSAGES_PER_TURN;

/// An actor that clients can flood.
pub(crate) trait TakesTurns: Actor<Context = Context<Self>> {
    /// The turn is over: what waits for the end of the mailbox or for a timer that is due is done now.
    /// Under a flood actix polls one future of an actor at a time, so timers alone cannot be relied on.
    fn end_turn(&mut self, ctx: &mut Context<Self>);
}

/// The messages of a turn so far.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    taken: usize,
}

impl Turn {
    /// Counts a message; answers whether the turn is over, in which case [`stand_back`] is to be called.
    pub(crate) fn took(&mut self) -> bool {
        self.taken += 1;
        let is_over = self.taken >= MESSAGES_PER_TURN;
        if is_over {
            self.taken = 0;
        }
        is_over
    }
}

/// Ends the turn before the next message is taken.
pub(crate) fn stand_back<A: TakesTurns>(ctx: &mut Context<A>) {
    ctx.wait(StandBack { stood_back: false });
}

struct StandBack {
    stood_back: bool,
}

impl<A: TakesTurns> ActorFuture<A> for StandBack {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        if self.stood_back {
            return Poll::Ready(());
        }
        self.stood_back = true;
        actor.end_turn(ctx);
        task.waker().wake_by_ref();
        Poll::Pending
    }
}
