//! `SyncOutcome`: what became of a request. The log that made it takes it with `Log::on_synced`.

use broker_model::Offset;

use super::SyncRequest;
use crate::durable_positions::{DurablePoint, SlotTicket};
use crate::health::DirFailed;

/// The answer to one [`SyncRequest`].
#[derive(Clone, Debug)]
#[must_use = "the log has to be told: `Log::on_synced`"]
pub struct SyncOutcome {
    pub(crate) ticket: SlotTicket,
    pub(crate) change: u64,
    pub(crate) point: DurablePoint,
    pub(crate) result: Result<(), DirFailed>,
}

impl SyncOutcome {
    pub(super) fn of(request: &SyncRequest, result: &Result<(), DirFailed>) -> Self {
        Self {
            ticket: request.ticket,
            change: request.change,
            point: request.point,
            result: result.clone(),
        }
    }

    /// The offset up to which the log is durable, if the sync succeeded.
    ///
    /// # Errors
    /// The directory is out of service; what the request covered may or may not be on the disk.
    pub fn result(&self) -> Result<Offset, DirFailed> {
        self.result.clone().map(|()| self.point.end)
    }
}
