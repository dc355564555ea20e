//! `PartitionReplica`: what a partition's leader knows about progress, and which acknowledgements may leave.
//! Pure: the actor tells it what was written and what became durable, and gets back the tokens to answer, in
//! the order of their records. Under `flush.mode = sync` an acknowledgement means fsynced: `acks = leader`
//! waits for the leader's durable end, `acks = all` for the high watermark, which follows durable ends. Under
//! `async` both follow the written end; `acks = none` waits for nothing. The high watermark never goes back,
//! and no token is released twice or forgotten.

use std::collections::VecDeque;

use broker_model::{LeaderEpoch, Offset};

/// Whether an acknowledgement means synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// Acknowledged once on stable storage.
    Sync,
    /// Acknowledged from the page cache, synced in the background.
    Async,
}

/// What a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nothing.
    None,
    /// The leader has it: durably under [`FlushMode::Sync`].
    Leader,
    /// It is committed: every in-sync replica has it.
    All,
}

/// What a partition starts from once its log is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaStart {
    /// The leadership this broker holds.
    pub epoch: LeaderEpoch,
    /// First offset that still exists.
    pub log_start: Offset,
    /// Offset of the next record.
    pub log_end: Offset,
    /// What is known to be on stable storage ends here.
    pub durable_end: Offset,
    /// The high watermark as last written down; the true one may be higher.
    pub checkpointed_high_watermark: Offset,
    /// Whether an acknowledgement means synced.
    pub flush_mode: FlushMode,
}

/// What to do after an event.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the tokens in here have to be answered"]
pub struct Effects<T> {
    /// Acknowledge these, in this order.
    pub released: Vec<T>,
    /// Answer these with an error whose outcome is unknown: written, but perhaps not durable.
    pub failed: Vec<T>,
    /// The high watermark, if it moved: wake waiting fetches.
    pub high_watermark: Option<Offset>,
}

impl<T> Default for Effects<T> {
    fn default() -> Self {
        Self {
            released: Vec::new(),
            failed: Vec::new(),
            high_watermark: None,
        }
    }
}

impl<T> Effects<T> {
    /// Adds those of a later event.
    pub fn merge(&mut self, later: Self) {
        join(&mut self.released, later.released);
        join(&mut self.failed, later.failed);
        self.high_watermark = later.high_watermark.or(self.high_watermark);
    }
}

/// Puts `more` behind those that are there; alone it is taken as it is.
fn join<T>(tokens: &mut Vec<T>, mut more: Vec<T>) {
    if tokens.is_empty() {
        *tokens = more;
    } else {
        tokens.append(&mut more);
    }
}

/// Why a produce request is turned away before anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The log directory failed.
    #[error("the partition is offline: its log directory failed")]
    Offline,
    /// Too few replicas are in sync for `acks = all`.
    #[error("{in_sync} replicas are in sync, acks = all needs {required}")]
    NotEnoughReplicas {
        /// Replicas in sync, the leader included.
        in_sync: u32,
        /// Replicas needed: `min.insync.replicas`, at most the replicas the topic has.
        required: u32,
    },
}

#[derive(Debug)]
struct Parked<T> {
    end: Offset,
    token: T,
}

/// The leader's view of one partition.
///
/// ```
/// use broker_cluster::{Acks, FlushMode, PartitionReplica, ReplicaStart};
/// use broker_model::{LeaderEpoch, Offset};
///
/// let mut replica = PartitionReplica::new(ReplicaStart {
///     epoch: LeaderEpoch::new(0),
///     log_start: Offset::ZERO,
///     log_end: Offset::ZERO,
///     durable_end: Offset::ZERO,
///     checkpointed_high_watermark: Offset::ZERO,
///     flush_mode: FlushMode::Sync,
/// });
/// let written = replica.on_appended(Offset::ZERO, Offset::new(3), Acks::All, "token");
/// assert!(written.released.is_empty());
/// let synced = replica.on_durable(Offset::new(3));
/// assert_eq!(synced.released, ["token"]);
/// assert_eq!(synced.high_watermark, Some(Offset::new(3)));
/// ```
#[derive(Debug)]
pub struct PartitionReplica<T> {
    epoch: LeaderEpoch,
    log_start: Offset,
    log_end: Offset,
    durable_end: Offset,
    high_watermark: Offset,
    flush_mode: FlushMode,
    replicas: u32,
    in_sync: u32,
    failed: bool,
    /// `None` while nothing has waited since it was last given back: there may be many thousand partitions.
    waiting: Option<Box<Waiting<T>>>,
    #[cfg(test)]
    planted: Option<tests::PlantedBug>,
}

