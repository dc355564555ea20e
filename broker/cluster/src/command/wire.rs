//! The stored form of commands. These structs are the format: they change only together with
//! `COMMAND_VERSION`, and nothing outside this file sees them.

use std::collections::{BTreeMap, BTreeSet};

use broker_model::{BrokerId, InvalidTopicName, Timestamp, TopicId, TopicName};
use serde::{Deserialize, Serialize};

use super::Command;

/// The version this code writes, and the only one it reads.
pub const COMMAND_VERSION: u16 = 1;

/// Why stored bytes are not a command.
#[derive(Debug, thiserror::Error)]
pub enum DecodeCommandError {
    /// Not a command at all, or of a kind this version does not know.
    #[error("a metadata command cannot be read: {0}")]
    Malformed(#[from] rmp_serde::decode::Error),
    /// Written by another version.
    #[error(
        "a metadata command has version {found}, this broker reads version {COMMAND_VERSION}: \
         the data directory was written by a newer version"
    )]
    Version {
        /// The version found.
        found: u16,
    },
    /// It names a topic that cannot exist.
    #[error("a metadata command names an impossible topic: {0}")]
    TopicName(#[from] InvalidTopicName),
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
        id: [u8; 16],
        name: String,
        assignment: Vec<Vec<u32>>,
        config: BTreeMap<String, String>,
        at: i64,
    },
    DeleteTopic {
        id: [u8; 16],
    },
    AlterTopicConfig {
        id: [u8; 16],
        set: BTreeMap<String, String>,
        unset: BTreeSet<String>,
    },
    CreatePartitions {
        id: [u8; 16],
        from: u32,
        added: Vec<Vec<u32>>,
        at: i64,
    },
}

pub(super) fn encode(command: &Command) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(&Envelope {
        version: COMMAND_VERSION,
        command: to_wire(command),
    })
}

pub(super) fn decode(bytes: &[u8]) -> Result<Command, DecodeCommandError> {
    let VersionOnly { version } = rmp_serde::from_slice(bytes)?;
    if version != COMMAND_VERSION {
        return Err(DecodeCommandError::Version { found: version });
    }
    let mut rest = bytes;
    let envelope: Envelope = rmp_serde::from_read(&mut rest)?;
    if !rest.is_empty() {
        return Err(DecodeCommandError::TrailingBytes { count: rest.len() });
    }
    from_wire(envelope.command)
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
            at,
        } => Wire::CreateTopic {
            id: *id.as_bytes(),
            name: name.as_str().to_owned(),
            assignment: raw(&assignment),
            config,
            at: at.as_millis(),
        },
        Command::DeleteTopic { id } => Wire::DeleteTopic { id: *id.as_bytes() },
        Command::AlterTopicConfig { id, set, unset } => Wire::AlterTopicConfig {
            id: *id.as_bytes(),
            set,
            unset,
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
        } => Command::CreateTopic {
            id: TopicId::from_bytes(id),
            name: TopicName::new(&name)?,
            assignment: typed(&assignment),
            config,
            at: Timestamp::from_millis(at),
        },
        Wire::DeleteTopic { id } => Command::DeleteTopic {
            id: TopicId::from_bytes(id),
        },
        Wire::AlterTopicConfig { id, set, unset } => Command::AlterTopicConfig {
            id: TopicId::from_bytes(id),
            set,
            unset,
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
    })
}

fn raw(assignment: &[Vec<BrokerId>]) -> Vec<Vec<u32>> {
    let ids = |replicas: &Vec<BrokerId>| replicas.iter().map(|id| id.get()).collect();
    assignment.iter().map(ids).collect()
}

fn typed(assignment: &[Vec<u32>]) -> Vec<Vec<BrokerId>> {
    let ids = |replicas: &Vec<u32>| replicas.iter().copied().map(BrokerId::new).collect();
    assignment.iter().map(ids).collect()
}
