//! `delete_records`: an administrator moves the log start of a partition up.

use std::sync::Arc;

use broker_protocol::WireError;
use broker_protocol::api::delete_records::{
    DeleteBefore, DeleteRecordsRequest, DeleteRecordsResponse,
};

use super::{lookup, wire};
use crate::context::Context;

/// Deletes records below an offset.
pub(super) async fn handle(
    context: Arc<Context>,
    request: DeleteRecordsRequest,
) -> Result<DeleteRecordsResponse, WireError> {
    let topic = lookup::topic(&context, &request.topic, request.topic_id)?;
    lookup::refuse_reserved(topic.name.as_str())?;
    let handle = lookup::partition(&topic, request.partition)?;
    let before = match request.before_offset {
        DeleteBefore::Offset(offset) => Some(offset),
        DeleteBefore::HighWatermark => None,
    };
    let deleted = handle.delete_records(before).await;
    let log_start =
        deleted.map_err(|error| wire::partition_error(&request.topic, request.partition, error))?;
    Ok(DeleteRecordsResponse { log_start })
}
