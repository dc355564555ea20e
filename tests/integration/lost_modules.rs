//! Modules that the broker keeps by digest, damaged or deleted on disk: their topics say so, every other topic
//! goes on, and deploying the same file again repairs it. And what is left of a plugin that was removed.

use std::fs;

use crate::harness::{Broker, Setup, Value, Wire, custom_partitioner, eventually, keyed, map};

fn module() -> Vec<u8> {
    fs::read(custom_partitioner()).expect("it was built")
}

fn go(topic: &str) -> Value {
    map! { "topic" => topic, "records" => vec![keyed("eu:1", "x")] }
}

fn names(wire: &mut Wire) -> Vec<String> {
    let answer = wire.call("list_plugins", map! {}).unwrap();
    let plugins = answer.get("plugins").list().iter();
    plugins
        .map(|plugin| plugin.get("name").text().to_owned())
        .collect()
}

#[test]
fn a_damaged_or_deleted_module_is_repaired_by_deploying_it_again() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    let deployed = wire.deploy("mine", &module(), map! {}).unwrap();
    wire.create_topic("t", 4, &[("partitioner", "mine")]);
    wire.create_topic("other", 1, &[]);
    let file = broker
        .data_dir()
        .join("plugin-modules")
        .join(deployed.get("digest").text());
    for damage in ["damaged", "gone"] {
        broker.stop();
        match damage {
            "gone" => fs::remove_file(&file).expect("it is there"),
            _ => {
                let mut bytes = fs::read(&file).expect("it is there");
                bytes[100] ^= 1;
                fs::write(&file, bytes).expect("it can be written");
            }
        }
        broker.start_again();
        let mut wire = broker.connect();
        let error = wire.refused("produce", go("t"));
        assert_eq!(error.name, "UNKNOWN_PLUGIN");
        for word in ["mine", damage, "deploy the same module again"] {
            assert!(error.message.contains(word), "{word}: {error:?}");
        }
        let cluster = wire.call("describe_cluster", map! {}).unwrap();
        let warnings = format!("{:?}", cluster.get("warnings"));
        for word in ["no partitioner for topic t:", "refused", damage] {
            assert!(warnings.contains(word), "{word}: {warnings}");
        }
        wire.call("produce", go("other")).unwrap();
        wire.deploy("mine", &module(), map! {}).unwrap();
        wire.call("produce", go("t")).unwrap();
        // It is kept again, too.
        broker.crash();
        broker.connect().call("produce", go("t")).unwrap();
    }
}

#[test]
fn a_start_writes_a_damaged_module_of_its_own_anew() {
    let mut broker = Setup::new().option("log.scrub.enabled", "false").start();
    broker.connect().create_topic("t", 4, &[]);
    let modules = broker.data_dir().join("plugin-modules");
    let mut kept = fs::read_dir(modules).expect("it is there");
    let file = kept
        .next()
        .expect("the default")
        .expect("it is there")
        .path();
    let sound = fs::read(&file).expect("it is there");
    broker.stop();
    fs::write(&file, b"something else").expect("it can be written");
    broker.start_again();
    broker.connect().call("produce", go("t")).unwrap();
    eventually("it is whole again", || {
        (fs::read(&file).ok()? == sound).then_some(())
    });
    assert!(broker.log().contains("is written anew"));
}

#[test]
fn a_removed_plugin_is_gone_from_the_list_when_no_topic_runs_it() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.deploy("mine", &module(), map! {}).unwrap();
    wire.create_topic("t", 2, &[("partitioner", "mine")]);
    wire.call("produce", go("t")).unwrap();
    let options = map! { "options" => map! { "split" => "x" } };
    // Another revision, if the plugin takes it, so that there is an earlier one beside the present.
    let _ = wire.deploy("mine", &module(), options);
    wire.call("produce", go("t")).unwrap();
    let set = map! { "partitioner" => "key-hash" };
    wire.call("alter_topic", map! { "name" => "t", "set" => set })
        .unwrap();
    wire.call("remove_plugin", map! { "name" => "mine" })
        .unwrap();
    assert!(!names(&mut wire).contains(&"mine".to_owned()));
    let error = wire.refused("resume_plugin", map! { "name" => "mine" });
    assert_eq!(error.name, "UNKNOWN_PLUGIN");
}

#[test]
fn a_dead_letter_topic_that_is_not_there_draws_a_warning() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let config = [("value.serializer", "json"), ("dead.letter.topic", "dead")];
    let created = wire.create_topic("t", 1, &config);
    let warnings = |answer: &Value| format!("{:?}", answer.get("warnings"));
    assert!(warnings(&created).contains("no such topic"), "{created:?}");
    wire.create_topic("dead", 1, &[]);
    let set = map! { "retention.ms" => "1h" };
    let altered = wire.call("alter_topic", map! { "name" => "t", "set" => set });
    assert_eq!(altered.unwrap().get("warnings").list(), []);
}
