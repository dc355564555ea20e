//! What a fake broker answers when nothing goes wrong. Partitioner: the sum of a key's bytes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_client::model::{BrokerId, LeaderEpoch, Offset, PartitionId, Timestamp};
use broker_client::protocol::api::fetch::{
    FetchRequest, FetchResponse, FetchedData, FetchedPartition,
};
use broker_client::protocol::api::hello::{HelloRequest, HelloResponse};
use broker_client::protocol::api::list_offsets::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetAnswer, OffsetAt,
};
use broker_client::protocol::api::metadata::{
    BrokerEndpoint, MetadataRequest, MetadataResponse, PartitionMetadata, TopicMetadata,
};
use broker_client::protocol::api::partition_for::{PartitionForRequest, PartitionForResponse};
use broker_client::protocol::api::ping::PingResponse;
use broker_client::protocol::api::produce::{
    Acks, Appended, Payload, ProduceRequest, ProduceResponse, Routed,
};
use broker_client::protocol::{
    ErrorCode, ErrorData, LeaderHint, Method, Request, Response, WireError,
};
use broker_record::{Codec, OpaqueClaims, ProducedBatch, RoutableRecords, Validation};
use bytes::Bytes;

use super::{World, partition};

type Answer = Result<Vec<u8>, WireError>;

/// Waits if the method does, then answers.
pub(crate) async fn answer(
    world: &Arc<Mutex<World>>,
    broker: u32,
    method: Method,
    args: &Bytes,
) -> Answer {
    if method != Method::Fetch {
        return apply(world, broker, method, args);
    }
    let request = FetchRequest::decode(args).unwrap();
    let mut left = request.max_wait_ms;
    loop {
        let response = fetch(&world.lock().unwrap(), broker, &request);
        let idle = response
            .partitions
            .iter()
            .all(|found| found.data.is_empty() && found.error.is_none());
        if !idle || left == 0 {
            return encoded(&response);
        }
        let step = left.min(5);
        left -= step;
        tokio::time::sleep(Duration::from_millis(u64::from(step))).await;
    }
}

/// Answers at once.
pub(crate) fn apply(
    world: &Arc<Mutex<World>>,
    broker: u32,
    method: Method,
    args: &Bytes,
) -> Answer {
    let mut world = world.lock().unwrap();
    match method {
        Method::Hello => {
            HelloRequest::decode(args).unwrap();
            encoded(&hello(&world, broker))
        }
        Method::Ping => encoded(&PingResponse::default()),
        Method::Metadata => {
            let request = MetadataRequest::decode(args).unwrap();
            encoded(&metadata(&world, request))
        }
        Method::Produce => {
            let request = ProduceRequest::decode(args).unwrap();
            produce(&mut world, broker, &request).and_then(|response| encoded(&response))
        }
        Method::ListOffsets => {
            let request = ListOffsetsRequest::decode(args).unwrap();
            encoded(&list_offsets(&world, broker, request))
        }
        Method::PartitionFor => {
            let request = PartitionForRequest::decode(args).unwrap();
            partition_for(&world, &request).and_then(|response| encoded(&response))
        }
        other => Err(WireError::new(ErrorCode::UnknownMethod, other.name())),
    }
}

fn encoded<R: Response>(response: &R) -> Answer {
    let mut out = Vec::new();
    response.encode(&mut out);
    Ok(out)
}

fn hello(world: &World, broker: u32) -> HelloResponse {
    let mut hello = HelloResponse {
        protocol: 1,
        broker_version: "fake".to_owned(),
        cluster_id: "fake".to_owned(),
        broker_id: BrokerId::new(broker),
        features: world.features.clone(),
        codecs: Vec::new(),
        limits: Default::default(),
    };
    if let Some(max) = world.in_flight_requests_max {
        hello.limits.in_flight_requests_max = max;
    }
    hello
}

fn metadata(world: &World, request: MetadataRequest) -> MetadataResponse {
    let asked = request
        .topics
        .unwrap_or_else(|| world.topics.keys().cloned().collect());
    let brokers = world.endpoints.iter().map(|(id, port)| BrokerEndpoint {
        broker_id: *id,
        host: "127.0.0.1".to_owned(),
        port: *port,
    });
    MetadataResponse {
        cluster_id: "fake".to_owned(),
        controller_id: Some(BrokerId::new(1)),
        brokers: brokers.collect(),
        topics: asked
            .iter()
            .map(|name| topic_metadata(world, name))
            .collect(),
    }
}

