//! `produce` without a partition: the topic's partitioner plugin says where each record goes (one call for
//! the whole batch), the records are regrouped into one batch per partition, and the answer is put together
//! when the last partition has answered.

use std::sync::{Arc, Mutex};

use broker_cluster::Acks;
use broker_model::{PartitionId, Timestamp};
use broker_protocol::WireError;
use broker_protocol::api::produce::{ProduceResponse, RecordErrors, Routed};
use broker_record::{PartitionBatch, RoutableRecords};
use bytes::Bytes;

use super::produce::{Answerer, Terms};
use super::{lookup, wire};
use crate::context::Context;
use crate::partition::{Appended, PartitionError};
use crate::reply::Reply;
use crate::topics::HostedTopic;

/// Records that know where they go.
pub(super) struct RoutedRecords {
    partitions: Vec<Option<PartitionId>>,
    batches: Vec<PartitionBatch>,
}

/// Asks the partitioner and regroups.
pub(super) fn route(
    context: &Context,
    topic: &HostedTopic,
    records: Bytes,
    default_timestamp: Timestamp,
) -> Result<RoutedRecords, WireError> {
    let records = RoutableRecords::walk(records).map_err(|error| wire::invalid_batch(&error))?;
    let partitions = context
        .plugins
        .partition_records(topic, &records)
        .map_err(|error| wire::slot_error(&error))?;
    let partitions: Vec<_> = partitions.into_iter().map(Some).collect();
    let batches = records
        .regroup(&partitions, default_timestamp)
        .map_err(|error| wire::invalid_batch(&error))?;
    Ok(RoutedRecords {
        partitions,
        batches,
    })
}

impl RoutedRecords {
    /// Sends every batch to its partition.
    pub(super) fn append(self, topic: &Arc<HostedTopic>, terms: Terms, asker: impl Answerer) {
        let gathering = Arc::new(Gathering::new(self.partitions, self.batches.len(), asker));
        for PartitionBatch {
            partition,
            batch,
            indexes,
        } in self.batches
        {
            match lookup::partition(topic, partition) {
                Err(error) => gathering.failed(indexes, error),
                Ok(handle) => {
                    let (gathering, topic) = (gathering.clone(), topic.clone());
                    let reply =
                        Reply::new(
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
