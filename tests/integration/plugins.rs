//! Plugins as users have them: named by topics, swapped in the manifest, counted by the broker. There is
//! no partitioner in the broker itself: other bytes give another mapping.

use std::fs;
use std::path::Path;

use crate::harness::{
    Broker, Setup, Value, Wire, custom_partitioner, hostile_module, keyed, map, sha256_of, valued,
};

fn entry(name: &str, module: &Path, more: &str) -> String {
    let file = module.display();
    let digest = sha256_of(module);
    format!(
        "[[plugin]]\nname = \"{name}\"\nkind = \"partitioner\"\npath = \"{file}\"\nsha256 = \"{digest}\"\n{more}\n\n"
    )
}

/// A plugin as `list_plugins` shows it.
fn plugin(wire: &mut Wire, name: &str) -> Value {
    let answer = wire.call("list_plugins", map! {}).unwrap();
    let found = answer
        .get("plugins")
        .list()
        .iter()
        .find(|plugin| plugin.get("name").text() == name);
    found
        .unwrap_or_else(|| panic!("{name} is not listed: {answer:?}"))
        .clone()
}

fn mapping(wire: &mut Wire, topic: &str) -> Vec<u64> {
    let keys: Vec<Value> = (0..60)
        .map(|n| Value::from(format!("{}:{n}", ["eu", "us"][n % 2]).as_bytes()))
        .collect();
    let answer = wire
        .call("partition_for", map! { "topic" => topic, "keys" => keys })
        .unwrap();
    answer
        .get("partitions")
        .list()
        .iter()
        .map(Value::u64)
        .collect()
}

#[test]
fn the_shipped_plugins_are_listed_like_any_other() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    for name in ["key-hash", "round-robin"] {
        let listed = plugin(&mut wire, name);
        assert_eq!(listed.get("kind").text(), "partitioner");
        assert_eq!(listed.get("source").text(), "builtin");
        assert_eq!(listed.get("state").text(), "active");
        assert_eq!(listed.get("digest").text().len(), 64);
        assert_eq!(listed.get("limits").get("call_ms_max").u64(), 5);
        assert_eq!(listed.get("limits").get("memory_bytes_max").u64(), 16 << 20);
    }
    assert_eq!(
        *plugin(&mut wire, "key-hash").get("topics"),
        Value::from(vec!["t"])
    );
    let binding = &wire.describe_topic("t").get("plugins").list()[0].clone();
    assert_eq!(
        (binding.get("kind").text(), binding.get("name").text()),
        ("partitioner", "key-hash")
    );
    assert_eq!(
        binding.get("digest"),
        plugin(&mut wire, "key-hash").get("digest")
    );
}

#[test]
fn a_batch_costs_one_call_however_many_records_it_has() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 8, &[]);
    let cost = |wire: &mut Wire| {
        let listed = plugin(wire, "key-hash");
        (
            listed.get("calls").u64(),
            listed.get("records").u64(),
            listed.get("errors").u64(),
        )
    };
    let mut before = cost(&mut wire);
    for records in [1_u64, 10, 1_000, 10_000] {
        let batch: Vec<Value> = (0..records).map(|n| keyed(&format!("k{n}"), "v")).collect();
        wire.produce_routed("t", batch);
        let after = cost(&mut wire);
        assert_eq!(
            (after.0 - before.0, after.1 - before.1, after.2),
            (1, records, 0),
            "{records} records"
        );
        before = after;
    }
    // A chosen partition asks no plugin, and neither does reading.
    wire.produce("t", 3, vec![keyed("k", "v")]);
    wire.read_all("t", 3);
    assert_eq!(cost(&mut wire), before);
    mapping(&mut wire, "t");
    assert_eq!(
        cost(&mut wire).0,
        before.0 + 1,
        "partition_for is one call for all keys"
    );
}

#[test]
fn another_module_in_the_manifest_gives_another_mapping() {
    let mut broker = Setup::new().start();
    broker.stop();
    let manifest = broker.home().join("plugins.toml");
    let module = broker.home().join("mine.wasm");
    let install = |from: &[u8]| {
        fs::write(&module, from).expect("it can be written");
        fs::write(&manifest, entry("mine", &module, "")).expect("it can be written");
    };
    let shipped = |name: &str| {
        broker_plugin_bundle::modules()
            .iter()
            .find(|m| m.name == name)
            .expect("shipped")
            .bytes
    };
    let custom = fs::read(custom_partitioner()).expect("it was built");

    install(shipped("key-hash"));
    broker.set_up_again(|setup| setup.plugins(&manifest));
    broker.start_again();
    let mut wire = broker.connect();
    wire.create_topic("t", 6, &[("partitioner", "mine")]);
    wire.create_topic("default", 6, &[]);
    let hashed = mapping(&mut wire, "t");
    assert_eq!(
        hashed,
        mapping(&mut wire, "default"),
        "the same bytes map alike under any name"
    );
    let digest = plugin(&mut wire, "mine").get("digest").text().to_owned();

    broker.stop();
    install(&custom);
    broker.start_again();
    let mut wire = broker.connect();
    assert_ne!(plugin(&mut wire, "mine").get("digest").text(), digest);
    let halves = mapping(&mut wire, "t");
    assert_ne!(halves, hashed);
    for (number, partition) in halves.iter().enumerate() {
        assert_eq!(
            *partition < 3,
            number % 2 == 0,
            "eu: keys go to the first half, others to the second: {halves:?}"
        );
    }
    assert_eq!(
        mapping(&mut wire, "default"),
        hashed,
        "other topics keep theirs"
    );
    let placed = wire.produce_routed("t", vec![keyed("eu:0", "x"), keyed("us:1", "y")]);
    assert_eq!(u64::from(placed[0].0), halves[0]);
    assert_eq!(u64::from(placed[1].0), halves[1]);

    broker.stop();
    install(shipped("round-robin"));
    broker.start_again();
    let turns = mapping(&mut broker.connect(), "t");
    for pair in turns.windows(2) {
        assert_eq!(
            pair[1],
            (pair[0] + 1) % 6,
            "round robin ignores keys: {turns:?}"
        );
    }
}

