//! Tests of the stored form: golden bytes of every kind and version, and refusals.

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
