//! `ControllerHandle`: the only door to the controller. It outlives a restart of the actor. Whoever wants a change
//! waits here, in the order of asking, until few enough are under way.

use std::sync::Arc;

use actix::prelude::SendError;
use actix::{Addr, Handler, Message};
use arc_swap::ArcSwapOption;
use broker_model::limits::CHANGES_UNDER_WAY_MAX;
use broker_storage::{ScrubFound, ScrubTarget, Scrubbed};
use tokio::sync::Semaphore;

use super::actor::ControllerActor;
use super::error::ControllerError;
use super::messages::{
    BeginScrub, Close, Crash, FinishScrub, Intent, LookForFiles, Outcome, Place, Plan, Propose,
};
use crate::actor_stats::ActorStats;
use crate::reply::Reply;

/// A cheap clone that speaks to the controller.
#[derive(Clone)]
pub(crate) struct ControllerHandle {
    addr: Arc<ArcSwapOption<Addr<ControllerActor>>>,
    stats: Arc<ActorStats>,
    trouble: Arc<ArcSwapOption<String>>,
    /// For changes.
    under_way: Arc<Semaphore>,
}

impl Default for ControllerHandle {
    fn default() -> Self {
        Self {
            addr: Arc::default(),
            stats: Arc::default(),
            trouble: Arc::default(),
            under_way: Arc::new(Semaphore::new(CHANGES_UNDER_WAY_MAX)),
        }
    }
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
        self.tell(LookForFiles);
    }

    pub(super) fn attach(&self, addr: Addr<ControllerActor>) {
        self.addr.store(Some(Arc::new(addr)));
    }

    /// Plans a change and, if so intended, answers once it is durable and carried out. When many are under way it waits
    /// for its turn.
    pub(crate) async fn propose(
        &self,
        plan: Plan,
        intent: Intent,
    ) -> Result<Outcome, ControllerError> {
        let place = self.place().await;
        let (reply, answer) = Reply::channel();
        self.stats.sent();
        let message = Propose {
            plan,
            intent,
            place,
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

    async fn place(&self) -> Place {
        let under_way = self.under_way.clone().acquire_owned().await;
        Place {
            _under_way: under_way.expect("it is never closed"),
        }
    }

    /// What a scrub has to read.
    pub(crate) async fn scrub_targets(&self) -> Result<Vec<ScrubTarget>, ControllerError> {
        let (reply, answer) = Reply::channel();
        self.tell(BeginScrub { reply });
        answer.await
    }

    /// Hands over what a scrub of a segment has found; answers the damage that is news.
    pub(crate) async fn finish_scrub(
        &self,
        scrubbed: Scrubbed,
    ) -> Result<ScrubFound, ControllerError> {
        let (reply, answer) = Reply::channel();
        self.tell(FinishScrub { scrubbed, reply });
        answer.await
    }

    /// Answers what waits and ends the actor.
    pub(super) async fn close(&self) -> Result<(), ControllerError> {
        let (reply, answer) = Reply::channel();
        self.tell(Close { reply });
        answer.await
    }

    /// Makes the actor panic; fault injection only.
    pub(crate) fn crash(&self) {
        self.tell(Crash);
    }

    /// What no client drives, once a second at most: a full mailbox must not keep it out, such as a stop. Without an
    /// actor its reply says that it is lost.
    fn tell<M>(&self, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        ControllerActor: Handler<M>,
    {
        if let Some(addr) = self.addr.load().as_ref() {
            self.stats.sent();
            addr.do_send(message);
        }
    }

    /// What `list_actors` shows.
    pub(crate) fn stats(&self) -> &Arc<ActorStats> {
        &self.stats
    }
}