/// Acknowledgements that wait.
#[derive(Debug)]
struct Waiting<T> {
    /// For the leader's own acknowledged end, oldest first.
    for_leader: VecDeque<Parked<T>>,
    /// For the high watermark, oldest first.
    for_commit: VecDeque<Parked<T>>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            for_leader: VecDeque::new(),
            for_commit: VecDeque::new(),
        }
    }
}

impl<T> Waiting<T> {
    /// Takes out what is covered, in the order of the records.
    fn drain(&mut self, leader_end: Offset, committed_end: Offset, out: &mut Vec<T>) {
        loop {
            let leader = covered(&self.for_leader, leader_end);
            let commit = covered(&self.for_commit, committed_end);
            let queue = match (leader, commit) {
                (None, None) => return,
                (Some(leader), Some(commit)) if leader > commit => &mut self.for_commit,
                (Some(_), _) => &mut self.for_leader,
                (None, Some(_)) => &mut self.for_commit,
            };
            out.extend(queue.pop_front().map(|parked| parked.token));
        }
    }
}

impl<T> PartitionReplica<T> {
    /// A leader without followers, right after its log was opened.
    ///
    /// # Panics
    /// When the offsets contradict each other.
    pub fn new(start: ReplicaStart) -> Self {
        assert!(start.log_start <= start.log_end, "log start beyond its end");
        assert!(start.durable_end <= start.log_end, "durable beyond written");
        let mut replica = Self {
            epoch: start.epoch,
            log_start: start.log_start,
            log_end: start.log_end,
            durable_end: start.durable_end,
            high_watermark: start
                .checkpointed_high_watermark
                .clamp(start.log_start, start.log_end),
            flush_mode: start.flush_mode,
            replicas: 1,
            in_sync: 1,
            failed: false,
            waiting: None,
            #[cfg(test)]
            planted: None,
        };
        replica.raise_high_watermark();
        replica
    }

    /// The leadership this broker holds.
    pub const fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// First offset that still exists.
    pub const fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Offset of the next record.
    pub const fn log_end(&self) -> Offset {
        self.log_end
    }

    /// What is on stable storage ends here.
    pub const fn durable_end(&self) -> Offset {
        self.durable_end
    }

    /// Consumers read below this.
    pub const fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Whether an acknowledgement means synced.
    pub const fn flush_mode(&self) -> FlushMode {
        self.flush_mode
    }

    /// How many acknowledgements wait.
    pub fn parked(&self) -> usize {
        let waiting = self.waiting.as_ref();
        waiting.map_or(0, |waiting| {
            waiting.for_leader.len() + waiting.for_commit.len()
        })
    }

    /// Gives back the room of acknowledgements that do not wait any more.
    pub fn shrink(&mut self) {
        if self.parked() == 0 {
            self.waiting = None;
        }
    }

    /// Whether the log directory failed under this partition.
    pub const fn is_failed(&self) -> bool {
        self.failed
    }

    /// Whether a produce request may be written at all; to be asked before appending.
    ///
    /// # Errors
    /// When the partition is offline, or too few replicas are in sync for `acks = all`.
    pub fn admit(&self, acks: Acks, min_insync_replicas: u32) -> Result<(), NotAdmitted> {
        if self.failed {
            return Err(NotAdmitted::Offline);
        }
        let required = min_insync_replicas.min(self.replicas);
        if acks == Acks::All && self.in_sync < required {
            return Err(NotAdmitted::NotEnoughReplicas {
                in_sync: self.in_sync,
                required,
            });
        }
        Ok(())
    }

