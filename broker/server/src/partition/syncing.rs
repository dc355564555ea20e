//! Syncs of a partition: handed to the directory's sync thread, or, for a lone producer, carried out on the
//! spot. One is under way at a time; the next covers everything written meanwhile. Under `async` they go by
//! [`FlushPace`](broker_cluster::FlushPace); where they take too long, acknowledgements wait for them.

use std::time::Duration;

use actix::prelude::*;
use broker_cluster::FlushMode;
use broker_storage::{SyncOutcome, SyncRequest};
use tracing::error;

use super::actor::PartitionActor;
use super::messages::Synced;
use crate::solitude;

/// A sync that held up its thread for longer than this is the last one to do so for a while.
const INLINE_SYNC_MAX: Duration = Duration::from_millis(5);
/// For so many times as long as it took syncs are left to their own thread then, ...
const INLINE_SYNC_PAUSE_TIMES: u32 = 10;
/// ... and at most for this long.
const INLINE_SYNC_PAUSE_MAX: Duration = Duration::from_secs(1);

impl PartitionActor {
    /// Hands what is not durable yet to the sync thread, unless a sync is under way already.
    pub(super) fn start_sync(&mut self, ctx: &mut Context<Self>) {
        if self.syncing {
            return;
        }
        let since = self.log().written_since();
        if let Some(request) = self.log_mut().sync_request() {
            self.hand_over(request, since, ctx);
        }
    }

    /// The mode that the topic is set to; `async` is so once the log has noted it.
    pub(super) fn flush_mode(&self) -> FlushMode {
        match self.log().flush() {
            broker_storage::FlushMode::Sync => FlushMode::Sync,
            broker_storage::FlushMode::Async { .. } => FlushMode::Async,
        }
    }

    /// Syncs what was written, at once or when it is time.
    pub(super) fn sync_in_time(&mut self, ctx: &mut Context<Self>) {
        match self.flush_mode() {
            FlushMode::Sync => self.start_sync(ctx),
            FlushMode::Async => self.pace_syncs(ctx),
        }
    }

    /// Under `async`: syncs what was written when it is time, and looks again then.
    pub(super) fn pace_syncs(&mut self, ctx: &mut Context<Self>) {
        if self.syncing {
            return;
        }
        let Some(since) = self.log().unsynced_since() else {
            return;
        };
        if self.behind.is_some() {
            self.start_sync(ctx);
            return;
        }
        let due = self.pace.begins_at(since, self.settings.config.flush_every);
        let timer = self.sync_timer.as_ref();
        if timer.is_some_and(|(armed_for, _)| *armed_for <= due) {
            return;
        }
        let now = self.clock.monotonic();
        if due <= now {
            self.start_sync(ctx);
            return;
        }
        self.disarm_sync_timer(ctx);
        let timer = ctx.run_later(due - now, |act, ctx| {
            act.sync_timer = None;
            if act.flush_mode() == FlushMode::Async {
                act.pace_syncs(ctx);
            }
        });
        self.sync_timer = Some((due, timer));
    }

    /// What it was armed by has changed.
    pub(super) fn disarm_sync_timer(&mut self, ctx: &mut Context<Self>) {
        if let Some((_, timer)) = self.sync_timer.take() {
            ctx.cancel_future(timer);
        }
    }

    /// Whether it is time under `async`, for when the actor is too busy for its timers.
    pub(super) fn sync_is_due(&self, now: Duration) -> bool {
        let flush_every = self.settings.config.flush_every;
        !self.syncing && self.flush_mode() == FlushMode::Async && {
            let since = self.log().unsynced_since();
            since.is_some_and(|since| self.pace.begins_at(since, flush_every) <= now)
        }
    }

    /// Under `async`: something acknowledged should have been synced by now, so what follows is acknowledged
    /// once it is synced. Asked when a write has returned, which may have waited for the disk too.
    pub(super) fn fall_behind_if_late(&mut self) {
        let may_be_late = self.behind.is_none() && self.failed.is_none();
        if !may_be_late || self.flush_mode() == FlushMode::Sync {
            return;
        }
        let flush_every = self.settings.config.flush_every;
        let (now, written) = (self.clock.monotonic(), self.log().written_since());
        if self.pace.is_late(written, now, flush_every) {
            self.behind = Some(self.dir.fall_behind());
            let effects = self.replica.on_flush_mode(FlushMode::Sync);
            self.carry_out(effects);
        }
    }

