//! `crash_actor`: makes an actor panic, so that supervision can be tried from outside. Refused unless the
//! broker was started for it.

use std::sync::Arc;

use broker_model::TopicPartition;
use broker_protocol::api::crash_actor::{CrashActorRequest, CrashActorResponse};
use broker_protocol::{ErrorCode, WireError};

use super::lookup;
use crate::context::Context;

/// Crashes the actor of that kind and name.
pub(super) async fn handle(
    context: Arc<Context>,
    request: CrashActorRequest,
) -> Result<CrashActorResponse, WireError> {
    if !context.config.fault_injection {
        let message = "this broker was not started with fault.injection.enable = true";
        return Err(WireError::new(ErrorCode::FaultInjectionDisabled, message));
    }
    match request.kind.as_str() {
        "broker" => context.broker.crash(),
        "controller" => context.controller.crash(),
        "partition" => {
            let name = TopicPartition::from_dir_name(&request.name);
            let name = name.ok_or_else(|| unknown_actor(&request))?;
            let topic = lookup::topic(&context, name.topic.as_str(), None)?;
            lookup::partition(&topic, name.partition)?.crash();
        }
        _ => return Err(unknown_actor(&request)),
    }
    Ok(CrashActorResponse {})
}

fn unknown_actor(request: &CrashActorRequest) -> WireError {
    let message = format!(
        "there is no actor {} {:?}: see list_actors",
        request.kind, request.name
    );
    WireError::new(ErrorCode::UnknownActor, message)
}
