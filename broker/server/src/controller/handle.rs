//! `ControllerHandle`: the only door to the controller. It outlives a restart of the actor.

use std::sync::Arc;

use actix::Addr;
use actix::prelude::SendError;
use arc_swap::ArcSwapOption;

use super::actor::ControllerActor;
use super::error::ControllerError;
use super::messages::{Close, Crash, Intent, LookForFiles, Outcome, Plan, Propose};
use crate::actor_stats::ActorStats;
use crate::reply::Reply;

/// A cheap clone that speaks to the controller.
#[derive(Clone, Default)]
pub(crate) struct ControllerHandle {
    addr: Arc<ArcSwapOption<Addr<ControllerActor>>>,
    stats: Arc<ActorStats>,
    trouble: Arc<ArcSwapOption<String>>,
}

impl ControllerHandle {
    /// Why metadata cannot be changed, if it cannot.
    pub(crate) fn trouble(&self) -> Option<Arc<String>> {
        self.trouble.load_full()
    }

    /// Where the actor says so.
    pub(super) fn notice_board(&self) -> &Arc<ArcSwapOption<String>> {
        &self.trouble
    }

    /// The log's directory is missed: it is looked at.
    pub(crate) fn look_for_files(&self) {
        if let Some(addr) = self.addr.load().as_ref() {
            self.stats.sent();
            // Once a second at most, and by ourselves.
            addr.do_send(LookForFiles);
        }
    }

    pub(super) fn attach(&self, addr: Addr<ControllerActor>) {
        self.addr.store(Some(Arc::new(addr)));
    }

    /// Plans a change and, if so intended, answers once it is durable and carried out.
    pub(crate) async fn propose(
        &self,
        plan: Plan,
        intent: Intent,
    ) -> Result<Outcome, ControllerError> {
        let (reply, answer) = Reply::channel();
        self.stats.sent();
        let message = Propose {
            plan,
            intent,
            reply,
        };
        let refused = match self.addr.load().as_ref() {
            None => Some((message, ControllerError::Stopping)),
            Some(addr) => match addr.try_send(message) {
                Ok(()) => None,
                Err(SendError::Full(message)) => Some((message, ControllerError::Busy)),
                Err(SendError::Closed(message)) => Some((message, ControllerError::Restarting)),
            },
        };
        if let Some((message, error)) = refused {
            self.stats.not_sent();
            message.reply.send(Err(error));
        }
        answer.await
    }

    /// Answers what waits and ends the actor.
    pub(super) async fn close(&self) -> Result<(), ControllerError> {
        let (reply, answer) = Reply::channel();
        if let Some(addr) = self.addr.load().as_ref() {
            self.stats.sent();
            // A full mailbox must not keep a broker from stopping.
            addr.do_send(Close { reply });
        }
        answer.await
    }

    /// Makes the actor panic; fault injection only.
    pub(crate) fn crash(&self) {
        if let Some(addr) = self.addr.load().as_ref() {
            self.stats.sent();
            addr.do_send(Crash);
        }
    }

    /// What `list_actors` shows.
    pub(crate) fn stats(&self) -> &Arc<ActorStats> {
        &self.stats
    }
}
