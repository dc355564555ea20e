//! Why an administrator's request cannot become a command: one enum per operation, with the facts as
//! fields. All of them are definite: nothing was stored.

use broker_model::limits::CONFIG_BYTES_MAX;
use broker_model::{BrokerId, InvalidTopicName, TopicId, TopicName};

use crate::deployment::PLUGIN_KINDS;
use crate::{InvalidConfig, PluginSlot};

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

/// Why a plugin cannot be bound to a topic's slot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBinding {
    /// Two bindings for one slot.
    #[error("{slot} is bound twice")]
    Twice {
        /// Which slot.
        slot: PluginSlot,
    },
    /// The plugin is of a kind that does not fit.
    #[error("{slot} takes a {}, not {plugin}, which is a {kind}", slot.kind_name())]
    WrongKind {
        /// Which slot.
        slot: PluginSlot,
        /// The plugin.
        plugin: String,
        /// Its kind.
        kind: String,
    },
    /// The configuration names another plugin, by now.
    #[error("{slot} is {}, not {}", named(configured.as_deref()), named(bound.as_deref()))]
    WrongPlugin {
        /// Which slot.
        slot: PluginSlot,
        /// The plugin of the configuration.
        configured: Option<String>,
        /// The plugin of the binding.
        bound: Option<String>,
    },
    /// Not a SHA-256 in lower-case hexadecimal digits.
    #[error("{digest:?} is not a digest: it takes 64 lower-case hexadecimal digits")]
    Digest {
        /// What was given.
        digest: String,
    },
    /// The digest is not that of the deployment.
    #[error("{slot} is bound to {found}, not to what is deployed, {expected}")]
    OtherModule {
        /// Which slot.
        slot: PluginSlot,
        /// The digest of the binding.
        found: String,
        /// The digest of the deployment.
        expected: String,
    },
    /// More offsets than the topic has partitions.
    #[error("{slot} is bound with {found} offsets for {partitions} partitions")]
    TooManyOffsets {
        /// Which slot.
        slot: PluginSlot,
        /// Offsets given.
        found: usize,
        /// Partitions there are.
        partitions: usize,
    },
    /// There is no such topic by now.
    #[error("there is no topic with id {id}")]
    UnknownTopic {
        /// The id.
        id: TopicId,
    },
}

fn named(plugin: Option<&str>) -> &str {
    plugin.unwrap_or("empty")
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
    /// A binding does not fit its slot.
    #[error(transparent)]
    InvalidBinding(#[from] InvalidBinding),
}

/// Why a topic cannot be deleted or its configuration changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterTopicError {
    /// The topic of this name is another one than was meant.
    #[error("topic {name} has id {id}, not {asked}: it was deleted and created again")]
    OtherTopic {
        /// The name.
        name: TopicName,
        /// Its id.
        id: TopicId,
        /// The id asked for.
        asked: TopicId,
    },
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
    /// A binding does not fit its slot.
    #[error(transparent)]
    InvalidBinding(#[from] InvalidBinding),
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

/// Why a plugin cannot be deployed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeployPluginError {
    /// The name cannot be one.
    #[error(
        "{name:?} cannot name a plugin: use 1 to 64 letters, digits, dots, dashes or underscores"
    )]
    InvalidName {
        /// The name asked for.
        name: String,
    },
    /// There is no such kind.
    #[error("{kind:?} is not a kind of plugin: there are {}", PLUGIN_KINDS.join(", "))]
    InvalidKind {
        /// The kind asked for.
        kind: String,
    },
    /// Another kind is deployed under the name.
    #[error(
        "plugin {name} is a {deployed}, and this is a {kind}: remove it first, or use another name"
    )]
    KindChanged {
        /// The plugin.
        name: String,
        /// The kind that is deployed.
        deployed: String,
        /// The kind asked for.
        kind: String,
    },
    /// Only a partitioner has another one to step in.
    #[error("a {kind} has no fallback: its failures are answered, or keep the data")]
    FallbackNotAllowed {
        /// The kind.
        kind: String,
    },
    /// A plugin cannot step in for itself.
    #[error("plugin {name} cannot be its own fallback")]
    FallbackToItself {
        /// The plugin.
        name: String,
    },
    /// Its options take too much.
    #[error("the options of a plugin take {bytes} bytes: at most {CONFIG_BYTES_MAX} are allowed")]
    OptionsTooLarge {
        /// What they take.
        bytes: usize,
    },
    /// A binding does not fit its slot.
    #[error(transparent)]
    InvalidBinding(#[from] InvalidBinding),
}

/// Why a deployed plugin cannot be removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemovePluginError {
    /// No plugin of this name is deployed.
    #[error("no plugin {name:?} is deployed")]
    NotDeployed {
        /// The name asked for.
        name: String,
    },
    /// Topics or other plugins name it.
    #[error("plugin {name} is in use by {}", users(topics, plugins))]
    InUse {
        /// The plugin.
        name: String,
        /// Topics whose configuration names it.
        topics: Vec<TopicName>,
        /// Deployed plugins whose fallback it is.
        plugins: Vec<String>,
    },
}

/// Names the first few users; there may be thousands.
fn users(topics: &[TopicName], plugins: &[String]) -> String {
    const SHOWN: usize = 10;
    let topics = topics.iter().map(|name| format!("topic {name}"));
    let plugins = plugins.iter().map(|name| format!("plugin {name}"));
    let all: Vec<String> = topics.chain(plugins).collect();
    match all.len().saturating_sub(SHOWN) {
        0 => all.join(", "),
        more => format!(
            "{} and {more} more",
            all.get(..SHOWN).unwrap_or(&all).join(", ")
        ),
    }
}
