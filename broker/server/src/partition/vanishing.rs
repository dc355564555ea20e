//! A partition whose files somebody has removed or cut: it goes offline, and its parent hears why. What was
//! acknowledged stays acknowledged; nothing more is.

use actix::prelude::*;
use broker_model::{TopicId, TopicPartition};
use broker_storage::{ReadError, Vanished};

use super::actor::PartitionActor;
use super::error::PartitionError;
use super::messages::LookForFiles;

/// Who is told that a partition cannot go on, and why; one for all of them.
pub(crate) trait Parent: Send + Sync {
    fn partition_vanished(&self, partition: TopicPartition, topic_id: TopicId, reason: String);
}

impl PartitionActor {
    /// Whoever waits is told, and from here on everybody is refused.
    pub(super) fn go_offline(&mut self, vanished: &Vanished) {
        let Some(parent) = self.parent.take() else {
            return;
        };
        let reason = vanished.to_string();
        self.failed = Some(reason.as_str().into());
        self.behind = None;
        let effects = self.replica.on_failed();
        self.carry_out(effects);
        self.offsets.note_upheaval();
        // What follows is meant: the parent lets go of this actor.
        self.death.defuse();
        let log = self.log();
        if matches!(vanished, Vanished::ActiveSegment { .. }) {
            log.note_reach();
        }
        parent.partition_vanished(log.partition().clone(), log.topic_id(), reason);
    }

    /// What a read has failed with, which may be news.
    pub(super) fn read_failed(&mut self, error: ReadError) -> PartitionError {
        if let ReadError::Vanished(vanished) = &error {
            self.go_offline(vanished);
        }
        error.into()
    }
}

impl Handler<LookForFiles> for PartitionActor {
    type Result = ();

    fn handle(&mut self, _: LookForFiles, ctx: &mut Self::Context) {
        self.took(ctx);
        if self.closing.is_none()
            && let Err(vanished) = self.log().check_present()
        {
            self.go_offline(&vanished);
        }
    }
}
