//! `MetadataLog`: the controller's commands on disk, in the partition `__cluster_metadata-0`. A command's
//! index is its offset and its term is the leader epoch of its batch, which is how a quorum will find
//! them when it takes the log over. Replaying the log from 0 gives the state.

use broker_cluster::{Change, ClusterMetadata, Command};
use broker_model::{
    LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName, TopicPartition,
};
use broker_record::{BatchBuilder, Batches, Codec, ProducedBatch, TimestampType, Validation};
use broker_storage::{
    AppendError, DirFailed, FlushMode, Log, LogConfig, LogDir, LogPurpose, NotPermitted,
    OpenLogError, ReadLimit, ScrubFound, ScrubTarget, Scrubbed, SyncOutcome, SyncRequest, Vanished,
};

/// Topic of the metadata log; reserved, so that no client can create, write or delete it.
const TOPIC: &str = "__cluster_metadata";
/// The log's id is fixed.
const TOPIC_ID: TopicId = TopicId::CLUSTER_METADATA;
/// Bytes of commands read at once during replay.
const REPLAY_BYTES: u64 = 1024 * 1024;

/// The metadata log cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataLogError {
    /// The log itself.
    #[error(
        "the metadata log {TOPIC}-0 in {dir} cannot be used: {problem}. Without it topics are not known for certain, so nothing is served; no partition was touched. Restore its files from a copy"
    )]
    Log { dir: String, problem: String },
    /// There is no room for a command, or no file descriptor: nothing of it is in the log.
    #[error(transparent)]
    NoRoom(AppendError),
    /// The broker may not write to its files: nothing of the command is in the log.
    #[error(transparent)]
    NotPermitted(NotPermitted),
    /// A command is larger than the log takes: nothing of it is in the log.
    #[error("a command of {size} bytes is above the limit of {max}")]
    TooLarge { size: u64, max: u64 },
    /// A command in it.
    #[error(
        "the metadata log {TOPIC}-0 in {dir} holds a command that cannot be applied at index {index}: {problem}"
    )]
    Command {
        dir: String,
        index: Offset,
        problem: String,
    },
}

/// What replaying found.
pub(crate) struct Replayed {
    pub(crate) metadata: ClusterMetadata,
    /// The term of the controller that starts from here: above every term in the log.
    pub(crate) term: LeaderEpoch,
    /// Topics whose deletion was committed; their files may still be there.
    pub(crate) deleted: Vec<TopicId>,
}

/// The open log.
pub(crate) struct MetadataLog {
    log: Log,
    dir: LogDir,
}

impl MetadataLog {
    /// Opens the log, creating it in a new directory, and replays it. A broker that has a partition of
    /// a topic has had metadata: `some_partition` is one.
    pub(crate) fn open(
        dir: LogDir,
        some_partition: Option<&TopicPartition>,
    ) -> Result<(Self, Replayed), MetadataLogError> {
        let partition = Self::partition();
        let config = LogConfig {
            segment_bytes: 64 * 1024 * 1024,
            roll_after: std::time::Duration::from_secs(10 * 365 * 24 * 3600),
            index_interval_bytes: 4096,
            flush: FlushMode::Sync,
            timestamp_type: TimestampType::CreateTime,
            batch_bytes_max: 16 * 1024 * 1024,
            purpose: LogPurpose::Internal,
            ..LogConfig::default()
        };
        let opened = dir.open_or_create_log(&partition, TOPIC_ID, config);
        let (log, report) = opened.map_err(|problem| not_opened(&dir, &problem))?;
        if let Some(torn) = &report.torn {
            let (file, bytes, end) = (torn.file.display(), torn.bytes, torn.offset);
            tracing::warn!(%file, bytes, %end, "what nobody was told of was cut off at the end of the metadata log");
        }
        let mut opened = Self { log, dir };
        if opened.log.start() > Offset::ZERO {
            let start = opened.log.start();
            let problem = format!("it begins at offset {start}: what lies below is gone");
            return Err(failure(&opened.dir, &problem));
        }
        if let Some(partition) = some_partition.filter(|_| opened.log.end() == Offset::ZERO) {
            let problem = format!("it is empty, although there is a partition {partition}");
            return Err(failure(&opened.dir, &problem));
        }
        let replayed = opened.replay()?;
        Ok((opened, replayed))
    }

    /// The partition it is kept in.
    pub(crate) fn partition() -> TopicPartition {
        let name = TopicName::new(TOPIC).expect("the name is valid");
        TopicPartition::new(name, PartitionId::new(0))
    }

