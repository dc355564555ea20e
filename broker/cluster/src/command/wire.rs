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
        #[serde(with = "serde_bytes")]
        id: [u8; 16],
        name: String,
        assignment: Vec<Vec<u32>>,
        config: BTreeMap<String, String>,
        at: i64,
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
    },
    CreatePartitions {
        #[serde(with = "serde_bytes")]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment() -> Vec<Vec<BrokerId>> {
        vec![vec![BrokerId::new(1), BrokerId::new(300)]]
    }

    /// One command of each kind with its stored form: a change here breaks every data directory.
    fn golden() -> Vec<(Command, &'static str)> {
        let id = TopicId::from_bytes(*b"0123456789abcdef");
        let set = BTreeMap::from([("flush.ms".to_owned(), "5".to_owned())]);
        vec![
            (
                Command::RegisterBroker {
                    id: BrokerId::new(101),
                    address: "h:1".to_owned(),
                },
                "<82><a7>version<01><a7>command<81>\
                 <af>register_broker<82><a2>ide<a7>address<a3>h:1",
            ),
            (
                Command::CreateTopic {
                    id,
                    name: TopicName::new("t").unwrap(),
                    assignment: assignment(),
                    config: set.clone(),
                    at: Timestamp::from_millis(-1),
                },
                "<82><a7>version<01><a7>command<81>\
                 <ac>create_topic<85><a2>id<c4><10>0123456789abcdef<a4>name<a1>t<aa>\
                 assignment<91><92><01><cd><01>,<a6>config<81><a8>flush.ms<a1>5<a2>\
                 at<ff>",
            ),
            (
                Command::DeleteTopic { id },
                "<82><a7>version<01><a7>command<81>\
                 <ac>delete_topic<81><a2>id<c4><10>0123456789abcdef",
            ),
            (
                Command::AlterTopicConfig {
                    id,
                    set,
                    unset: BTreeSet::from(["roll.ms".to_owned()]),
                },
                "<82><a7>version<01><a7>command<81>\
                 <b2>alter_topic_config<83><a2>id<c4><10>0123456789abcdef<a3>set<81>\
                 <a8>flush.ms<a1>5<a5>unset<91><a7>roll.ms",
            ),
            (
                Command::CreatePartitions {
                    id,
                    from: 1,
                    added: assignment(),
                    at: Timestamp::from_millis(5),
                },
                "<82><a7>version<01><a7>command<81>\
                 <b1>create_partitions<84><a2>id<c4><10>0123456789abcdef<a4>from<01>\
                 <a5>added<91><92><01><cd><01>,<a2>at<05>",
            ),
        ]
    }

    /// Text stays readable, all else is hex in angle brackets.
    fn shown(bytes: &[u8]) -> String {
        let mut text = String::new();
        for byte in bytes {
            match char::from(*byte) {
                c if c.is_ascii_graphic() => text.push(c),
                _ => text.push_str(&format!("<{byte:02x}>")),
            }
        }
        text
    }

    #[test]
    fn every_kind_is_stored_as_it_always_was_and_read_back() {
        for (command, stored) in golden() {
            let bytes = encode(&command).unwrap();
            assert_eq!(shown(&bytes), stored, "{command:?}");
            assert_eq!(decode(&bytes).unwrap(), command);
        }
    }

    #[test]
    fn another_version_is_an_error_that_says_so() {
        #[derive(Serialize)]
        struct Newer {
            version: u16,
            command: &'static str,
        }
        let newer = Newer {
            version: 2,
            command: "something new",
        };
        let error = decode(&rmp_serde::to_vec_named(&newer).unwrap()).unwrap_err();
        assert!(matches!(error, DecodeCommandError::Version { found: 2 }));
        assert!(error.to_string().contains("newer version"), "{error}");
    }

    #[test]
    fn unknown_kinds_cut_bytes_and_trailing_bytes_are_errors() {
        #[derive(Serialize)]
        struct Other {
            version: u16,
            command: BTreeMap<&'static str, BTreeMap<&'static str, u32>>,
        }
        let other = Other {
            version: COMMAND_VERSION,
            command: BTreeMap::from([("paint_topic", BTreeMap::new())]),
        };
        assert!(decode(&rmp_serde::to_vec_named(&other).unwrap()).is_err());
        for (command, _) in golden() {
            let whole = encode(&command).unwrap();
            for length in 0..whole.len() {
                assert!(decode(&whole[..length]).is_err(), "{length} of {command:?}");
            }
            let longer = [whole.as_slice(), &[0xc0]].concat();
            let error = decode(&longer).unwrap_err();
            assert!(matches!(
                error,
                DecodeCommandError::TrailingBytes { count: 1 }
            ));
        }
    }
}
