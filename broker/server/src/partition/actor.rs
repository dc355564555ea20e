//! The partition actor: unpacks a message, calls the log and the replica state machine, carries out what
//! they say. Appends of one mailbox drain are written together; one sync is under way at a time and the
//! next covers everything written meanwhile (group commit). The rules live in `broker_cluster::partition`
//! and `broker_storage`.

use std::sync::Arc;
use std::time::Duration;

use actix::dev::channel;
use actix::prelude::*;
use actix_rt::ArbiterHandle;
use broker_cluster::{
    Acks, Effects, FlushMode, FlushPace, NotAdmitted, PartitionReplica, ReplicaStart,
};
use broker_model::limits::PARTITION_MAILBOX;
use broker_model::{Clock, LeaderEpoch, Occasional, Offset, TopicPartition};
use broker_record::ProducedBatch;
use broker_storage::{BehindSyncs, Log, LogDir};
use tracing::warn;

use super::error::PartitionError;
use super::handle::PartitionHandle;
use super::offsets::{OffsetsPublisher, PartitionOffsets};
use super::parked::ParkedAppends;
use super::vanishing::Parent;
use super::writing::Waiting;
use crate::actor_stats::ActorStats;
use crate::arbiters::{DiskWait, Shard};
use crate::broker::hanging;
use crate::cold_reads::ColdReads;
use crate::death_notice::DeathNotice;
use crate::plugins::Plugins;
use crate::reply::Reply;
use crate::standstill::Standstill;
use crate::topic_settings::{TopicSettings, check_batch_size, roll_after};
use crate::turn::{TakesTurns, Turn, stand_back};

/// How often acknowledgements that wait are compared with their deadlines.
pub(super) const DEADLINE_CHECK: Duration = Duration::from_millis(250);

/// Everything an actor needs to start; made by the broker actor.
pub(crate) struct PartitionSetup {
    pub(crate) log: Log,
    pub(crate) cold_reads: Arc<ColdReads>,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) settings: Arc<TopicSettings>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stats: Arc<ActorStats>,
    /// When, on the monotonic clock, a sync may first hold up the actor's thread.
    pub(crate) inline_from: Duration,
    pub(crate) disk_wait: DiskWait,
    pub(crate) standstill: Standstill,
    pub(crate) parent: Arc<dyn Parent>,
    pub(crate) death: DeathNotice,
}

/// The live part of one partition replica. There may be many thousand, most of them idle: what only a busy or a broken
/// one needs stands behind a pointer.
pub(crate) struct PartitionActor {
    /// Open until the actor ends.
    pub(super) log: Option<Log>,
    pub(super) dir: LogDir,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) settings: Arc<TopicSettings>,
    pub(super) plugins: Arc<Plugins>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stats: Arc<ActorStats>,
    pub(super) replica: PartitionReplica<u64>,
    /// Room for those that are being written.
    pub(super) batches: Vec<ProducedBatch>,
    /// Those that will be.
    pub(super) waiting: Vec<Waiting>,
    /// Whether a write is to follow when the mailbox has been drained.
    pub(super) write_spawned: bool,
    pub(super) append_failures: Option<Box<Occasional>>,
    pub(super) turn: Turn,
    pub(super) parked: ParkedAppends,
    pub(super) syncing: bool,
    /// When, on the monotonic clock, a sync may hold up this thread again.
    pub(super) inline_again: Duration,
    pub(super) disk_wait: DiskWait,
    /// What was cleaned under another policy is to be forgotten, once the disk answers.
    pub(super) cleanings_are_outdated: bool,
    /// When, on the monotonic clock, it goes off.
    pub(super) sync_timer: Option<(Duration, SpawnHandle)>,
    pub(super) pace: FlushPace,
    /// While acknowledgements under `async` wait for syncs, which take too long for `flush.ms`.
    pub(super) behind: Option<BehindSyncs>,
    pub(super) roll_timer: Option<SpawnHandle>,
    pub(super) deadline_timer: bool,
    /// When, on the monotonic clock, deadlines are to be looked at next.
    pub(super) deadlines_due: Duration,
    pub(super) closing: Option<Reply<(), PartitionError>>,
    pub(super) failed: Option<Box<str>>,
    /// Until it was told that this cannot go on.
    pub(super) parent: Option<Arc<dyn Parent>>,
    pub(super) offsets: OffsetsPublisher,
    /// Last, so that the log is closed before anybody hears of the death.
    pub(super) death: DeathNotice,
}

/// What a task and its context take besides is rounded up to 128 bytes, to 1,280 in all.
const _: () = assert!(size_of::<PartitionActor>() <= 888);

