//! Samples of the administrative methods. Between them they set every field there is, so that the
//! page's tables of fields can be held against them.

use std::collections::BTreeMap;

use broker_model::{BrokerId, LeaderEpoch, Offset, PartitionId};
use broker_protocol::api::alter_topic::{AlterTopicRequest, AlterTopicResponse};
use broker_protocol::api::crash_actor::{CrashActorRequest, CrashActorResponse};
use broker_protocol::api::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
use broker_protocol::api::create_topic::{CreateTopicRequest, CreateTopicResponse};
use broker_protocol::api::delete_topic::{DeleteTopicRequest, DeleteTopicResponse};
use broker_protocol::api::describe_cluster::{
    BrokerDescription, DescribeClusterRequest, DescribeClusterResponse, LogDirDescription,
};
use broker_protocol::api::describe_configs::{
    ConfigEntry, ConfigResource, DescribeConfigsRequest, DescribeConfigsResponse, ResourceKind,
};
use broker_protocol::api::describe_topic::{
    CleaningDescription, DamageDescription, DescribeTopicRequest, DescribeTopicResponse,
    FieldFormat, PartitionCount, PartitionDescription, PluginBinding, SlotBinding, TopicFormat,
};
use broker_protocol::api::list_actors::{ActorEntry, ListActorsRequest, ListActorsResponse};
use broker_protocol::api::list_plugins::{
    ListPluginsRequest, ListPluginsResponse, PluginEntry, PluginLimits,
};
use broker_protocol::api::metadata::{
    BrokerEndpoint, MetadataRequest, MetadataResponse, PartitionMetadata, TopicMetadata,
};
use broker_protocol::{ErrorCode, WireError};

use crate::samples::{CLUSTER, NOW, TOPIC, topic_id};
use crate::vectors::Vector;

/// SHA-256 of nothing, for want of a module.
pub(crate) const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Every vector of these methods.
pub(crate) fn all() -> Vec<Vector> {
    let mut vectors = metadata();
    vectors.extend(topics());
    vectors.extend(topic_changes());
    vectors.extend(describe_topic());
    vectors.extend(configs());
    vectors.extend(plugins());
    vectors.extend(cluster());
    vectors.extend(actors());
    vectors
}

fn offline() -> WireError {
    WireError::new(
        ErrorCode::PartitionOffline,
        "partition orders-0 is offline: its disk failed",
    )
}

fn metadata() -> Vec<Vector> {
    let ask = MetadataRequest {
        topics: Some(vec![TOPIC.to_owned(), "nope".to_owned()]),
    };
    let partition = PartitionMetadata {
        partition: PartitionId::new(0),
        leader: Some(BrokerId::new(1)),
        leader_epoch: LeaderEpoch::new(5),
        replicas: vec![BrokerId::new(1)],
        isr: vec![BrokerId::new(1)],
        error: Some(offline()),
    };
    let orders = TopicMetadata {
        name: TOPIC.to_owned(),
        topic_id: Some(topic_id()),
        internal: false,
        error: None,
        partitions: vec![partition],
    };
    let nope = TopicMetadata {
        name: "nope".to_owned(),
        topic_id: None,
        internal: false,
        error: Some(WireError::new(
            ErrorCode::UnknownTopicOrPartition,
            "there is no topic \"nope\"",
        )),
        partitions: Vec::new(),
    };
    let endpoint = BrokerEndpoint {
        broker_id: BrokerId::new(1),
        host: "127.0.0.1".to_owned(),
        port: 7420,
    };
    let answer = MetadataResponse {
        cluster_id: CLUSTER.to_owned(),
        controller_id: Some(BrokerId::new(1)),
        brokers: vec![endpoint],
        topics: vec![orders, nope],
    };
    vec![
        Vector::request(3, "", &ask),
        Vector::response::<MetadataRequest>(3, "", &answer),
    ]
}

