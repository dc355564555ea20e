//! `produce` without a partition: the topic's partitioner plugin says where each record goes (one call for
//! the whole batch), the records are regrouped into one batch per partition, and the answer is put together
//! when the last partition has answered. A batch that goes to one partition as a whole, as one without keys
//! mostly does, is not taken apart.

use std::sync::{Arc, Mutex};

use broker_cluster::Acks;
use broker_model::{PartitionId, Timestamp};
use broker_protocol::WireError;
use broker_protocol::api::produce::{ProduceResponse, RecordErrors, Routed, RoutedTogether};
use broker_record::{PartitionBatch, ProducedBatch, RoutableRecords};
use bytes::Bytes;

use super::produce::{Answerer, Terms};
use super::{lookup, wire};
use crate::context::Context;
use crate::partition::{Appended, PartitionError};
use crate::plugins::Turn;
use crate::reply::Reply;
use crate::topics::HostedTopic;

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
    pub(super) fn append(self, topic: &Arc<HostedTopic>, terms: Terms, asker: impl Answerer) {
        match self {
            Self::Together(partition, batch) => {
                append_together(topic, partition, (*batch, terms), asker);
            }
            Self::Apart(partitions, batches) => {
                append_apart(topic, (partitions, batches), terms, asker);
            }
        }
    }
}

/// Sends a batch to the one partition that all of it goes to.
fn append_together(
    topic: &Arc<HostedTopic>,
    partition: PartitionId,
    (batch, terms): (ProducedBatch, Terms),
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
    let topic = topic.clone();
    let reply = Reply::new(
        move |result: Result<Appended, PartitionError>| match result {
            Ok(appended) => asker.answer_together(RoutedTogether {
                base_offset: (terms.acks != Acks::None).then_some(appended.base_offset),
                ..together
            }),
            Err(error) => {
                let error = wire::partition_error(topic.name.as_str(), partition, error);
                not_appended(together, error, asker);
            }
        },
    );
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
    (partitions, batches): (Vec<Option<PartitionId>>, Vec<PartitionBatch>),
    terms: Terms,
    asker: impl Answerer,
) {
    let gathering = Arc::new(Gathering::new(partitions, batches.len(), asker));
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
                        Ok(appended) => gathering.appended(&indexes, appended),
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
struct Gathering<A>(Mutex<Gathered<A>>);

struct Gathered<A> {
    routed: Routed,
    left: usize,
    asker: Option<A>,
}

impl<A: Answerer> Gathering<A> {
    fn new(partitions: Vec<Option<PartitionId>>, batches: usize, asker: A) -> Self {
        let offsets = vec![None; partitions.len()];
        let routed = Routed {
            partitions,
            offsets,
            ..Routed::default()
        };
        Self(Mutex::new(Gathered {
            routed,
            left: batches,
            asker: Some(asker),
        }))
    }

    fn appended(&self, indexes: &[u32], appended: Appended) {
        self.one_done(|routed| {
            for (index, nth) in indexes.iter().zip(0_u64..) {
                if let Some(offset) = routed.offsets.get_mut(*index as usize) {
                    *offset = Some(appended.base_offset.plus(nth));
                }
            }
        });
    }

    fn accepted(&self) {
        self.one_done(|_| {});
    }

    fn failed(&self, indexes: Vec<u32>, error: WireError) {
        self.one_done(|routed| routed.errors.push(RecordErrors { indexes, error }));
    }

    fn one_done(&self, note: impl FnOnce(&mut Routed)) {
        let mut gathered = self
            .0
            .lock()
            .expect("no code panics while it holds this lock");
        note(&mut gathered.routed);
        gathered.left -= 1;
        if gathered.left == 0
            && let Some(asker) = gathered.asker.take()
        {
            let routed = std::mem::take(&mut gathered.routed);
            asker.answer(Ok(ProduceResponse::Routed(routed)));
        }
    }
}