    fn replay(&mut self) -> Result<Replayed, MetadataLogError> {
        let mut replayed = Replayed {
            metadata: ClusterMetadata::new(),
            term: LeaderEpoch::default(),
            deleted: Vec::new(),
        };
        let mut next = self.log.start();
        while next < self.log.end() {
            let slice = self
                .log
                .read(next, self.log.end(), ReadLimit::OneBatchOr(REPLAY_BYTES))
                .map_err(|problem| failure(&self.dir, &problem))?;
            slice
                .verify()
                .map_err(|problem| failure(&self.dir, &problem))?;
            let bytes = slice
                .read()
                .map_err(|problem| failure(&self.dir, &problem))?;
            for batch in Batches::new(bytes) {
                let batch = batch.map_err(|problem| failure(&self.dir, &problem))?;
                let records = batch
                    .records()
                    .map_err(|problem| failure(&self.dir, &problem))?;
                for record in records.iter() {
                    let record = record.map_err(|problem| failure(&self.dir, &problem))?;
                    self.apply(
                        &mut replayed,
                        record.offset,
                        record.value.unwrap_or_default(),
                    )?;
                }
                replayed.term = replayed.term.max(batch.header.leader_epoch.next());
                next = batch.header.next_offset();
            }
        }
        Ok(replayed)
    }

    fn apply(
        &self,
        replayed: &mut Replayed,
        index: Offset,
        command: &[u8],
    ) -> Result<(), MetadataLogError> {
        let command = Command::decode(command).map_err(|problem| MetadataLogError::Command {
            dir: self.dir.path().display().to_string(),
            index,
            problem: problem.to_string(),
        })?;
        // A command that no longer fits is rejected by every replay alike.
        let changes = replayed
            .metadata
            .apply(index.get(), command)
            .unwrap_or_default();
        for change in changes {
            if let Change::TopicDeleted { topic } = change {
                replayed.deleted.push(topic.id);
            }
        }
        Ok(())
    }

    /// Appends a command and answers its index; it counts once it is durable.
    pub(crate) fn append(
        &mut self,
        command: &Command,
        term: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Offset, MetadataLogError> {
        let command = command
            .encode()
            .map_err(|problem| failure(&self.dir, &problem))?;
        let mut builder = BatchBuilder::new();
        let no_headers: [(&str, Option<&[u8]>); 0] = [];
        builder
            .push(None, Some(&command), now, no_headers)
            .map_err(|problem| failure(&self.dir, &problem))?;
        let (body, claims) = builder
            .build(Codec::None)
            .map_err(|problem| failure(&self.dir, &problem))?;
        let batch = ProducedBatch::opaque(body, claims, Validation::Trust)
            .map_err(|problem| failure(&self.dir, &problem))?;
        match self.log.append(&mut [batch], term, now) {
            Ok(run) => Ok(run.first),
            Err(
                problem @ (AppendError::NoSpace { .. }
                | AppendError::FileLimit { .. }
                | AppendError::NoDescriptor { .. }),
            ) => Err(MetadataLogError::NoRoom(problem)),
            Err(AppendError::NotPermitted(denied)) => Err(MetadataLogError::NotPermitted(denied)),
            Err(AppendError::BatchTooLarge { size, max, .. }) => {
                Err(MetadataLogError::TooLarge { size, max })
            }
            Err(problem) => Err(failure(&self.dir, &problem)),
        }
    }

    /// What is missing of its files, if somebody has removed them.
    pub(crate) fn vanished(&self) -> Option<Vanished> {
        self.log.check_present().err()
    }

    /// What a scrub has to read.
    pub(crate) fn scrub_targets(&self) -> Vec<ScrubTarget> {
        self.log.scrub_targets()
    }

    /// Takes what a scrub has found.
    pub(crate) fn on_scrubbed(&mut self, scrubbed: Scrubbed) -> ScrubFound {
        self.log.on_scrubbed(scrubbed)
    }

    /// What has to be synced; see [`Log::sync_request`].
    pub(crate) fn sync_request(&mut self) -> Option<SyncRequest> {
        self.log.sync_request()
    }

    /// Takes what became of a sync; answers the index below which every command is durable.
    pub(crate) fn on_synced(&mut self, outcome: &SyncOutcome) -> Result<Offset, DirFailed> {
        self.log.on_synced(outcome)
    }

    /// Closes the log.
    pub(crate) fn close(self) -> Result<(), DirFailed> {
        self.log.close()
    }

    /// The directory it is in.
    pub(crate) fn dir(&self) -> &LogDir {
        &self.dir
    }
}

/// What an operator may do about a partition is no help here: an empty directory holds no topics.
fn not_opened(dir: &LogDir, problem: &OpenLogError) -> MetadataLogError {
    match problem {
        OpenLogError::Gone { dir: gone, end } => {
            let gone = gone.display();
            let problem = format!("{gone} is gone, and it held commands up to offset {end}");
            failure(dir, &problem)
        }
        other => failure(dir, other),
    }
}

fn failure(dir: &LogDir, problem: &dyn std::fmt::Display) -> MetadataLogError {
    MetadataLogError::Log {
        dir: dir.path().display().to_string(),
        problem: problem.to_string(),
    }
}