    /// The settings are others: who waits for a sync that is late goes on waiting for it.
    pub(super) fn take_flush_mode(&mut self) {
        let mode = self.flush_mode();
        if mode == FlushMode::Sync {
            self.behind = None;
        }
        self.fall_behind_if_late();
        let in_force = match self.behind {
            Some(_) => FlushMode::Sync,
            None => mode,
        };
        let effects = self.replica.on_flush_mode(in_force);
        self.publish();
        self.carry_out(effects);
    }

    /// The sync that noted it has ended.
    pub(super) fn begin_async_if_noted(&mut self) {
        let waits = self.behind.is_none() && self.replica.flush_mode() == FlushMode::Sync;
        if waits && self.flush_mode() == FlushMode::Async {
            self.take_flush_mode();
        }
    }

    /// A sync that was quick enough ends the waiting.
    pub(super) fn catch_up_if_quick(&mut self) {
        if self.behind.is_some() && self.pace.keeps_up(self.settings.config.flush_every) {
            self.catch_up();
        }
    }

    /// Nothing is written any more: whether syncs are quick again is seen when something is.
    pub(super) fn catch_up_if_idle(&mut self) {
        if self.behind.is_some() && !self.syncing && self.log().unsynced_since().is_none() {
            self.catch_up();
        }
    }

    fn catch_up(&mut self) {
        self.behind = None;
        let effects = self.replica.on_flush_mode(self.flush_mode());
        self.publish();
        self.carry_out(effects);
    }

    /// `since` is when the oldest records that it covers were written.
    fn hand_over(&mut self, request: SyncRequest, since: Option<Duration>, ctx: &Context<Self>) {
        let now = self.clock.monotonic();
        self.pace.on_begun(since.unwrap_or(now), now);
        self.syncing = true;
        let addr = ctx.address();
        self.dir.sync(
            request,
            Box::new(move |outcome| addr.do_send(Synced(outcome))),
        );
    }

    /// Whether to sync on this thread, which spares waking two others: when one batch waits, its producer
    /// is the only one this thread has served for a while, and syncs are quick here.
    pub(super) fn may_sync_inline(&self) -> bool {
        let alone = self.parked.len() == 1 && !self.syncing && self.closing.is_none();
        alone && solitude::is_alone() && self.clock.monotonic() >= self.inline_again
    }

    pub(super) fn sync_inline(&mut self, ctx: &Context<Self>) {
        let since = self.log().written_since();
        let Some(request) = self.log_mut().sync_request() else {
            return;
        };
        if !request.is_one_data_file() {
            self.hand_over(request, since, ctx);
            return;
        }
        let begun = self.clock.monotonic();
        let outcome = self.disk_wait.during(|| self.dir.sync_inline(request));
        let ended = self.clock.monotonic();
        let took = ended.saturating_sub(begun);
        if took > INLINE_SYNC_MAX {
            let pause = (took * INLINE_SYNC_PAUSE_TIMES).min(INLINE_SYNC_PAUSE_MAX);
            self.inline_again = ended + pause;
        }
        self.take_synced(&outcome);
    }

    /// Takes what became of a sync, and answers whoever waited for it.
    pub(super) fn take_synced(&mut self, outcome: &SyncOutcome) {
        match self.log_mut().on_synced(outcome) {
            Err(failed) => match self.log().check_present() {
                Err(vanished) if self.dir.is_failed().is_none() => self.go_offline(&vanished),
                _ => self.on_sync_failed(failed.to_string()),
            },
            Ok(durable_end) => {
                let effects = self.replica.on_durable(durable_end);
                self.publish();
                self.carry_out(effects);
            }
        }
    }

    fn on_sync_failed(&mut self, reason: String) {
        error!(partition = %self.partition(), reason, "sync failed, the partition goes offline");
        self.failed = Some(reason.into());
        self.behind = None;
        let effects = self.replica.on_failed();
        self.carry_out(effects);
        self.offsets.note_upheaval();
    }
}
