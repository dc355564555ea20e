//! The controller actor: plans against the newest state, appends to the metadata log, and on each
//! completed sync applies, publishes and answers what became durable. The rules are in
//! `broker_cluster`; several proposals share one sync.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use arc_swap::{ArcSwap, ArcSwapOption};
use broker_cluster::{ClusterMetadata, Command, CreationDefaults};
use broker_model::limits::CONTROLLER_MAILBOX;
use broker_model::{Clock, LeaderEpoch, Offset, TopicId};
use broker_storage::Corruption;
use tracing::{error, info, warn};

use super::error::ControllerError;
use super::fair_line::Place;
use super::messages::{
    BeginScrub, Close, Crash, FinishScrub, Intent, LookForFiles, Outcome, Plan, Propose, Synced,
};
use super::metadata_log::{MetadataLog, MetadataLogError};
use crate::actor_stats::ActorStats;
use crate::broker::{BrokerHandle, hanging};
use crate::death_notice::DeathNotice;
use crate::reply::Reply;
use crate::turn::{TakesTurns, Turn, stand_back};

/// Everything the actor needs to start.
pub(super) struct ControllerSetup {
    pub(super) log: MetadataLog,
    pub(super) metadata: ClusterMetadata,
    pub(super) term: LeaderEpoch,
    pub(super) published: Arc<ArcSwap<ClusterMetadata>>,
    pub(super) defaults: Arc<CreationDefaults>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) broker: BrokerHandle,
    pub(super) stats: Arc<ActorStats>,
    pub(super) trouble: Arc<ArcSwapOption<String>>,
    pub(super) death: DeathNotice,
}

/// A command that is written and not yet durable.
struct Uncommitted {
    index: Offset,
    outcome: Outcome,
    reply: Reply<Outcome, ControllerError>,
    place: Place,
}

/// The one place where metadata changes.
pub(crate) struct ControllerActor {
    /// Open until the actor ends.
    log: Option<MetadataLog>,
    /// With every command that was written; what the next plan is made against.
    newest: ClusterMetadata,
    /// With every command that is durable; what everybody else sees.
    committed: ClusterMetadata,
    uncommitted: VecDeque<Uncommitted>,
    term: LeaderEpoch,
    published: Arc<ArcSwap<ClusterMetadata>>,
    defaults: Arc<CreationDefaults>,
    clock: Arc<dyn Clock>,
    broker: BrokerHandle,
    stats: Arc<ActorStats>,
    turn: Turn,
    syncing: bool,
    /// Why metadata cannot be changed, for everybody to see.
    trouble: Arc<ArcSwapOption<String>>,
    closing: Option<Reply<(), ControllerError>>,
    /// Last, so that the log is closed before anybody hears of the death.
    death: DeathNotice,
}

