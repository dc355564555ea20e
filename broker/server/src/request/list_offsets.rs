//! `list_offsets`: the first offset, the high watermark, or the first record at or after a time.

use std::sync::Arc;

use broker_protocol::WireError;
use broker_protocol::api::list_offsets::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetAnswer, OffsetAt, OffsetQuery,
};

use super::{lookup, wire};
use crate::context::Context;

/// Answers each partition on its own.
pub(super) async fn handle(
    context: Arc<Context>,
    request: ListOffsetsRequest,
) -> Result<ListOffsetsResponse, WireError> {
    let mut partitions = Vec::with_capacity(request.partitions.len());
    for query in request.partitions {
        let mut answer = OffsetAnswer {
            topic: query.topic.clone(),
            partition: query.partition,
            ..OffsetAnswer::default()
        };
        if let Err(error) = fill(&context, &query, &mut answer).await {
            answer.error = Some(error);
        }
        partitions.push(answer);
    }
    Ok(ListOffsetsResponse { partitions })
}

async fn fill(
    context: &Context,
    query: &OffsetQuery,
    answer: &mut OffsetAnswer,
) -> Result<(), WireError> {
    let topic = lookup::topic(context, &query.topic, query.topic_id)?;
    let handle = lookup::partition(&topic, query.partition)?;
    let metadata = context.metadata.load();
    let state = metadata
        .topic(&query.topic)
        .and_then(|topic| topic.partition(query.partition));
    answer.leader_epoch = state.map(|state| state.leader_epoch);
    match query.at {
        OffsetAt::Earliest => answer.offset = Some(handle.offsets().start),
        OffsetAt::Latest => answer.offset = Some(handle.offsets().high_watermark),
        OffsetAt::Timestamp(at) => {
            let found = handle.find_timestamp(at).await;
            let found = found
                .map_err(|error| wire::partition_error(&query.topic, query.partition, error))?;
            if let Some((offset, timestamp)) = found {
                answer.offset = Some(offset);
                answer.timestamp = Some(timestamp);
            }
        }
    }
    Ok(())
}
