//! `BrokerHandle`: the door to the broker actor. It outlives a restart of the actor: the address behind
//! it is replaced.

use std::sync::Arc;

use actix::Addr;
use arc_swap::ArcSwapOption;
use broker_cluster::{Change, ClusterMetadata};
use broker_model::{TopicId, TopicPartition};

use super::BrokerActor;
use super::messages::{
    Apply, ControllerDied, Crash, HostAll, LogsAreLate, ModulesReadable, PartitionDied,
    PartitionVanished, Shutdown, VanishedNoted,
};
use crate::actor_stats::ActorStats;
use crate::reply::{Lost, Reply};

/// Why the broker actor did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BrokerError {
    /// It panicked or has ended.
    Lost,
}

impl From<Lost> for BrokerError {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

/// A cheap clone that speaks to the broker actor.
#[derive(Clone, Default)]
pub(crate) struct BrokerHandle {
    addr: Arc<ArcSwapOption<Addr<BrokerActor>>>,
    stats: Arc<ActorStats>,
}

impl BrokerHandle {
    pub(super) fn attach(&self, addr: Addr<BrokerActor>) {
        self.addr.store(Some(Arc::new(addr)));
    }

    /// Carries out committed changes; answers once what runs here agrees with them.
    pub(crate) fn apply(&self, changes: Vec<Change>, reply: Reply<(), BrokerError>) {
        self.send(Apply { changes, reply });
    }

    /// Starts everything that `metadata` gives this broker.
    pub(crate) async fn host_all(&self, metadata: Arc<ClusterMetadata>) -> Result<(), BrokerError> {
        let (reply, answer) = Reply::channel();
        self.send(HostAll { metadata, reply });
        answer.await
    }

    /// A partition's death notice.
    pub(crate) fn partition_died(&self, partition: TopicPartition) {
        self.send(PartitionDied(partition));
    }

    /// A partition whose files were removed.
    pub(crate) fn partition_vanished(
        &self,
        partition: TopicPartition,
        topic_id: TopicId,
        reason: String,
    ) {
        self.send(PartitionVanished {
            partition,
            topic_id,
            reason,
        });
    }

    /// Such partitions, once what was acknowledged of them is noted.
    pub(super) fn vanished_noted(&self, vanished: Vec<PartitionVanished>) {
        self.send(VanishedNoted(vanished));
    }

    /// The modules of these plugins can be read, and could not before.
    pub(super) fn modules_readable(&self, plugins: Vec<String>) {
        self.send(ModulesReadable(plugins));
    }

    /// Logs are kept that nobody has waited for to the end.
    pub(super) fn logs_are_late(&self) {
        self.send(LogsAreLate);
    }

    /// The controller's death notice.
    pub(crate) fn controller_died(&self) {
        self.send(ControllerDied);
    }

    /// Closes every partition and ends.
    pub(crate) async fn shutdown(&self) -> Result<(), BrokerError> {
        let (reply, answer) = Reply::channel();
        self.send(Shutdown { reply });
        answer.await
    }

    /// Makes the actor panic; fault injection only.
    pub(crate) fn crash(&self) {
        self.send(Crash);
    }

    /// What `list_actors` shows.
    pub(crate) fn stats(&self) -> &Arc<ActorStats> {
        &self.stats
    }

    /// None of these is driven by client load: of metadata changes the controller has a bounded number under way,
    /// deaths and ticks are our own. None may be lost, so they pass the mailbox bound.
    fn send<M>(&self, message: M)
    where
        M: actix::Message<Result = ()> + Send + 'static,
        BrokerActor: actix::Handler<M>,
        <BrokerActor as actix::Actor>::Context: actix::dev::ToEnvelope<BrokerActor, M>,
    {
        if let Some(addr) = self.addr.load().as_ref() {
            self.stats.sent();
            addr.do_send(message);
        }
    }
}
