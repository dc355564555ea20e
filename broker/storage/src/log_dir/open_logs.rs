//! `OpenLogs`: which logs of a directory are open, which were since the start, and which would not be as
//! they are known if the broker stopped now: the directory was stopped cleanly when there are none of these.

use std::collections::BTreeSet;
use std::sync::Arc;

use broker_model::{TopicId, TopicPartition};

use super::shared::{DirShared, lock};
use crate::durable_positions::PartitionKey;

/// The logs of one directory, as far as they were opened or have to be.
pub(super) struct OpenLogs {
    open: BTreeSet<(TopicPartition, TopicId)>,
    /// Since the start.
    opened: BTreeSet<PartitionKey>,
    /// Opened and not closed since, or left behind by a broker that was killed and not opened yet.
    unclosed: BTreeSet<PartitionKey>,
}

impl OpenLogs {
    /// Nothing is open yet; `unclosed` is what the last broker did not close.
    pub(super) fn new(unclosed: BTreeSet<PartitionKey>) -> Self {
        Self {
            open: BTreeSet::new(),
            opened: BTreeSet::new(),
            unclosed,
        }
    }

    /// Partitions with an open log.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.open.iter().map(|(partition, _)| partition)
    }
}

impl DirShared {
    /// Notes that a log is open; `None` when it is already.
    pub(super) fn guard_open(
        self: &Arc<Self>,
        partition: &TopicPartition,
        topic_id: TopicId,
    ) -> Option<OpenGuard> {
        let log = (partition.clone(), topic_id);
        let mut logs = lock(&self.open_logs);
        logs.open.insert(log.clone()).then(|| OpenGuard {
            shared: Arc::clone(self),
            log,
        })
    }

    /// A log's files are about to be touched; says whether they were before, since the start.
    pub(super) fn note_opened(&self, key: PartitionKey) -> bool {
        let mut logs = lock(&self.open_logs);
        logs.unclosed.insert(key);
        !logs.opened.insert(key)
    }

    /// A log was closed, with everything in it durable and known to be.
    pub(crate) fn note_closed(&self, key: &PartitionKey) {
        lock(&self.open_logs).unclosed.remove(key);
    }

    /// A partition was deleted.
    pub(super) fn forget_log(&self, key: &PartitionKey) {
        let mut logs = lock(&self.open_logs);
        logs.opened.remove(key);
        logs.unclosed.remove(key);
    }

    /// How many logs would have to be recovered if nothing more was done.
    pub(super) fn unclosed_logs(&self) -> usize {
        lock(&self.open_logs).unclosed.len()
    }
}

/// Keeps a log from being opened twice.
pub(crate) struct OpenGuard {
    shared: Arc<DirShared>,
    log: (TopicPartition, TopicId),
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        lock(&self.shared.open_logs).open.remove(&self.log);
    }
}
