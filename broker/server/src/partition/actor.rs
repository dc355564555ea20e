//! The partition actor: unpacks a message, calls the log and the replica state machine, carries out what
//! they say. Appends of one mailbox drain are written together; one sync is under way at a time and the
//! next covers everything written meanwhile (group commit). The rules live in `broker_cluster::partition`
//! and `broker_storage`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::channel;
use actix::prelude::*;
use actix_rt::ArbiterHandle;
use broker_cluster::{
    Acks, Effects, FlushMode, NotAdmitted, PartitionReplica, ReplicaStart, TopicConfig,
};
use broker_model::limits::{BATCHES_PER_WRITE_MAX, PARTITION_MAILBOX};
use broker_model::{Clock, LeaderEpoch, Offset, TopicPartition};
use broker_record::{ProducedBatch, TimestampType};
use broker_storage::{Log, LogDir, ReadLimit};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::error::PartitionError;
use super::handle::PartitionHandle;
use super::messages::{
    Append, AppendReply, Appended, CheckRetention, Close, Configure, Crash, DeleteRecords,
    FindTimestamp, PartitionSummary, Read, Summarize, Synced,
};
use super::offsets::PartitionOffsets;
use crate::actor_stats::ActorStats;
use crate::death_notice::DeathNotice;
use crate::reply::Reply;
use crate::topic_settings::{batch_bytes_max, log_config, retention_policy};

/// How often acknowledgements that wait are compared with their deadlines.
const DEADLINE_CHECK: Duration = Duration::from_millis(250);

/// Everything an actor needs to start; made by the broker actor.
pub(crate) struct PartitionSetup {
    pub(crate) partition: TopicPartition,
    pub(crate) log: Log,
    pub(crate) dir: LogDir,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) config: Arc<TopicConfig>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stats: Arc<ActorStats>,
    pub(crate) death: DeathNotice,
}

/// A batch that waits for the end of the mailbox drain.
struct Waiting {
    acks: Acks,
    deadline: Duration,
    timeout: Duration,
    reply: AppendReply,
}

/// A written batch whose acknowledgement waits for the high watermark.
struct Parked {
    answer: Appended,
    deadline: Duration,
    timeout: Duration,
    reply: AppendReply,
}

/// The live part of one partition replica.
pub(crate) struct PartitionActor {
    partition: TopicPartition,
    /// Open until the actor ends.
    log: Option<Log>,
    dir: LogDir,
    leader_epoch: LeaderEpoch,
    config: Arc<TopicConfig>,
    clock: Arc<dyn Clock>,
    stats: Arc<ActorStats>,
    replica: PartitionReplica<u64>,
    /// Same length: batch i is answered through waiting i.
    batches: Vec<ProducedBatch>,
    waiting: Vec<Waiting>,
    parked: BTreeMap<u64, Parked>,
    next_token: u64,
    syncing: bool,
    sync_timer: bool,
    roll_timer: bool,
    deadline_timer: bool,
    closing: Option<Reply<(), PartitionError>>,
    failed: Option<String>,
    offsets: watch::Sender<PartitionOffsets>,
    /// Last, so that the log is closed before anybody hears of the death.
    death: DeathNotice,
}

impl PartitionActor {
    /// Starts the actor on `arbiter`.
    pub(crate) fn start_on(arbiter: &ArbiterHandle, setup: PartitionSetup) -> PartitionHandle {
        let replica = PartitionReplica::new(ReplicaStart {
            epoch: setup.leader_epoch,
            log_start: setup.log.start(),
            log_end: setup.log.end(),
            durable_end: setup.log.durable_end(),
            checkpointed_high_watermark: setup
                .dir
                .high_watermark(&setup.partition)
                .unwrap_or(Offset::ZERO),
            flush_mode: setup.config.flush_mode,
        });
        let first = PartitionOffsets {
            start: setup.log.start(),
            high_watermark: replica.high_watermark(),
            end: setup.log.end(),
        };
        let (sender, receiver) = watch::channel(first);
        let stats = setup.stats.clone();
        // The mailbox has its bound from the first message on, also before the arbiter gets to run.
        let (mailbox, messages) = channel::channel(PARTITION_MAILBOX);
        arbiter.spawn_fn(move || {
            Context::with_receiver(messages).run(Self::new(setup, replica, sender));
        });
        PartitionHandle::new(Addr::new(mailbox), receiver, stats)
    }

