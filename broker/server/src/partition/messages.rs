//! The partition's messages, private to this folder; the handle sends them, the actor handles them.
//! Those with a reply are answered once, whatever becomes of them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use arc_swap::ArcSwapOption;
use broker_cluster::Acks;
use broker_model::{Offset, Timestamp};
use broker_record::ProducedBatch;
use broker_storage::{
    Cleaned, Cleaning, CleaningOutcome, CleaningState, Corruption, FileSlice, ReadLimit,
    ScrubFound, ScrubTarget, Scrubbed, SegmentInfo, SyncOutcome,
};

use super::error::PartitionError;
use crate::plugins::TopicPlugins;
use crate::reply::Reply;
use crate::standstill::Handed;
use crate::topic_settings::TopicSettings;

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// The offset of its first record.
    pub(crate) base_offset: Offset,
    /// Its time, where the topic takes the broker's.
    pub(crate) log_append_time: Option<Timestamp>,
    /// The log start offset at that moment.
    pub(crate) log_start: Offset,
}

/// A partition as `describe_topic` shows it.
#[derive(Clone, Debug)]
pub(crate) struct PartitionSummary {
    pub(crate) segments: Vec<SegmentInfo>,
    pub(crate) size_bytes: u64,
    /// What is known to be damaged, by offset.
    pub(crate) damage: Vec<Corruption>,
}

pub(super) type AppendReply = Reply<Appended, PartitionError>;
/// A batch until it is written, or withdrawn because the thread stands still.
pub(super) type HandedBatch = Handed<Appended, ProducedBatch>;

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Append {
    pub(super) batch: HandedBatch,
    /// That of the batch, on disk.
    pub(super) size: usize,
    pub(super) acks: Acks,
    pub(super) timeout: Duration,
    pub(super) reply: AppendReply,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Read {
    pub(super) from: Offset,
    pub(super) limit: ReadLimit,
    pub(super) reply: Reply<FileSlice, PartitionError>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct FindTimestamp {
    pub(super) at: Timestamp,
    /// Where to search.
    pub(super) offsets: Range<Offset>,
    pub(super) reply: Reply<Option<FileSlice>, PartitionError>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct DeleteRecords {
    /// `None` is the high watermark.
    pub(super) before: Option<Offset>,
    pub(super) reply: Reply<Offset, PartitionError>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Summarize {
    pub(super) reply: Reply<PartitionSummary, PartitionError>,
}

/// Where the newest settings wait for the actor; those it has not taken yet are replaced.
pub(super) type NextSettings = Arc<ArcSwapOption<TopicSettings>>;

/// Take the settings that wait there. Without any there is none of these in the mailbox.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Configure(pub(super) NextSettings);

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LookAtCleaning {
    pub(super) reply: Reply<CleaningState, PartitionError>,
}

/// What a cleaning is begun for.
#[derive(Clone, Debug)]
pub(crate) enum CleaningPurpose {
    /// To be carried out by the compaction policy of these, if one is due and it is the one that the partition has.
    Clean(Arc<TopicPlugins>),
    /// To see what it would do.
    Survey,
    /// To see what it would do if its policy were new to the topic.
    SurveyAnew,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct BeginCleaning {
    pub(super) purpose: CleaningPurpose,
    pub(super) reply: Reply<Option<Cleaning>, PartitionError>,
}

/// A cleaning that has run. One that failed is over as soon as it is dropped.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct FinishCleaning {
    pub(super) cleaned: Cleaned,
    pub(super) reply: Reply<CleaningOutcome, PartitionError>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct BeginScrub {
    pub(super) reply: Reply<Vec<ScrubTarget>, PartitionError>,
}

/// A segment was scrubbed.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct FinishScrub {
    pub(super) scrubbed: Scrubbed,
    pub(super) reply: Reply<ScrubFound, PartitionError>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CheckRetention;

/// The partition's directory is not where it was: look whether the log is still there.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LookForFiles;

/// From the sync thread; at most one is under way.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Synced(pub(super) SyncOutcome);

/// Write what waits, sync it, answer, close the log, end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close {
    pub(super) reply: Reply<(), PartitionError>,
}

/// Fault injection: panic.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Crash;
