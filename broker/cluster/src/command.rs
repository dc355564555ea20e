//! `Command`: a change of the cluster's metadata, as it is proposed, stored and replayed.
//!
//! Stored form: a MessagePack map `{version, command: {kind: {…}}}` with string keys; the version is
//! the oldest that can say what the command says. Ids are numbers, topic ids 16 bytes, times milliseconds. A version or kind this code does not know is an
//! error and never skipped: skipping would make two brokers disagree. Term and index belong to the
//! log entry that carries the command (leader epoch and offset of its record), not to the command.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use broker_model::{BrokerId, Timestamp, TopicId, TopicName};

use crate::{Binding, Deployment};

mod plugin_wire;
mod wire;

pub use wire::{COMMAND_VERSION, DecodeCommandError};

/// A change of the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A broker joined, or came back with another address.
    RegisterBroker {
        /// Its id.
        id: BrokerId,
        /// Where clients and other brokers reach it, `host:port`.
        address: String,
    },
    /// A topic is created.
    CreateTopic {
        /// Its new identity.
        id: TopicId,
        /// Its name.
        name: TopicName,
        /// The brokers of each partition, preferred leader first.
        assignment: Vec<Vec<BrokerId>>,
        /// Overrides of its configuration, normalised.
        config: BTreeMap<String, String>,
        /// What its plugin slots run.
        bindings: Vec<Binding>,
        /// When.
        at: Timestamp,
    },
    /// A topic and its data go.
    DeleteTopic {
        /// Which.
        id: TopicId,
    },
    /// Configuration overrides of a topic change.
    AlterTopicConfig {
        /// Which topic.
        id: TopicId,
        /// Overrides that are set, normalised.
        set: BTreeMap<String, String>,
        /// Overrides that are taken back.
        unset: BTreeSet<String>,
        /// What the plugin slots run from now on; one that runs it already keeps its binding.
        bindings: Vec<Binding>,
    },
    /// A topic gets further partitions.
    CreatePartitions {
        /// Which topic.
        id: TopicId,
        /// How many it had when this was planned; otherwise the command is rejected.
        from: u32,
        /// The brokers of each further partition.
        added: Vec<Vec<BrokerId>>,
        /// When.
        at: Timestamp,
    },
    /// A plugin is deployed, or another revision of it.
    DeployPlugin {
        /// The name that topics use.
        name: String,
        /// What is deployed.
        deployment: Deployment,
        /// Topics that use the name and run this deployment from now on.
        rebind: Vec<(TopicId, Binding)>,
    },
    /// The name of a deployed plugin is given up; its history stays.
    RemovePlugin {
        /// Which.
        name: String,
        /// When.
        at: Timestamp,
    },
}

impl Command {
    /// The stored form.
    ///
    /// # Errors
    /// Never for a command that was planned; the encoder's error is handed on all the same.
    pub fn encode(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        wire::encode(self)
    }

    /// Reads the stored form back.
    ///
    /// # Errors
    /// On another version, an unknown kind, anything malformed, and bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeCommandError> {
        wire::decode(bytes)
    }
}

/// In a line: what changes and which, for logs. Assignments, schemas and bindings can be long; they are
/// counted or left out.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::RegisterBroker { id, address } => {
                write!(f, "register broker {id} at {address}")
            }
            Command::CreateTopic {
                id,
                name,
                assignment,
                config,
                ..
            } => {
                let count = assignment.len();
                write!(f, "create topic {name} ({id}), {count} partition(s)")?;
                keys(f, ", with ", config.keys())
            }
            Command::DeleteTopic { id } => write!(f, "delete topic {id}"),
            Command::AlterTopicConfig { id, set, unset, .. } => {
                write!(f, "alter topic {id}")?;
                keys(f, ", set ", set.keys())?;
                keys(f, ", unset ", unset)
            }
            Command::CreatePartitions {
                id, from, added, ..
            } => {
                let count = added.len();
                write!(
                    f,
                    "add {count} partition(s) to topic {id}, which had {from}"
                )
            }
            Command::DeployPlugin {
                name,
                deployment,
                rebind,
            } => {
                let (revision, kind) = (deployment.revision, &deployment.kind);
                let (version, topics) = (&deployment.version, rebind.len());
                write!(
                    f,
                    "deploy {kind} plugin {name} {version} as revision {revision}, used by {topics} topic(s)"
                )
            }
            Command::RemovePlugin { name, .. } => write!(f, "remove plugin {name}"),
        }
    }
}

/// Names behind a text, or nothing.
fn keys<'a>(
    f: &mut fmt::Formatter<'_>,
    before: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> fmt::Result {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    match names.is_empty() {
        true => Ok(()),
        false => write!(f, "{before}{}", names.join(", ")),
    }
}