    fn new(
        setup: PartitionSetup,
        replica: PartitionReplica<u64>,
        offsets: watch::Sender<PartitionOffsets>,
    ) -> Self {
        Self {
            partition: setup.partition,
            log: Some(setup.log),
            dir: setup.dir,
            leader_epoch: setup.leader_epoch,
            config: setup.config,
            clock: setup.clock,
            stats: setup.stats,
            replica,
            batches: Vec::new(),
            waiting: Vec::new(),
            parked: BTreeMap::new(),
            next_token: 0,
            syncing: false,
            sync_timer: false,
            roll_timer: false,
            deadline_timer: false,
            closing: None,
            failed: None,
            offsets,
            death: setup.death,
        }
    }

    fn log(&self) -> &Log {
        self.log
            .as_ref()
            .expect("the log is open until the actor ends")
    }

    fn log_mut(&mut self) -> &mut Log {
        self.log
            .as_mut()
            .expect("the log is open until the actor ends")
    }

    /// Whether a change may be made at all.
    fn check_in_service(&self) -> Result<(), PartitionError> {
        if self.closing.is_some() {
            return Err(PartitionError::Stopping);
        }
        match self
            .failed
            .clone()
            .or_else(|| self.dir.is_failed().map(|failed| failed.to_string()))
        {
            Some(reason) => Err(PartitionError::Offline { reason }),
            None => Ok(()),
        }
    }

    fn check_append(&self, message: &Append) -> Result<(), PartitionError> {
        self.check_in_service()?;
        self.replica
            .admit(message.acks, self.config.min_insync_replicas)
            .map_err(|problem| match problem {
                NotAdmitted::NotEnoughReplicas { in_sync, required } => {
                    PartitionError::NotEnoughReplicas { in_sync, required }
                }
                NotAdmitted::Offline => PartitionError::Offline {
                    reason: problem.to_string(),
                },
            })?;
        let (size, max) = (message.batch.size(), batch_bytes_max(&self.config));
        if u32::try_from(size).is_ok_and(|size| size <= max) {
            Ok(())
        } else {
            Err(PartitionError::BatchTooLarge {
                size,
                max: self.config.message_bytes_max,
            })
        }
    }

    /// Writes what the mailbox drain brought, all of it in one vectored write.
    fn write_waiting(&mut self, ctx: &mut Context<Self>) {
        if self.batches.is_empty() {
            return;
        }
        let now = self.clock.now();
        let mut batches = std::mem::take(&mut self.batches);
        let waiting = std::mem::take(&mut self.waiting);
        let epoch = self.leader_epoch;
        match self.log_mut().append(&mut batches, epoch, now) {
            Ok(run) => {
                let log_start = self.log().start();
                for (batch, waiting) in batches.iter().zip(waiting) {
                    self.on_appended(batch, waiting, log_start);
                }
                debug_assert_eq!(
                    run.end,
                    self.log().end(),
                    "an append ends where the log ends"
                );
                self.publish();
                self.after_write(ctx);
            }
            Err(error) => {
                let error = PartitionError::from(error);
                warn!(partition = %self.partition, ?error, "append failed");
                for waiting in waiting {
                    waiting.reply.send(Err(error.clone()));
                }
            }
        }
        batches.clear();
        self.batches = batches;
    }

    fn on_appended(&mut self, batch: &ProducedBatch, waiting: Waiting, log_start: Offset) {
        let header = &batch.header;
        let answer = Appended {
            base_offset: header.base_offset,
            log_append_time: (header.timestamp_type == TimestampType::LogAppendTime)
                .then_some(header.max_timestamp),
            log_start,
        };
        let token = self.next_token;
        self.next_token += 1;
        let Waiting {
            acks,
            deadline,
            timeout,
            reply,
        } = waiting;
        self.parked.insert(
            token,
            Parked {
                answer,
                deadline,
                timeout,
                reply,
            },
        );
        let effects =
            self.replica
                .on_appended(header.base_offset, header.next_offset(), acks, token);
        self.carry_out(effects);
    }