fn topic_metadata(world: &World, name: &str) -> TopicMetadata {
    let mut metadata = TopicMetadata {
        name: name.to_owned(),
        topic_id: None,
        internal: false,
        error: None,
        partitions: Vec::new(),
    };
    let Some(topic) = world.topics.get(name) else {
        metadata.error = Some(unknown(name));
        return metadata;
    };
    metadata.topic_id = Some(topic.id);
    for (number, _) in (0..).zip(&topic.partitions) {
        let at = partition(name, number);
        let (leader, epoch) = world.leaders.get(&at).copied().unzip();
        let claimed = world.claimed_leaders.get(&at).copied();
        metadata.partitions.push(PartitionMetadata {
            partition: PartitionId::new(number),
            leader: claimed.or(leader),
            // Whoever claims something else is behind.
            leader_epoch: LeaderEpoch::new(match claimed {
                Some(_) => 1,
                None => epoch.unwrap_or(0),
            }),
            replicas: Vec::new(),
            isr: Vec::new(),
            error: None,
        });
    }
    metadata
}

fn unknown(name: &str) -> WireError {
    let message = format!("no topic {name}");
    WireError::new(ErrorCode::UnknownTopicOrPartition, message)
}

/// The error of a broker that does not lead the partition, with a hint as good as the world's.
fn check_leader(world: &World, broker: u32, name: &str, number: u32) -> Result<(), WireError> {
    let Some((leader, epoch)) = world.leaders.get(&partition(name, number)) else {
        return Err(unknown(name));
    };
    if leader.get() == broker {
        return Ok(());
    }
    let port = world.endpoints.iter().find(|(id, _)| id == leader);
    Err(
        WireError::new(ErrorCode::NotLeader, "not here").with_data(ErrorData {
            leader: port.map(|(id, port)| LeaderHint {
                broker_id: *id,
                host: "127.0.0.1".to_owned(),
                port: *port,
            }),
            leader_epoch: Some(LeaderEpoch::new(*epoch)),
            ..ErrorData::default()
        }),
    )
}

fn produce(
    world: &mut World,
    broker: u32,
    request: &ProduceRequest,
) -> Result<ProduceResponse, WireError> {
    let now = Timestamp::from_millis(1);
    let Some(number) = request.partition else {
        return route(world, request, now).map(ProduceResponse::Routed);
    };
    check_leader(world, broker, &request.topic, number.get())?;
    let batch = match &request.payload {
        Payload::Plain(records) => ProducedBatch::plain(records.clone(), now),
        Payload::Opaque(opaque) => {
            let claims = OpaqueClaims {
                codec: Codec::from_name(&opaque.codec).unwrap(),
                record_count: opaque.record_count,
                base_timestamp: opaque.base_timestamp_ms,
                max_timestamp: opaque.max_timestamp_ms,
                body_crc: opaque.crc,
                producer: None,
            };
            ProducedBatch::opaque(opaque.body.clone(), claims, Validation::Full)
        }
    };
    let batch =
        batch.map_err(|error| WireError::new(ErrorCode::InvalidBatch, error.to_string()))?;
    let record_count = batch.header.record_count;
    let topic = world.topics.get_mut(&request.topic).unwrap();
    let base = topic.partitions[number.get() as usize].append(batch);
    Ok(ProduceResponse::Appended(Appended {
        partition: number,
        base_offset: (request.acks != Acks::None).then_some(base),
        record_count,
        log_append_time_ms: None,
        log_start: None,
        refused: Vec::new(),
    }))
}

fn partition_of(key: Option<&[u8]>, count: usize) -> u32 {
    let sum: usize = key
        .unwrap_or_default()
        .iter()
        .map(|byte| usize::from(*byte))
        .sum();
    u32::try_from(sum % count).unwrap()
}

