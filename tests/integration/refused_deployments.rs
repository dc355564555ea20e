//! Deployments that are refused, and removals: each says why, and leaves everything as it was.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{
    Broker, Setup, Value, Wire, WireError, config_of, custom_partitioner, hostile_module,
    hostile_sister, keyed, map, plain, sha256_of, shipped_module,
};

fn custom() -> Vec<u8> {
    fs::read(custom_partitioner()).expect("it was built")
}

fn history(wire: &mut Wire, name: &str) -> Value {
    wire.call("plugin_history", map! { "name" => name })
        .unwrap()
}

/// A broker with a plugin of the manifest, `listed`, and two that were deployed and have topics: `mine`
/// and `header`.
struct Populated {
    broker: Broker,
    wire: Wire,
    _folder: TempDir,
}

impl Populated {
    fn start() -> Self {
        let folder = TempDir::new().expect("a temporary directory can be made");
        let manifest = folder.path().join("plugins.toml");
        let file = custom_partitioner();
        let (shown, digest) = (file.display(), sha256_of(file));
        let entry = format!(
            "[[plugin]]\nname = \"listed\"\nkind = \"partitioner\"\npath = \"{shown}\"\nsha256 = \"{digest}\"\n"
        );
        fs::write(&manifest, entry).expect("it can be written");
        let broker = Setup::new().plugins(&manifest).start();
        let mut wire = broker.connect();
        wire.deploy("mine", &custom(), map! {}).unwrap();
        let options = map! { "options" => map! { "header" => "h" } };
        wire.deploy("header", shipped_module("by-header"), options)
            .unwrap();
        wire.create_topic("plain", 2, &[("partitioner", "mine")]);
        let option = ("partitioner.option.missing", "spread");
        wire.create_topic("t", 2, &[("partitioner", "header"), option]);
        Self {
            broker,
            wire,
            _folder: folder,
        }
    }

    /// Everything that a refused deployment must not change.
    fn state(&mut self) -> (Vec<Value>, usize) {
        let wire = &mut self.wire;
        let mut state = vec![history(wire, "mine"), history(wire, "header")];
        state.extend(wire.bindings("t", "partitioner"));
        state.extend(wire.bindings("plain", "partitioner"));
        state.push(wire.plugin("new"));
        let kept = fs::read_dir(self.broker.data_dir().join("plugin-modules"));
        (state, kept.expect("modules are kept").count())
    }

    fn refuse(&mut self, name: &str, module: &[u8], more: Value) -> WireError {
        let answer = self.wire.deploy(name, module, more);
        let error = answer.expect_err("it is refused");
        assert!(!error.retriable && error.definite, "{error:?}");
        assert!(error.message.len() < 1_000, "{error:?}");
        error
    }
}

#[test]
fn what_is_no_plugin_is_not_deployed() {
    let mut there = Populated::start();
    let before = there.state();
    let mut seed = 7_u32;
    let mut random = Vec::new();
    random.resize_with(10_000, || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    });
    let own = custom();
    let modules = [&random[..], b"", &own[..own.len() / 2], b"\0asm\x01\0\0\0"];
    for name in ["new", "mine"] {
        for module in modules {
            assert_eq!(there.refuse(name, module, map! {}).name, "INVALID_PLUGIN");
        }
        let other = map! { "kind" => "retention" };
        assert_eq!(there.refuse(name, &own, other).name, "INVALID_PLUGIN");
    }
    for name in ["", "../up", "a b", &"x".repeat(300)] {
        there.refuse(name, &own, map! {});
    }
    assert_eq!(there.state(), before);
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let mut there = Populated::start();
    let before = there.state();
    let own = custom();
    let error = there.refuse("mine", shipped_module("json"), map! {});
    assert!(error.message.contains("serializer"), "{error:?}");
    let wrong = map! { "options" => map! { "headr" => "x" } };
    let error = there.refuse("new", shipped_module("by-header"), wrong);
    assert!(error.message.contains("headr"), "{error:?}");
    // The topic gives it an option that it does not know.
    let error = there.refuse("header", shipped_module("key-hash"), map! {});
    assert!(error.message.contains("topic t"), "{error:?}");
    assert_eq!(error.data.get("topic").text(), "t");
    for (name, owner) in [
        ("key-hash", "broker"),
        ("json", "broker"),
        ("listed", "manifest"),
    ] {
        let error = there.refuse(name, &own, map! {});
        assert_eq!(error.name, "PLUGIN_IN_USE", "{error:?}");
        assert!(error.message.contains(owner), "{error:?}");
    }
    for limits in [map! { "deadline_ms" => 0 }, map! { "memory_bytes" => 1 }] {
        let error = there.refuse("new", &own, map! { "limits" => limits });
        assert_eq!(error.name, "INVALID_CONFIG", "{error:?}");
    }
    for fallback in ["json", "nobody", "new"] {
        let error = there.refuse("new", &own, map! { "fallback" => fallback });
        assert_eq!(error.name, "INVALID_CONFIG", "{error:?}");
    }
    let only = map! { "validate_only" => true };
    let valid = there.wire.deploy("mine", shipped_module("key-hash"), only);
    valid.unwrap();
    assert_eq!(there.state(), before);
    there.wire.produce_routed("t", vec![keyed("k", "v")]);
}

