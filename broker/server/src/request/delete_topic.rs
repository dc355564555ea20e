//! `delete_topic`: answered when the topic's files are gone from this broker.

use std::sync::Arc;

use broker_cluster::Command;
use broker_protocol::WireError;
use broker_protocol::api::delete_topic::{DeleteTopicRequest, DeleteTopicResponse};

use super::wire::controller_error;
use crate::context::Context;
use crate::controller::{Intent, Plan, Share};

/// Deletes a topic; with an id, only that very topic.
pub(super) async fn handle(
    context: Arc<Context>,
    request: DeleteTopicRequest,
    share: Share,
) -> Result<DeleteTopicResponse, WireError> {
    let plan = Plan::DeleteTopic {
        name: request.name,
        id: request.topic_id,
    };
    let proposed = context
        .controller
        .propose(plan, Intent::CarryOut, &share)
        .await;
    let topic_id = match proposed.map_err(controller_error)?.command {
        Command::DeleteTopic { id } => Some(id),
        _ => None,
    };
    Ok(DeleteTopicResponse { topic_id })
}
