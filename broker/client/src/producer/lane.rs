//! `Lane`: the line in which the records of one topic and partition wait (or of one topic, when
//! its partitioner chooses). A lane has one task that sends its batches, so whatever is in one lane
//! keeps its order, also over retries.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_model::{PartitionId, TopicName};
use broker_protocol::api::produce::ValueRecords;
use broker_record::BatchBuilder;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::batch::{Batch, BatchBounds, Gathered};
use super::context::ProducerContext;
use super::delivery::{Delivery, Outcome, OutcomeSender};
use super::record::ProducerRecord;
use crate::error::ClientError;

/// Whose records a lane holds.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) topic: TopicName,
    pub(super) partition: Option<PartitionId>,
}

impl Target {
    pub(super) fn name(&self) -> Arc<str> {
        match self.partition {
            Some(partition) => format!("{}-{partition}", self.topic).into(),
            None => self.topic.as_str().into(),
        }
    }
}

/// Whether a lane encodes records as they come or keeps them until it knows their partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gathering {
    Encode,
    Values,
    Keep,
}

pub(super) struct Lane {
    pub(super) target: Target,
    gathering: Gathering,
    context: Arc<ProducerContext>,
    state: Mutex<LaneState>,
    wake: Notify,
    /// How many batches have their outcome. They get it in order.
    resolved: watch::Sender<u64>,
}

#[derive(Default)]
struct LaneState {
    queue: VecDeque<Batch>,
    /// Batches ever opened.
    opened: u64,
    closed: bool,
    /// Whether a task is at work on the queue.
    running: bool,
}

/// Whether the caller has to start the lane's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Running,
    ToBeStarted,
}

/// What a lane's task has to do next.
pub(super) enum Next {
    Send(Batch),
    WaitUntil(Instant),
    WaitForRecords,
    End,
}

impl Lane {
    pub(super) fn new(target: Target, gathering: Gathering, context: Arc<ProducerContext>) -> Self {
        Self {
            target,
            gathering,
            context,
            state: Mutex::new(LaneState::default()),
            wake: Notify::new(),
            resolved: watch::Sender::new(0),
        }
    }

    pub(super) fn gathering(&self) -> Gathering {
        self.gathering
    }

    pub(super) fn context(&self) -> &ProducerContext {
        &self.context
    }

    /// Puts a record at the end of the line. Its cost has been taken from the buffer.
    pub(super) fn append(
        &self,
        record: ProducerRecord,
        cost: usize,
    ) -> Result<(Delivery, Task), ClientError> {
        let mut state = self.lock();
        if state.closed {
            return Err(ClientError::Closed("producer"));
        }
        let delivery = self.append_locked(&mut state, (record, cost), Instant::now())?;
        Ok((delivery, state.claim_task()))
    }

    /// Puts records at the end of the line that have waited elsewhere since `opened_at`, to be sent
    /// without further waiting. Also into a lane that takes no new ones.
    pub(super) fn append_moved(
        &self,
        records: impl Iterator<Item = (ProducerRecord, usize)>,
        opened_at: Instant,
    ) -> (Vec<Result<Delivery, ClientError>>, Task) {
        let mut state = self.lock();
        let appended = records
            .map(|entry| self.append_locked(&mut state, entry, opened_at))
            .collect();
        state.seal_last();
        let task = state.claim_task();
        drop(state);
        self.wake.notify_one();
        (appended, task)
    }

    fn append_locked(
        &self,
        state: &mut LaneState,
        (record, cost): (ProducerRecord, usize),
        opened_at: Instant,
    ) -> Result<Delivery, ClientError> {
        let bounds = self.bounds();
        let fits = state
            .queue
            .back()
            .is_some_and(|last| last.has_room(cost, bounds));
        if !fits {
            state.seal_last();
            state
                .queue
                .push_back(Batch::new(self.gathered(), opened_at));
            state.opened += 1;
        }
        let last = state
            .queue
            .back_mut()
            .expect("one was pushed if there was none");
        let delivery = match last.push(record, cost) {
            Ok(delivery) => delivery,
            Err(error) => {
                // An empty batch would wait for ever: nobody sends it.
                if !fits {
                    state.queue.pop_back();
                    state.opened -= 1;
                }
                return Err(error);
            }
        };
        if last.is_full(bounds) {
            last.sealed = true;
        }
        if !fits || last.sealed {
            self.wake.notify_one();
        }
        Ok(delivery)
    }

    /// What the task should do now; a batch is taken out when it is full, old enough, or must not
    /// wait.
    pub(super) fn next(&self) -> Next {
        let linger = self.context.options.linger;
        let mut state = self.lock();
        let Some(first) = state.queue.front() else {
            if !state.closed {
                return Next::WaitForRecords;
            }
            state.running = false;
            return Next::End;
        };
        let due_at = first.opened_at + linger;
        if !first.sealed && !state.closed && linger > Duration::ZERO && Instant::now() < due_at {
            return Next::WaitUntil(due_at);
        }
        let mut batch = state.queue.pop_front().expect("there is a front");
        batch.sealed = true;
        Next::Send(batch)
    }

    /// Waits until `next` may have something else to say.
    pub(super) async fn changed(&self, until: Option<Instant>) {
        match until {
            Some(until) => {
                let _ = tokio::time::timeout_at(until, self.wake.notified()).await;
            }
            None => self.wake.notified().await,
        }
    }

    /// The next batch, or `None` when the lane has ended.
    pub(super) async fn next_batch(&self) -> Option<Batch> {
        loop {
            match self.next() {
                Next::Send(batch) => return Some(batch),
                Next::WaitUntil(until) => self.changed(Some(until)).await,
                Next::WaitForRecords => self.changed(None).await,
                Next::End => return None,
            }
        }
    }

    /// Tells a batch's records what became of them and gives its room in the buffer back.
    pub(super) fn resolve(&self, sender: OutcomeSender, outcome: Outcome, cost: usize) {
        if let Some(error) = outcome.failure() {
            self.context.note_failure(error);
        }
        // Nobody has to wait for a record.
        let _ = sender.send(Arc::new(outcome));
        self.context.give_back(cost);
        self.resolved.send_modify(|resolved| *resolved += 1);
    }

    /// Lets nothing wait any longer; answers how many batches have to be resolved until all that
    /// is in the lane now is done.
    pub(super) fn seal(&self) -> u64 {
        let mut state = self.lock();
        state.seal_last();
        let opened = state.opened;
        drop(state);
        self.wake.notify_one();
        opened
    }

    /// Waits until so many batches are resolved.
    pub(super) async fn resolved(&self, batches: u64) {
        let mut resolved = self.resolved.subscribe();
        // The sender lives as long as the lane does.
        let _ = resolved.wait_for(|done| *done >= batches).await;
    }

    /// Takes no more records; what is in the lane is still sent, and then its task ends.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    fn gathered(&self) -> Gathered {
        match self.gathering {
            Gathering::Encode => Gathered::Encoded(Box::new(BatchBuilder::new())),
            Gathering::Values => Gathered::Values(ValueRecords::new()),
            Gathering::Keep => Gathered::Records(Vec::new()),
        }
    }

    fn bounds(&self) -> BatchBounds {
        BatchBounds {
            bytes: self.context.options.batch_bytes,
            records: self.context.options.batch_records,
        }
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LaneState {
    fn seal_last(&mut self) {
        if let Some(last) = self.queue.back_mut() {
            last.sealed = true;
        }
    }

    fn claim_task(&mut self) -> Task {
        if std::mem::replace(&mut self.running, true) {
            Task::Running
        } else {
            Task::ToBeStarted
        }
    }
}
