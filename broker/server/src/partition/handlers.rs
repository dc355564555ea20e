//! What the partition actor does with each message: a few lines each, around the log and the replica state
//! machine.

use std::pin::Pin;
use std::task::{self, Poll};

use actix::prelude::*;
use broker_model::limits::BATCHES_PER_WRITE_MAX;
use broker_storage::{ChangeError, RetentionOutcome};
use tracing::{info, warn};

use super::actor::PartitionActor;
use super::error::PartitionError;
use super::messages::{
    Append, BeginCleaning, BeginScrub, CheckRetention, CleaningPurpose, Close, Configure, Crash,
    DeleteRecords, FindTimestamp, FinishCleaning, FinishScrub, LookAtCleaning, PartitionSummary,
    Read, Summarize, Synced,
};
use super::writing::Waiting;
use crate::plugins::PluginRetention;
use crate::topic_settings::{compaction_settings, log_config};
use crate::turn::MUCH_TO_WRITE;

impl Handler<Append> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: Append, ctx: &mut Self::Context) {
        let Append {
            batch,
            size,
            acks,
            timeout,
            reply,
        } = message;
        self.took_bytes(size, ctx);
        if let Err(error) = self.check_append(acks, size) {
            reply.send(Err(error));
            return;
        }
        let deadline = self.clock.monotonic() + timeout;
        self.waiting.push(Waiting {
            batch,
            acks,
            deadline,
            timeout,
            reply,
        });
        let is_much = size >= MUCH_TO_WRITE;
        let is_all = self.stats.mailbox_depth() == 0 && !is_much;
        if is_all || self.waiting.len() >= BATCHES_PER_WRITE_MAX {
            self.write_waiting(ctx);
        } else if !self.write_spawned {
            self.write_spawned = true;
            ctx.spawn(WriteWhenDrained);
        }
    }
}

/// Spawned work runs when the mailbox has been drained, and when the actor pauses.
struct WriteWhenDrained;

impl ActorFuture<PartitionActor> for WriteWhenDrained {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut PartitionActor,
        ctx: &mut Context<PartitionActor>,
        _: &mut task::Context<'_>,
    ) -> Poll<()> {
        if ctx.waiting() {
            // It is asked again after the pause, when more was taken.
            return Poll::Pending;
        }
        actor.write_spawned = false;
        actor.write_waiting(ctx);
        Poll::Ready(())
    }
}

impl Handler<Synced> for PartitionActor {
    type Result = ();

    fn handle(&mut self, Synced(outcome): Synced, ctx: &mut Self::Context) {
        self.syncing = false;
        self.take_synced(&outcome);
        self.pace.on_synced(self.clock.monotonic());
        self.begin_async_if_noted();
        self.catch_up_if_quick();
        self.sync_in_time(ctx);
        self.close_if_done(ctx);
    }
}

impl Handler<Read> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: Read, ctx: &mut Self::Context) {
        self.took(ctx);
        let below = self.replica.high_watermark();
        let read = self.check_readable_at(message.from).and_then(|()| {
            let read = || self.log().read(message.from, below, message.limit);
            let slice = self.disk_wait.during(read);
            slice.map_err(|error| self.read_failed(error))
        });
        message.reply.send(read);
    }
}

impl Handler<FindTimestamp> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: FindTimestamp, ctx: &mut Self::Context) {
        self.took(ctx);
        let FindTimestamp { at, offsets, reply } = message;
        let offsets = offsets.start..offsets.end.min(self.replica.high_watermark());
        let may_read = self.check_answering().and(self.check_readable());
        let found = may_read.and_then(|()| {
            let search = || self.log().batch_at_time(at, &offsets);
            let found = self.disk_wait.during(search);
            found.map_err(|error| self.read_failed(error))
        });
        reply.send(found);
    }
}

impl Handler<DeleteRecords> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: DeleteRecords, ctx: &mut Self::Context) {
        self.took(ctx);
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
        let disk_wait = self.disk_wait.clone();
        let moved = disk_wait
            .during(|| self.log_mut().advance_start(to))
            .map_err(PartitionError::from);
        if let Ok(start) = moved {
            info!(partition = %self.partition(), %start, "records deleted on request");
        }
        self.log_start_moved(ctx);
        message.reply.send(moved);
    }
}

impl Handler<Summarize> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: Summarize, ctx: &mut Self::Context) {
        self.took(ctx);
        message.reply.send(Ok(PartitionSummary {
            segments: self.log().segments(),
            size_bytes: self.log().size_bytes(),
            damage: self.log().damage(),
        }));
    }
}

impl Handler<Configure> for PartitionActor {
    type Result = ();

    fn handle(&mut self, Configure(next): Configure, ctx: &mut Self::Context) {
        self.took(ctx);
        let Some(settings) = next.swap(None) else {
            return;
        };
        self.write_waiting(ctx);
        self.log_mut().set_config(log_config(&settings.config));
        let is_compacted_otherwise = settings.plugins.compacts_otherwise(&self.settings.plugins);
        self.settings = settings;
        if is_compacted_otherwise {
            self.forget_cleanings();
        }
        self.reset_roll_timer(ctx);
        self.disarm_sync_timer(ctx);
        self.take_flush_mode();
        self.start_sync(ctx);
    }
}

impl Handler<CheckRetention> for PartitionActor {
    type Result = ();

