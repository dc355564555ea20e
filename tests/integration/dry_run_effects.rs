//! Dry runs from outside: no trace of them is left, they can be cancelled, and there are not too many at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::harness::{
    Broker, DryRun, Value, Wire, digest_of, eventually, hostile_module, hostile_sister, keyed, map,
    shipped_module,
};

/// Every file of topics and plugins with its digest.
fn files(broker: &Broker) -> BTreeMap<PathBuf, String> {
    // The broker's own checkpoints are written now and then, whatever happens.
    let is_checkpoint = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 1 && name.contains("-checkpoint")
    };
    let entries = walkdir::WalkDir::new(broker.data_dir()).into_iter();
    let files = entries.filter_entry(|entry| !is_checkpoint(entry));
    files
        .map(|entry| entry.expect("it can be read"))
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let bytes = fs::read(entry.path()).expect("it can be read");
            (entry.into_path(), digest_of(&bytes))
        })
        .collect()
}

#[test]
fn a_dry_run_leaves_no_trace() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let config = [
        ("segment.bytes", "4KiB"),
        ("value.serializer", "json"),
        ("retention.ms", "-1"),
    ];
    wire.create_topic("t", 2, &config);
    let record = |n: u32| keyed(&format!("go{n}"), &format!("\"{}\"", "x".repeat(300)));
    for n in 0..60 {
        wire.produce_routed("t", vec![record(n), record(n)]);
    }
    let bad = fs::read(hostile_module()).expect("it was built");
    let options = |behaviour: &str| map! { "behaviour" => behaviour };
    wire.deploy("bad", &bad, map! { "options" => options("panic") })
        .unwrap();
    wire.produce("t", 0, vec![keyed("go", "1")]);
    let seen = |wire: &mut Wire| {
        let plugins = wire.call("list_plugins", map! {}).unwrap();
        let logs = wire.call("plugin_logs", map! { "name" => "bad" }).unwrap();
        let history = wire.call("plugin_history", map! { "name" => "bad" });
        (plugins, logs, history.unwrap(), wire.describe_topic("t"))
    };
    let before = (seen(&mut wire), files(&broker));
    for plugin in [
        "round-robin",
        "json",
        "string",
        "time-and-size",
        "latest-by-key",
    ] {
        let status = DryRun::of_plugin("t", plugin).end(&mut wire);
        assert_eq!(status.get("state").text(), "done", "{status:?}");
        let status = DryRun::of_module("t", shipped_module(plugin)).end(&mut wire);
        assert_eq!(status.get("state").text(), "done", "{status:?}");
    }
    // Plugins that crash, more often than is allowed to one that is at work.
    for _ in 0..4 {
        let status = DryRun::of_plugin("t", "bad").with("last", 1).end(&mut wire);
        assert_eq!(status.get("state").text(), "failed", "{status:?}");
        let error = status.get("error");
        assert_eq!(error.get("name").text(), "PLUGIN_TRAPPED", "{status:?}");
        let message = error.get("message").text();
        assert!(message.contains("roof is on fire"), "{message}");
        assert!(status.get("report").is_nil());
    }
    // The serializer answers the rows as they are, which is not MessagePack.
    for (kind, state) in [
        ("retention", "done"),
        ("compaction", "done"),
        ("serializer", "failed"),
    ] {
        let module = fs::read(hostile_sister(kind)).expect("it was built");
        let status = DryRun::of_module("t", &module).end(&mut wire);
        assert_eq!(status.get("state").text(), state, "{status:?}");
    }
    assert_eq!(seen(&mut wire), before.0);
    assert_eq!(files(&broker), before.1);
}

#[test]
fn a_run_can_be_cancelled_and_too_many_at_once_are_refused() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    for _ in 0..40 {
        wire.produce("t", 0, vec![keyed("key", "{\"a\": [1, 2, 3]}"); 2_000]);
    }
    let dry_run = DryRun::of_plugin("t", "json");
    let status = |wire: &mut Wire, run: &str, cancel: bool| {
        let args = map! { "run" => run, "cancel" => cancel };
        wire.call("dry_run_status", args).unwrap()
    };
    let mut runs = Vec::new();
    let error = eventually("too many are under way", || {
        match dry_run.start(&mut wire) {
            Ok(run) => {
                runs.push(run);
                None
            }
            Err(error) => Some(error),
        }
    });
    assert_eq!(error.name, "BUSY");
    assert!(error.retriable && error.definite, "{error:?}");
    let names: BTreeSet<&String> = runs.iter().collect();
    assert_eq!(names.len(), runs.len(), "each has a name of its own");
    let state = eventually("a run is cancelled before its end", || {
        let run = dry_run.start(&mut wire).ok()?;
        let first = status(&mut wire, &run, true);
        assert!(
            first.get("done").u64() <= first.get("total").u64(),
            "{first:?}"
        );
        assert_eq!(first.get("unit").text(), "records");
        let ended = eventually("the run ends", || {
            let now = status(&mut wire, &run, false);
            (now.get("state").text() != "running").then_some(now)
        });
        (ended.get("state").text() == "cancelled").then_some(ended)
    });
    assert!(
        state.get("report").is_nil() && state.get("error").is_nil(),
        "{state:?}"
    );
    for run in ["0", "99999", "", "x", "18446744073709551616"] {
        let error = wire.refused("dry_run_status", map! { "run" => run });
        assert_eq!(error.name, "DRY_RUN_NOT_FOUND", "{run}");
    }
}

#[test]
fn what_cannot_be_tried_is_refused_at_once() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let json = || DryRun::of_plugin("t", "json");
    let mut refused = |dry_run: DryRun| dry_run.start(&mut wire).expect_err("it is refused");
    let module = shipped_module("json");
    assert_eq!(
        refused(json().with("module", module)).name,
        "INVALID_REQUEST"
    );
    assert_eq!(
        refused(json().with("plugin", Value::Nil)).name,
        "INVALID_REQUEST"
    );
    assert_eq!(
        refused(json().with("slot", "partitioner")).name,
        "INVALID_REQUEST"
    );
    assert_eq!(
        refused(json().with("slot", "nothing")).name,
        "INVALID_REQUEST"
    );
    assert_eq!(
        refused(DryRun::of_plugin("t", "nobody")).name,
        "UNKNOWN_PLUGIN"
    );
    let error = refused(DryRun::of_plugin("u", "json"));
    assert_eq!(error.name, "UNKNOWN_TOPIC_OR_PARTITION");
    assert_eq!(
        refused(DryRun::of_module("t", b"\0asm")).name,
        "INVALID_PLUGIN"
    );
    let error = refused(DryRun::of_plugin("t", "newest-records"));
    assert!(error.message.contains("records is missing"), "{error:?}");
    let report = json().report(&mut wire, "serializer");
    assert_eq!(
        report.get("records").u64(),
        0,
        "an empty topic is no failure"
    );
}