fn config(pairs: [(&str, &str); 1]) -> BTreeMap<String, String> {
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn topics() -> Vec<Vector> {
    let simple = CreateTopicRequest {
        name: TOPIC.to_owned(),
        partitions: Some(3),
        replication_factor: Some(1),
        config: config([("retention.ms", "1d")]),
        ..CreateTopicRequest::default()
    };
    let created = CreateTopicResponse {
        name: TOPIC.to_owned(),
        topic_id: Some(topic_id()),
        partitions: 3,
        replication_factor: 1,
        warnings: Vec::new(),
    };
    let by_hand = CreateTopicRequest {
        name: "a.b_c".to_owned(),
        assignment: Some(vec![vec![BrokerId::new(1)], vec![BrokerId::new(1)]]),
        validate_only: true,
        ..CreateTopicRequest::default()
    };
    let checked = CreateTopicResponse {
        name: "a.b_c".to_owned(),
        topic_id: None,
        partitions: 2,
        replication_factor: 1,
        warnings: vec!["topic name a.b_c has both '.' and '_'".to_owned()],
    };
    let exists = WireError::new(ErrorCode::TopicAlreadyExists, "topic orders exists already");
    vec![
        Vector::request(4, "", &simple),
        Vector::response::<CreateTopicRequest>(4, "", &created),
        Vector::request(5, "checked only", &by_hand),
        Vector::response::<CreateTopicRequest>(5, "checked only", &checked),
        Vector::error::<CreateTopicRequest>(6, "the topic exists", &exists),
    ]
}

fn topic_changes() -> Vec<Vector> {
    let alter = AlterTopicRequest {
        name: TOPIC.to_owned(),
        set: config([("retention.ms", "2d")]),
        unset: vec!["segment.bytes".to_owned()],
        validate_only: false,
    };
    let altered = AlterTopicResponse {
        config: config([("retention.ms", "172800000")]),
        warnings: Vec::new(),
    };
    let grow = CreatePartitionsRequest {
        name: TOPIC.to_owned(),
        partitions: 4,
        assignment: Some(vec![vec![BrokerId::new(1)]]),
        validate_only: false,
    };
    let grown = CreatePartitionsResponse {
        name: TOPIC.to_owned(),
        partitions: 4,
        warnings: vec!["records of one key may go to another partition from now on".to_owned()],
    };
    let delete = DeleteTopicRequest {
        name: TOPIC.to_owned(),
        topic_id: Some(topic_id()),
    };
    let deleted = DeleteTopicResponse {
        topic_id: Some(topic_id()),
    };
    vec![
        Vector::request(7, "", &delete),
        Vector::response::<DeleteTopicRequest>(7, "", &deleted),
        Vector::request(8, "", &alter),
        Vector::response::<AlterTopicRequest>(8, "", &altered),
        Vector::request(9, "", &grow),
        Vector::response::<CreatePartitionsRequest>(9, "", &grown),
    ]
}

fn retention() -> ConfigEntry {
    ConfigEntry {
        key: "retention.ms".to_owned(),
        value: "86400000".to_owned(),
        default: Some("604800000".to_owned()),
        source: "topic".to_owned(),
        unit: "ms".to_owned(),
        documentation:
            "Age of a sealed segment's newest record above which the segment is deleted.".to_owned(),
        read_only: false,
    }
}

fn key_hash() -> PluginBinding {
    PluginBinding {
        kind: "partitioner".to_owned(),
        name: "key-hash".to_owned(),
        version: "1.0.0".to_owned(),
        digest: DIGEST.to_owned(),
        options: config([("seed", "7")]),
    }
}

fn damage() -> DamageDescription {
    DamageDescription {
        file: "/data/orders-0/00000000000000000000.log".to_owned(),
        position: 8_192,
        offset: Offset::new(100),
        next_offset: Some(Offset::new(110)),
        problem: "the body of the batch fails its checksum".to_owned(),
    }
}

fn describe_topic() -> Vec<Vector> {
    let partition = PartitionDescription {
        leader: Some(BrokerId::new(1)),
        leader_epoch: LeaderEpoch::new(5),
        replicas: vec![BrokerId::new(1)],
        isr: vec![BrokerId::new(1)],
        log_start: Some(Offset::ZERO),
        log_end: Some(Offset::new(1002)),
        high_watermark: Some(Offset::new(1002)),
        size_bytes: 131_072,
        segments: 1,
        cleaning: Some(CleaningDescription {
            first_dirty: Offset::new(600),
            dirty_bytes: 32_768,
            clean_bytes: 65_536,
            dirty_ratio: 0.25,
            last_cleaned_ms: Some(NOW),
            cleanings: 3,
        }),
        damage: vec![damage()],
        ..PartitionDescription::default()
    };
    let failed = PartitionDescription {
        partition: PartitionId::new(1),
        error: Some(offline()),
        ..PartitionDescription::default()
    };
    let answer = DescribeTopicResponse {
        name: TOPIC.to_owned(),
        topic_id: topic_id(),
        internal: false,
        replication_factor: 1,
        partition_counts: vec![PartitionCount {
            partitions: 2,
            since_ms: NOW,
        }],
        config: vec![retention()],
        plugins: vec![key_hash()],
        bindings: vec![
            SlotBinding {
                slot: "partitioner".to_owned(),
                plugin: Some(key_hash()),
                since_ms: NOW,
                offsets: vec![Offset::ZERO, Offset::ZERO],
            },
            SlotBinding {
                slot: "key.serializer".to_owned(),
                plugin: None,
                since_ms: NOW,
                offsets: vec![Offset::new(870), Offset::new(12)],
            },
        ],
        format: TopicFormat {
            key: None,
            value: Some(FieldFormat {
                serializer: "json".to_owned(),
                version: "1.0.0".to_owned(),
            }),
        },
        partitions: vec![partition, failed],
    };
    let ask = DescribeTopicRequest {
        name: TOPIC.to_owned(),
    };
    vec![
        Vector::request(40, "", &ask),
        Vector::response::<DescribeTopicRequest>(40, "", &answer),
    ]
}

fn configs() -> Vec<Vector> {
    let resource = ConfigResource {
        kind: ResourceKind::Topic,
        name: TOPIC.to_owned(),
    };
    let answer = DescribeConfigsResponse {
        entries: vec![retention()],
    };
    vec![
        Vector::request(41, "", &DescribeConfigsRequest { resource }),
        Vector::response::<DescribeConfigsRequest>(41, "", &answer),
    ]
}

fn plugins() -> Vec<Vector> {
    let plugin = PluginEntry {
        name: "key-hash".to_owned(),
        version: "1.0.0".to_owned(),
        kind: "partitioner".to_owned(),
        digest: DIGEST.to_owned(),
        source: "builtin".to_owned(),
        revision: None,
        state: "active".to_owned(),
        suspended_since_ms: None,
        suspended_reason: None,
        suspended_topics: Vec::new(),
        fallback: None,
        options: config([("seed", "7")]),
        limits: PluginLimits {
            call_ms_max: 5,
            memory_bytes_max: 16 * 1024 * 1024,
            output_bytes_max: 16 * 1024 * 1024,
            budget_ms_max: None,
        },
        topics: vec![TOPIC.to_owned()],
        pinned: vec![TOPIC.to_owned()],
        calls: 12,
        records: 1002,
        errors: 0,
        traps: 0,
        time_us: 431,
        memory_bytes: 1_114_112,
        fallbacks: 0,
        suspensions: 0,
    };
    let resting = PluginEntry {
        name: "newest-wins".to_owned(),
        version: "0.2.0".to_owned(),
        kind: "compaction".to_owned(),
        digest: DIGEST.to_owned(),
        source: "deployed".to_owned(),
        revision: Some(2),
        state: "suspended".to_owned(),
        suspended_since_ms: Some(NOW),
        suspended_reason: Some("it ran longer than 100 ms".to_owned()),
        suspended_topics: vec![TOPIC.to_owned()],
        limits: PluginLimits {
            call_ms_max: 100,
            memory_bytes_max: 64 * 1024 * 1024,
            output_bytes_max: 16 * 1024 * 1024,
            budget_ms_max: Some(600_000),
        },
        errors: 3,
        traps: 3,
        suspensions: 1,
        ..PluginEntry::default()
    };
    let answer = ListPluginsResponse {
        plugins: vec![plugin, resting],
    };
    vec![
        Vector::request(42, "", &ListPluginsRequest {}),
        Vector::response::<ListPluginsRequest>(42, "", &answer),
    ]
}

/// Samples that only show further fields; the page does not print them.
pub(crate) fn hidden() -> Vec<Vector> {
    let routed = PluginEntry {
        fallback: Some("key-hash".to_owned()),
        ..PluginEntry::default()
    };
    let answer = ListPluginsResponse {
        plugins: vec![routed],
    };
    let format = TopicFormat {
        key: Some(FieldFormat::default()),
        value: None,
    };
    let described = DescribeTopicResponse {
        name: TOPIC.to_owned(),
        topic_id: topic_id(),
        internal: false,
        replication_factor: 1,
        partition_counts: Vec::new(),
        config: Vec::new(),
        plugins: Vec::new(),
        bindings: Vec::new(),
        format,
        partitions: Vec::new(),
    };
    vec![
        Vector::response::<ListPluginsRequest>(1, "hidden", &answer),
        Vector::response::<DescribeTopicRequest>(2, "hidden", &described),
    ]
}

fn cluster() -> Vec<Vector> {
    let dir = LogDirDescription {
        path: "/var/lib/broker".to_owned(),
        state: "failed".to_owned(),
        error: Some("sync failed: Input/output error".to_owned()),
        total_bytes: 1 << 40,
        free_bytes: 1 << 39,
        used_bytes: 131_072,
        min_free_bytes: 1 << 30,
        waiting_for_syncs: 2,
        sync_waits: 5,
    };
    let broker = BrokerDescription {
        broker_id: BrokerId::new(1),
        host: "127.0.0.1".to_owned(),
        port: 7420,
        version: "0.1.0".to_owned(),
        uptime_ms: 86_400_000,
        partitions: 3,
        leaders: 3,
        connections: 2,
        log_dirs: vec![dir],
    };
    let answer = DescribeClusterResponse {
        cluster_id: CLUSTER.to_owned(),
        controller_id: Some(BrokerId::new(1)),
        brokers: vec![broker],
        topics: 1,
        partitions: 3,
        warnings: vec!["log directory /var/lib/broker is out of service".to_owned()],
    };
    vec![
        Vector::request(43, "", &DescribeClusterRequest {}),
        Vector::response::<DescribeClusterRequest>(43, "", &answer),
    ]
}

fn actors() -> Vec<Vector> {
    let actor = ActorEntry {
        kind: "partition".to_owned(),
        name: "orders-0".to_owned(),
        state: "running".to_owned(),
        mailbox_depth: 0,
        handled: 1290,
        restarts: 0,
    };
    let crash = CrashActorRequest {
        kind: "partition".to_owned(),
        name: "orders-0".to_owned(),
    };
    vec![
        Vector::request(44, "", &ListActorsRequest {}),
        Vector::response::<ListActorsRequest>(
            44,
            "",
            &ListActorsResponse {
                actors: vec![actor],
            },
        ),
        Vector::request(45, "", &crash),
        Vector::response::<CrashActorRequest>(45, "", &CrashActorResponse {}),
    ]
}
