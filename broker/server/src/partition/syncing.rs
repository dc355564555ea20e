//! Syncs of a partition: handed to the directory's sync thread, or, for a lone producer, carried out on the
//! spot. One is under way at a time; the next covers everything written meanwhile.

use std::time::Duration;

use actix::prelude::*;
use broker_storage::{SyncOutcome, SyncRequest};
use tracing::error;

use super::actor::PartitionActor;
use super::messages::Synced;
use crate::solitude;

/// A sync that held up its thread for longer than this is the last one to do so for a while.
const INLINE_SYNC_MAX: Duration = Duration::from_millis(5);
/// How long after that syncs are left to their own thread.
const INLINE_SYNC_PAUSE: Duration = Duration::from_secs(1);

impl PartitionActor {
    /// Hands what is not durable yet to the sync thread, unless a sync is under way already.
    pub(super) fn start_sync(&mut self, ctx: &mut Context<Self>) {
        if self.syncing {
            return;
        }
        if let Some(request) = self.log_mut().sync_request() {
            self.hand_over(request, ctx);
        }
    }

    fn hand_over(&mut self, request: SyncRequest, ctx: &Context<Self>) {
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
        let Some(request) = self.log_mut().sync_request() else {
            return;
        };
        if !request.is_one_data_file() {
            self.hand_over(request, ctx);
            return;
        }
        let begun = self.clock.monotonic();
        let outcome = self.dir.sync_inline(request);
        let ended = self.clock.monotonic();
        if ended.saturating_sub(begun) > INLINE_SYNC_MAX {
            self.inline_again = ended + INLINE_SYNC_PAUSE;
        }
        self.take_synced(&outcome);
    }

    /// Takes what became of a sync, and answers whoever waited for it.
    pub(super) fn take_synced(&mut self, outcome: &SyncOutcome) {
        match self.log_mut().on_synced(outcome) {
            Err(failed) => self.on_sync_failed(failed.to_string()),
            Ok(durable_end) => {
                let effects = self.replica.on_durable(durable_end);
                self.publish();
                self.carry_out(effects);
            }
        }
    }

    fn on_sync_failed(&mut self, reason: String) {
        error!(partition = %self.partition, reason, "sync failed, the partition goes offline");
        self.failed = Some(reason);
        let effects = self.replica.on_failed();
        self.carry_out(effects);
    }
}
