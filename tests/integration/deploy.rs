//! Plugins deployed on a running broker: swapped between batches, listed with their history, rolled back,
//! and there again after a crash.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::harness::{
    Broker, Value, Wire, custom_partitioner, digest_of, eventually, hostile_module, keyed, map,
    patience, sha256_of, shipped_module,
};

const KEYS: usize = 24;

fn custom() -> Vec<u8> {
    fs::read(custom_partitioner()).expect("it was built")
}

fn key(number: usize) -> String {
    format!("{}:{number}", ["eu", "us"][number % 2])
}

/// Where a topic's partitioner puts the keys.
fn mapping(wire: &mut Wire, topic: &str) -> Vec<u32> {
    let keys: Vec<Value> = (0..KEYS)
        .map(|number| key(number).as_bytes().into())
        .collect();
    let args = map! { "topic" => topic, "keys" => keys };
    let answer = wire.call("partition_for", args).unwrap();
    let partitions = answer.get("partitions").list().iter();
    partitions
        .map(|partition| u32::try_from(partition.u64()).expect("fits"))
        .collect()
}

fn batch(number: usize) -> Vec<Value> {
    (0..KEYS)
        .map(|record| keyed(&key(record), &format!("{number}-{record}")))
        .collect()
}

fn history(wire: &mut Wire, name: &str) -> Value {
    wire.call("plugin_history", map! { "name" => name })
        .unwrap()
}

fn rollback(wire: &mut Wire, more: Value) -> Value {
    wire.call("rollback_plugin", more.set("name", "mine"))
        .unwrap()
}

/// Produces batches until it is told to stop; answers where each one's records went.
struct Producer {
    stop: AtomicBool,
    produced: AtomicUsize,
}

impl Producer {
    fn run(&self, mut wire: Wire) -> Vec<Vec<(u32, u64)>> {
        let began = Instant::now();
        let mut placed = Vec::new();
        while !self.stop.load(Ordering::SeqCst) && began.elapsed() < patience() {
            placed.push(wire.produce_routed("t", batch(placed.len())));
            self.produced.store(placed.len(), Ordering::SeqCst);
        }
        placed
    }

    /// Waits until it has produced more.
    fn goes_on(&self) {
        let now = self.produced.load(Ordering::SeqCst);
        eventually("the producer goes on", || {
            (self.produced.load(Ordering::SeqCst) > now + 5).then_some(())
        });
    }
}

/// Asserts that the topic holds these batches and nothing else.
fn assert_complete(wire: &mut Wire, batches: usize) {
    let mut found: Vec<String> = (0..6)
        .flat_map(|partition| wire.read_all("t", partition))
        .map(|record| record.text())
        .collect();
    let mut sent: Vec<String> = (0..batches)
        .flat_map(|number| (0..KEYS).map(move |record| format!("{number}-{record}")))
        .collect();
    found.sort();
    sent.sort();
    assert_eq!(found, sent);
}

#[test]
fn another_version_takes_over_between_batches_of_a_running_producer() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let first = wire.deploy("mine", &custom(), map! {}).unwrap();
    assert_eq!(first.get("revision").u64(), 1);
    wire.create_topic("t", 6, &[("partitioner", "mine")]);
    let before = mapping(&mut wire, "t");
    let producer = Producer {
        stop: AtomicBool::new(false),
        produced: AtomicUsize::new(0),
    };
    let batches = std::thread::scope(|scope| {
        let running = scope.spawn(|| producer.run(broker.connect()));
        producer.goes_on();
        let second = wire.deploy("mine", shipped_module("key-hash"), map! {});
        let second = second.unwrap();
        assert_eq!(second.get("revision").u64(), 2);
        assert_eq!(*second.get("topics"), Value::from(vec!["t"]));
        let warnings = second.get("warnings").list();
        assert!(warnings[0].text().contains("order per key"), "{second:?}");
        producer.goes_on();
        producer.stop.store(true, Ordering::SeqCst);
        running.join().expect("no batch was refused")
    });
    let after = mapping(&mut wire, "t");
    assert_ne!(before, after);
    // Each batch went to one version as a whole, and none to the old one after the new one had begun.
    let partitions = |placed: &[(u32, u64)]| -> Vec<u32> {
        placed.iter().map(|(partition, _)| *partition).collect()
    };
    let mut placed = batches.iter();
    let swapped = placed.position(|placed| partitions(placed) != before);
    let swapped = swapped.expect("the new version came");
    let offsets = wire.bindings("t", "partitioner")[1].get("offsets").clone();
    for (number, placed) in batches.iter().enumerate() {
        let expected = if number < swapped { &before } else { &after };
        assert_eq!(partitions(placed), *expected, "batch {number} of {swapped}");
        // What lies before the new binding was placed by the old one.
        for (partition, offset) in placed {
            let index = usize::try_from(*partition).expect("fits");
            let is_before = *offset < offsets.list()[index].u64();
            assert!(!is_before || number < swapped, "{partition} {offset}");
        }
    }
    assert_complete(&mut wire, batches.len());
}