    /// Starts whatever has to follow a write: a sync now or later, a roll by age.
    fn after_write(&mut self, ctx: &mut Context<Self>) {
        match self.config.flush_mode {
            FlushMode::Sync => self.start_sync(ctx),
            FlushMode::Async => {
                if !self.sync_timer {
                    self.sync_timer = true;
                    ctx.run_later(self.config.flush_every, |act, ctx| {
                        act.sync_timer = false;
                        act.start_sync(ctx);
                    });
                }
            }
        }
        if !self.deadline_timer && !self.parked.is_empty() {
            self.deadline_timer = true;
            ctx.run_later(DEADLINE_CHECK, Self::expire_parked);
        }
        if !self.roll_timer {
            self.roll_timer = true;
            ctx.run_later(self.config.roll_after, |act, _| {
                act.roll_timer = false;
                act.roll();
            });
        }
    }

    fn roll(&mut self) {
        if let Err(error) = self.log_mut().roll_if_due() {
            warn!(partition = %self.partition, %error, "rolling the active segment failed");
        }
    }

    /// Hands what is not durable yet to the sync thread, unless a sync is under way already.
    fn start_sync(&mut self, ctx: &mut Context<Self>) {
        if self.syncing {
            return;
        }
        let Some(request) = self.log_mut().sync_request() else {
            return;
        };
        self.syncing = true;
        let addr = ctx.address();
        self.dir.sync(
            request,
            Box::new(move |outcome| addr.do_send(Synced(outcome))),
        );
    }

    fn on_sync_failed(&mut self, reason: String) {
        error!(partition = %self.partition, reason, "sync failed, the partition goes offline");
        self.failed = Some(reason);
        let effects = self.replica.on_failed();
        self.carry_out(effects);
    }

    /// Answers whom the replica state machine says; a token that has timed out is nobody's any more.
    fn carry_out(&mut self, effects: Effects<u64>) {
        for token in effects.failed {
            if let Some(parked) = self.parked.remove(&token) {
                let reason = self.failed.clone().unwrap_or_default();
                parked
                    .reply
                    .send(Err(PartitionError::WriteUncertain { reason }));
            }
        }
        for token in effects.released {
            if let Some(parked) = self.parked.remove(&token) {
                parked.reply.send(Ok(parked.answer));
            }
        }
    }

    fn publish(&mut self) {
        let now = PartitionOffsets {
            start: self.log().start(),
            high_watermark: self.replica.high_watermark(),
            end: self.log().end(),
        };
        self.offsets.send_if_modified(|offsets| {
            let changed = *offsets != now;
            *offsets = now;
            changed
        });
    }

    fn expire_parked(&mut self, ctx: &mut Context<Self>) {
        self.deadline_timer = !self.parked.is_empty();
        if self.deadline_timer {
            ctx.run_later(DEADLINE_CHECK, Self::expire_parked);
        }
        let now = self.clock.monotonic();
        let late: Vec<u64> = self
            .parked
            .iter()
            .filter(|(_, parked)| parked.deadline <= now)
            .map(|(token, _)| *token)
            .collect();
        for token in late {
            if let Some(parked) = self.parked.remove(&token) {
                parked.reply.send(Err(PartitionError::TimedOut {
                    after: parked.timeout,
                }));
            }
        }
    }

    /// Ends the actor once nothing is under way any more.
    fn close_if_done(&mut self, ctx: &mut Context<Self>) {
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
                .record_high_watermark(&self.partition, self.replica.high_watermark());
            self.death.defuse();
            reply.send(match self.failed.clone() {
                None => Ok(()),
                Some(reason) => Err(PartitionError::Offline { reason }),
            });
            ctx.stop();
        }
    }
}

impl Actor for PartitionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // What an earlier process left unsynced is synced before it counts as durable.
        self.start_sync(ctx);
    }
}

impl Handler<Append> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: Append, ctx: &mut Self::Context) {
        self.stats.handled();
        if let Err(error) = self.check_append(&message) {
            message.reply.send(Err(error));
            return;
        }
        let deadline = self.clock.monotonic() + message.timeout;
        let Append {
            batch,
            acks,
            timeout,
            reply,
        } = message;
        self.batches.push(batch);
        self.waiting.push(Waiting {
            acks,
            deadline,
            timeout,
            reply,
        });
        if self.batches.len() >= BATCHES_PER_WRITE_MAX {
            self.write_waiting(ctx);
        } else if self.batches.len() == 1 {
            // Spawned work runs when the mailbox has been drained.
            ctx.spawn(
                async {}
                    .into_actor(self)
                    .map(|(), act, ctx| act.write_waiting(ctx)),
            );
        }
    }
}

