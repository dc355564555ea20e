//! Appends that are not acknowledged: those that wait for longer than their producers do, and those that the
//! log refuses. Both are answered; a refusal is told as well, but not each.

use actix::prelude::*;
use tracing::warn;

use super::actor::{DEADLINE_CHECK, PartitionActor};
use super::error::PartitionError;

impl PartitionActor {
    pub(super) fn check_deadlines(&mut self, ctx: &mut Context<Self>) {
        self.expire_parked();
        self.deadline_timer = !self.parked.is_empty();
        if self.deadline_timer {
            ctx.run_later(DEADLINE_CHECK, Self::check_deadlines);
        }
    }

    pub(super) fn expire_parked(&mut self) {
        let now = self.clock.monotonic();
        self.deadlines_due = now + DEADLINE_CHECK;
        for token in self.parked.late(now) {
            if let Some(parked) = self.parked.take(token) {
                parked.reply.send(Err(PartitionError::TimedOut {
                    after: parked.timeout,
                }));
            }
        }
    }

    /// A full disk is told by its directory, once.
    pub(super) fn tell_refusal(&mut self, error: &PartitionError) {
        if matches!(
            error,
            PartitionError::LowSpace(_) | PartitionError::DiskFull { .. }
        ) {
            return;
        }
        let failures = self.append_failures.get_or_insert_default();
        if let Some(times) = failures.happened(self.clock.monotonic()) {
            warn!(partition = %self.partition(), %error, times, "append failed");
        }
    }
}
