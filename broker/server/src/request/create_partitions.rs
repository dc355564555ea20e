//! `create_partitions`: a topic grows; it never shrinks.

use std::sync::Arc;

use broker_protocol::WireError;
use broker_protocol::api::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::wire::controller_error;
use crate::context::Context;
use crate::controller::{Intent, Plan, Share};
use crate::offline::Offline;

/// Raises the number of partitions.
pub(super) async fn handle(
    context: Arc<Context>,
    request: CreatePartitionsRequest,
    share: Share,
) -> Result<CreatePartitionsResponse, WireError> {
    let intent = if request.validate_only {
        Intent::OnlyCheck
    } else {
        Intent::CarryOut
    };
    let plan = Plan::CreatePartitions {
        name: request.name.clone(),
        count: request.partitions,
        assignment: request.assignment,
    };
    let proposed = context.controller.propose(plan, intent, &share).await;
    let outcome = proposed.map_err(controller_error)?;
    let offline = Offline::warnings_of(&context.topics, &request.name);
    Ok(CreatePartitionsResponse {
        name: request.name,
        partitions: request.partitions,
        warnings: [outcome.warnings, offline].concat(),
    })
}