impl PartitionActor {
    /// Starts the actor on `arbiter`.
    pub(crate) fn start_on(
        (arbiter, shard): (&ArbiterHandle, Shard),
        setup: PartitionSetup,
    ) -> PartitionHandle {
        let replica = PartitionReplica::new(ReplicaStart {
            epoch: setup.leader_epoch,
            log_start: setup.log.start(),
            log_end: setup.log.end(),
            durable_end: setup.log.durable_end(),
            checkpointed_high_watermark: setup
                .cold_reads
                .dir()
                .high_watermark(setup.log.partition())
                .unwrap_or(Offset::ZERO),
            flush_mode: setup.settings.config.flush_mode,
        });
        let first = PartitionOffsets {
            start: setup.log.start(),
            high_watermark: replica.high_watermark(),
            end: setup.log.end(),
        };
        let offsets = OffsetsPublisher::new(first, setup.log.size_bytes());
        let reader = offsets.reader();
        let with = (setup.stats.clone(), setup.cold_reads.clone());
        let on = (shard, setup.standstill.clone());
        // The mailbox has its bound from the first message on, also before the arbiter gets to run.
        let (mailbox, messages) = channel::channel(PARTITION_MAILBOX);
        arbiter.spawn_fn(move || {
            Context::with_receiver(messages).run(Self::new(setup, replica, offsets));
        });
        PartitionHandle::new(Addr::new(mailbox), reader, on, with)
    }

    fn new(
        setup: PartitionSetup,
        replica: PartitionReplica<u64>,
        offsets: OffsetsPublisher,
    ) -> Self {
        Self {
            log: Some(setup.log),
            dir: setup.cold_reads.dir().clone(),
            leader_epoch: setup.leader_epoch,
            settings: setup.settings,
            plugins: setup.plugins,
            clock: setup.clock,
            stats: setup.stats,
            replica,
            batches: Vec::new(),
            waiting: Vec::new(),
            write_spawned: false,
            append_failures: None,
            turn: Turn::default(),
            parked: ParkedAppends::default(),
            syncing: false,
            inline_again: setup.inline_from,
            disk_wait: setup.disk_wait,
            cleanings_are_outdated: false,
            sync_timer: None,
            pace: FlushPace::default(),
            behind: None,
            roll_timer: None,
            deadline_timer: false,
            deadlines_due: Duration::ZERO,
            closing: None,
            failed: None,
            parent: Some(setup.parent),
            offsets,
            death: setup.death,
        }
    }

    pub(super) fn log(&self) -> &Log {
        self.log
            .as_ref()
            .expect("the log is open until the actor ends")
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        self.log().partition()
    }

    pub(super) fn log_mut(&mut self) -> &mut Log {
        self.log
            .as_mut()
            .expect("the log is open until the actor ends")
    }

    /// Whether a change may be made at all.
    pub(super) fn check_in_service(&self) -> Result<(), PartitionError> {
        if self.closing.is_some() {
            return Err(PartitionError::Stopping);
        }
        self.check_answering()?;
        self.check_readable()
    }

    /// Whether the disk answers: whatever was written to one that hangs could keep this thread from everybody.
    pub(super) fn check_answering(&self) -> Result<(), PartitionError> {
        let reason = self.dir.hangs().then(|| hanging(&self.dir)).flatten();
        reason.map_or(Ok(()), |reason| Err(PartitionError::NotYet { reason }))
    }

    /// Whether what is at an offset can be read: on a disk that hangs, what needs no look at it.
    pub(super) fn check_readable_at(&self, from: Offset) -> Result<(), PartitionError> {
        self.check_readable()?;
        match self.log().is_at_hand(from) {
            true => Ok(()),
            false => self.check_answering(),
        }
    }