fn route(world: &mut World, request: &ProduceRequest, now: Timestamp) -> Result<Routed, WireError> {
    let Some(topic) = world.topics.get_mut(&request.topic) else {
        return Err(unknown(&request.topic));
    };
    let Payload::Plain(records) = &request.payload else {
        return Err(WireError::new(
            ErrorCode::InvalidRequest,
            "a body needs a partition",
        ));
    };
    let records = RoutableRecords::walk(records.clone())
        .map_err(|error| WireError::new(ErrorCode::InvalidBatch, error.to_string()))?;
    let count = topic.partitions.len();
    let partitions: Vec<PartitionId> = records
        .keys()
        .map(|key| PartitionId::new(partition_of(key, count)))
        .collect();
    let to: Vec<Option<PartitionId>> = partitions.iter().copied().map(Some).collect();
    let mut offsets = vec![None; records.len()];
    for group in records.regroup(&to, now).unwrap() {
        let base = topic.partitions[group.partition.get() as usize].append(group.batch);
        for (index, delta) in group.indexes.iter().zip(0..) {
            offsets[*index as usize] = Some(base.plus(delta));
        }
    }
    Ok(Routed {
        partitions: to,
        offsets,
        ..Routed::default()
    })
}

fn partition_for(
    world: &World,
    request: &PartitionForRequest,
) -> Result<PartitionForResponse, WireError> {
    let topic = world
        .topics
        .get(&request.topic)
        .ok_or_else(|| unknown(&request.topic))?;
    let count = topic.partitions.len();
    let keys = request.keys.iter();
    let partitions = keys.map(|key| PartitionId::new(partition_of(key.as_deref(), count)));
    Ok(PartitionForResponse {
        partitions: partitions.collect(),
    })
}

fn list_offsets(world: &World, broker: u32, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let answers = request.partitions.into_iter().map(|query| {
        let mut answer = OffsetAnswer {
            topic: query.topic.clone(),
            partition: query.partition,
            ..OffsetAnswer::default()
        };
        if let Err(error) = check_leader(world, broker, &query.topic, query.partition.get()) {
            answer.error = Some(error);
            return answer;
        }
        let log = &world.topics[&query.topic].partitions[query.partition.get() as usize];
        answer.offset = match query.at {
            OffsetAt::Earliest => Some(log.start),
            OffsetAt::Latest => Some(log.end),
            OffsetAt::Timestamp(time) => {
                let found = log.batches.iter().find(|batch| batch.max_timestamp >= time);
                found.map(|batch| batch.first)
            }
        };
        answer
    });
    ListOffsetsResponse {
        partitions: answers.collect(),
    }
}

fn fetch(world: &World, broker: u32, request: &FetchRequest) -> FetchResponse {
    let mut left = request.max_bytes as usize;
    let answers = request.partitions.iter().map(|asked| {
        let mut found = FetchedPartition {
            topic: asked.topic.clone(),
            partition: asked.partition,
            next_offset: asked.offset,
            data: FetchedData::Batch(Bytes::new()),
            ..FetchedPartition::default()
        };
        if let Err(error) = check_leader(world, broker, &asked.topic, asked.partition.get()) {
            found.error = Some(error);
            return found;
        }
        let topic = &world.topics[&asked.topic];
        if asked.topic_id.is_some_and(|id| id != topic.id) {
            found.error = Some(WireError::new(ErrorCode::TopicIdMismatch, "another topic"));
            return found;
        }
        let log = &topic.partitions[asked.partition.get() as usize];
        found.log_start = log.start;
        found.high_watermark = log.end;
        found.log_end = log.end;
        if asked.offset < log.start || asked.offset > log.end {
            found.error = Some(out_of_range(log.start, log.end));
        } else if left > 0 {
            let (run, next) = log.read(asked.offset, left);
            left = left.saturating_sub(run.len());
            found.next_offset = next;
            found.data = FetchedData::Batch(run.into());
        }
        found
    });
    FetchResponse {
        partitions: answers.collect(),
    }
}

fn out_of_range(earliest: Offset, latest: Offset) -> WireError {
    WireError::new(ErrorCode::OffsetOutOfRange, "out of range").with_data(ErrorData {
        earliest: Some(earliest),
        latest: Some(latest),
        ..ErrorData::default()
    })
}
