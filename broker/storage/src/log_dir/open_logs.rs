//! `OpenLogs`: which logs of a directory are open, which were since the start, and which would not be as
//! they are known if the broker stopped now: the directory was stopped cleanly when there are none of these.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker_model::{TopicId, TopicName, TopicPartition};

use super::shared::{DirShared, lock};
use crate::durable_positions::PartitionKey;

/// The logs of one directory, as far as they were opened or have to be.
pub(super) struct OpenLogs(BTreeMap<PartitionKey, OpenLog>);

#[derive(Default)]
struct OpenLog {
    /// While it is open: whose it is.
    topic: Option<TopicName>,
    /// Since the start.
    was_opened: bool,
    /// Opened and not closed since, or left behind by a broker that was killed and not opened yet.
    is_unclosed: bool,
}

impl OpenLogs {
    /// Nothing is open yet; `unclosed` is what the last broker did not close.
    pub(super) fn new(unclosed: BTreeSet<PartitionKey>) -> Self {
        let unclosed = unclosed.into_iter().map(|key| {
            let log = OpenLog {
                is_unclosed: true,
                ..OpenLog::default()
            };
            (key, log)
        });
        Self(unclosed.collect())
    }

    /// Partitions with an open log.
    pub(super) fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        let logs = self.0.iter();
        logs.filter_map(|((_, number), log)| Some(TopicPartition::new(log.topic.clone()?, *number)))
    }

    /// Changes what is known of a log, and forgets it when there is nothing to know any more.
    fn change(&mut self, key: &PartitionKey, change: impl FnOnce(&mut OpenLog)) {
        let Some(log) = self.0.get_mut(key) else {
            return;
        };
        change(log);
        if log.topic.is_none() && !log.was_opened && !log.is_unclosed {
            self.0.remove(key);
        }
    }
}

impl DirShared {
    /// Notes that a log is open; `None` when it is already.
    pub(super) fn guard_open(
        self: &Arc<Self>,
        partition: &TopicPartition,
        topic_id: TopicId,
    ) -> Option<OpenGuard> {
        let mut logs = lock(&self.open_logs);
        let log = logs.0.entry((topic_id, partition.partition)).or_default();
        if log.topic.is_some() {
            return None;
        }
        log.topic = Some(partition.topic.clone());
        Some(OpenGuard {
            shared: Arc::clone(self),
            partition: partition.clone(),
            topic_id,
        })
    }

    /// A log's files are about to be touched; says whether they were before, since the start.
    pub(super) fn note_opened(&self, key: PartitionKey) -> bool {
        let mut logs = lock(&self.open_logs);
        let log = logs.0.entry(key).or_default();
        log.is_unclosed = true;
        std::mem::replace(&mut log.was_opened, true)
    }

    /// A log was closed, with everything in it durable and known to be.
    pub(crate) fn note_closed(&self, key: &PartitionKey) {
        lock(&self.open_logs).change(key, |log| log.is_unclosed = false);
    }

    /// A partition was deleted.
    pub(super) fn forget_log(&self, key: &PartitionKey) {
        lock(&self.open_logs).change(key, |log| {
            log.was_opened = false;
            log.is_unclosed = false;
        });
    }

    /// How many logs would have to be recovered if nothing more was done.
    pub(super) fn unclosed_logs(&self) -> usize {
        let logs = lock(&self.open_logs);
        logs.0.values().filter(|log| log.is_unclosed).count()
    }
}

/// Keeps a log from being opened twice.
pub(crate) struct OpenGuard {
    shared: Arc<DirShared>,
    partition: TopicPartition,
    topic_id: TopicId,
}

impl OpenGuard {
    /// Whose log it is.
    pub(crate) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub(crate) fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    pub(crate) fn key(&self) -> PartitionKey {
        (self.topic_id, self.partition.partition)
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        lock(&self.shared.open_logs).change(&self.key(), |log| log.topic = None);
    }
}
