//! `fetch`. Reads what is there and otherwise waits in its own task on the partitions' offset watches, never
//! in a mailbox. Stored batches leave as file regions; decoded records are built in memory, within the
//! broker's budget for answers.

use std::rc::Rc;
use std::time::Duration;

use broker_model::limits::{FETCH_BYTES_MAX, FETCH_PARTITIONS_MAX, FETCH_WAIT_MAX};
use broker_protocol::api::fetch::{FetchAnswer, FetchForm, FetchRequest};
use broker_protocol::{ErrorCode, Request, WireError, error_frame};
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::fetch_partition::{Located, RECORDS_BYTES_MAX, Room, Wanted, locate, read};
use super::lookup;
use crate::connection::{Asker, Session};
use crate::context::Context;
use crate::net::{Answer, AnswerBudget, AnswerMemory, AnswersFull};
use crate::partition::PartitionOffsets;

/// How soon a partition is looked up again whose actor has ended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Starts a fetch in a task of its own.
pub(super) fn start(session: &Rc<Session>, args: &Bytes, asker: Asker) {
    match FetchRequest::decode(args)
        .map_err(WireError::from)
        .and_then(check)
    {
        Err(error) => asker.refuse(error),
        Ok(request) => {
            let context = session.context().clone();
            let budget = session.budget().answers().clone();
            actix_rt::spawn(async move { fetch(&context, &budget, &request, asker).await });
        }
    }
}

fn check(request: FetchRequest) -> Result<FetchRequest, WireError> {
    if request.decode && request.form == FetchForm::Batch {
        let message = "decode goes with form = records: stored batches are sent as they are";
        return Err(WireError::new(ErrorCode::InvalidRequest, message));
    }
    let partitions = request.partitions.len();
    if (1..=FETCH_PARTITIONS_MAX).contains(&partitions) {
        return Ok(request);
    }
    let message = format!("a fetch names 1 to {FETCH_PARTITIONS_MAX} partitions, not {partitions}");
    Err(WireError::new(ErrorCode::InvalidRequest, message))
}

async fn fetch(context: &Context, budget: &AnswerBudget, request: &FetchRequest, asker: Asker) {
    let wait = Duration::from_millis(u64::from(request.max_wait_ms)).min(FETCH_WAIT_MAX);
    let deadline = Instant::now() + wait;
    let mut time_is_up = false;
    loop {
        let mut watches = watch_all(context, request);
        let located = locate_all(context, request).await;
        let bytes: u64 = located.iter().map(Located::bytes).sum();
        let failed = located.iter().any(Located::is_failed);
        if bytes >= u64::from(request.min_bytes) || failed || time_is_up {
            return answer(context, budget, request, located, asker).await;
        }
        drop(located);
        match wait_for_change(context, &mut watches, deadline, &asker).await {
            Woken::ByChange => {}
            Woken::ByTime => time_is_up = true,
            Woken::NobodyAsks => return,
        }
    }
}

/// Why a wait ended.
enum Woken {
    ByChange,
    ByTime,
    NobodyAsks,
}

/// A watch on every partition asked for, taken before reading, so that nothing falls in between.
fn watch_all(context: &Context, request: &FetchRequest) -> Vec<watch::Receiver<PartitionOffsets>> {
    let asked = request.partitions.iter();
    asked
        .filter_map(|wanted| {
            let topic = lookup::topic(context, &wanted.topic, wanted.topic_id).ok()?;
            let mut offsets = lookup::partition(&topic, wanted.partition)
                .ok()?
                .watch_offsets();
            offsets.borrow_and_update();
            Some(offsets)
        })
        .collect()
}

async fn locate_all(context: &Context, request: &FetchRequest) -> Vec<Located> {
    let mut room = Room::new(request.max_bytes.min(FETCH_BYTES_MAX));
    let mut located = Vec::with_capacity(request.partitions.len());
    for wanted in &request.partitions {
        located.push(locate(context, wanted, request.form, &mut room).await);
    }
    located
}

/// Waits until a partition has moved, time is up, the broker stops or the client has gone.
async fn wait_for_change(
    context: &Context,
    watches: &mut [watch::Receiver<PartitionOffsets>],
    deadline: Instant,
    asker: &Asker,
) -> Woken {
    let mut changes: FuturesUnordered<_> = watches.iter_mut().map(changed).collect();
    let mut stopping = context.stopping.clone();
    tokio::select! {
        Some(_) = changes.next() => Woken::ByChange,
        () = tokio::time::sleep_until(deadline) => Woken::ByTime,
        _ = stopping.wait_for(|stop| *stop) => Woken::ByTime,
        () = asker.gone() => Woken::NobodyAsks,
    }
}

/// Waits for a change of one partition. A watch whose actor has ended says so at once and for ever; the
/// partition is looked up again after a moment, when it may have been started again.
async fn changed(offsets: &mut watch::Receiver<PartitionOffsets>) {
    if offsets.changed().await.is_err() {
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// Reads what was located and answers. Decoded records take their place in the broker's budget for answers
/// first, all of it at once, and keep it until they are written.
async fn answer(
    context: &Context,
    budget: &AnswerBudget,
    request: &FetchRequest,
    located: Vec<Located>,
    asker: Asker,
) {
    let mut memory: Option<AnswerMemory> = None;
    if request.form == FetchForm::Records {
        let bytes: u64 = located.iter().map(Located::bytes).sum();
        memory = match budget.acquire(bytes).await {
            Ok(memory) => memory,
            Err(AnswersFull) => {
                let message =
                    "answers that other clients do not read use up the memory for answers";
                return asker.refuse(WireError::new(ErrorCode::Busy, message));
            }
        };
    }
    let form = match request.form {
        FetchForm::Batch => Wanted::Batches,
        FetchForm::Records if request.decode => Wanted::Decoded(context.plugins.clone()),
        FetchForm::Records => Wanted::Records,
    };
    let mut room = RECORDS_BYTES_MAX;
    let mut answers = Vec::with_capacity(located.len());
    for partition in located {
        answers.push(read(partition, &form, &mut room).await);
    }
    asker.answer_with(
        |id, in_flight| match FetchAnswer::response_frame(id, answers) {
            Ok(pieces) => Answer {
                pieces,
                _in_flight: Some(in_flight),
                _memory: memory,
            },
            Err(too_large) => {
                let frame = error_frame(Some(id), &too_large.into());
                Answer::bytes(frame, Some(in_flight))
            }
        },
    );
}
