//! Files that the broker may not use any more, for somebody has changed their owner or their mode: what needs them is
//! refused in words and retriably, the operator is told where he looks, and all of it goes on by itself once the
//! permission is there. A preloaded library (`io_faults.c`) does the denying, for the tests may run as root.

use std::fs;

use crate::harness::{
    FaultyDisks, Value, Wire, WireError, custom_partitioner, eventually, keyed, map, plain, valued,
};

fn try_produce(wire: &mut Wire, topic: &str, value: &str) -> Result<Value, WireError> {
    let args = map! { "topic" => topic, "partition" => 0, "records" => vec![valued(value)] };
    wire.call("produce", args)
}

/// What the operator sees of the directory: its state, and the warnings.
fn seen(wire: &mut Wire) -> (String, String) {
    let cluster = wire.call("describe_cluster", map! {}).unwrap();
    let dirs = cluster.get("brokers").list()[0].get("log_dirs").clone();
    let state = dirs.list()[0].get("state").text().to_owned();
    (state, format!("{:?}", cluster.get("warnings")))
}

#[track_caller]
fn assert_denied(error: &WireError, file: &str) {
    assert_eq!(error.name, "STORAGE_FAILED", "{error:?}");
    assert!(error.retriable && error.definite, "{error:?}");
    for word in [file, "may not use", "permission"] {
        assert!(error.message.contains(word), "{word}: {error:?}");
    }
}

#[test]
fn a_partition_that_may_not_be_written_is_told_and_goes_on_with_the_permission() {
    let rig = FaultyDisks::start_on(&["only"]);
    let mut wire = rig.broker.connect();
    wire.create_topic("small", 1, &[("segment.bytes", "64KiB")]);
    wire.produce("t", 0, plain("before ", 0..3));
    assert_eq!(seen(&mut wire).0, "online");
    rig.deny_writing("only/small-0");
    let large = "x".repeat(8 << 10);
    let mut acknowledged = 0;
    let refused = loop {
        match try_produce(&mut wire, "small", &large) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 20, "it needs no new segment");
    };
    assert_denied(&refused, "small-0");
    let (state, warnings) = seen(&mut wire);
    assert_eq!(state, "not_writable", "{warnings}");
    assert!(warnings.contains("small-0"), "{warnings}");
    // Nothing else minds, and what is there is served.
    wire.produce("t", 0, plain("beside ", 3..6));
    assert_eq!(wire.read_all("small", 0).len(), acknowledged);
    rig.heal();
    eventually("it goes on", || {
        try_produce(&mut wire, "small", "after").ok()
    });
    eventually("nothing is told any more", || {
        (seen(&mut wire).0 == "online").then_some(())
    });
    assert_eq!(wire.read_all("small", 0).len(), acknowledged + 1);
}

#[test]
fn a_directory_that_may_not_be_written_is_told_at_once_and_costs_no_restart() {
    let mut rig = FaultyDisks::start_on(&["only"]);
    let mut wire = rig.broker.connect();
    wire.produce("t", 0, plain("before ", 0..3));
    rig.deny_writing("/only");
    // Nobody has to write for that.
    let warnings = eventually("it is told", || {
        let (state, warnings) = seen(&mut wire);
        (state == "not_writable").then_some(warnings)
    });
    for word in ["/only", "Permission denied", "chown", "by itself"] {
        assert!(warnings.contains(word), "{word}: {warnings}");
    }
    let args = map! { "name" => "new", "partitions" => 1 };
    wire.call("create_topic", args).unwrap();
    let refused = try_produce(&mut wire, "new", "1").unwrap_err();
    assert!(refused.retriable && refused.definite, "{refused:?}");
    assert!(refused.message.contains("Permission denied"), "{refused:?}");
    assert_eq!(wire.read_all("t", 0).len(), 3);
    rig.heal();
    eventually("nothing is told any more", || {
        (seen(&mut wire).0 == "online").then_some(())
    });
    wire.produce("t", 0, plain("after ", 3..6));
    eventually("topics can be made", || {
        wire.call(
            "create_topic",
            map! { "name" => "later", "partitions" => 1 },
        )
        .ok()
    });
    for topic in ["new", "later"] {
        eventually("and written to", || try_produce(&mut wire, topic, "1").ok());
    }
    rig.broker.stop();
    assert!(rig.is_clean("only"));
    rig.broker.start_again();
    let mut wire = rig.broker.connect();
    assert_eq!(wire.read_all("t", 0).len(), 6);
    assert_eq!(wire.read_all("later", 0).len(), 1);
}

#[test]
fn a_kept_module_that_may_not_be_read_costs_its_topic_alone_until_it_may() {
    let mut rig = FaultyDisks::start_on(&["only"]);
    let mut wire = rig.broker.connect();
    let module = fs::read(custom_partitioner()).expect("it was built");
    wire.deploy("mine", &module, map! {}).unwrap();
    wire.create_topic("routed", 4, &[("partitioner", "mine")]);
    let go = || map! { "topic" => "routed", "records" => vec![keyed("eu:1", "x")] };
    wire.call("produce", go()).unwrap();
    rig.deny_opening("plugin-modules/");
    rig.broker.stop();
    rig.broker.start_again();
    let mut wire = rig.broker.connect();
    let error = wire.refused("produce", go());
    assert!(error.retriable, "{error:?}");
    assert!(error.message.contains("mine"), "{error:?}");
    assert!(error.message.contains("Permission denied"), "{error:?}");
    wire.produce("t", 0, plain("beside ", 0..3));
    let (state, warnings) = seen(&mut wire);
    assert_eq!(state, "not_writable", "{warnings}");
    assert!(warnings.contains("plugin-modules"), "{warnings}");
    rig.heal();
    eventually("the topic goes on", || wire.call("produce", go()).ok());
    wire.create_topic("another", 1, &[("partitioner", "mine")]);
}
