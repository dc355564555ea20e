//! `PartitionHandle`: the only door to a partition. Sending is synchronous, so requests of one
//! connection reach the log in the order they were sent, and a write is never held in a future that
//! could be dropped; answers come through a `Reply`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::SendError;
use actix::{Addr, Handler, Message};
use broker_cluster::Acks;
use broker_model::{Offset, Timestamp};
use broker_record::ProducedBatch;
use broker_storage::{
    Cleaned, Cleaning, CleaningOutcome, CleaningState, FileSlice, LogDir, ReadLimit, ScrubFound,
    ScrubTarget, Scrubbed,
};

use super::PartitionActor;
use super::error::PartitionError;
use super::messages::{
    Append, AppendReply, BeginCleaning, BeginScrub, CheckRetention, CleaningPurpose, Close,
    Configure, Crash, DeleteRecords, FindTimestamp, FinishCleaning, FinishScrub, LookAtCleaning,
    LookForFiles, NextSettings, PartitionSummary, Read, Summarize,
};
use super::offsets::{OffsetsReader, OffsetsWatch, PartitionOffsets};
use crate::actor_stats::ActorStats;
use crate::arbiters::Shard;
use crate::cold_reads::ColdReads;
use crate::reply::Reply;
use crate::standstill::Standstill;
use crate::topic_settings::TopicSettings;

/// A cheap clone that speaks to one partition.
#[derive(Clone)]
pub(crate) struct PartitionHandle {
    addr: Addr<PartitionActor>,
    offsets: OffsetsReader,
    shard: Shard,
    pub(super) standstill: Standstill,
    stats: Arc<ActorStats>,
    cold_reads: Arc<ColdReads>,
    next_settings: NextSettings,
}

impl PartitionHandle {
    pub(super) fn new(
        addr: Addr<PartitionActor>,
        offsets: OffsetsReader,
        (shard, standstill): (Shard, Standstill),
        (stats, cold_reads): (Arc<ActorStats>, Arc<ColdReads>),
    ) -> Self {
        Self {
            addr,
            offsets,
            shard,
            standstill,
            stats,
            cold_reads,
            next_settings: NextSettings::default(),
        }
    }

