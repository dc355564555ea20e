//! `create_topic`: planned by the controller; answered when its partitions take records.

use std::sync::Arc;

use broker_cluster::{Command, NewTopic};
use broker_protocol::api::create_topic::{CreateTopicRequest, CreateTopicResponse};
use broker_protocol::{ErrorCode, WireError};

use super::bindings;
use super::following::follow_deployments;
use super::wire::controller_error;
use crate::context::Context;
use crate::controller::{Intent, Plan, Share};
use crate::offline::Offline;

/// Creates a topic, or only says whether it could.
pub(super) async fn handle(
    context: Arc<Context>,
    request: CreateTopicRequest,
    share: Share,
) -> Result<CreateTopicResponse, WireError> {
    let bindings = bindings::of_new_topic(&context, &request.name, &request.config).await?;
    let advice = bindings::warnings(&context, &request.name, &request.config);
    let intent = if request.validate_only {
        Intent::OnlyCheck
    } else {
        Intent::CarryOut
    };
    let new = NewTopic {
        name: request.name,
        partitions: request.partitions,
        replication_factor: request.replication_factor,
        assignment: request.assignment,
        config: request.config,
        bindings,
    };
    let proposed = context
        .controller
        .propose(Plan::CreateTopic(new), intent, &share)
        .await;
    let mut outcome = proposed.map_err(controller_error)?;
    let Command::CreateTopic {
        id,
        name,
        assignment,
        ..
    } = outcome.command
    else {
        return Err(WireError::new(
            ErrorCode::Unknown,
            "the controller planned something else",
        ));
    };
    if intent == Intent::CarryOut {
        let (_, problems) = follow_deployments(&context, name.as_str(), &share).await;
        outcome.warnings.extend(problems);
    }
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    Ok(CreateTopicResponse {
        name: name.to_string(),
        topic_id: (intent == Intent::CarryOut).then_some(id),
        partitions: count(assignment.len()),
        replication_factor: count(assignment.first().map_or(0, Vec::len)),
        warnings: [
            advice,
            outcome.warnings,
            Offline::warnings_of(&context.topics, name.as_str()),
        ]
        .concat(),
    })
}