impl Handler<Synced> for PartitionActor {
    type Result = ();

    fn handle(&mut self, Synced(outcome): Synced, ctx: &mut Self::Context) {
        self.syncing = false;
        match self.log_mut().on_synced(&outcome) {
            Err(failed) => self.on_sync_failed(failed.to_string()),
            Ok(durable_end) => {
                let effects = self.replica.on_durable(durable_end);
                self.publish();
                self.carry_out(effects);
                if self.config.flush_mode == FlushMode::Sync {
                    self.start_sync(ctx);
                }
            }
        }
        self.close_if_done(ctx);
    }
}

impl Handler<Read> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: Read, _: &mut Self::Context) {
        self.stats.handled();
        let below = self.replica.high_watermark();
        let slice = self.log().read(
            message.from,
            below,
            ReadLimit::OneBatchOr(message.max_bytes),
        );
        message.reply.send(slice.map_err(PartitionError::from));
    }
}

impl Handler<FindTimestamp> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: FindTimestamp, _: &mut Self::Context) {
        self.stats.handled();
        let below = self.replica.high_watermark();
        let found = self.log().offset_for_timestamp(message.at, below);
        message.reply.send(found.map_err(PartitionError::from));
    }
}

impl Handler<DeleteRecords> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: DeleteRecords, _: &mut Self::Context) {
        self.stats.handled();
        if let Err(error) = self.check_in_service() {
            message.reply.send(Err(error));
            return;
        }
        let high_watermark = self.replica.high_watermark();
        let to = message.before.unwrap_or(high_watermark);
        if to > high_watermark {
            message.reply.send(Err(PartitionError::OffsetOutOfRange {
                asked: to,
                earliest: self.log().start(),
                latest: high_watermark,
            }));
            return;
        }
        let moved = self
            .log_mut()
            .advance_start(to)
            .map_err(PartitionError::from);
        if let Ok(start) = moved {
            info!(partition = %self.partition, %start, "records deleted on request");
        }
        self.publish();
        message.reply.send(moved);
    }
}

impl Handler<Summarize> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: Summarize, _: &mut Self::Context) {
        self.stats.handled();
        message.reply.send(Ok(PartitionSummary {
            segments: self.log().segments(),
            size_bytes: self.log().size_bytes(),
        }));
    }
}

impl Handler<Configure> for PartitionActor {
    type Result = ();

    fn handle(&mut self, Configure(config): Configure, ctx: &mut Self::Context) {
        self.stats.handled();
        self.write_waiting(ctx);
        self.log_mut().set_config(log_config(&config));
        let effects = self.replica.on_flush_mode(config.flush_mode);
        self.config = config;
        self.publish();
        self.carry_out(effects);
        self.start_sync(ctx);
    }
}

impl Handler<CheckRetention> for PartitionActor {
    type Result = ();

    fn handle(&mut self, _: CheckRetention, _: &mut Self::Context) {
        self.stats.handled();
        self.dir
            .record_high_watermark(&self.partition, self.replica.high_watermark());
        self.roll();
        let mut policy = retention_policy(&self.config);
        let high_watermark = self.replica.high_watermark();
        let now = self.clock.now();
        match self
            .log_mut()
            .apply_retention(&mut policy, high_watermark, now)
        {
            Ok(outcome) if outcome.segments > 0 => {
                let (segments, bytes) = (outcome.segments, outcome.bytes);
                info!(partition = %self.partition, segments, bytes, start = %outcome.start, "retention removed segments");
                self.publish();
            }
            Ok(_) => {}
            Err(error) => warn!(partition = %self.partition, %error, "retention failed"),
        }
    }
}

impl Handler<Close> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: Close, ctx: &mut Self::Context) {
        self.stats.handled();
        self.write_waiting(ctx);
        self.closing = Some(message.reply);
        self.close_if_done(ctx);
    }
}

impl Handler<Crash> for PartitionActor {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Self::Context) {
        self.stats.handled();
        panic!(
            "fault injection asked partition {} to crash",
            self.partition
        );
    }
}