    /// Refuses what is asked of a partition whose directory is out of service, also when there would be
    /// nothing to do.
    pub(crate) fn check_in_service(&self) -> Result<(), PartitionError> {
        match self.dir().is_failed() {
            Some(failed) => Err(PartitionError::Offline {
                reason: failed.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// What to say of its thread if that is stuck.
    pub(crate) fn stuck(&self) -> Option<String> {
        self.standstill.reason()
    }

    /// What reads go through that wait for the disk.
    pub(crate) fn cold_reads(&self) -> &Arc<ColdReads> {
        &self.cold_reads
    }

    /// The log directory that it is in.
    pub(crate) fn dir(&self) -> &LogDir {
        self.cold_reads.dir()
    }

    /// Appends a batch; the answer comes when `acks` says, or when the thread that it is for stands still: then a batch
    /// that is not being written yet never will be.
    pub(crate) fn append(
        &self,
        batch: ProducedBatch,
        acks: Acks,
        timeout: Duration,
        reply: AppendReply,
    ) {
        let size = batch.size();
        let (batch, reply) = self.standstill.or_withdraw(batch, reply, unanswered);
        self.post(Append {
            batch,
            size,
            acks,
            timeout,
            reply,
        });
    }

    /// Whole batches from the one that holds `from`, below the high watermark.
    pub(crate) async fn read(
        &self,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<FileSlice, PartitionError> {
        self.ask(not_done, |reply| Read { from, limit, reply })
            .await
    }

    /// The first batch in this range, and below the high watermark, that says it has a record at or after a time.
    pub(crate) async fn find_timestamp(
        &self,
        at: Timestamp,
        offsets: Range<Offset>,
    ) -> Result<Option<FileSlice>, PartitionError> {
        self.ask(not_done, |reply| FindTimestamp { at, offsets, reply })
            .await
    }

    /// Moves the log start offset up; `None` means up to the high watermark.
    pub(crate) async fn delete_records(
        &self,
        before: Option<Offset>,
    ) -> Result<Offset, PartitionError> {
        self.ask(unanswered, |reply| DeleteRecords { before, reply })
            .await
    }

    /// Sizes and segments, for describe.
    pub(crate) async fn summarize(&self) -> Result<PartitionSummary, PartitionError> {
        self.ask(not_done, |reply| Summarize { reply }).await
    }

    /// Hands over a changed topic configuration, in place of one that has not been taken yet.
    pub(crate) fn configure(&self, settings: Arc<TopicSettings>) {
        let before = self.next_settings.swap(Some(settings));
        if before.is_none() {
            // One waits at a time, and it must not be lost.
            self.stats.sent();
            self.addr.do_send(Configure(self.next_settings.clone()));
        }
    }

    /// Looks whether the retention policy lets segments go.
    pub(crate) fn check_retention(&self) {
        // One an interval; a flood that keeps the mailbox full must not keep old data as well.
        self.stats.sent();
        self.addr.do_send(CheckRetention);
    }

    /// Looks whether the files of the log are still there.
    pub(crate) fn look_for_files(&self) {
        // Our own, and only when a directory is missed.
        self.stats.sent();
        self.addr.do_send(LookForFiles);
    }

    /// Whether a cleaning is due, and how much there is to clean.
    pub(crate) async fn cleaning_state(&self) -> Result<CleaningState, PartitionError> {
        self.ask(not_done, |reply| LookAtCleaning { reply }).await
    }

    /// Begins a cleaning that is due, or a survey; none when there is nothing to clean. One that comes when nobody waits
    /// for it any more is over at once.
    pub(crate) async fn begin_cleaning(
        &self,
        purpose: CleaningPurpose,
    ) -> Result<Option<Cleaning>, PartitionError> {
        self.ask(not_done, |reply| BeginCleaning { purpose, reply })
            .await
    }

    /// Puts the result of a cleaning in place.
    pub(crate) async fn finish_cleaning(
        &self,
        cleaned: Cleaned,
    ) -> Result<CleaningOutcome, PartitionError> {
        let (reply, answer) = Reply::channel();
        self.stats.sent();
        // Not driven by load: a full mailbox must not cost the work of minutes.
        self.addr.do_send(FinishCleaning { cleaned, reply });
        answer.await
    }

    /// What a scrub has to read.
    pub(crate) async fn scrub_targets(&self) -> Result<Vec<ScrubTarget>, PartitionError> {
        self.ask(not_done, |reply| BeginScrub { reply }).await
    }

    /// Hands over what a scrub of a segment has found; answers the damage that is news.
    pub(crate) async fn finish_scrub(
        &self,
        scrubbed: Scrubbed,
    ) -> Result<ScrubFound, PartitionError> {
        let (reply, answer) = Reply::channel();
        self.stats.sent();
        // Not driven by load: what was found must not be lost in a full mailbox.
        self.addr.do_send(FinishScrub { scrubbed, reply });
        answer.await
    }

    /// Flushes, syncs, closes the log and ends the actor.
    pub(crate) async fn close(&self) -> Result<(), PartitionError> {
        let (reply, answer) = Reply::channel();
        self.stats.sent();
        // A full mailbox must not keep a broker from stopping.
        self.addr.do_send(Close { reply });
        answer.await
    }

    /// Makes the actor panic; fault injection only.
    pub(crate) fn crash(&self) {
        self.post(Crash);
    }

    /// The offsets now.
    pub(crate) fn offsets(&self) -> PartitionOffsets {
        self.offsets.offsets()
    }

    /// A watch of the offsets, for long polls.
    pub(crate) fn watch_offsets(&self) -> OffsetsWatch {
        self.offsets.watch()
    }

    /// Where it lives: a connection on the same shard speaks to it without waking another thread.
    pub(crate) fn shard(&self) -> Shard {
        self.shard
    }

    /// What `list_actors` shows.
    pub(crate) fn stats(&self) -> &Arc<ActorStats> {
        &self.stats
    }

    /// Asks for something; what to say `otherwise` is for when the thread that it is for stands still.
    async fn ask<T: Send + 'static, M: Refusable>(
        &self,
        otherwise: fn(String) -> PartitionError,
        message: impl FnOnce(Reply<T, PartitionError>) -> M,
    ) -> Result<T, PartitionError>
    where
        PartitionActor: Handler<M>,
        <PartitionActor as actix::Actor>::Context: ToEnvelope<PartitionActor, M>,
    {
        let (reply, answer) = Reply::channel();
        self.post(message(self.standstill.or_give_up(reply, otherwise)));
        answer.await
    }

    fn post<M: Refusable>(&self, message: M)
    where
        PartitionActor: Handler<M>,
        <PartitionActor as actix::Actor>::Context: ToEnvelope<PartitionActor, M>,
    {
        if let Some(reason) = self.standstill.reason() {
            message.refuse(PartitionError::NotYet { reason });
            return;
        }
        self.stats.sent();
        match self.addr.try_send(message) {
            Ok(()) => {}
            Err(SendError::Full(message)) => {
                self.stats.not_sent();
                message.refuse(PartitionError::Busy);
            }
            Err(SendError::Closed(message)) => {
                self.stats.not_sent();
                let reason = "its actor has ended and is being started again".to_owned();
                message.refuse(PartitionError::NotYet { reason });
            }
        }
    }
}

/// What is told of something that changes nothing.
fn not_done(reason: String) -> PartitionError {
    PartitionError::NotYet { reason }
}

/// What is told of a change, of which nobody knows then whether it was made.
fn unanswered(reason: String) -> PartitionError {
    PartitionError::Unanswered { reason }
}

/// A message that can be answered without having reached the actor.
pub(super) trait Refusable: Message<Result = ()> + Send + 'static {
    /// Answers with `error`, which is definite: nothing was done.
    fn refuse(self, error: PartitionError);
}

macro_rules! refusable {
    ($($message:ident),*) => {$(
        impl Refusable for $message {
            fn refuse(self, error: PartitionError) {
                self.reply.send(Err(error));
            }
        }
    )*};
}
refusable!(
    Append,
    Read,
    FindTimestamp,
    DeleteRecords,
    Summarize,
    LookAtCleaning,
    BeginCleaning,
    BeginScrub
);

impl Refusable for Crash {
    fn refuse(self, _: PartitionError) {}
}