#[test]
fn a_plugin_in_use_is_not_removed_and_a_removed_one_is_unknown() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.deploy("mine", &custom(), map! {}).unwrap();
    for topic in ["a", "b"] {
        wire.create_topic(topic, 2, &[("partitioner", "mine")]);
    }
    let remove = || map! { "name" => "mine" };
    let error = wire.refused("remove_plugin", remove());
    assert_eq!(error.name, "PLUGIN_IN_USE");
    assert_eq!(*error.data.get("topics"), Value::from(vec!["a", "b"]));
    wire.alter("a", &[("partitioner", "key-hash")]);
    wire.call("delete_topic", map! { "name" => "b" }).unwrap();
    wire.call("remove_plugin", remove()).unwrap();
    assert!(wire.plugin("mine").is_nil());
    assert!(!history(&mut wire, "mine").get("removed_at_ms").is_nil());
    let config = map! { "partitioner" => "mine" };
    let error = wire.refused("create_topic", map! { "name" => "c", "config" => config });
    assert_eq!(error.name, "UNKNOWN_PLUGIN");
    let error = wire.refused("remove_plugin", remove());
    assert_eq!(error.name, "UNKNOWN_PLUGIN");
    // The history goes on where it ended.
    let back = wire.deploy("mine", &custom(), map! {}).unwrap();
    assert_eq!(back.get("revision").u64(), 2);
    wire.create_topic("c", 2, &[("partitioner", "mine")]);
    let error = wire.refused("remove_plugin", map! { "name" => "key-hash" });
    assert_eq!(error.name, "PLUGIN_IN_USE");
    assert!(error.message.contains("comes with the broker"), "{error:?}");
}

/// A hostile module, its kind, and the slot that takes it. Its plugin is called after the kind.
struct Starter {
    kind: &'static str,
    slot: &'static str,
    module: Vec<u8>,
}

impl Starter {
    /// One of each kind.
    fn all() -> Vec<Self> {
        let read = |file: &Path| fs::read(file).expect("it was built");
        let of = |kind, slot, module| Self { kind, slot, module };
        let sister = |kind, slot| of(kind, slot, read(&hostile_sister(kind)));
        vec![
            of("partitioner", "partitioner", read(hostile_module())),
            sister("serializer", "value.serializer"),
            sister("retention", "retention.policy"),
            sister("compaction", "compaction.policy"),
        ]
    }

    fn topic(&self) -> String {
        format!("of-{}", self.kind)
    }

    /// All ways to have the plugin configured, by a topic or as it is deployed.
    fn requests(&self, behaviour: &str) -> [(&'static str, Value); 4] {
        let option = format!("{}.option.behaviour", self.slot);
        let config = config_of(&[(self.slot, self.kind), (&option, behaviour)]);
        let deploy = |name: &str| {
            let options = map! { "options" => map! { "behaviour" => behaviour } };
            options.set("name", name).set("module", &self.module[..])
        };
        [
            (
                "create_topic",
                map! { "name" => "bad", "partitions" => 3, "config" => config },
            ),
            (
                "alter_topic",
                map! { "name" => self.topic(), "set" => config_of(&[(&option, behaviour)]) },
            ),
            ("deploy_plugin", deploy("another")),
            ("deploy_plugin", deploy(self.kind)),
        ]
    }
}

#[test]
fn a_plugin_that_loops_while_it_is_configured_is_refused_in_time_and_disturbs_nobody() {
    let mut there = Populated::start();
    let mut others = there.broker.connect();
    let starters = Starter::all();
    for starter in &starters {
        let (kind, slot) = (starter.kind, starter.slot);
        there.wire.deploy(kind, &starter.module, map! {}).unwrap();
        there
            .wire
            .create_topic(&starter.topic(), 1, &[(slot, kind)]);
    }
    let before = there.state();
    for starter in &starters {
        for (behaviour, code, reason) in [
            ("loop-at-start", "PLUGIN_TIMEOUT", "processor time"),
            ("panic-at-start", "PLUGIN_TRAPPED", "cannot even start"),
            ("refuse-to-start", "INVALID_CONFIG", "no."),
        ] {
            for (method, args) in starter.requests(behaviour) {
                let asked = Instant::now();
                let id = there.wire.send(method, args);
                others.produce("plain", 0, plain("x", 0..1));
                let answer = there.wire.receive();
                assert_eq!(answer.id, Some(id));
                let what = format!("{} {behaviour} {method}: {answer:?}", starter.kind);
                let error = answer.outcome.expect_err(&what);
                assert_eq!(error.name, code, "{what}");
                assert!(error.message.contains(reason), "{what}");
                assert!(error.definite && error.message.len() < 1_000, "{what}");
                // A call has 5 ms of processor time, one of compaction 100; a loop is for ever.
                assert!(asked.elapsed() < Duration::from_secs(30), "{what}");
            }
        }
    }
    assert_eq!(there.state(), before);
    let topics = there.wire.call("metadata", map! {}).unwrap();
    let mut topics = topics.get("topics").list().iter();
    assert!(topics.all(|topic| topic.get("name").text() != "bad"));
    // Nothing of it comes back with a restart, and the topics are as good as before.
    there.broker.crash();
    there.wire = there.broker.connect();
    assert_eq!(there.state(), before);
    for starter in &starters {
        let records = vec![keyed("k", "1")];
        there.wire.produce(&starter.topic(), 0, records);
    }
}