#[test]
fn history_tells_every_revision_and_a_rollback_is_one_more() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.deploy("mine", &custom(), map! {}).unwrap();
    wire.create_topic("t", 6, &[("partitioner", "mine")]);
    let halves = mapping(&mut wire, "t");
    let again = wire.deploy("mine", &custom(), map! {}).unwrap();
    assert!(again.get("unchanged").bool(), "{again:?}");
    assert_eq!(again.get("revision").u64(), 1);
    assert_eq!(again.get("topics").list(), []);
    wire.deploy("mine", shipped_module("key-hash"), map! {})
        .unwrap();
    let hashed = mapping(&mut wire, "t");
    wire.deploy("mine", shipped_module("round-robin"), map! {})
        .unwrap();

    let back = rollback(&mut wire, map! {});
    assert_eq!(back.get("revision").u64(), 4);
    assert_eq!(*back.get("topics"), Value::from(vec!["t"]));
    assert_eq!(mapping(&mut wire, "t"), hashed, "the revision before");
    let back = rollback(&mut wire, map! { "revision" => 1 });
    assert_eq!(back.get("revision").u64(), 5);
    assert_eq!(mapping(&mut wire, "t"), halves);
    let args = map! { "name" => "mine", "revision" => 9 };
    assert_eq!(
        wire.refused("rollback_plugin", args).name,
        "UNKNOWN_REVISION"
    );
    let args = map! { "name" => "key-hash" };
    assert_eq!(wire.refused("rollback_plugin", args).name, "UNKNOWN_PLUGIN");

    let told = history(&mut wire, "mine");
    let entry = |revision: &Value| {
        let from = revision.get("from").text().to_owned();
        let to = revision.get("rollback_to");
        let digest = revision.get("digest").text().to_owned();
        assert!(revision.get("at_ms").i64() > 0 && revision.get("size_bytes").u64() > 0);
        let to = (!to.is_nil()).then(|| to.u64());
        (revision.get("revision").u64(), from, to, digest)
    };
    let entries: Vec<_> = told.get("revisions").list().iter().map(entry).collect();
    let (own, hash, turns) = (
        sha256_of(custom_partitioner()),
        digest_of(shipped_module("key-hash")),
        digest_of(shipped_module("round-robin")),
    );
    let expected = [
        (1, "deploy".to_owned(), None, own.clone()),
        (2, "deploy".to_owned(), None, hash.clone()),
        (3, "deploy".to_owned(), None, turns),
        (4, "rollback".to_owned(), Some(2), hash),
        (5, "rollback".to_owned(), Some(1), own),
    ];
    assert_eq!(entries, expected);
    assert_eq!(wire.plugin("mine").get("revision").u64(), 5);
    for (_, _, _, digest) in entries {
        let answer = wire.call("plugin_module", map! { "digest" => &*digest });
        let module = answer.unwrap().get("module").bytes().expect("bytes");
        assert_eq!(digest_of(&module), digest);
    }
    let error = wire.refused("plugin_module", map! { "digest" => "0".repeat(64) });
    assert_eq!(error.name, "UNKNOWN_PLUGIN");
    let error = wire.refused(
        "plugin_module",
        map! { "digest" => "../../meta.properties" },
    );
    assert_eq!(error.name, "INVALID_REQUEST", "{error:?}");
}

