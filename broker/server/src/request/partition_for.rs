//! `partition_for`: where the topic's partitioner sends these keys.

use std::sync::Arc;

use broker_model::limits::PARTITION_FOR_KEYS_MAX;
use broker_protocol::api::partition_for::{PartitionForRequest, PartitionForResponse};
use broker_protocol::{ErrorCode, WireError};

use super::{lookup, wire};
use crate::context::Context;

/// Asks the plugin where a few keys go, on the spot.
pub(super) async fn handle(
    context: Arc<Context>,
    request: PartitionForRequest,
) -> Result<PartitionForResponse, WireError> {
    ask(&context, request)
}

/// The same for many keys: not on the arbiter that it is called on.
pub(super) async fn handle_many(
    context: Arc<Context>,
    request: PartitionForRequest,
) -> Result<PartitionForResponse, WireError> {
    let workers = context.arbiters.background().workers().clone();
    match workers.run(move || ask(&context, request)).await {
        Ok(answer) => answer,
        Err(panicked) => Err(WireError::new(ErrorCode::Unknown, panicked.to_string())),
    }
}

/// Asks the plugin once for all keys. They count as routed: whoever asks is about to send.
fn ask(context: &Context, request: PartitionForRequest) -> Result<PartitionForResponse, WireError> {
    let topic = lookup::topic(context, &request.topic, request.topic_id)?;
    if request.keys.len() > PARTITION_FOR_KEYS_MAX {
        let message = format!(
            "partition_for takes at most {PARTITION_FOR_KEYS_MAX} keys, not {}",
            request.keys.len()
        );
        return Err(WireError::new(ErrorCode::InvalidRequest, message));
    }
    let keys = match request.encode {
        true => context.plugins.serialize_keys(&topic, &request.keys),
        false => Ok(request.keys),
    };
    let keys = keys.map_err(|error| wire::slot_error(&error))?;
    let partitions = context
        .plugins
        .partition_keys(&topic, &keys)
        .map_err(|error| wire::slot_error(&error))?;
    Ok(PartitionForResponse { partitions })
}