    fn handle(&mut self, _: CheckRetention, ctx: &mut Self::Context) {
        self.took(ctx);
        self.dir
            .record_high_watermark(self.partition(), self.replica.high_watermark());
        if self.check_answering().is_ok() {
            self.log_mut().release_idle_files();
        }
        // A burst may have left room for thousands.
        self.batches.shrink_to_fit();
        self.waiting.shrink_to_fit();
        self.parked.shrink();
        self.replica.shrink();
        self.catch_up_if_idle();
        self.roll(ctx);
        if self.check_answering().is_err() || !self.settings.config.cleanup_policy.delete {
            return;
        }
        let (settings, plugins) = (self.settings.clone(), self.plugins.clone());
        let mut policy = PluginRetention {
            plugins: &plugins,
            topic: &settings,
        };
        let high_watermark = self.replica.high_watermark();
        let now = self.clock.now();
        let disk_wait = self.disk_wait.clone();
        let log = self.log_mut();
        let applied = disk_wait.during(|| log.apply_retention(&mut policy, high_watermark, now));
        self.retention_applied(applied, ctx);
    }
}

impl PartitionActor {
    fn retention_applied(
        &mut self,
        applied: Result<RetentionOutcome, ChangeError>,
        ctx: &mut Context<Self>,
    ) {
        let (partition, fault) = (self.partition(), &self.settings.faults.retention);
        match applied {
            Ok(outcome) => {
                fault.worked(partition);
                if outcome.segments > 0 {
                    let (segments, bytes) = (outcome.segments, outcome.bytes);
                    info!(%partition, segments, bytes, start = %outcome.start, "retention removed segments");
                }
            }
            Err(ChangeError::Policy(failed)) => {
                fault.failed(partition, self.clock.monotonic(), &failed);
            }
            Err(error) => warn!(%partition, %error, "retention failed"),
        }
        // Also where files could not be removed: they lie below it by then.
        self.log_start_moved(ctx);
    }
}

impl Handler<LookAtCleaning> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: LookAtCleaning, ctx: &mut Self::Context) {
        self.took(ctx);
        let settings = compaction_settings(&self.settings);
        let high_watermark = self.replica.high_watermark();
        let now = self.clock.now();
        let state = self.check_answering().map(|()| {
            self.disk_wait
                .during(|| self.log().cleaning_state(&settings, high_watermark, now))
        });
        message.reply.send(state);
    }
}

impl Handler<BeginCleaning> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: BeginCleaning, ctx: &mut Self::Context) {
        self.took(ctx);
        let settings = compaction_settings(&self.settings);
        let high_watermark = self.replica.high_watermark();
        let now = self.clock.now();
        if self.cleanings_are_outdated {
            self.forget_cleanings();
        }
        let plugins = self.settings.plugins.clone();
        let begun = self.check_in_service().map(|()| match message.purpose {
            CleaningPurpose::Clean(by) if plugins.compacts_otherwise(&by) => None,
            CleaningPurpose::Clean(_) => {
                self.log_mut()
                    .begin_cleaning(&settings, high_watermark, now)
            }
            CleaningPurpose::Survey => self.log().survey(&settings, high_watermark, now),
            CleaningPurpose::SurveyAnew => self.log().survey_anew(&settings, high_watermark, now),
        });
        message.reply.send(begun);
    }
}

impl PartitionActor {
    /// The compaction policy is another one now: what was clean for the last is not for this one.
    /// On a disk that hangs that is noted later.
    pub(super) fn forget_cleanings(&mut self) {
        self.cleanings_are_outdated = self.check_answering().is_err();
        if self.cleanings_are_outdated {
            return self.log_mut().abandon_cleaning();
        }
        if let Err(error) = self.log_mut().forget_cleanings() {
            warn!(partition = %self.partition(), %error, "what was cleaned is not cleaned anew");
        }
    }
}

impl Handler<FinishCleaning> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: FinishCleaning, ctx: &mut Self::Context) {
        self.took(ctx);
        let finished = self.check_in_service().and_then(|()| {
            let disk_wait = self.disk_wait.clone();
            let finished = disk_wait.during(|| self.log_mut().finish_cleaning(message.cleaned));
            finished.map_err(PartitionError::from)
        });
        // What waits may lie in one segment now that lay in several.
        self.offsets.note_upheaval();
        message.reply.send(finished);
    }
}

impl Handler<BeginScrub> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: BeginScrub, ctx: &mut Self::Context) {
        self.took(ctx);
        let targets = self.check_in_service();
        let targets = targets.map(|()| self.log().scrub_targets());
        message.reply.send(targets);
    }
}

impl Handler<FinishScrub> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: FinishScrub, ctx: &mut Self::Context) {
        self.took(ctx);
        let found = self.log_mut().on_scrubbed(message.scrubbed);
        if !found.new.is_empty() {
            self.offsets.note_upheaval();
        }
        message.reply.send(Ok(found));
    }
}

impl Handler<Close> for PartitionActor {
    type Result = ();

    fn handle(&mut self, message: Close, ctx: &mut Self::Context) {
        self.took(ctx);
        self.write_waiting(ctx);
        self.closing = Some(message.reply);
        self.close_if_done(ctx);
    }
}

impl Handler<Crash> for PartitionActor {
    type Result = ();

    fn handle(&mut self, _: Crash, ctx: &mut Self::Context) {
        self.took(ctx);
        panic!(
            "fault injection asked partition {} to crash",
            self.partition()
        );
    }
}
