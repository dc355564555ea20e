//! Tests of the stored form: golden bytes of every kind and version, and refusals.

use broker_model::Offset;

use super::*;
use crate::{BoundPlugin, Deployment, DeploymentLimits, DeploymentSource, PluginSlot};

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
                bindings: Vec::new(),
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
                bindings: Vec::new(),
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

fn bound() -> Binding {
    Binding {
        slot: PluginSlot::ValueSerializer,
        bound: Some(BoundPlugin {
            plugin: "json".to_owned(),
            version: "1".to_owned(),
            kind: "serializer".to_owned(),
            digest: "ab".to_owned(),
            options: BTreeMap::from([("o".to_owned(), "v".to_owned())]),
        }),
        since: Timestamp::from_millis(7),
        offsets: vec![Offset::new(300)],
    }
}

fn emptied() -> Binding {
    Binding {
        slot: PluginSlot::KeySerializer,
        bound: None,
        since: Timestamp::from_millis(-1),
        offsets: Vec::new(),
    }
}

fn deployment(from: DeploymentSource) -> Deployment {
    Deployment {
        revision: 2,
        kind: "serializer".to_owned(),
        version: "1".to_owned(),
        digest: "ab".to_owned(),
        size_bytes: 9,
        options: BTreeMap::new(),
        limits: DeploymentLimits {
            deadline_ms: Some(5),
            ..DeploymentLimits::default()
        },
        fallback: None,
        at: Timestamp::from_millis(7),
        from,
    }
}

const BOUND: &str = "<84><a4>slot<b0>value.serializer<a5>bound<85><a6>plugin<a4>json<a7>version\
                     <a1>1<a4>kind<aa>serializer<a6>digest<a2>ab<a7>options<81><a1>o<a1>v<a5>since\
                     <07><a7>offsets<91><cd><01>,";
const EMPTIED: &str = "<84><a4>slot<ae>key.serializer<a5>bound<c0><a5>since<ff><a7>offsets<90>";
const DEPLOYMENT: &str = "<8a><a8>revision<02><a4>kind<aa>serializer<a7>version<a1>1<a6>digest\
                          <a2>ab<aa>size_bytes<09><a7>options<80><a6>limits<84><ab>deadline_ms<05>\
                          <ac>memory_bytes<c0><ac>output_bytes<c0><a9>budget_ms<c0><a8>fallback\
                          <c0><a2>at<07><a4>from";

/// What came with version 2.
fn golden_with_plugins() -> Vec<(Command, String)> {
    let id = TopicId::from_bytes(*b"0123456789abcdef");
    let create = Command::CreateTopic {
        id,
        name: TopicName::new("t").unwrap(),
        assignment: assignment(),
        config: BTreeMap::new(),
        bindings: vec![bound(), emptied()],
        at: Timestamp::from_millis(-1),
    };
    let alter = Command::AlterTopicConfig {
        id,
        set: BTreeMap::new(),
        unset: BTreeSet::new(),
        bindings: vec![emptied()],
    };
    let deploy = |from, rebind| Command::DeployPlugin {
        name: "json".to_owned(),
        deployment: deployment(from),
        rebind,
    };
    let remove = Command::RemovePlugin {
        name: "json".to_owned(),
        at: Timestamp::from_millis(7),
    };
    let stored = |command: &str| format!("<82><a7>version<02><a7>command<81>{command}");
    let deployed = |from: &str, rebind: &str| {
        stored(&format!(
            "<ad>deploy_plugin<83><a4>name<a4>json<aa>deployment{DEPLOYMENT}{from}<a6>rebind{rebind}"
        ))
    };
    vec![
        (
            create,
            stored(&format!(
                "<ac>create_topic<86><a2>id<c4><10>0123456789abcdef<a4>name<a1>t<aa>assignment<91>\
                 <92><01><cd><01>,<a6>config<80><a2>at<ff><a8>bindings<92>{BOUND}{EMPTIED}"
            )),
        ),
        (
            alter,
            stored(&format!(
                "<b2>alter_topic_config<84><a2>id<c4><10>0123456789abcdef<a3>set<80><a5>unset<90>\
                 <a8>bindings<91>{EMPTIED}"
            )),
        ),
        (
            deploy(DeploymentSource::Deploy, vec![(id, bound())]),
            deployed(
                "<a6>deploy",
                &format!("<91><82><a5>topic<c4><10>0123456789abcdef<a7>binding{BOUND}"),
            ),
        ),
        (
            deploy(DeploymentSource::Rollback { to: 1 }, Vec::new()),
            deployed("<81><a8>rollback<81><a2>to<01>", "<90>"),
        ),
        (
            deploy(DeploymentSource::Manifest, Vec::new()),
            deployed("<a8>manifest", "<90>"),
        ),
        (
            remove,
            stored("<ad>remove_plugin<82><a4>name<a4>json<a2>at<07>"),
        ),
    ]
}

#[test]
fn commands_with_plugins_are_stored_as_version_2_and_read_back() {
    for (command, stored) in golden_with_plugins() {
        let bytes = encode(&command).unwrap();
        assert_eq!(shown(&bytes), stored, "{command:?}");
        assert_eq!(decode(&bytes).unwrap(), command);
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length} of {command:?}");
        }
    }
}

#[test]
fn a_slot_that_does_not_exist_is_an_error() {
    let (command, _) = golden_with_plugins().swap_remove(1);
    let bytes = encode(&command).unwrap();
    let at = bytes
        .windows(3)
        .position(|window| window == b"key")
        .unwrap();
    let mut other = bytes.clone();
    other[at] = b'K';
    let error = decode(&other).unwrap_err().to_string();
    assert!(error.contains("\"Key.serializer\""), "{error}");
}

#[test]
fn another_version_is_an_error_that_says_so() {
    #[derive(Serialize)]
    struct Newer {
        version: u16,
        command: &'static str,
    }
    let newer = Newer {
        version: COMMAND_VERSION + 1,
        command: "something new",
    };
    let error = decode(&rmp_serde::to_vec_named(&newer).unwrap()).unwrap_err();
    assert!(matches!(error, DecodeCommandError::Version { found: 3 }));
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