#[test]
fn everything_is_there_again_after_a_crash() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    let limits = map! { "deadline_ms" => 77, "memory_bytes" => 8 << 20 };
    let more = map! { "limits" => limits, "fallback" => "key-hash" };
    wire.deploy("mine", &custom(), more).unwrap();
    let options = map! { "header" => "h", "missing" => "refuse" };
    wire.deploy(
        "header",
        shipped_module("by-header"),
        map! { "options" => options },
    )
    .unwrap();
    wire.deploy("gone", shipped_module("round-robin"), map! {})
        .unwrap();
    wire.call("remove_plugin", map! { "name" => "gone" })
        .unwrap();
    wire.create_topic("t", 6, &[("partitioner", "mine")]);
    wire.create_topic("h", 6, &[("partitioner", "header")]);
    let seen = |wire: &mut Wire| {
        let shown = |plugin: Value| {
            [
                "digest", "revision", "source", "limits", "options", "fallback", "topics",
            ]
            .map(|field| plugin.get(field).clone())
        };
        let names = ["mine", "header", "gone"];
        let histories = names.map(|name| history(wire, name));
        let plugins = names[..2].iter().map(|name| shown(wire.plugin(name)));
        let plugins: Vec<_> = plugins.collect();
        let bindings = ["t", "h"].map(|topic| wire.bindings(topic, "partitioner"));
        (histories, plugins, bindings, mapping(wire, "t"))
    };
    let before = seen(&mut wire);
    assert_eq!(before.1[0][3].get("call_ms_max").u64(), 77);
    for module in [&custom()[..], shipped_module("by-header")] {
        let file = broker
            .data_dir()
            .join("plugin-modules")
            .join(digest_of(module));
        assert_eq!(fs::read(&file).expect("it is kept by its digest"), module);
    }
    broker.crash();
    let mut wire = broker.connect();
    assert_eq!(seen(&mut wire), before);
    assert!(wire.plugin("gone").is_nil());
    let args = map! { "topic" => "h", "records" => vec![keyed("k", "v")] };
    let error = wire.refused("produce", args);
    assert!(
        error.message.contains("header h"),
        "options are kept: {error:?}"
    );
    broker.crash();
    assert_eq!(seen(&mut broker.connect()), before);
}

#[test]
fn the_bindings_of_a_topic_tell_which_plugin_placed_a_record() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 3, &[]);
    let mut written = Vec::new();
    let mut write = |wire: &mut Wire, by: &str| {
        let placed = wire.produce_routed("t", batch(written.len()));
        written.push((by.to_owned(), placed));
    };
    write(&mut wire, "key-hash");
    wire.deploy("mine", &custom(), map! {}).unwrap();
    let warnings = wire.alter("t", &[("partitioner", "mine")]);
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("order per key")),
        "{warnings:?}"
    );
    write(&mut wire, "mine");
    write(&mut wire, "mine");
    let more = [
        ("partitioner", "by-header"),
        ("partitioner.option.header", "h"),
    ];
    assert!(!wire.alter("t", &more).is_empty());
    write(&mut wire, "by-header");
    let other = wire.alter("t", &[("retention.ms", "1h")]);
    assert_eq!(other, [""; 0], "nothing happens to keys");

    let bindings = wire.bindings("t", "partitioner");
    let name = |binding: &Value| binding.get("plugin").get("name").text().to_owned();
    let names: Vec<String> = bindings.iter().map(name).collect();
    assert_eq!(names, ["key-hash", "mine", "by-header"]);
    let digest = bindings[1].get("plugin").get("digest").text().to_owned();
    assert_eq!(digest, sha256_of(custom_partitioner()));
    let options = bindings[2].get("plugin").get("options");
    assert_eq!(*options, map! { "header" => "h" });
    let since: Vec<i64> = bindings.iter().map(|b| b.get("since_ms").i64()).collect();
    assert!(since[0] > 0 && since.is_sorted(), "{since:?}");
    let begins = |binding: &Value, partition: u32| {
        let offsets = binding.get("offsets").list();
        let index = usize::try_from(partition).expect("fits");
        offsets.get(index).map_or(0, Value::u64)
    };
    for (by, placed) in written {
        for (partition, offset) in placed {
            let mut newest_first = bindings.iter().rev();
            let binding = newest_first.find(|binding| begins(binding, partition) <= offset);
            assert_eq!(
                name(binding.expect("the first begins at 0")),
                by,
                "{partition} {offset}"
            );
        }
    }
}

