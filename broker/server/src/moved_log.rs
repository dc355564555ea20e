//! `MovedLog`: a log whose files were moved to another log directory while the broker was down. What was noted of it
//! where it was goes with it, or damage could not be told from an unfinished write; what stayed there would be wrong
//! once it is moved back.

use std::io;

use broker_model::{TopicId, TopicPartition};
use broker_storage::LogDir;
use tracing::{error, warn};

/// A log that is being opened where it was moved to.
pub(crate) struct MovedLog<'a> {
    from: &'a LogDir,
    partition: &'a TopicPartition,
    topic_id: TopicId,
}

impl<'a> MovedLog<'a> {
    /// The log of this directory, if another one knows it: what that one knows is taken along, before it is opened.
    pub(crate) fn taken_along(
        dirs: &'a [LogDir],
        to: &'a LogDir,
        (partition, topic_id): (&'a TopicPartition, TopicId),
    ) -> Option<Self> {
        let mut others = dirs.iter().filter(|other| other.path() != to.path());
        let from = others.find(|other| other.remembers(partition, topic_id))?;
        let (was_in, is_in) = (from.path().display(), to.path().display());
        warn!(%partition, %was_in, %is_in, "the partition was moved to another log directory while the broker was down");
        let moved = Self {
            from,
            partition,
            topic_id,
        };
        moved.tell(to.adopt(from, partition, topic_id));
        Some(moved)
    }

    /// Once it is open.
    pub(crate) fn forget(&self) {
        self.tell(self.from.forget_moved(self.partition, self.topic_id));
    }

    fn tell(&self, noted: io::Result<()>) {
        if let Err(error) = noted {
            error!(partition = %self.partition, %error, "how far a partition that was moved is durable cannot be noted");
        }
    }
}
