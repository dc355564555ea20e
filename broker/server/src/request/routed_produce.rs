//! `produce` without a partition: the topic's partitioner plugin says where each record goes (one call for
//! the whole batch), the records are regrouped into one batch per partition, and the answer is put together
//! when the last partition has answered. A batch that goes to one partition as a whole, as one without keys
//! mostly does, is not taken apart.

use std::sync::{Arc, Mutex};

use broker_cluster::Acks;
use broker_model::{Offset, PartitionId, Timestamp};
use broker_protocol::WireError;
use broker_protocol::api::produce::{ProduceResponse, RecordErrors, Routed, RoutedTogether};
use broker_record::{PartitionBatch, ProducedBatch, RoutableRecords};
use bytes::Bytes;

use super::produce::{Answerer, Terms};
use super::{lookup, wire};
use crate::background::Workers;
use crate::context::Context;
use crate::partition::{Appended, PartitionError};
use crate::plugins::Turn;
use crate::reply::Reply;
use crate::topics::HostedTopic;

/// Answers about so many records are put together on the thread of the partition that was the last to answer, ...
const ANSWERED_AT_ONCE: usize = 5_000;

/// Records that know where they go.
pub(super) enum RoutedRecords {
    Together(PartitionId, Box<ProducedBatch>),
    Apart(Vec<Option<PartitionId>>, Vec<PartitionBatch>),
}

/// Asks the partitioner, and regroups where it has to be.
pub(super) fn route(
    context: &Context,
    topic: &HostedTopic,
    records: Bytes,
    default_timestamp: Timestamp,
) -> Result<RoutedRecords, WireError> {
    let plugins = &context.plugins;
    let knows_keyless = plugins.knows_keyless(topic);
    let mut turn = None;
    if knows_keyless.map_err(|error| wire::slot_error(&error))? {
        let keyless = ProducedBatch::keyless(records.clone(), default_timestamp);
        if let Some(batch) = keyless.map_err(|error| wire::invalid_batch(&error))? {
            let its_turn = Turn::next(topic, batch.header.record_count);
            let partition = plugins.partition_keyless(topic, its_turn);
            if let Some(partition) = partition.map_err(|error| wire::slot_error(&error))? {
                return Ok(RoutedRecords::Together(partition, Box::new(batch)));
            }
            turn = Some(its_turn);
        }
    }
    let records = RoutableRecords::walk(records).map_err(|error| wire::invalid_batch(&error))?;
    let partitions = plugins
        .partition_records(topic, &records, turn)
        .map_err(|error| wire::slot_error(&error))?;
    let partitions: Vec<_> = partitions.into_iter().map(Some).collect();
    let mut batches = records
        .regroup(&partitions, default_timestamp)
        .map_err(|error| wire::invalid_batch(&error))?;
    Ok(match (batches.pop(), batches.is_empty()) {
        (Some(only), true) => RoutedRecords::Together(only.partition, Box::new(only.batch)),
        (last, _) => {
            batches.extend(last);
            RoutedRecords::Apart(partitions, batches)
        }
    })
}

impl RoutedRecords {
    /// Sends every batch to its partition.
    pub(super) fn append(
        self,
        context: &Context,
        topic: &Arc<HostedTopic>,
        terms: Terms,
        asker: impl Answerer,
    ) {
        let workers = context.arbiters.background().workers();
        match self {
            Self::Together(partition, batch) => {
                append_together(topic, partition, (*batch, terms), workers, asker);
            }
            Self::Apart(partitions, batches) => {
                let gathering = Gathering::new(partitions, batches.len(), workers, asker);
                append_apart(topic, batches, terms, &Arc::new(gathering));
            }
        }
    }
}

/// ... those about more by `workers`: that takes a moment in which others are not to wait for the thread.
fn tell(records: usize, workers: &Workers, answer: impl FnOnce() + Send + 'static) {
    match records {
        ..=ANSWERED_AT_ONCE => answer(),
        _ => workers.see_to(answer),
    }
}

/// Sends a batch to the one partition that all of it goes to.
fn append_together(
    topic: &Arc<HostedTopic>,
    partition: PartitionId,
    (batch, terms): (ProducedBatch, Terms),
    workers: &Workers,
    asker: impl Answerer,
) {
    let together = RoutedTogether {
        partition,
        base_offset: None,
        record_count: batch.header.record_count,
    };
    let handle = match lookup::partition(topic, partition) {
        Ok(handle) => handle,
        Err(error) => return not_appended(together, error, asker),
    };
    let (topic, workers) = (topic.clone(), workers.clone());
    let answer = move |result: Result<Appended, PartitionError>| match result {
        Ok(appended) => asker.answer_together(RoutedTogether {
            base_offset: (terms.acks != Acks::None).then_some(appended.base_offset),
            ..together
        }),
        Err(error) => {
            let error = wire::partition_error(topic.name.as_str(), partition, error);
            not_appended(together, error, asker);
        }
    };
    let records = usize::try_from(together.record_count).unwrap_or(usize::MAX);
    let reply = Reply::new(move |result| tell(records, &workers, move || answer(result)));
    handle.append(batch, terms.acks, terms.timeout, reply);
}

/// Answers that all records share an error.
fn not_appended(together: RoutedTogether, error: WireError, asker: impl Answerer) {
    let mut routed = Routed::from(together);
    routed.errors.push(RecordErrors {
        indexes: (0..together.record_count).collect(),
        error,
    });
    asker.answer(Ok(ProduceResponse::Routed(routed)));
}

