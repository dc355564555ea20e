//! The stored form of commands. These structs are the format: they change only together with
//! `COMMAND_VERSION`, and nothing outside this file sees them.

use std::collections::{BTreeMap, BTreeSet};

use broker_model::{BrokerId, InvalidTopicName, Timestamp, TopicId, TopicName};
use serde::{Deserialize, Serialize};

use super::Command;
use super::plugin_wire::{WireBinding, WireDeployment, WireRebind};
use crate::Binding;

/// The newest version. Version 1 knew no plugins: no bindings, no deployments. What fits version 1
/// is still written as such; every version up to this one is read.
pub const COMMAND_VERSION: u16 = 2;
/// The version of commands without plugins.
const WITHOUT_PLUGINS: u16 = 1;

/// Why stored bytes are not a command.
#[derive(Debug, thiserror::Error)]
pub enum DecodeCommandError {
    /// Not a command at all, or of a kind this version does not know.
    #[error("a metadata command cannot be read: {0}")]
    Malformed(#[from] rmp_serde::decode::Error),
    /// Written by another version.
    #[error(
        "a metadata command has version {found}, this broker reads versions 1 to \
         {COMMAND_VERSION}: \
         the data directory was written by a newer version"
    )]
    Version {
        /// The version found.
        found: u16,
    },
    /// It names a topic that cannot exist.
    #[error("a metadata command names an impossible topic: {0}")]
    TopicName(#[from] InvalidTopicName),
    /// It names a plugin slot that does not exist.
    #[error("a metadata command names a plugin slot that does not exist: {found:?}")]
    Slot {
        /// The name found.
        found: String,
    },
    /// Bytes follow the command.
    #[error("{count} bytes follow a metadata command")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    version: u16,
    command: Wire,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Wire {
    RegisterBroker {
        id: u32,
        address: String,
    },
    CreateTopic {
        #[serde(with = "serde_bytes")]
        id: [u8; 16],
        name: String,
        assignment: Vec<Vec<u32>>,
        config: BTreeMap<String, String>,
        at: i64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bindings: Vec<WireBinding>,
    },
    DeleteTopic {
        #[serde(with = "serde_bytes")]
        id: [u8; 16],
    },
    AlterTopicConfig {
        #[serde(with = "serde_bytes")]
        id: [u8; 16],
        set: BTreeMap<String, String>,
        unset: BTreeSet<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bindings: Vec<WireBinding>,
    },
    CreatePartitions {
        #[serde(with = "serde_bytes")]
        id: [u8; 16],
        from: u32,
        added: Vec<Vec<u32>>,
        at: i64,
    },
    DeployPlugin {
        name: String,
        deployment: WireDeployment,
        rebind: Vec<WireRebind>,
    },
    RemovePlugin {
        name: String,
        at: i64,
    },
}

pub(super) fn encode(command: &Command) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(&Envelope {
        version: oldest_version(command),
        command: to_wire(command),
    })
}

pub(super) fn decode(bytes: &[u8]) -> Result<Command, DecodeCommandError> {
    let VersionOnly { version } = rmp_serde::from_slice(bytes)?;
    if !(WITHOUT_PLUGINS..=COMMAND_VERSION).contains(&version) {
        return Err(DecodeCommandError::Version { found: version });
    }
    let mut rest = bytes;
    let envelope: Envelope = rmp_serde::from_read(&mut rest)?;
    if !rest.is_empty() {
        return Err(DecodeCommandError::TrailingBytes { count: rest.len() });
    }
    from_wire(envelope.command)
}

/// The oldest version that can say it, so that an older broker reads what it can and says why it
/// cannot read the rest.
fn oldest_version(command: &Command) -> u16 {
    match command {
        Command::CreateTopic { bindings, .. } | Command::AlterTopicConfig { bindings, .. }
            if bindings.is_empty() =>
        {
            WITHOUT_PLUGINS
        }
        Command::CreateTopic { .. }
        | Command::AlterTopicConfig { .. }
        | Command::DeployPlugin { .. }
        | Command::RemovePlugin { .. } => COMMAND_VERSION,
        Command::RegisterBroker { .. }
        | Command::DeleteTopic { .. }
        | Command::CreatePartitions { .. } => WITHOUT_PLUGINS,
    }
}

