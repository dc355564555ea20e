//! Plugins that loop, crash, hoard and lie, through a real broker. The producer is told which plugin and
//! why, nothing of the batch is stored, the plugin is as new for the next batch, and nobody else notices.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use crate::harness::{
    Broker, Setup, Value, Wire, hostile_module, keyed, map, plain, sha256_of, valued,
};

/// A broker with one plugin per behaviour, called after it, and a topic for each.
struct Menagerie {
    broker: Broker,
    _folder: TempDir,
}

impl Menagerie {
    fn start(behaviours: &[&str], more: &str) -> Self {
        let folder = TempDir::new().expect("a temporary directory can be made");
        let manifest = folder.path().join("plugins.toml");
        let (file, digest) = (hostile_module().display(), sha256_of(hostile_module()));
        let entry = |behaviour: &&str| {
            format!(
                "[[plugin]]\nname = \"{behaviour}\"\nkind = \"partitioner\"\npath = \"{file}\"\nsha256 = \"{digest}\"\n\
                 options = {{ behaviour = \"{behaviour}\" }}\n{more}\n\n"
            )
        };
        fs::write(&manifest, behaviours.iter().map(entry).collect::<String>())
            .expect("it can be written");
        let broker = Setup::new().plugins(&manifest).start();
        let mut wire = broker.connect();
        for behaviour in behaviours {
            wire.create_topic(behaviour, 2, &[("partitioner", behaviour)]);
        }
        wire.create_topic("bystander", 2, &[]);
        Self {
            broker,
            _folder: folder,
        }
    }
}

/// The batch at which the guest misbehaves.
fn go(topic: &str) -> Value {
    map! { "topic" => topic, "records" => vec![keyed("go", "1"), keyed("x", "2"), keyed("y", "3")] }
}

fn counters(wire: &mut Wire, name: &str) -> (u64, u64, u64) {
    let answer = wire.call("list_plugins", map! {}).unwrap();
    let found = answer
        .get("plugins")
        .list()
        .iter()
        .find(|plugin| plugin.get("name").text() == name);
    let found = found.expect("it is listed");
    (
        found.get("calls").u64(),
        found.get("errors").u64(),
        found.get("traps").u64(),
    )
}

#[test]
fn whatever_a_plugin_does_the_producer_is_told_and_nobody_else_notices() {
    let cases = [
        ("loop", "PLUGIN_TIMEOUT", "200ms"),
        ("panic", "PLUGIN_TRAPPED", "the roof is on fire"),
        ("divide", "PLUGIN_TRAPPED", ""),
        ("index", "PLUGIN_TRAPPED", ""),
        ("bomb", "PLUGIN_TRAPPED", "memory"),
        ("huge-allocation", "PLUGIN_TRAPPED", "memory"),
        ("recurse", "PLUGIN_TRAPPED", "stack"),
        ("giant-answer", "PLUGIN_INVALID_ANSWER", ""),
        ("short-answer", "PLUGIN_INVALID_ANSWER", "3"),
        ("long-answer", "PLUGIN_INVALID_ANSWER", "3"),
        ("out-of-range", "PLUGIN_INVALID_ANSWER", "2"),
        ("refuse", "PLUGIN_REJECTED", "not this batch"),
        ("giant-refusal", "PLUGIN_REJECTED", ""),
    ];
    let names: Vec<&str> = cases.iter().map(|(name, _, _)| *name).collect();
    // Time enough that what eats memory or stack is not stopped by the clock on a busy machine.
    let zoo = Menagerie::start(&names, "limits = { deadline = \"200ms\" }");
    let mut wire = zoo.broker.connect();
    for (name, code, reason) in cases {
        for _ in 0..2 {
            let error = wire.refused("produce", go(name));
            // A reply too large to read is a refusal or an answer that breaks the rules.
            let is_expected = error.name == code
                || (name.starts_with("giant") && error.name.starts_with("PLUGIN_"));
            assert!(is_expected, "{name}: {error:?}");
            assert!(error.definite, "{name}: {error:?}");
            assert!(
                error.message.contains(name) && error.message.contains("6.6.6"),
                "plugin and version: {error:?}"
            );
            assert!(error.message.contains(reason), "{name}: {error:?}");
            assert_eq!(error.data.get("plugin").text(), name);
            assert_eq!(error.data.get("plugin_kind").text(), "partitioner");
            assert!(
                error.message.len() < 600,
                "{name}: {} bytes of message",
                error.message.len()
            );
            assert!(!error.message.contains('\n'), "{name}: {error:?}");
        }
        for partition in 0..2 {
            assert_eq!(
                wire.offset_at(name, partition, "latest"),
                Some(0),
                "{name}: something was stored"
            );
        }
        // The next batch finds the plugin as new, and other topics never noticed.
        let placed = wire.produce_routed(name, vec![keyed("fine", "1"), valued("2")]);
        assert_eq!(placed, [(0, 0), (0, 1)], "{name}");
        wire.produce("bystander", 0, plain("x", 0..1));
        wire.produce_routed("bystander", vec![keyed("k", "v")]);
        let (calls, errors, traps) = counters(&mut wire, name);
        assert_eq!((calls, errors), (3, 2), "{name}");
        if !name.starts_with("giant") {
            let is_trap = ["PLUGIN_TIMEOUT", "PLUGIN_TRAPPED"].contains(&code);
            assert_eq!(traps > 0, is_trap, "{name}: {traps} traps");
        }
    }
}