#[test]
fn a_fallback_that_was_deployed_is_there_for_the_plugin_after_a_crash() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    // The one that needs it comes first by name.
    wire.deploy("z", shipped_module("key-hash"), map! {})
        .unwrap();
    let module = fs::read(hostile_module()).expect("it was built");
    let options = map! { "behaviour" => "out-of-range" };
    wire.deploy(
        "a",
        &module,
        map! { "options" => options, "fallback" => "z" },
    )
    .unwrap();
    wire.create_topic("t", 6, &[("partitioner", "a")]);
    wire.create_topic("hashed", 6, &[]);
    wire.create_topic("halves", 6, &[("partitioner", "z")]);
    let records = || -> Vec<Value> { [vec![keyed("go", "x")], batch(0)].concat() };
    let partitions = |wire: &mut Wire, topic: &str| -> Vec<u32> {
        let placed = wire.produce_routed(topic, records()).into_iter();
        placed.map(|(partition, _)| partition).collect()
    };
    let hashed = partitions(&mut wire, "hashed");
    assert_eq!(partitions(&mut wire, "t"), hashed);
    broker.crash();
    let mut wire = broker.connect();
    assert_eq!(wire.plugin("a").get("fallback").text(), "z");
    assert_eq!(partitions(&mut wire, "t"), hashed);
    // A fallback stands alone, and is not taken away.
    let error = wire.deploy("z", &custom(), map! { "fallback" => "key-hash" });
    assert_eq!(error.expect_err("it is refused").name, "PLUGIN_IN_USE");
    wire.alter("halves", &[("partitioner", "key-hash")]);
    let error = wire.deploy("z", shipped_module("json"), map! {});
    assert!(
        error
            .expect_err("it is refused")
            .message
            .contains("falls back")
    );
    let error = wire.refused("remove_plugin", map! { "name" => "z" });
    assert_eq!(error.name, "PLUGIN_IN_USE");
    // Another version of it is at work at once.
    wire.alter("halves", &[("partitioner", "z")]);
    wire.deploy("z", &custom(), map! {}).unwrap();
    assert_eq!(partitions(&mut wire, "t"), partitions(&mut wire, "halves"));
}

#[test]
fn other_limits_of_the_same_module_reach_the_topics_that_use_it() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let module = fs::read(hostile_module()).expect("it was built");
    let with = |fallback: Option<&str>| {
        let options = map! { "behaviour" => "panic" };
        map! { "options" => options, "fallback" => fallback }
    };
    wire.deploy("mine", &module, with(None)).unwrap();
    wire.create_topic("t", 2, &[("partitioner", "mine")]);
    let go = || map! { "topic" => "t", "records" => vec![keyed("go", "1"), keyed("21", "2")] };
    for _ in 0..3 {
        assert_eq!(wire.refused("produce", go()).name, "PLUGIN_TRAPPED");
    }
    assert_eq!(wire.refused("produce", go()).name, "PLUGIN_SUSPENDED");
    // What is deployed anew is another plugin, if it is the same module: it is asked, and can be helped out.
    let answer = wire
        .deploy("mine", &module, with(Some("key-hash")))
        .unwrap();
    assert_eq!(answer.get("revision").u64(), 2);
    wire.call("produce", go()).unwrap();
    let listed = wire.plugin("mine");
    assert_eq!(listed.get("state").text(), "active");
    assert_eq!(listed.get("fallbacks").u64(), 1, "{listed:?}");
    assert_eq!(*listed.get("topics"), Value::from(vec!["t"]));
}

#[test]
fn a_topic_that_is_made_while_a_deployment_waits_runs_what_was_deployed() {
    let broker = Broker::start();
    let [mut large, mut deploying, mut modest] = [(); 3].map(|()| broker.connect());
    modest.deploy("mine", &custom(), map! {}).unwrap();
    let other = shipped_module("round-robin");
    large.send(
        "create_topic",
        map! { "name" => "large", "partitions" => 1_000 },
    );
    // The deployment waits for its connection's own change, and both for the large one.
    deploying.send(
        "create_topic",
        map! { "name" => "middle", "partitions" => 200 },
    );
    deploying.send(
        "deploy_plugin",
        map! { "name" => "mine", "module" => other },
    );
    for number in 0..60 {
        let name = format!("t{number}");
        modest.create_topic(&name, 1, &[("partitioner", "mine")]);
    }
    large.receive().outcome.expect("it is created");
    for _ in 0..2 {
        deploying.receive().outcome.expect("it is done");
    }
    for number in 0..60 {
        let bindings = modest.bindings(&format!("t{number}"), "partitioner");
        let bound = bindings.last().expect("one").get("plugin");
        assert_eq!(bound.get("digest").text(), digest_of(other), "t{number}");
    }
}