impl ControllerActor {
    /// Starts the actor.
    pub(super) fn start_on(arbiter: &ArbiterHandle, setup: ControllerSetup) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(CONTROLLER_MAILBOX);
            Self {
                log: Some(setup.log),
                newest: setup.metadata.clone(),
                committed: setup.metadata,
                uncommitted: VecDeque::new(),
                term: setup.term,
                published: setup.published,
                defaults: setup.defaults,
                clock: setup.clock,
                broker: setup.broker,
                stats: setup.stats,
                turn: Turn::default(),
                syncing: false,
                trouble: setup.trouble,
                closing: None,
                death: setup.death,
            }
        })
    }

    fn log_mut(&mut self) -> &mut MetadataLog {
        self.log
            .as_mut()
            .expect("the log is open until the actor ends")
    }

    fn plan(&self, plan: Plan) -> Result<Outcome, ControllerError> {
        let now = self.clock.now();
        let (command, warnings) = match plan {
            Plan::CreateTopic(new) => {
                self.newest
                    .plan_create_topic(&new, &self.defaults, now, TopicId::random())?
            }
            Plan::DeleteTopic { name, id } => {
                (self.newest.plan_delete_topic(&name, id)?, Vec::new())
            }
            Plan::AlterTopic { name, change } => {
                let defaults = &self.defaults.topic;
                (
                    self.newest.plan_alter_config(&name, &change, defaults)?,
                    Vec::new(),
                )
            }
            Plan::CreatePartitions {
                name,
                count,
                assignment,
            } => self
                .newest
                .plan_create_partitions(&name, count, assignment.as_deref(), now)?,
            Plan::DeployPlugin { name, new, rebind } => {
                let command = self.newest.plan_deploy(&name, new, rebind, now)?;
                (command, Vec::new())
            }
            Plan::RemovePlugin { name } => {
                let defaults = &self.defaults.topic;
                (self.newest.plan_remove(&name, defaults, now)?, Vec::new())
            }
            Plan::RegisterBroker { id, address } => {
                (Command::RegisterBroker { id, address }, Vec::new())
            }
        };
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        for warning in &warnings {
            warn!("{warning}");
        }
        Ok(Outcome { command, warnings })
    }

    fn propose(&mut self, message: Propose, ctx: &mut Context<Self>) {
        let Propose {
            plan,
            intent,
            place,
            reply,
        } = message;
        let checked = self
            .check_in_service()
            .and_then(|()| self.check_answering())
            .and_then(|()| self.check_present())
            .and_then(|()| self.check_room(&plan));
        let outcome = match checked.and_then(|()| self.plan(plan)) {
            Ok(outcome) if intent == Intent::CarryOut => outcome,
            other => return reply.send(other),
        };
        let (term, now) = (self.term, self.clock.now());
        match self.log_mut().append(&outcome.command, term, now) {
            Ok(index) => {
                // Planned against this very state, so it fits.
                let _ = self.newest.apply(index.get(), outcome.command.clone());
                self.uncommitted.push_back(Uncommitted {
                    index,
                    outcome,
                    reply,
                    place,
                });
                self.start_sync(ctx);
            }
            Err(MetadataLogError::NoRoom(problem)) => {
                warn!(%problem, "a metadata command is refused");
                reply.send(Err(ControllerError::NoRoom {
                    reason: problem.to_string(),
                }));
            }
            Err(MetadataLogError::NotPermitted(denied)) => {
                reply.send(Err(ControllerError::NotYet {
                    reason: denied.to_string(),
                }));
            }
            Err(MetadataLogError::TooLarge { size, max }) => {
                reply.send(Err(ControllerError::TooLarge { size, max }));
            }
            Err(problem) => {
                let reason = problem.to_string();
                reply.send(Err(ControllerError::Uncertain {
                    reason: reason.clone(),
                }));
                self.fail(reason);
            }
        }
    }

    /// Nothing is written to a disk that hangs: it could keep this thread from everybody.
    fn check_answering(&self) -> Result<(), ControllerError> {
        let dir = self.log.as_ref().map(MetadataLog::dir);
        let reason = dir.filter(|dir| dir.hangs()).and_then(hanging);
        reason.map_or(Ok(()), |reason| Err(ControllerError::NotYet { reason }))
    }

    /// Nothing is committed to a log that somebody has removed: the next start would not know of it.
    fn check_present(&mut self) -> Result<(), ControllerError> {
        let gone = self.log.as_ref().and_then(MetadataLog::vanished);
        match gone {
            None => Ok(()),
            Some(vanished) => {
                let reason = vanished.to_string();
                self.fail(reason.clone());
                Err(ControllerError::Offline { reason })
            }
        }
    }

    /// Nothing is committed to a log that cannot be replayed: the next start would be refused, and what is
    /// restored then is a copy that does not have it.
    fn take_damage(&mut self, damage: &Corruption) {
        if self.trouble.load().is_none() {
            let log = MetadataLog::partition();
            self.fail(format!(
                "the metadata log {log} is damaged, and the next start would be refused: {damage}. Restore its files from a copy, made since the last change, and start the broker again"
            ));
        }
    }

    /// The last of what the broker keeps back on a full disk is for what makes room.
    fn check_room(&self, plan: &Plan) -> Result<(), ControllerError> {
        let dir = self.log.as_ref().map(MetadataLog::dir);
        match dir.filter(|dir| plan.needs_room() && dir.is_reserve_low()) {
            None => Ok(()),
            Some(dir) => Err(ControllerError::NoRoom {
                reason: format!(
                    "the disk of log directory {} is full, and what the broker keeps back for itself is nearly used up: only deletions and changes of configuration are taken until there is room",
                    dir.path().display()
                ),
            }),
        }
    }

    fn check_in_service(&self) -> Result<(), ControllerError> {
        if self.closing.is_some() {
            return Err(ControllerError::Stopping);
        }
        match self.trouble.load_full() {
            Some(reason) => Err(ControllerError::Offline {
                reason: reason.as_ref().clone(),
            }),
            None => Ok(()),
        }
    }

    fn start_sync(&mut self, ctx: &mut Context<Self>) {
        if self.syncing {
            return;
        }
        let Some(request) = self.log_mut().sync_request() else {
            return;
        };
        self.syncing = true;
        let addr = ctx.address();
        self.log_mut().dir().sync(
            request,
            Box::new(move |outcome| addr.do_send(Synced(outcome))),
        );
    }

    /// Applies, publishes and hands on everything that is durable now.
    fn commit(&mut self, durable_end: Offset) {
        let mut durable = Vec::new();
        while let Some(first) = self
            .uncommitted
            .pop_front_if(|first| first.index < durable_end)
        {
            let Uncommitted { index, outcome, .. } = &first;
            let applied = self.committed.apply(index.get(), outcome.command.clone());
            let changes = applied.unwrap_or_else(|problem| {
                error!(%index, %problem, "a committed command was rejected");
                Vec::new()
            });
            info!(%index, command = %outcome.command, "metadata changed");
            durable.push((changes, first));
        }
        if durable.is_empty() {
            return;
        }
        // All at once: what is carried out is the newest, and a copy for each of them is of no use to anybody.
        self.published.store(Arc::new(self.committed.clone()));
        for (
            changes,
            Uncommitted {
                outcome,
                reply,
                place,
                ..
            },
        ) in durable
        {
            let answer = Reply::new(move |carried_out: Result<(), crate::broker::BrokerError>| {
                drop(place);
                reply.send(match carried_out {
                    Ok(()) => Ok(outcome),
                    Err(_) => Err(ControllerError::Lost),
                });
            });
            self.broker.apply(changes, answer);
        }
    }

    /// From here on metadata can be read, not changed.
    fn fail(&mut self, reason: String) {
        error!(
            reason,
            "the metadata log is out of service: metadata can be read, not changed"
        );
        for waiting in self.uncommitted.drain(..) {
            waiting.reply.send(Err(ControllerError::Uncertain {
                reason: reason.clone(),
            }));
        }
        self.trouble.store(Some(Arc::new(reason)));
    }

    fn close_if_done(&mut self, ctx: &mut Context<Self>) {
        if self.syncing || self.closing.is_none() {
            return;
        }
        if let (Some(reply), Some(log)) = (self.closing.take(), self.log.take()) {
            self.death.defuse();
            let closed = log.close();
            reply.send(closed.map_err(|failed| ControllerError::Offline {
                reason: failed.to_string(),
            }));
            ctx.stop();
        }
    }
}