fn to_wire(command: &Command) -> Wire {
    match command.clone() {
        Command::RegisterBroker { id, address } => Wire::RegisterBroker {
            id: id.get(),
            address,
        },
        Command::CreateTopic {
            id,
            name,
            assignment,
            config,
            bindings,
            at,
        } => Wire::CreateTopic {
            id: *id.as_bytes(),
            name: name.as_str().to_owned(),
            assignment: raw(&assignment),
            config,
            at: at.as_millis(),
            bindings: bindings.into_iter().map(WireBinding::from).collect(),
        },
        Command::DeleteTopic { id } => Wire::DeleteTopic { id: *id.as_bytes() },
        Command::AlterTopicConfig {
            id,
            set,
            unset,
            bindings,
        } => Wire::AlterTopicConfig {
            id: *id.as_bytes(),
            set,
            unset,
            bindings: bindings.into_iter().map(WireBinding::from).collect(),
        },
        Command::CreatePartitions {
            id,
            from,
            added,
            at,
        } => Wire::CreatePartitions {
            id: *id.as_bytes(),
            from,
            added: raw(&added),
            at: at.as_millis(),
        },
        Command::DeployPlugin {
            name,
            deployment,
            rebind,
        } => Wire::DeployPlugin {
            name,
            deployment: deployment.into(),
            rebind: rebind
                .into_iter()
                .map(|(topic, binding)| WireRebind {
                    topic: *topic.as_bytes(),
                    binding: binding.into(),
                })
                .collect(),
        },
        Command::RemovePlugin { name, at } => Wire::RemovePlugin {
            name,
            at: at.as_millis(),
        },
    }
}

fn from_wire(wire: Wire) -> Result<Command, DecodeCommandError> {
    Ok(match wire {
        Wire::RegisterBroker { id, address } => Command::RegisterBroker {
            id: BrokerId::new(id),
            address,
        },
        Wire::CreateTopic {
            id,
            name,
            assignment,
            config,
            at,
            bindings,
        } => Command::CreateTopic {
            id: TopicId::from_bytes(id),
            name: TopicName::new(&name)?,
            assignment: typed(&assignment),
            config,
            bindings: typed_bindings(bindings)?,
            at: Timestamp::from_millis(at),
        },
        Wire::DeleteTopic { id } => Command::DeleteTopic {
            id: TopicId::from_bytes(id),
        },
        Wire::AlterTopicConfig {
            id,
            set,
            unset,
            bindings,
        } => Command::AlterTopicConfig {
            id: TopicId::from_bytes(id),
            set,
            unset,
            bindings: typed_bindings(bindings)?,
        },
        Wire::CreatePartitions {
            id,
            from,
            added,
            at,
        } => Command::CreatePartitions {
            id: TopicId::from_bytes(id),
            from,
            added: typed(&added),
            at: Timestamp::from_millis(at),
        },
        Wire::DeployPlugin {
            name,
            deployment,
            rebind,
        } => Command::DeployPlugin {
            name,
            deployment: deployment.into(),
            rebind: rebind
                .into_iter()
                .map(|entry| Ok((TopicId::from_bytes(entry.topic), entry.binding.try_into()?)))
                .collect::<Result<_, DecodeCommandError>>()?,
        },
        Wire::RemovePlugin { name, at } => Command::RemovePlugin {
            name,
            at: Timestamp::from_millis(at),
        },
    })
}

fn typed_bindings(bindings: Vec<WireBinding>) -> Result<Vec<Binding>, DecodeCommandError> {
    bindings.into_iter().map(Binding::try_from).collect()
}

fn raw(assignment: &[Vec<BrokerId>]) -> Vec<Vec<u32>> {
    let ids = |replicas: &Vec<BrokerId>| replicas.iter().map(|id| id.get()).collect();
    assignment.iter().map(ids).collect()
}

fn typed(assignment: &[Vec<u32>]) -> Vec<Vec<BrokerId>> {
    let ids = |replicas: &Vec<u32>| replicas.iter().copied().map(BrokerId::new).collect();
    assignment.iter().map(ids).collect()
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