#[test]
fn a_topic_changes_its_partitioner_while_running() {
    let setup = Setup::new();
    let folder = tempfile::TempDir::new().expect("a temporary directory can be made");
    let manifest = folder.path().join("plugins.toml");
    fs::write(&manifest, entry("halves", custom_partitioner(), "")).expect("it can be written");
    let broker = setup.plugins(&manifest).start();
    let mut wire = broker.connect();
    wire.create_topic("t", 6, &[]);
    let hashed = mapping(&mut wire, "t");
    let change =
        |partitioner: &str| map! { "name" => "t", "set" => map! { "partitioner" => partitioner } };
    wire.call("alter_topic", change("halves")).unwrap();
    assert_ne!(mapping(&mut wire, "t"), hashed);
    let error = wire.refused("alter_topic", change("no-such-plugin"));
    assert!(
        ["UNKNOWN_PLUGIN", "INVALID_CONFIG"].contains(&error.name.as_str()),
        "{error:?}"
    );
    wire.call(
        "alter_topic",
        map! { "name" => "t", "unset" => vec!["partitioner"] },
    )
    .unwrap();
    assert_eq!(mapping(&mut wire, "t"), hashed);
    let source = custom_partitioner().display().to_string();
    assert_eq!(plugin(&mut wire, "halves").get("source").text(), source);
}

#[test]
fn options_come_from_the_manifest_and_the_topics_go_over_them() {
    let folder = tempfile::TempDir::new().expect("a temporary directory can be made");
    let manifest = folder.path().join("plugins.toml");
    let text = entry(
        "guest",
        hostile_module(),
        "options = { behaviour = \"out-of-range\" }",
    );
    fs::write(&manifest, text).expect("it can be written");
    let broker = Setup::new().plugins(&manifest).start();
    let mut wire = broker.connect();
    wire.create_topic("manifest", 2, &[("partitioner", "guest")]);
    wire.create_topic(
        "own",
        2,
        &[
            ("partitioner", "guest"),
            ("partitioner.option.behaviour", "refuse"),
        ],
    );
    let go =
        |topic: &str| map! { "topic" => topic, "records" => vec![keyed("go", "x"), valued("y")] };
    assert_eq!(
        wire.refused("produce", go("manifest")).name,
        "PLUGIN_INVALID_ANSWER"
    );
    assert_eq!(wire.refused("produce", go("own")).name, "PLUGIN_REJECTED");
    let config = map! { "partitioner" => "guest", "partitioner.option.behavior" => "x" };
    let error = wire.refused("create_topic", map! { "name" => "bad", "config" => config });
    assert!(
        error.message.contains("behavior"),
        "an option that the plugin refuses is refused with its words: {error:?}"
    );
}

#[test]
fn a_topic_goes_on_with_its_plugin_when_the_manifest_names_it_no_longer() {
    let mut broker = Setup::new().start();
    broker.stop();
    let manifest = broker.home().join("plugins.toml");
    fs::write(&manifest, entry("mine", custom_partitioner(), "")).expect("it can be written");
    broker.set_up_again(|setup| setup.plugins(&manifest));
    broker.start_again();
    let mut wire = broker.connect();
    wire.create_topic("t", 2, &[("partitioner", "mine")]);
    wire.produce_routed("t", vec![keyed("eu:1", "x")]);
    let before = mapping(&mut wire, "t");
    broker.stop();
    broker.set_up_again(|_| Setup::new());
    broker.start_again();
    let mut wire = broker.connect();
    assert_eq!(
        mapping(&mut wire, "t"),
        before,
        "it runs what it is bound to"
    );
    let listed = plugin(&mut wire, "mine");
    assert_eq!(*listed.get("pinned"), Value::from(vec!["t"]));
    assert_eq!(
        listed.get("topics").list(),
        [],
        "the name means nothing any more"
    );
    let args = map! { "name" => "u", "config" => map! { "partitioner" => "mine" } };
    let error = wire.refused("create_topic", args);
    assert_eq!(error.name, "UNKNOWN_PLUGIN");
    assert!(error.message.contains("mine"), "{error:?}");
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_one_that_fits_the_slot() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    for (slot, name, meant) in [
        ("partitioner", "key-hsh", Some("key-hash")),
        ("value.serializer", "jsn", Some("json")),
        ("value.serializer", "key-hsh", None),
    ] {
        let config = map! { slot => name };
        let args = map! { "name" => "t", "partitions" => 1, "config" => config };
        let refused = wire.refused("create_topic", args);
        assert_eq!(refused.name, "UNKNOWN_PLUGIN", "{refused:?}");
        let asked = meant.map(|meant| format!("did you mean {meant:?}?"));
        let is_asked = |asked: &String| refused.message.contains(asked);
        assert!(asked.as_ref().is_none_or(is_asked), "{refused:?}");
        assert_eq!(refused.message.contains("did you mean"), meant.is_some());
    }
}
