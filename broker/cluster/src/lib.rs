//! The rules of the cluster as pure state machines: what the controller knows and may change
//! ([`ClusterMetadata`]), what a partition's leader knows and may acknowledge
//! ([`PartitionReplica`]), when it syncs ([`FlushPace`]), and the table of topic configuration ([`TopicConfig`]).
//!
//! Nothing in here does I/O, reads a clock or knows an actor: time, ids and the broker's defaults
//! come as arguments, and what is to be done comes back as values.

pub mod binding;
pub mod cluster_metadata;
pub mod command;
pub mod config_key;
pub mod deployment;
pub mod flush_pace;
pub mod invalid_config;
pub mod partition_replica;
mod placement;
pub mod plan;
pub mod plan_error;
mod plan_plugins;
pub mod plugin_slot;
pub mod topic;
pub mod topic_config;
pub mod topic_keys;

pub use binding::{Binding, BoundPlugin};
pub use cluster_metadata::{BrokerRegistration, Change, ClusterMetadata, RejectedCommand};
pub use command::{Command, DecodeCommandError};
pub use config_key::{ConfigKey, ValueKind};
pub use deployment::{
    DeployedPlugin, Deployment, DeploymentLimits, DeploymentSource, NewDeployment,
};
pub use flush_pace::FlushPace;
pub use invalid_config::InvalidConfig;
pub use partition_replica::{
    Acks, Effects, FlushMode, NotAdmitted, PartitionReplica, ReplicaStart,
};
pub use plan::{ConfigChange, CreationDefaults, NewTopic, Planned, Warning};
pub use plan_error::{
    AlterTopicError, CreatePartitionsError, CreateTopicError, DeployPluginError, InvalidAssignment,
    InvalidBinding, RemovePluginError,
};
pub use plugin_slot::PluginSlot;
pub use topic::{PartitionCount, PartitionState, Topic};
pub use topic_config::{
    BatchValidation, CleanupPolicy, ConfigSource, DescribedKey, MessageTimestampType, TopicConfig,
    TopicDefaults,
};
pub use topic_keys::{TOPIC_KEYS, TopicKey, topic_key};