#[test]
fn others_are_served_while_a_plugin_loops() {
    let zoo = Menagerie::start(&["loop"], "limits = { deadline = \"100ms\" }");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (mut wire, stop) = (zoo.broker.connect(), &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    // After three time-outs the plugin is suspended.
                    let name = wire.refused("produce", go("loop")).name;
                    let is_expected = ["PLUGIN_TIMEOUT", "PLUGIN_SUSPENDED"].contains(&&*name);
                    assert!(is_expected, "{name}");
                }
            });
        }
        let mut wire = zoo.broker.connect();
        for number in 0..20 {
            assert_eq!(wire.produce("bystander", 1, vec![valued("x")]), number);
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(zoo.broker.connect().read_all("bystander", 1).len(), 20);
}

#[test]
fn a_fallback_answers_where_its_plugin_fails() {
    let zoo = Menagerie::start(
        &["panic", "out-of-range", "loop"],
        "fallback = \"key-hash\"",
    );
    let mut wire = zoo.broker.connect();
    wire.create_topic("hashed", 2, &[]);
    for name in ["panic", "out-of-range", "loop"] {
        let records = || vec![keyed("go", "1"), keyed("21", "2"), keyed("foobar", "3")];
        let partitions = |placed: Vec<(u32, u64)>| {
            placed
                .into_iter()
                .map(|(partition, _)| partition)
                .collect::<Vec<_>>()
        };
        let expected = partitions(wire.produce_routed("hashed", records()));
        assert_eq!(
            partitions(wire.produce_routed(name, records())),
            expected,
            "{name}"
        );
        let (_, errors, _) = counters(&mut wire, name);
        assert_eq!(errors, 1, "the failure is counted");
    }
}

#[test]
fn a_module_that_answers_for_whole_batches_only_at_times_places_them_elsewhere_and_no_more() {
    let name = "keyless-at-times";
    let zoo = Menagerie::start(&[name], "");
    // On every thread, which has a guest of its own.
    let mut wires: Vec<Wire> = (0..8).map(|_| zoo.broker.connect()).collect();
    let mut expected = [Vec::new(), Vec::new()];
    for number in 0..80 {
        let values = [format!("{number} first"), format!("{number} second")];
        let records: Vec<_> = values.iter().map(|value| valued(value)).collect();
        let placed = wires[number % 8].produce_routed(name, records);
        assert_eq!(placed.len(), values.len());
        for ((partition, offset), value) in placed.into_iter().zip(values) {
            expected[partition as usize].push((offset, value));
        }
    }
    for (partition, expected) in (0..2).zip(expected) {
        assert!(
            !expected.is_empty(),
            "{partition}: it has not changed its mind"
        );
        let found = wires[0].read_all(name, partition);
        let found = (0..).zip(found.iter().map(|record| record.text()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
    let (_, errors, traps) = counters(&mut wires[0], name);
    assert_eq!((errors, traps), (0, 0));
}

#[test]
fn a_plugin_that_floods_the_log_is_held_back() {
    let zoo = Menagerie::start(&["flood", "giant-line", "long-line"], "");
    let mut wire = zoo.broker.connect();
    for name in ["flood", "giant-line", "long-line"] {
        let _ = wire.call("produce", go(name));
    }
    wire.produce("bystander", 0, plain("x", 0..1));
    let log = zoo.broker.log();
    let from_plugin = log.lines().filter(|line| line.contains("line 9")).count();
    assert!(
        from_plugin < 100,
        "{from_plugin} lines of a plugin are in the log"
    );
    assert!(log.len() < 1 << 20, "the log has {} bytes", log.len());
    assert!(
        !log.contains('\u{7}'),
        "control characters got into the log"
    );
}

#[test]
fn a_plugin_that_cannot_start_is_refused_with_the_manifest() {
    for (behaviour, reason) in [
        ("refuse-to-start", "no."),
        ("panic-at-start", "cannot even start"),
        ("loop-at-start", ""),
    ] {
        let folder = TempDir::new().expect("a temporary directory can be made");
        let manifest = folder.path().join("plugins.toml");
        let text = format!(
            "[[plugin]]\nname = \"bad\"\nkind = \"partitioner\"\npath = \"{}\"\nsha256 = \"{}\"\noptions = {{ behaviour = \"{behaviour}\" }}\n",
            hostile_module().display(),
            sha256_of(hostile_module())
        );
        fs::write(&manifest, text).expect("it can be written");
        let refused = Setup::new().plugins(&manifest).refused();
        refused.names(&["plugins.toml", "\"bad\"", reason]);
    }
}
