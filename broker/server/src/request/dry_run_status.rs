//! `dry_run_status`: how far a dry run is, and what it found.

use std::sync::Arc;

use broker_protocol::api::dry_run_status::{
    DryRunState, DryRunStatusRequest, DryRunStatusResponse,
};
use broker_protocol::{ErrorCode, WireError};

use super::wire;
use crate::context::Context;
use crate::dry_run::{Failure, Outcome};

/// Tells how a run stands, and ends it if so asked.
pub(super) async fn handle(
    context: Arc<Context>,
    request: DryRunStatusRequest,
) -> Result<DryRunStatusResponse, WireError> {
    let run = request.run.parse().ok();
    let Some(run) = run.and_then(|run| context.dry_runs.get(run)) else {
        let message = format!("there is no dry run {:?}, or it is long over", request.run);
        return Err(WireError::new(ErrorCode::DryRunNotFound, message));
    };
    if request.cancel {
        run.cancel();
    }
    let outcome = run.outcome();
    let (done, total, unit) = run.counts();
    let mut answer = DryRunStatusResponse {
        done,
        total,
        unit: unit.to_owned(),
        ..DryRunStatusResponse::default()
    };
    match outcome {
        None => answer.state = DryRunState::Running,
        Some(Outcome::Cancelled) => answer.state = DryRunState::Cancelled,
        Some(Outcome::Done(report)) => {
            answer.state = DryRunState::Done;
            answer.report = Some(*report);
        }
        Some(Outcome::Failed(failure)) => {
            answer.state = DryRunState::Failed;
            answer.error = Some(match failure {
                Failure::Plugin(error) => wire::slot_error(&error),
                Failure::Other(reason) => WireError::new(ErrorCode::Unknown, reason),
            });
        }
    }
    Ok(answer)
}