impl TakesTurns for ControllerActor {
    /// It has no timers: others on its thread get to run, which is all.
    fn end_turn(&mut self, _: &mut Context<Self>) {}
}

impl Actor for ControllerActor {
    type Context = Context<Self>;
}

impl Handler<Propose> for ControllerActor {
    type Result = ();

    fn handle(&mut self, message: Propose, ctx: &mut Self::Context) {
        self.stats.handled();
        let waiting = self.stats.mailbox_depth();
        if let Some(pause) = self.turn.took(0, waiting) {
            stand_back(ctx, pause);
        }
        self.propose(message, ctx);
    }
}

impl Handler<Synced> for ControllerActor {
    type Result = ();

    fn handle(&mut self, Synced(outcome): Synced, ctx: &mut Self::Context) {
        self.syncing = false;
        match self.log_mut().on_synced(&outcome) {
            Err(failed) => self.fail(failed.to_string()),
            Ok(durable_end) => {
                self.commit(durable_end);
                self.start_sync(ctx);
            }
        }
        self.close_if_done(ctx);
    }
}

impl Handler<LookForFiles> for ControllerActor {
    type Result = ();

    fn handle(&mut self, _: LookForFiles, _: &mut Self::Context) {
        self.stats.handled();
        if self.check_in_service().is_ok() {
            // What is gone is told, and refused to whoever comes.
            let _ = self.check_present();
        }
    }
}

impl Handler<BeginScrub> for ControllerActor {
    type Result = ();

    fn handle(&mut self, message: BeginScrub, _: &mut Self::Context) {
        self.stats.handled();
        // Also of a log that is out of service: every round says what is damaged.
        let targets = match self.closing {
            Some(_) => Err(ControllerError::Stopping),
            None => Ok(self.log_mut().scrub_targets()),
        };
        message.reply.send(targets);
    }
}

impl Handler<FinishScrub> for ControllerActor {
    type Result = ();

    fn handle(&mut self, message: FinishScrub, _: &mut Self::Context) {
        self.stats.handled();
        let found = self.log_mut().on_scrubbed(message.scrubbed);
        if let Some(first) = found.new.first() {
            self.take_damage(first);
        }
        message.reply.send(Ok(found));
    }
}

impl Handler<Close> for ControllerActor {
    type Result = ();

    fn handle(&mut self, message: Close, ctx: &mut Self::Context) {
        self.stats.handled();
        self.closing = Some(message.reply);
        self.close_if_done(ctx);
    }
}

impl Handler<Crash> for ControllerActor {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Self::Context) {
        self.stats.handled();
        panic!("fault injection asked the controller to crash");
    }
}
