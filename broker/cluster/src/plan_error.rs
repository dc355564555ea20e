//! Why an administrator's request cannot become a command: one enum per operation, with the facts as
//! fields. All of them are definite: nothing was stored.

use broker_model::{BrokerId, InvalidTopicName, TopicName};

use crate::InvalidConfig;

/// Why the brokers of the partitions cannot be as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAssignment {
    /// It was given together with numbers.
    #[error("give either an assignment or partitions and replication factor, not both")]
    WithNumbers,
    /// A partition without brokers.
    #[error("partition {partition} has no brokers")]
    NoBrokers {
        /// Which partition.
        partition: u32,
    },
    /// A broker twice for one partition.
    #[error("partition {partition} names broker {broker} twice")]
    BrokerTwice {
        /// Which partition.
        partition: u32,
        /// Which broker.
        broker: BrokerId,
    },
    /// A broker that is not part of the cluster.
    #[error("partition {partition} names broker {broker}, which is not part of the cluster")]
    UnknownBroker {
        /// Which partition.
        partition: u32,
        /// Which broker.
        broker: BrokerId,
    },
    /// Partitions with different numbers of replicas.
    #[error("partition {partition} has {found} replicas where the topic has {expected}")]
    UnevenReplicas {
        /// Which partition.
        partition: u32,
        /// Its replicas.
        found: usize,
        /// The replicas of the others.
        expected: usize,
    },
    /// Not one list of brokers for each further partition.
    #[error("{found} lists of brokers for {expected} further partitions")]
    WrongLength {
        /// Lists given.
        found: usize,
        /// Partitions to be added.
        expected: usize,
    },
}

/// Why a topic cannot be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateTopicError {
    /// The name breaks a rule.
    #[error(transparent)]
    InvalidName(#[from] InvalidTopicName),
    /// The broker keeps the name for itself.
    #[error("topic name {name} is reserved for the broker")]
    Reserved {
        /// The name.
        name: TopicName,
    },
    /// There is such a topic.
    #[error("topic {name} exists already")]
    Exists {
        /// The name.
        name: TopicName,
    },
    /// There is a topic whose name differs only in `.` against `_`.
    #[error("topic {name} collides with topic {with}: they differ only in '.' and '_'")]
    Collides {
        /// The name asked for.
        name: TopicName,
        /// The topic that exists.
        with: TopicName,
    },
    /// Too few or too many partitions.
    #[error("a topic has 1 to {max} partitions, not {asked}")]
    InvalidPartitions {
        /// Partitions asked for.
        asked: usize,
        /// Most there can be.
        max: u32,
    },
    /// Too few or too many replicas.
    #[error("the replication factor is 1 to {brokers} (the number of brokers), not {asked}")]
    InvalidReplicationFactor {
        /// Replicas asked for.
        asked: u32,
        /// Brokers there are.
        brokers: usize,
    },
    /// The assignment contradicts itself or the cluster.
    #[error(transparent)]
    InvalidAssignment(#[from] InvalidAssignment),
    /// A configuration key or value is wrong.
    #[error(transparent)]
    InvalidConfig(#[from] InvalidConfig),
}

/// Why a topic cannot be deleted or its configuration changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterTopicError {
    /// There is no such topic.
    #[error("there is no topic {name:?}")]
    UnknownTopic {
        /// The name asked for.
        name: String,
    },
    /// The broker keeps the topic for itself.
    #[error("topic {name} is reserved for the broker")]
    Reserved {
        /// The name.
        name: TopicName,
    },
    /// A configuration key or value is wrong.
    #[error(transparent)]
    InvalidConfig(#[from] InvalidConfig),
}

/// Why a topic cannot get the partitions asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreatePartitionsError {
    /// There is no such topic.
    #[error("there is no topic {name:?}")]
    UnknownTopic {
        /// The name asked for.
        name: String,
    },
    /// The broker keeps the topic for itself.
    #[error("topic {name} is reserved for the broker")]
    Reserved {
        /// The name.
        name: TopicName,
    },
    /// Not more than there are, or more than there can be.
    #[error(
        "topic {name} has {current} partitions and can grow to {max}, not become {asked}: \
         partitions are never taken away"
    )]
    InvalidPartitions {
        /// The topic.
        name: TopicName,
        /// Partitions asked for.
        asked: u32,
        /// Partitions there are.
        current: u32,
        /// Most there can be.
        max: u32,
    },
    /// There are fewer brokers than the topic has replicas.
    #[error("topic {name} has {replicas} replicas a partition, and there are {brokers} brokers")]
    NotEnoughBrokers {
        /// The topic.
        name: TopicName,
        /// Its replication factor.
        replicas: u32,
        /// Brokers there are.
        brokers: usize,
    },
    /// The assignment contradicts itself or the cluster.
    #[error(transparent)]
    InvalidAssignment(#[from] InvalidAssignment),
}
