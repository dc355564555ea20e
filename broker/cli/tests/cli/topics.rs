//! `broker topic` and `broker cluster` against a broker.

use crate::harness::Broker;

#[test]
fn a_topic_is_created_and_described() {
    let broker = Broker::start();
    let args = [
        "topic",
        "create",
        "orders",
        "-p",
        "2",
        "-c",
        "retention.ms=1d",
        "--json",
    ];
    let created = broker.run(&args).ok().json();
    assert_eq!(
        (&created["created"], &created["partitions"]),
        (&true.into(), &2.into())
    );
    let described = broker
        .run(&["topic", "describe", "orders", "--json"])
        .ok()
        .json();
    assert_eq!(described["partitions"].as_array().unwrap().len(), 2);
    let text = broker.run(&["topic", "describe", "orders"]).ok().text();
    for part in ["HIGH WATERMARK", "retention.ms", "86400000", "key-hash"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    assert!(
        broker
            .run(&["topic", "list"])
            .ok()
            .text()
            .contains("orders")
    );
}

#[test]
fn a_topic_is_altered_grown_and_deleted() {
    let broker = Broker::start();
    broker
        .run(&[
            "topic",
            "create",
            "orders",
            "-p",
            "2",
            "-c",
            "retention.ms=1d",
        ])
        .ok();
    let args = [
        "topic",
        "alter",
        "orders",
        "-c",
        "flush.mode=async",
        "--unset",
        "retention.ms",
    ];
    let altered = broker.run(&args).ok().text();
    assert!(altered.contains("flush.mode = async"), "{altered}");
    let shown = broker
        .run(&["config", "show", "--topic", "orders", "--set", "--json"])
        .ok()
        .json();
    let keys: Vec<_> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["key"].clone())
        .collect();
    assert!(keys.contains(&"flush.mode".into()), "{keys:?}");
    assert!(!keys.contains(&"retention.ms".into()), "{keys:?}");

    let grown = broker
        .run(&["topic", "add-partitions", "orders", "--by", "3"])
        .ok()
        .text();
    assert!(grown.contains("5 partitions"), "{grown}");
    let shrink = ["topic", "add-partitions", "orders", "--to", "4"];
    broker.run(&shrink).ended(1).says(&["INVALID_PARTITIONS"]);

    broker.run(&["topic", "delete", "orders"]).ok();
    broker
        .run(&["topic", "delete", "orders"])
        .ended(1)
        .says(&["UNKNOWN_TOPIC_OR_PARTITION"]);
    broker
        .run(&["topic", "delete", "orders", "--if-exists"])
        .ok();
}

#[test]
fn a_topic_that_exists_is_refused_or_accepted_as_asked() {
    let broker = Broker::start();
    broker.topic("orders", 3);
    broker
        .run(&["topic", "create", "orders"])
        .ended(1)
        .says(&["TOPIC_ALREADY_EXISTS", "--if-not-exists"]);
    let accepted = broker
        .run(&["topic", "create", "orders", "--if-not-exists", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&accepted["created"], &accepted["partitions"]),
        (&false.into(), &3.into())
    );
}

#[test]
fn a_misspelt_topic_is_met_with_the_right_name() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    for args in [
        &["topic", "describe", "odrers"][..],
        &["topic", "alter", "odrers", "-c", "flush.mode=async"],
        &["topic", "offsets", "odrers"],
        &["topic", "delete", "odrers"],
        &["produce", "odrers"],
        &["consume", "odrers"],
    ] {
        broker
            .run(args)
            .ended(1)
            .says(&["odrers", "did you mean \"orders\"?"]);
    }
    broker
        .run(&["topic", "describe", "clicks"])
        .ended(1)
        .says(&["broker topic create clicks"]);
}

#[test]
fn a_dry_run_changes_nothing_and_warnings_go_to_standard_error() {
    let broker = Broker::start();
    let dry = broker
        .run(&["topic", "create", "a.b_c", "--dry-run"])
        .ok()
        .says(&["warning:"]);
    assert!(dry.text().contains("could be created"));
    assert_eq!(
        broker
            .run(&["topic", "list", "--json"])
            .ok()
            .json()
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let created = broker.run(&["topic", "create", "a.b_c", "--json"]).ok();
    assert_eq!(created.json()["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn a_wrong_key_or_value_is_refused_with_the_right_one() {
    let broker = Broker::start();
    broker
        .run(&["topic", "create", "t", "-c", "retention.mss=1d"])
        .ended(1)
        .says(&["retention.ms"]);
    broker
        .run(&["topic", "create", "t", "-c", "flush.mode=maybe"])
        .ended(1)
        .says(&["flush.mode", "sync"]);
    broker
        .run(&["topic", "create", "t", "-c", "a=1", "-c", "a=2"])
        .ended(2)
        .says(&["given twice"]);
}

#[test]
fn offsets_are_found_by_time_and_old_records_are_forgotten() {
    let broker = Broker::start();
    broker.topic("t", 1);
    for (time, value) in [("@1000", "a"), ("@2000", "b"), ("@3000", "c")] {
        broker
            .run_with_input(&["produce", "t", "--timestamp", time], value.as_bytes())
            .ok();
    }
    let found = broker
        .run(&["topic", "offsets", "t", "--at", "@1500", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&found[0]["latest"], &found[0]["at_time"]["offset"]),
        (&3.into(), &1.into())
    );
    let late = broker
        .run(&["topic", "offsets", "t", "--at", "@9000"])
        .ok()
        .text();
    assert!(late.contains("none that late"), "{late}");

    broker
        .run(&["topic", "delete-records", "t", "--before", "2"])
        .ok();
    assert_eq!(broker.run(&["consume", "t"]).ok().text(), "c\n");
    broker
        .run(&["topic", "delete-records", "t", "--before", "end"])
        .ok();
    assert_eq!(broker.run(&["consume", "t"]).ok().text(), "");
    broker
        .run(&[
            "topic",
            "delete-records",
            "t",
            "--partition",
            "7",
            "--before",
            "end",
        ])
        .ended(1)
        .says(&["partition 7"]);
}

#[test]
fn the_cluster_and_its_actors_are_shown() {
    let broker = Broker::start();
    broker.topic("t", 1);
    let cluster = broker.run(&["cluster", "describe", "--json"]).ok().json();
    assert_eq!(cluster["brokers"].as_array().unwrap().len(), 1);
    assert!(
        broker
            .run(&["cluster", "describe"])
            .ok()
            .text()
            .contains("LOG DIRECTORY")
    );
    let actors = broker
        .run(&["cluster", "actors", "--kind", "partition"])
        .ok()
        .text();
    assert!(actors.contains("t-0"), "{actors}");
    let pong = broker.run(&["ping", "--count", "3", "--json"]).ok().json();
    assert_eq!(pong["round_trips"], 3);
}
