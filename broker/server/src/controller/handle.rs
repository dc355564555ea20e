//! `ControllerHandle`: the only door to the controller. It outlives a restart of the actor. Whoever wants a change
//! waits here until little enough is under way.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::SendError;
use actix::{Addr, Handler, Message};
use arc_swap::{ArcSwap, ArcSwapOption};
use broker_cluster::ClusterMetadata;
use broker_storage::{LogDir, ScrubFound, ScrubTarget, Scrubbed};
use tokio::time::timeout;

use super::actor::ControllerActor;
use super::error::ControllerError;
use super::fair_line::{FairLine, Place, Share};
use super::messages::{
    BeginScrub, Close, Crash, FinishScrub, Intent, LookForFiles, Outcome, Plan, Propose,
};
use crate::actor_stats::ActorStats;
use crate::broker::hanging;
use crate::reply::Reply;

/// How often whoever waits for its turn looks whether the disk hangs.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A cheap clone that speaks to the controller.
#[derive(Clone)]
pub(crate) struct ControllerHandle {
    addr: Arc<ArcSwapOption<Addr<ControllerActor>>>,
    stats: Arc<ActorStats>,
    trouble: Arc<ArcSwapOption<String>>,
    log_dir: Arc<ArcSwapOption<LogDir>>,
    /// For changes.
    line: FairLine,
    on_demand: Share,
    metadata: Arc<ArcSwap<ClusterMetadata>>,
    /// `num.partitions`.
    default_partitions: u32,
}

impl ControllerHandle {
    /// Without a controller yet, which will publish to `metadata`.
    pub(crate) fn new(metadata: Arc<ArcSwap<ClusterMetadata>>, default_partitions: u32) -> Self {
        Self {
            addr: Arc::default(),
            stats: Arc::default(),
            trouble: Arc::default(),
            log_dir: Arc::default(),
            line: FairLine::default(),
            on_demand: Share::default(),
            metadata,
            default_partitions,
        }
    }

    /// Why metadata cannot be changed, if it cannot.
    pub(crate) fn trouble(&self) -> Option<Arc<String>> {
        self.trouble.load_full()
    }

    /// Of all topics that are created because a client asks about them.
    pub(crate) fn on_demand(&self) -> &Share {
        &self.on_demand
    }

    /// Where the actor says so.
    pub(super) fn notice_board(&self) -> &Arc<ArcSwapOption<String>> {
        &self.trouble
    }

    /// The log's directory is missed: it is looked at.
    pub(crate) fn look_for_files(&self) {
        self.tell(LookForFiles);
    }

    /// The actor is there, and its log in this directory.
    pub(super) fn attach(&self, addr: Addr<ControllerActor>, log_dir: LogDir) {
        self.log_dir.store(Some(Arc::new(log_dir)));
        self.addr.store(Some(Arc::new(addr)));
    }

    /// Plans a change and, if so intended, answers once it is durable and carried out. When much is under way it waits
    /// for its turn, by what its asker has had.
    pub(crate) async fn propose(
        &self,
        plan: Plan,
        intent: Intent,
        share: &Share,
    ) -> Result<Outcome, ControllerError> {
        let work = match intent {
            Intent::CarryOut => plan.work(&self.metadata.load(), self.default_partitions),
            Intent::OnlyCheck => 1,
        };
        let place = self.place(share, work).await?;
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

    /// Waits for the turn of a change, unless its log's disk hangs: whoever is let in waits for that.
    async fn place(&self, share: &Share, work: u64) -> Result<Place, ControllerError> {
        let place = self.line.place(share, work);
        tokio::pin!(place);
        loop {
            match timeout(LOOK_EVERY, &mut place).await {
                Ok(Some(place)) => return Ok(place),
                Ok(None) => return Err(ControllerError::Stopping),
                Err(_) => {
                    let log_dir = self.log_dir.load_full();
                    if let Some(reason) = log_dir.and_then(|dir| hanging(&dir)) {
                        return Err(ControllerError::NotYet { reason });
                    }
                }
            }
        }
    }

    /// The broker stops: changes that wait for their turn are refused, and those that come.
    pub(crate) fn stop_letting_in(&self) {
        self.line.close();
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