/// Sends every batch to its partition.
fn append_apart(
    topic: &Arc<HostedTopic>,
    batches: Vec<PartitionBatch>,
    terms: Terms,
    gathering: &Arc<Gathering<impl Answerer>>,
) {
    for PartitionBatch {
        partition,
        batch,
        indexes,
    } in batches
    {
        match lookup::partition(topic, partition) {
            Err(error) => gathering.failed(indexes, error),
            Ok(handle) => {
                let (gathering, topic) = (gathering.clone(), topic.clone());
                let reply = Reply::new(
                    move |result: Result<Appended, PartitionError>| match result {
                        Ok(_) if terms.acks == Acks::None => gathering.accepted(),
                        Ok(appended) => gathering.appended(indexes, appended),
                        Err(error) => {
                            let name = topic.name.as_str();
                            let error = wire::partition_error(name, partition, error);
                            gathering.failed(indexes, error);
                        }
                    },
                );
                handle.append(batch, terms.acks, terms.timeout, reply);
            }
        }
    }
}

/// The answer while it is put together; the partitions answer from their own threads.
struct Gathering<A> {
    workers: Workers,
    gathered: Mutex<Gathered<A>>,
}

struct Gathered<A> {
    routed: Routed,
    /// Which records went to each partition that has answered, and where the first of them is.
    runs: Vec<(Vec<u32>, Offset)>,
    left: usize,
    asker: Option<A>,
}

impl<A: Answerer> Gathering<A> {
    fn new(
        partitions: Vec<Option<PartitionId>>,
        batches: usize,
        workers: &Workers,
        asker: A,
    ) -> Self {
        let offsets = vec![None; partitions.len()];
        let routed = Routed {
            partitions,
            offsets,
            ..Routed::default()
        };
        Self {
            workers: workers.clone(),
            gathered: Mutex::new(Gathered {
                routed,
                runs: Vec::with_capacity(batches),
                left: batches,
                asker: Some(asker),
            }),
        }
    }

    fn appended(&self, indexes: Vec<u32>, appended: Appended) {
        self.one_done(|gathered| gathered.runs.push((indexes, appended.base_offset)));
    }

    fn accepted(&self) {
        self.one_done(|_| {});
    }

    fn failed(&self, indexes: Vec<u32>, error: WireError) {
        self.one_done(|gathered| {
            let errors = &mut gathered.routed.errors;
            errors.push(RecordErrors { indexes, error });
        });
    }

    fn one_done(&self, note: impl FnOnce(&mut Gathered<A>)) {
        let mut gathered = self
            .gathered
            .lock()
            .expect("no code panics while it holds this lock");
        note(&mut gathered);
        gathered.left -= 1;
        if gathered.left == 0
            && let Some(asker) = gathered.asker.take()
        {
            let mut routed = std::mem::take(&mut gathered.routed);
            let runs = std::mem::take(&mut gathered.runs);
            tell(routed.partitions.len(), &self.workers, move || {
                put_together(&mut routed, &runs);
                asker.answer(Ok(ProduceResponse::Routed(routed)));
            });
        }
    }
}

/// Says of each record that was appended where it is.
fn put_together(routed: &mut Routed, runs: &[(Vec<u32>, Offset)]) {
    for (indexes, base_offset) in runs {
        for (index, nth) in indexes.iter().zip(0_u64..) {
            if let Some(offset) = routed.offsets.get_mut(*index as usize) {
                *offset = Some(base_offset.plus(nth));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use super::*;

    /// Tells where it was answered, and what.
    struct Told(mpsc::Sender<(ThreadId, Routed)>);

    impl Answerer for Told {
        fn answer(self, result: Result<ProduceResponse, WireError>) {
            let Ok(ProduceResponse::Routed(routed)) = result else {
                panic!("it was routed");
            };
            self.0.send((thread::current().id(), routed)).unwrap();
        }
    }

    /// So many records that went to two partitions in turn, which have answered on this thread.
    fn answered(records: usize) -> (ThreadId, Routed) {
        let (told, answer) = mpsc::channel();
        let workers = Workers::start();
        let partitions = vec![Some(PartitionId::new(0)); records];
        let gathering = Gathering::new(partitions, 2, &workers, Told(told));
        let all = 0..u32::try_from(records).unwrap();
        for first in [0, 1] {
            let indexes = all.clone().skip(first).step_by(2).collect();
            let appended = Appended {
                base_offset: Offset::new(1_000_000 * u64::try_from(first).unwrap()),
                log_append_time: None,
                log_start: Offset::ZERO,
            };
            gathering.appended(indexes, appended);
        }
        answer.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    #[test]
    fn an_answer_about_very_many_records_is_not_made_on_the_thread_of_a_partition() {
        let (of_some, _) = answered(ANSWERED_AT_ONCE);
        assert_eq!(of_some, thread::current().id());
        let (of_many, routed) = answered(ANSWERED_AT_ONCE + 1);
        assert_ne!(of_many, thread::current().id());
        let offset = |index: usize| routed.offsets[index].unwrap().get();
        assert_eq!((offset(0), offset(1)), (0, 1_000_000));
        assert_eq!((offset(2), offset(3)), (1, 1_000_001));
        assert_eq!(routed.offsets.len(), ANSWERED_AT_ONCE + 1);
    }
}
