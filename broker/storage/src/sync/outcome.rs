//! `SyncOutcome`: what became of a request. The log that made it takes it with `Log::on_synced`.

use broker_model::Offset;

use crate::durable_positions::{DurablePoint, SlotTicket};
use crate::health::DirFailed;

/// The answer to one [`SyncRequest`](super::SyncRequest).
#[derive(Clone, Debug)]
#[must_use = "the log has to be told: `Log::on_synced`"]
pub struct SyncOutcome {
    pub(crate) ticket: SlotTicket,
    pub(crate) change: u64,
    pub(crate) point: DurablePoint,
    pub(crate) result: Result<(), DirFailed>,
}

impl SyncOutcome {
    /// The offset up to which the log is durable, if the sync succeeded.
    ///
    /// # Errors
    /// The directory is out of service; what the request covered may or may not be on the disk.
    pub fn result(&self) -> Result<Offset, DirFailed> {
        self.result.clone().map(|()| self.point.end)
    }
}
