//! `ping`: the broker is there, and this is its clock.

use std::sync::Arc;

use broker_protocol::WireError;
use broker_protocol::api::ping::{PingRequest, PingResponse};

use crate::context::Context;

/// Answers the broker's time.
pub(super) async fn handle(
    context: Arc<Context>,
    _: PingRequest,
) -> Result<PingResponse, WireError> {
    Ok(PingResponse {
        time_ms: context.clock.now(),
    })
}