    /// Whether the log and its directory are in service. If they are not, nothing is read from them either:
    /// what the page cache holds after a failed sync may not be what is on the disk.
    pub(super) fn check_readable(&self) -> Result<(), PartitionError> {
        if let Some(reason) = self.failed.clone() {
            return Err(PartitionError::Offline {
                reason: reason.into(),
            });
        }
        match self.dir.is_failed() {
            Some(failed) => Err(PartitionError::Offline {
                reason: failed.to_string(),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn check_append(&self, acks: Acks, size: usize) -> Result<(), PartitionError> {
        self.check_in_service()?;
        self.replica
            .admit(acks, self.settings.config.min_insync_replicas)
            .map_err(|problem| match problem {
                NotAdmitted::NotEnoughReplicas { in_sync, required } => {
                    PartitionError::NotEnoughReplicas { in_sync, required }
                }
                NotAdmitted::Offline => PartitionError::Offline {
                    reason: problem.to_string(),
                },
            })?;
        check_batch_size(&self.settings.config, size)
    }

    /// Starts whatever has to follow a write: a sync now or later, a roll by age.
    pub(super) fn after_write(&mut self, ctx: &mut Context<Self>) {
        match self.flush_mode() {
            FlushMode::Sync if self.may_sync_inline() => self.sync_inline(ctx),
            FlushMode::Sync => self.start_sync(ctx),
            FlushMode::Async => self.pace_syncs(ctx),
        }
        if !self.deadline_timer && !self.parked.is_empty() {
            self.deadline_timer = true;
            self.deadlines_due = self.clock.monotonic() + DEADLINE_CHECK;
            ctx.run_later(DEADLINE_CHECK, Self::check_deadlines);
        }
        self.arm_roll_timer(ctx);
    }

    /// Rolls when the active segment is old enough, and looks again later when it is not yet.
    pub(super) fn roll(&mut self, ctx: &mut Context<Self>) {
        if self.check_answering().is_err() {
            return self.arm_roll_timer(ctx);
        }
        let disk_wait = self.disk_wait.clone();
        match disk_wait.during(|| self.log_mut().roll_if_due()) {
            Ok(true) => self.start_sync(ctx),
            Ok(false) => self.arm_roll_timer(ctx),
            Err(error) => {
                warn!(partition = %self.partition(), %error, "rolling the active segment failed");
            }
        }
    }

    /// Looks at the age of the active segment when it may have been reached.
    fn arm_roll_timer(&mut self, ctx: &mut Context<Self>) {
        if self.roll_timer.is_none() && self.log().size_bytes() > 0 {
            self.roll_timer = Some(
                ctx.run_later(roll_after(&self.settings.config), |act, ctx| {
                    act.roll_timer = None;
                    act.roll(ctx);
                }),
            );
        }
    }

    /// The age at which segments are rolled may have changed.
    pub(super) fn reset_roll_timer(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.roll_timer.take() {
            ctx.cancel_future(timer);
        }
        self.arm_roll_timer(ctx);
    }

    /// Answers whom the replica state machine says; a token that has timed out is nobody's any more.
    pub(super) fn carry_out(&mut self, effects: Effects<u64>) {
        for token in effects.failed {
            if let Some(parked) = self.parked.take(token) {
                let reason = self.failed.clone().unwrap_or_default().into();
                parked
                    .reply
                    .send(Err(PartitionError::WriteUncertain { reason }));
            }
        }
        for token in effects.released {
            if let Some(parked) = self.parked.take(token) {
                parked.reply.send(Ok(parked.answer));
            }
        }
    }

    pub(super) fn log_start_moved(&mut self, ctx: &mut Context<Self>) {
        let start = self.log().start();
        self.replica.on_log_start(start);
        self.publish();
        // The leader epochs begin there, too, and tell it if the file is damaged that says so.
        self.sync_in_time(ctx);
    }

    pub(super) fn publish(&mut self) {
        self.publish_appended(0);
    }

    /// The same after so many bytes of batches were appended.
    pub(super) fn publish_appended(&mut self, bytes: u64) {
        let offsets = PartitionOffsets {
            start: self.log().start(),
            high_watermark: self.replica.high_watermark(),
            end: self.log().end(),
        };
        self.offsets.publish(offsets, bytes);
    }

    /// A message was taken.
    pub(super) fn took(&mut self, ctx: &mut Context<Self>) {
        self.took_bytes(0, ctx);
    }

    /// A message was taken that brings so many bytes to be written.
    pub(super) fn took_bytes(&mut self, bytes: usize, ctx: &mut Context<Self>) {
        self.stats.handled();
        let waiting = self.stats.mailbox_depth();
        if let Some(pause) = self.turn.took(bytes, waiting) {
            stand_back(ctx, pause);
        }
    }

    /// Ends the actor once nothing is under way any more.
    pub(super) fn close_if_done(&mut self, ctx: &mut Context<Self>) {
        if self.closing.is_none() || self.syncing {
            return;
        }
        if self.failed.is_none() && self.log().durable_end() < self.log().end() {
            self.start_sync(ctx);
            if self.syncing {
                return;
            }
        }
        if let Some(reply) = self.closing.take() {
            self.dir
                .record_high_watermark(self.partition(), self.replica.high_watermark());
            self.death.defuse();
            if self.failed.is_none() {
                self.log().leave();
            }
            reply.send(match self.failed.clone() {
                None => Ok(()),
                Some(reason) => Err(PartitionError::Offline {
                    reason: reason.into(),
                }),
            });
            ctx.stop();
        }
    }
}

impl TakesTurns for PartitionActor {
    fn end_turn(&mut self, ctx: &mut Context<Self>) {
        if self.log.is_none() {
            return;
        }
        self.write_waiting(ctx);
        let now = self.clock.monotonic();
        if self.deadline_timer && self.deadlines_due <= now {
            self.expire_parked();
        }
        if self.sync_is_due(now) {
            self.start_sync(ctx);
        }
        if self.check_in_service().is_ok() {
            self.roll(ctx);
        }
    }
}

impl Actor for PartitionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let plugins = &self.settings.plugins;
        let log = self.log();
        let (last_cleaned, by) = (log.last_cleaned(), log.last_policy_since());
        if last_cleaned.is_some_and(|at| plugins.outdates_cleaning(at, by)) {
            self.forget_cleanings();
        }
        // What an earlier process left unsynced is synced before it counts as durable.
        self.start_sync(ctx);
        self.arm_roll_timer(ctx);
    }
}
