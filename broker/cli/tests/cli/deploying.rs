//! Plugins of a running broker: deployed, listed, tried on a topic, rolled back, removed, watched.

use crate::fixtures::shipped;
use crate::harness::{Broker, run};

/// A broker and the modules of two shipped partitioners in its home.
fn broker_with_modules() -> (Broker, String, String) {
    let broker = Broker::start();
    let key_hash = shipped("key-hash", broker.home.path());
    let round_robin = shipped("round-robin", broker.home.path());
    (broker, key_hash, round_robin)
}

fn names(list: &serde_json::Value) -> Vec<&str> {
    let plugins = list.as_array().into_iter().flatten();
    plugins
        .filter_map(|plugin| plugin["name"].as_str())
        .collect()
}

#[test]
fn a_check_says_what_a_deployment_would_and_deploys_nothing() {
    let (broker, module, _) = broker_with_modules();
    let pair = format!("mine={module}");
    let could = broker
        .run(&["plugin", "deploy", &pair, "--check"])
        .ok()
        .text();
    assert!(
        could.contains("mine could be deployed as revision 1"),
        "{could}"
    );
    let list = broker.run(&["plugin", "list", "--json"]).ok().json();
    assert!(!names(&list).contains(&"mine"), "--check deployed it");
}

/// A broker whose topic `orders` runs the second revision of `mine`; the digest of the first.
fn broker_with_two_revisions() -> (Broker, String) {
    let (broker, first, second) = broker_with_modules();
    let deploy = [
        "plugin",
        "deploy",
        &format!("mine={first}"),
        "--limit",
        "deadline=20ms",
    ];
    let deployed = broker.run(&[&deploy[..], &["--json"]].concat()).ok().json();
    assert_eq!(
        (&deployed["revision"], &deployed["unchanged"]),
        (&1.into(), &false.into())
    );
    let again = broker.run(&deploy).ok().text();
    assert!(again.contains("mine is already revision 1"), "{again}");

    broker
        .run(&["topic", "create", "orders", "-c", "partitioner=mine"])
        .ok();
    let replaced = broker
        .run(&["plugin", "deploy", &format!("mine={second}")])
        .ok();
    let text = replaced.text();
    assert!(
        text.contains("revision 2") && text.contains("orders"),
        "{text}"
    );
    replaced.says(&["warning:", "order per key"]);
    let digest = deployed["digest"].as_str().unwrap_or_default().to_owned();
    (broker, digest)
}

#[test]
fn a_rollback_brings_an_earlier_revision_back_under_a_new_number() {
    let (broker, first) = broker_with_two_revisions();
    let history = broker.run(&["plugin", "history", "mine"]).ok().text();
    assert!(history.contains("deadline=20ms"), "{history}");
    broker
        .run(&["plugin", "rollback", "mine", "--revision", "7"])
        .ended(1)
        .says(&["1 to 2", "history"]);
    let back = broker
        .run(&["plugin", "rollback", "mine", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&back["revision"], &back["digest"]),
        (&3.into(), &first.into())
    );
    let history = broker
        .run(&["plugin", "history", "mine", "--json"])
        .ok()
        .json();
    assert_eq!(history["revisions"][2]["rollback_to"], 1);
    let described = broker.run(&["plugin", "describe", "mine"]).ok().text();
    for part in [
        "deployed, revision 3",
        "20.0 ms for a call",
        "topics      orders",
        "rollback to 1",
    ] {
        assert!(
            described.contains(part),
            "{part:?} is missing in {described}"
        );
    }
}

#[test]
fn a_plugin_is_removed_once_no_topic_names_it_and_its_bindings_stay() {
    let (broker, _) = broker_with_two_revisions();
    broker
        .run(&["plugin", "remove", "mine"])
        .ended(1)
        .says(&["PLUGIN_IN_USE", "orders"]);
    broker
        .run(&["topic", "alter", "orders", "-c", "partitioner=key-hash"])
        .ok();
    broker.run(&["plugin", "remove", "mine"]).ok();
    let list = broker.run(&["plugin", "list", "--json"]).ok().json();
    assert!(!names(&list).contains(&"mine"));
    let topic = broker.run(&["topic", "describe", "orders"]).ok().text();
    assert!(topic.contains("FROM OFFSETS"), "{topic}");
    let bindings = topic
        .lines()
        .filter(|line| line.starts_with("partitioner ") && line.contains("mine"));
    assert_eq!(bindings.count(), 2, "{topic}");
}

