//! `Lanes`: all lanes of a producer, found by topic and partition, and their tasks, which are
//! started when there is something to send and end when the producer is closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use broker_model::{PartitionId, TopicName, TopicPartition};
use broker_record::Codec;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::batch::KeptRecord;
use super::context::ProducerContext;
use super::delivery::{Deliveries, Delivery, Outcome};
use super::lane::{Gathering, Lane, Target, Task};
use super::record::ProducerRecord;
use super::{keyed_lane, partition_lane, routed_lane};
use crate::error::ClientError;

pub(super) struct Lanes {
    context: Arc<ProducerContext>,
    runtime: Handle,
    topics: Mutex<HashMap<Arc<str>, TopicLanes>>,
    closed: AtomicBool,
}

struct TopicLanes {
    name: TopicName,
    /// Of records without a partition.
    unrouted: Option<Arc<Lane>>,
    partitions: HashMap<PartitionId, Arc<Lane>>,
}

impl Lanes {
    pub(super) fn new(context: Arc<ProducerContext>, runtime: Handle) -> Self {
        Self {
            context,
            runtime,
            topics: Mutex::new(HashMap::new()),
            closed: AtomicBool::new(false),
        }
    }

    /// Puts a record into its lane.
    pub(super) fn append(
        self: &Arc<Self>,
        record: ProducerRecord,
        cost: usize,
    ) -> Result<Delivery, ClientError> {
        let lane = self.lane(&record.topic, record.partition)?;
        let (delivery, task) = lane.append(record, cost)?;
        self.start(lane, task);
        Ok(delivery)
    }

    /// Puts records that were asked about into the lane of their partition.
    pub(super) fn move_to(
        self: &Arc<Self>,
        topic: &TopicName,
        partition: PartitionId,
        (records, opened_at): (Vec<KeptRecord>, Instant),
    ) -> Vec<Delivery> {
        let lane = match self.lane(topic.as_str(), Some(partition)) {
            Ok(lane) => lane,
            Err(error) => return self.refuse_all(records, &error),
        };
        let costs: Vec<usize> = records.iter().map(|kept| kept.cost).collect();
        let records = records.into_iter().map(|kept| (kept.record, kept.cost));
        let (appended, task) = lane.append_moved(records, opened_at);
        self.start(lane, task);
        let settled = appended.into_iter().zip(costs);
        settled
            .map(|(delivery, cost)| delivery.unwrap_or_else(|error| self.refused(cost, error)))
            .collect()
    }

    fn refuse_all(&self, records: Vec<KeptRecord>, error: &ClientError) -> Vec<Delivery> {
        let refused = |kept: KeptRecord| self.refused(kept.cost, error.clone());
        records.into_iter().map(refused).collect()
    }

    /// A delivery that has failed before it began.
    fn refused(&self, cost: usize, error: ClientError) -> Delivery {
        self.context.give_back(cost);
        self.context.note_failure(&error);
        let (sender, mut deliveries) = Deliveries::new();
        let delivery = deliveries.next(broker_model::Timestamp::default());
        let _ = sender.send(Arc::new(Outcome::Failed(error)));
        delivery
    }

    /// Waits until everything that is in the lanes now has its outcome.
    pub(super) async fn flush(&self) {
        // Records move from the first kind of lane to the second, so the first comes first.
        for pick in [TopicLanes::before_routing, TopicLanes::after_routing] {
            let lanes = self.pick(pick);
            let sealed: Vec<(Arc<Lane>, u64)> = lanes
                .into_iter()
                .map(|lane| {
                    let batches = lane.seal();
                    (lane, batches)
                })
                .collect();
            for (lane, batches) in sealed {
                lane.resolved(batches).await;
            }
        }
    }

    /// Takes no more records. What is in the lanes is still sent.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for pick in [TopicLanes::before_routing, TopicLanes::after_routing] {
            self.pick(pick).iter().for_each(|lane| lane.close());
        }
    }

    fn pick(&self, pick: fn(&TopicLanes) -> Vec<Arc<Lane>>) -> Vec<Arc<Lane>> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.values().flat_map(pick).collect()
    }

    fn lane(&self, topic: &str, partition: Option<PartitionId>) -> Result<Arc<Lane>, ClientError> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = topics.get(topic).and_then(|topic| topic.find(partition)) {
            return Ok(lane);
        }
        let name = TopicName::new(topic).map_err(|invalid| {
            ClientError::invalid(format!("{topic:?} is not a topic name: {invalid}"))
        })?;
        let lanes = topics
            .entry(topic.into())
            .or_insert_with(|| TopicLanes::new(name));
        let options = &self.context.options;
        let gathering = match (partition, options.codec) {
            _ if options.encode => Gathering::Values,
            (None, Codec::None) | (Some(_), _) => Gathering::Encode,
            (None, _) => Gathering::Keep,
        };
        let target = Target {
            topic: lanes.name.clone(),
            partition,
        };
        let lane = Arc::new(Lane::new(target, gathering, self.context.clone()));
        if self.closed.load(Ordering::SeqCst) {
            lane.close();
        }
        match partition {
            Some(partition) => lanes.partitions.insert(partition, lane.clone()),
            None => lanes.unrouted.replace(lane.clone()),
        };
        Ok(lane)
    }

    fn start(self: &Arc<Self>, lane: Arc<Lane>, task: Task) {
        if task == Task::Running {
            return;
        }
        match (lane.target.partition, lane.gathering()) {
            (Some(partition), _) => {
                let partition = TopicPartition::new(lane.target.topic.clone(), partition);
                self.runtime.spawn(partition_lane::run(lane, partition));
            }
            (None, Gathering::Encode | Gathering::Values) => {
                self.runtime.spawn(routed_lane::run(lane));
            }
            (None, Gathering::Keep) => {
                self.runtime.spawn(keyed_lane::run(lane, self.clone()));
            }
        }
    }
}

impl TopicLanes {
    fn new(name: TopicName) -> Self {
        Self {
            name,
            unrouted: None,
            partitions: HashMap::new(),
        }
    }

    fn find(&self, partition: Option<PartitionId>) -> Option<Arc<Lane>> {
        match partition {
            Some(partition) => self.partitions.get(&partition).cloned(),
            None => self.unrouted.clone(),
        }
    }

    fn before_routing(&self) -> Vec<Arc<Lane>> {
        self.unrouted.iter().cloned().collect()
    }

    fn after_routing(&self) -> Vec<Arc<Lane>> {
        self.partitions.values().cloned().collect()
    }
}
