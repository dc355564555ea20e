//! Writing: what one drain of the mailbox brought goes to the log at once. Until then a batch is its sender's, who
//! withdraws it when the thread stands still.

use std::time::Duration;

use actix::Context;
use broker_cluster::{Acks, Effects};
use broker_model::Offset;
use broker_record::{ProducedBatch, TimestampType};
use broker_storage::AppendError;

use super::actor::PartitionActor;
use super::error::PartitionError;
use super::messages::{AppendReply, Appended, HandedBatch};
use super::parked::Parked;
use crate::solitude;

/// A batch that waits for the end of the mailbox drain.
pub(super) struct Waiting {
    pub(super) batch: HandedBatch,
    pub(super) acks: Acks,
    pub(super) deadline: Duration,
    pub(super) timeout: Duration,
    pub(super) reply: AppendReply,
}

impl PartitionActor {
    /// Writes what the mailbox drain brought, all of it in one vectored write.
    pub(super) fn write_waiting(&mut self, ctx: &mut Context<Self>) {
        if self.waiting.is_empty() {
            return;
        }
        if let Err(error) = self.check_answering() {
            // It has become plain since they came.
            for waiting in self.waiting.drain(..) {
                waiting.reply.send(Err(error.clone()));
            }
            return;
        }
        let mut batches = std::mem::take(&mut self.batches);
        let mut waiting = std::mem::take(&mut self.waiting);
        // From now on nobody withdraws them: batch i is answered through waiting i.
        waiting.retain_mut(|waiting| {
            let batch = waiting.batch.take();
            batch.map(|batch| batches.push(batch)).is_some()
        });
        if !batches.is_empty() {
            self.write(&mut batches, &mut waiting, ctx);
        }
        batches.clear();
        // Their room is kept for what comes next.
        self.batches = batches;
        self.waiting = waiting;
    }

    fn write(
        &mut self,
        batches: &mut [ProducedBatch],
        waiting: &mut Vec<Waiting>,
        ctx: &mut Context<Self>,
    ) {
        solitude::note_append(std::ptr::from_ref(self).addr());
        let (now, epoch) = (self.clock.now(), self.leader_epoch);
        let disk_wait = self.disk_wait.clone();
        match disk_wait.during(|| self.log_mut().append(batches, epoch, now)) {
            Ok(run) => {
                self.fall_behind_if_late();
                let log_start = self.log().start();
                let mut effects = Effects::default();
                for (batch, waiting) in batches.iter().zip(waiting.drain(..)) {
                    effects.merge(self.on_appended(batch, waiting, log_start));
                }
                debug_assert_eq!(
                    run.end,
                    self.log().end(),
                    "an append ends where the log ends"
                );
                // First, so that whoever is answered can read at once what was acknowledged.
                self.publish_appended(batches.iter().map(|batch| batch.size() as u64).sum());
                self.carry_out(effects);
                self.after_write(ctx);
            }
            Err(error) => {
                if let AppendError::Vanished(vanished) = &error {
                    self.go_offline(vanished);
                }
                let error = PartitionError::from(error);
                self.tell_refusal(&error);
                for waiting in waiting.drain(..) {
                    waiting.reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn on_appended(
        &mut self,
        batch: &ProducedBatch,
        waiting: Waiting,
        log_start: Offset,
    ) -> Effects<u64> {
        let header = &batch.header;
        let answer = Appended {
            base_offset: header.base_offset,
            log_append_time: (header.timestamp_type == TimestampType::LogAppendTime)
                .then_some(header.max_timestamp),
            log_start,
        };
        let Waiting {
            acks,
            deadline,
            timeout,
            reply,
            ..
        } = waiting;
        let token = self.parked.park(Parked {
            answer,
            deadline,
            timeout,
            reply,
        });
        self.replica
            .on_appended(header.base_offset, header.next_offset(), acks, token)
    }
}