#[test]
fn what_cannot_be_deployed_is_refused_before_anything_changes() {
    let (broker, module, _) = broker_with_modules();
    let text = broker.file("text.wasm", b"#!/bin/sh\n");
    let pair = |name: &str, file: &str| format!("{name}={file}");
    for (args, parts) in [
        (
            vec![pair("x", &text)],
            &["INVALID_PLUGIN", "not a WebAssembly module"][..],
        ),
        (vec![pair("x", "/nowhere.wasm")], &["/nowhere.wasm"]),
        (
            vec![pair("key-hash", &module)],
            &["PLUGIN_IN_USE", "comes with the broker"],
        ),
        (
            vec![pair("x", &module), "--kind".into(), "retention".into()],
            &["INVALID_PLUGIN", "partitioner"],
        ),
        (
            vec![pair("x", &module), "--option".into(), "a=b".into()],
            &["unknown option a"],
        ),
        (
            vec![pair("x", &module), "--fallback".into(), "nix".into()],
            &["nix"],
        ),
        (
            vec![pair("x", &module), "--limit".into(), "budget=1min".into()],
            &["limit of compaction"],
        ),
    ] {
        let mut command = vec!["plugin", "deploy"];
        command.extend(args.iter().map(String::as_str));
        broker.run(&command).ended(1).says(parts);
    }
    for bad in [
        &["plugin", "deploy", "x"][..],
        &["plugin", "deploy", "x=y", "--limit", "stack=1"],
    ] {
        run(bad).ended(2);
    }
    let list = broker.run(&["plugin", "list", "--json"]).ok().json();
    assert!(!names(&list).contains(&"x"));
}

#[test]
fn a_refusal_hints_at_what_can_be_changed() {
    let (broker, module, _) = broker_with_modules();
    let serializer = shipped("json", broker.home.path());
    let refused = |args: &[&str]| broker.run(args).ended(1);
    let never = |ran: &crate::harness::Ran, part: &str| {
        assert!(!ran.stderr.contains(part), "{part:?} is in {ran:?}");
    };
    let removed = refused(&["plugin", "remove", "key-hash"]);
    never(&removed, "under another name");
    removed.says(&["comes with the broker", "only deployed plugins"]);

    let bad_name = format!("a b={module}");
    let with_fallback = format!("mine={serializer}");
    for deploy in [
        &["plugin", "deploy", &bad_name][..],
        &["plugin", "deploy", &with_fallback, "--fallback", "key-hash"],
    ] {
        let ran = refused(deploy);
        never(&ran, "inspect");
        ran.says(&["INVALID_PLUGIN", "the module itself is fine"]);
    }

    broker.topic("orders", 1);
    let tried = [
        "plugin", "dry-run", &module, "--topic", "orders", "--option", "x=1",
    ];
    let tried = refused(&tried);
    never(&tried, "plugin dry-run");
    tried.says(&["unknown option x", &module]);
}

#[test]
fn a_name_that_is_not_there_is_answered_with_the_one_that_was_meant() {
    let broker = Broker::start();
    for command in [
        "describe", "history", "rollback", "remove", "resume", "logs",
    ] {
        broker
            .run(&["plugin", command, "kee-hash"])
            .ended(1)
            .says(&["kee-hash", "did you mean \"key-hash\"?"]);
    }
    broker.topic("orders", 1);
    broker
        .run(&["plugin", "dry-run", "kee-hash", "--topic", "orders"])
        .ended(1)
        .says(&["did you mean \"key-hash\"?"]);
    broker
        .run(&["plugin", "dry-run", "key-hash", "--topic", "odrers"])
        .ended(1)
        .says(&["did you mean \"orders\"?"]);
    broker
        .run(&[
            "plugin",
            "dry-run",
            "key-hash",
            "--topic",
            "orders",
            "--slot",
            "value.serializer",
        ])
        .ended(1)
        .says(&["partitioner"]);
    run(&[
        "plugin", "dry-run", "key-hash", "--topic", "orders", "--slot", "values",
    ])
    .ended(2);
}