    /// Records `first..end` were written to the leader's log on behalf of `token`.
    ///
    /// # Panics
    /// When they do not follow the log end: that is a bug of the caller.
    pub fn on_appended(&mut self, first: Offset, end: Offset, acks: Acks, token: T) -> Effects<T> {
        assert!(first == self.log_end, "a gap between log end and append");
        assert!(first < end, "an append of nothing");
        self.log_end = end;
        let mut effects = Effects::default();
        let parked = Parked { end, token };
        match acks {
            _ if self.failed => effects.failed.push(parked.token),
            Acks::None => effects.released.push(parked.token),
            Acks::Leader => self.waiting().for_leader.push_back(parked),
            Acks::All => self.waiting().for_commit.push_back(parked),
        }
        self.advance(&mut effects);
        effects
    }

    /// Everything below `end` is on stable storage. An older report than the last changes nothing.
    ///
    /// # Panics
    /// When more is durable than was written.
    pub fn on_durable(&mut self, end: Offset) -> Effects<T> {
        assert!(end <= self.log_end, "durable beyond written");
        let mut effects = Effects::default();
        if !self.failed {
            self.durable_end = self.durable_end.max(end);
            self.advance(&mut effects);
        }
        effects
    }

    /// A write or sync failed: the directory is out of service. Nothing is acknowledged any more,
    /// and the high watermark stands still.
    pub fn on_failed(&mut self) -> Effects<T> {
        self.failed = true;
        let mut effects = Effects::default();
        self.drain(Offset::MAX, Offset::MAX, &mut effects.failed);
        effects
    }

    /// The topic's `flush.mode` changed. Towards `async`, what waits for a sync is released;
    /// towards `sync`, what consumers could already see stays visible.
    pub fn on_flush_mode(&mut self, flush_mode: FlushMode) -> Effects<T> {
        self.flush_mode = flush_mode;
        let mut effects = Effects::default();
        self.advance(&mut effects);
        effects
    }

    /// The log start moved on (retention or `delete_records`).
    ///
    /// # Panics
    /// When it goes beyond the high watermark: what is not committed is never deleted.
    pub fn on_log_start(&mut self, start: Offset) {
        assert!(
            start <= self.high_watermark,
            "deleted what is not committed"
        );
        self.log_start = self.log_start.max(start);
    }

    /// Up to where the leader itself vouches for its records.
    fn own_end(&self) -> Offset {
        #[cfg(test)]
        if self.planted == Some(tests::PlantedBug::AcknowledgesBeforeSync) {
            return self.log_end;
        }
        match self.flush_mode {
            FlushMode::Sync => self.durable_end,
            FlushMode::Async => self.log_end,
        }
    }

    /// The lowest end of all in-sync replicas. Followers' ends join the minimum here.
    fn in_sync_end(&self) -> Offset {
        self.own_end()
    }

    fn raise_high_watermark(&mut self) -> Option<Offset> {
        let reached = self.in_sync_end();
        #[cfg(test)]
        if self.planted == Some(tests::PlantedBug::HighWatermarkFollowsDown) {
            self.high_watermark = reached;
        }
        if self.failed || reached <= self.high_watermark {
            return None;
        }
        self.high_watermark = reached;
        Some(reached)
    }

    fn advance(&mut self, effects: &mut Effects<T>) {
        if self.failed {
            return;
        }
        effects.high_watermark = self.raise_high_watermark();
        self.drain(self.own_end(), self.high_watermark, &mut effects.released);
    }

    fn waiting(&mut self) -> &mut Waiting<T> {
        self.waiting.get_or_insert_default()
    }

    fn drain(&mut self, leader_end: Offset, committed_end: Offset, out: &mut Vec<T>) {
        #[cfg(test)]
        if self.planted == Some(tests::PlantedBug::ReleasesOneAtATime) {
            let oldest = self.waiting().for_leader.pop_front();
            out.extend(
                oldest
                    .filter(|parked| parked.end <= leader_end)
                    .map(|parked| parked.token),
            );
            return;
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.drain(leader_end, committed_end, out);
        }
    }
}

/// The end of the oldest that waits, when it is covered by `end`.
fn covered<T>(queue: &VecDeque<Parked<T>>, end: Offset) -> Option<Offset> {
    let oldest = queue.front()?;
    (oldest.end <= end).then_some(oldest.end)
}

#[cfg(test)]
#[path = "partition_replica_tests.rs"]
mod tests;
