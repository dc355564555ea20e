//! `list_offsets`: the first offset, the high watermark, or the first record at or after a time. For a time batches may
//! have to be unfolded: where nobody waits for it, as for a fetch, and once for questions that are the same.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use broker_model::limits::{OFFSET_QUESTIONS_MAX, OFFSET_TIMES_MAX};
use broker_model::{Offset, PartitionId, Timestamp, TopicId};
use broker_protocol::api::list_offsets::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetAnswer, OffsetAt, OffsetQuery,
};
use broker_protocol::{ErrorCode, WireError};
use broker_storage::{FileSlice, TimeFound, TimeSearchError};

use super::decoding::{Decode, NotDecoded, Unfolded, decode};
use super::{lookup, wire};
use crate::context::Context;
use crate::net::lane::Stint;
use crate::net::unfolding::Unfolding;
use crate::partition::{PartitionError, PartitionHandle};

/// Answers each partition on its own.
pub(super) async fn handle(
    context: Arc<Context>,
    request: ListOffsetsRequest,
) -> Result<ListOffsetsResponse, WireError> {
    check(&request)?;
    // What is in the page cache never waits for anything.
    let stint = Stint::of_task();
    let partitions = answer_all(&request.partitions, async |query| {
        let answering = answer(&context, query, &stint);
        stint.take_in(pin!(answering)).await
    });
    Ok(ListOffsetsResponse {
        partitions: partitions.await,
    })
}

/// Answers these questions in order, those about one time in one partition once.
async fn answer_all(
    questions: &[OffsetQuery],
    answer: impl AsyncFn(&OffsetQuery) -> OffsetAnswer,
) -> Vec<OffsetAnswer> {
    let mut answers: Vec<OffsetAnswer> = Vec::with_capacity(questions.len());
    let mut known = BTreeMap::new();
    for query in questions {
        let time = time_of(query);
        let same = time.and_then(|time| known.get(&time).copied());
        let found = match same.and_then(|at: usize| answers.get(at)) {
            Some(same) => same.clone(),
            None => answer(query).await,
        };
        if let (Some(time), None) = (time, same) {
            known.insert(time, answers.len());
        }
        answers.push(found);
    }
    answers
}

fn check(request: &ListOffsetsRequest) -> Result<(), WireError> {
    let times = request.partitions.iter().filter_map(time_of).count();
    let refused = |message| Err(WireError::new(ErrorCode::InvalidRequest, message));
    match request.partitions.len() {
        ..=OFFSET_QUESTIONS_MAX if times <= OFFSET_TIMES_MAX => Ok(()),
        ..=OFFSET_QUESTIONS_MAX => refused(format!(
            "a list_offsets request asks for at most {OFFSET_TIMES_MAX} times, not {times}"
        )),
        asked => refused(format!(
            "a list_offsets request asks at most {OFFSET_QUESTIONS_MAX} questions, not {asked}"
        )),
    }
}

/// What a question by time is about.
type AboutTime<'a> = (&'a str, Option<TopicId>, PartitionId, Timestamp);

fn time_of(query: &OffsetQuery) -> Option<AboutTime<'_>> {
    match query.at {
        OffsetAt::Timestamp(at) => Some((&query.topic, query.topic_id, query.partition, at)),
        OffsetAt::Earliest | OffsetAt::Latest => None,
    }
}

async fn answer(context: &Context, query: &OffsetQuery, stint: &Stint) -> OffsetAnswer {
    let mut answer = OffsetAnswer {
        topic: query.topic.clone(),
        partition: query.partition,
        ..OffsetAnswer::default()
    };
    if let Err(error) = fill(context, query, &mut answer, stint).await {
        answer.error = Some(error);
    }
    answer
}

async fn fill(
    context: &Context,
    query: &OffsetQuery,
    answer: &mut OffsetAnswer,
    stint: &Stint,
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
            let mut stopping = context.stopping.clone();
            let found = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => Err(PartitionError::Stopping),
                found = first_at_time(handle, at, context.requests.unfolding(), stint) => found,
            };
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

/// The first record at or after a time, with its own time.
async fn first_at_time(
    handle: &PartitionHandle,
    at: Timestamp,
    unfolding: &Unfolding,
    stint: &Stint,
) -> Result<Option<(Offset, Timestamp)>, PartitionError> {
    let now = handle.offsets();
    let mut offsets = now.start..now.high_watermark;
    while let Some(batch) = handle.find_timestamp(at, offsets.clone()).await? {
        let batch = handle.cold_reads().verified(batch).await?;
        let next = batch.next_offset();
        let search = Search { batch, at, offsets };
        offsets = next..now.high_watermark;
        let mut worked_on = 0;
        let turn = unfolding.search_turn().await;
        let found = decode(search, unfolding, &mut worked_on).await?;
        drop(turn);
        stint.has_done(worked_on).await;
        if found.record.is_some() {
            return Ok(found.record);
        }
    }
    Ok(None)
}

/// A batch that is searched for a record of a time.
#[derive(Clone)]
struct Search {
    batch: FileSlice,
    at: Timestamp,
    offsets: Range<Offset>,
}

impl Decode for Search {
    type Decoded = TimeFound;

    fn bytes(&self) -> u64 {
        self.batch.len()
    }

    fn decode(&self, limit: Unfolded) -> Result<TimeFound, NotDecoded> {
        let unfolded_max = limit.batch.min(limit.in_all);
        let found = self
            .batch
            .first_at_time(self.at, &self.offsets, unfolded_max);
        found.map_err(|error| match error {
            TimeSearchError::UnfoldsToMore => NotDecoded::UnfoldsToMore,
            TimeSearchError::Read(error) => NotDecoded::Failed(error.into()),
        })
    }

    fn work(found: &TimeFound) -> usize {
        found.unfolded
    }
}

#[cfg(test)]
#[path = "list_offsets_tests.rs"]
mod tests;