#[test]
fn a_dry_run_shows_what_would_be_and_changes_nothing() {
    let (broker, _, round_robin) = broker_with_modules();
    broker.topic("orders", 2);
    let lines: String = (0..200).map(|n| format!("k{}\t{n}\n", n % 5)).collect();
    broker
        .run_with_input(
            &["produce", "orders", "--key-separator", "\\t"],
            lines.as_bytes(),
        )
        .ok();

    let tried = broker
        .run(&[
            "plugin",
            "dry-run",
            &round_robin,
            "--topic",
            "orders",
            "--json",
        ])
        .ok()
        .json();
    let report = &tried["report"]["partitioner"];
    assert_eq!(report["records"], 200);
    let sum = |counts: &serde_json::Value| -> u64 {
        counts
            .as_array()
            .unwrap()
            .iter()
            .filter_map(serde_json::Value::as_u64)
            .sum()
    };
    assert_eq!((sum(&report["before"]), sum(&report["after"])), (200, 200));
    assert_eq!(report["hottest"][0]["records"], 40);
    assert!(
        report["hottest"][0]["key"]
            .as_str()
            .unwrap()
            .starts_with('k'),
        "{report}"
    );
    let text = broker
        .run(&["plugin", "dry-run", &round_robin, "--topic", "orders"])
        .ok()
        .text();
    assert!(
        text.contains("200 records of orders") && text.contains('█'),
        "{text}"
    );

    let tried = broker
        .run(&["plugin", "dry-run", "integer", "--topic", "orders"])
        .ok()
        .text();
    assert!(
        tried.contains("200 (100.0 %) would be refused") && tried.contains("instead of 8"),
        "{tried}"
    );
    let tried = broker
        .run(&["plugin", "dry-run", "time-and-size", "--topic", "orders"])
        .ok()
        .text();
    assert!(tried.contains("0 segments of orders would go"), "{tried}");
    let list = broker.run(&["plugin", "list", "--json"]).ok().json();
    assert!(!names(&list).contains(&"dry-run"), "{list}");
    let after = broker.run(&["consume", "orders"]).ok();
    assert_eq!(after.text().lines().count(), 200);
}

#[test]
fn a_list_can_be_of_one_kind_and_has_every_counter() {
    let broker = Broker::start();
    let list = broker
        .run(&["plugin", "list", "--kind", "retention", "--json"])
        .ok()
        .json();
    let plugins = list.as_array().unwrap();
    assert!(!plugins.is_empty() && plugins.iter().all(|plugin| plugin["kind"] == "retention"));
    for counter in [
        "calls",
        "records",
        "errors",
        "traps",
        "time_us",
        "memory_bytes",
        "fallbacks",
        "suspensions",
    ] {
        assert!(
            plugins[0][counter].is_u64(),
            "{counter} is missing in {list}"
        );
    }
    let resumed = broker.run(&["plugin", "resume", "key-hash"]).ok().text();
    assert!(resumed.contains("was not suspended"), "{resumed}");
}

/// A broker whose topic `states` has 3,000 records of ten keys in small segments.
fn broker_with_states(config: &[&str]) -> Broker {
    let broker = Broker::start();
    let create = ["topic", "create", "states", "-c", "segment.bytes=64KiB"];
    broker.run(&[&create[..], config].concat()).ok();
    let lines: String = (0..3_000)
        .map(|n| format!("k{}\t{n:0>60}\n", n % 10))
        .collect();
    let produce = [
        "produce",
        "states",
        "--key-separator",
        "\\t",
        "--batch-size",
        "4KiB",
    ];
    broker.run_with_input(&produce, lines.as_bytes()).ok();
    broker
}

#[test]
fn a_dry_run_of_a_compaction_policy_says_which_records_would_go() {
    let broker = broker_with_states(&[]);
    let tried = broker
        .run(&[
            "plugin",
            "dry-run",
            "latest-by-key",
            "--topic",
            "states",
            "--json",
        ])
        .ok()
        .json();
    let report = &tried["report"]["compaction"];
    let count = |name: &str| report[name].as_u64().unwrap_or_default();
    assert!(count("removed_records") > 1_000, "{report}");
    assert!(count("bytes_after") < count("bytes_before"), "{report}");
    assert!(
        report["sample"][0]["key"]
            .as_str()
            .unwrap()
            .starts_with('k'),
        "{report}"
    );
    let text = broker
        .run(&["plugin", "dry-run", "latest-by-key", "--topic", "states"])
        .ok()
        .text();
    assert!(
        text.contains("would be removed") && text.contains("CLEANED TO"),
        "{text}"
    );
    assert_eq!(
        broker
            .run(&["consume", "states"])
            .ok()
            .text()
            .lines()
            .count(),
        3_000
    );
}

#[test]
fn a_dry_run_of_a_retention_policy_says_which_segments_would_go() {
    // Neither deletes nor cleans by itself for a day.
    let config = [
        "cleanup.policy=compact",
        "min.compaction.lag.ms=1d",
        "retention.bytes=64KiB",
    ];
    let broker = broker_with_states(&config.map(|pair| ["-c", pair]).concat());
    let text = broker
        .run(&["plugin", "dry-run", "time-and-size", "--topic", "states"])
        .ok()
        .text();
    assert!(
        text.contains("NEW START") && !text.starts_with("0 segments"),
        "{text}"
    );
    let described = broker.run(&["topic", "describe", "states"]).ok().text();
    assert!(described.contains("FIRST DIRTY"), "{described}");
}
