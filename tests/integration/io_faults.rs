//! A disk that fails under a running broker with two of them: the directory on it is out of service at
//! once, nothing more is acknowledged in it, the other one goes on, and the next start finds everything
//! that was acknowledged. A preloaded library (`io_faults.c`) does the failing.

use std::fs;
use std::process::Command;

use crate::harness::{Broker, FaultyDisks, Value, Wire, WireError, eventually, map, plain, valued};

fn try_produce(wire: &mut Wire, partition: u32, value: &str) -> Result<Value, WireError> {
    let args = map! { "topic" => "t", "partition" => partition, "records" => vec![valued(value)] };
    wire.call("produce", args)
}

fn states(wire: &mut Wire) -> Vec<String> {
    let cluster = wire.call("describe_cluster", map! {}).unwrap();
    let dirs = cluster.get("brokers").list()[0].get("log_dirs").clone();
    let states = dirs.list().iter();
    states
        .map(|dir| dir.get("state").text().to_owned())
        .collect()
}

#[track_caller]
fn assert_offline(error: &WireError) {
    assert_eq!(error.name, "PARTITION_OFFLINE", "{error:?}");
    assert!(error.definite && !error.retriable, "{error:?}");
    assert_eq!(error.data.get("topic").text(), "t");
}

#[test]
fn whichever_sync_fails_its_directory_goes_and_the_other_stays() {
    for failing in [1, 2, 3, 6] {
        // One only: those after it would succeed, and say nothing.
        a_sync_fails(|rig| rig.fail_syncs("second/t-", failing, 1), 20);
    }
}

/// A producer that nobody is beside has its batches synced on the thread that serves it, which is not the
/// directory's sync thread: what fails there is no different.
#[test]
fn the_sync_of_a_producer_that_is_alone_fails_like_any_other() {
    for failing in [1, 30] {
        // With several directories its thread does not wait for any of them.
        let mut rig = FaultyDisks::start_on(&["only"]);
        let mut wire = rig.broker.connect();
        rig.fail_syncs_on("actix", "only/t-", failing);
        let (acknowledged, error) = produce_until_it_fails(&mut wire, 0, 20_000);
        assert!(!error.definite, "it may have reached the disk: {error:?}");
        assert_offline(&try_produce(&mut wire, 1, "late").unwrap_err());
        assert_eq!(states(&mut wire), ["failed"]);
        rig.broker.stop();
        rig.heal();
        rig.broker.start_again();
        let records = rig.broker.connect().read_all("t", 0);
        assert!(records.len() >= acknowledged, "{acknowledged}");
        for (number, record) in records.iter().enumerate().take(acknowledged) {
            assert_eq!(record.text(), format!("v{number}"));
        }
    }
}

/// How many records were acknowledged before one was not, which takes so many at most.
fn produce_until_it_fails(
    wire: &mut Wire,
    partition: u32,
    requests_max: usize,
) -> (usize, WireError) {
    let mut acknowledged = 0;
    loop {
        match try_produce(wire, partition, &format!("v{acknowledged}")) {
            Ok(_) => acknowledged += 1,
            Err(error) => return (acknowledged, error),
        }
        assert!(acknowledged < requests_max, "no sync has failed");
    }
}

/// Breaks a sync, after which the directory is out of service, the other one is not, and the next start finds
/// what was acknowledged. Sooner or later, after so many requests at most, a producer has to notice.
fn a_sync_fails(break_it: impl Fn(&FaultyDisks), requests_max: usize) {
    let mut rig = FaultyDisks::start();
    let (bad, good) = (rig.partitions_in("second"), rig.partitions_in("first"));
    assert!(!bad.is_empty() && !good.is_empty(), "{bad:?} {good:?}");
    let mut wire = rig.broker.connect();
    break_it(&rig);
    let (acknowledged, error) = produce_until_it_fails(&mut wire, bad[0], requests_max);
    assert!(!error.definite, "it may have reached the disk: {error:?}");
    for partition in &bad {
        assert_offline(&try_produce(&mut wire, *partition, "late").unwrap_err());
        assert_offline(&wire.fetch("t", *partition, 0, map! {}).unwrap_err());
    }
    for partition in &good {
        wire.produce("t", *partition, plain("fine ", 0..3));
    }
    assert_eq!(states(&mut wire), ["online", "failed"]);
    let cluster = wire.call("describe_cluster", map! {}).unwrap();
    let said = format!("{:?}", cluster.get("warnings"));
    assert_eq!(said.matches("is out of service").count(), 1, "{said}");
    wire.create_topic("later", 2, &[]);
    for partition in 0..2 {
        wire.produce("later", partition, plain("fine ", 0..1));
    }
    rig.broker.stop();
    rig.heal();
    rig.broker.start_again();
    let mut wire = rig.broker.connect();
    assert_eq!(states(&mut wire), ["online", "online"]);
    let texts: Vec<String> = wire
        .read_all("t", bad[0])
        .iter()
        .map(|found| found.text())
        .collect();
    let expected: Vec<String> = (0..acknowledged)
        .map(|number| format!("v{number}"))
        .collect();
    assert_eq!(
        texts.get(..acknowledged),
        Some(expected.as_slice()),
        "{texts:?}"
    );
    assert!(
        !texts.contains(&"late".to_owned()),
        "it was refused for certain"
    );
    for partition in good {
        assert_eq!(wire.read_all("t", partition).len(), 3);
    }
    try_produce(&mut wire, bad[0], "again").unwrap();
}

#[test]
fn a_read_error_takes_the_directory_out_of_service() {
    let mut rig = FaultyDisks::start();
    let (bad, good) = (rig.partitions_in("second"), rig.partitions_in("first"));
    let mut wire = rig.broker.connect();
    for partition in 0..4 {
        wire.produce("t", partition, plain("kept ", 0..5));
    }
    rig.broker.crash();
    let mut wire = rig.broker.connect();
    rig.fail_reads(&format!("second/t-{}", bad[0]));
    let error = wire.fetch("t", bad[0], 0, map! {}).unwrap_err();
    assert!(
        ["STORAGE_FAILED", "PARTITION_OFFLINE"].contains(&error.name.as_str()),
        "{error:?}"
    );
    for partition in &bad {
        assert_offline(&try_produce(&mut wire, *partition, "late").unwrap_err());
    }
    assert_eq!(states(&mut wire), ["online", "failed"]);
    for partition in good {
        assert_eq!(wire.read_all("t", partition).len(), 5);
        try_produce(&mut wire, partition, "more").unwrap();
    }
    rig.heal();
    rig.broker.crash();
    let mut wire = rig.broker.connect();
    for partition in bad {
        assert_eq!(wire.read_all("t", partition).len(), 5);
    }
}

#[test]
fn without_its_metadata_log_a_broker_serves_what_it_knows_and_changes_nothing() {
    let mut rig = FaultyDisks::start();
    let elsewhere = rig.partitions_in("second")[0];
    let mut wire = rig.broker.connect();
    rig.fail_syncs("first/__cluster_metadata-0", 1, 1);
    let error = wire.refused(
        "create_topic",
        map! { "name" => "maybe", "partitions" => 1 },
    );
    assert_eq!(error.name, "STORAGE_FAILED", "{error:?}");
    assert!(!error.definite, "{error:?}");
    for _ in 0..2 {
        let error = wire.refused(
            "create_topic",
            map! { "name" => "never", "partitions" => 1 },
        );
        assert_eq!(
            (error.name.as_str(), error.definite),
            ("STORAGE_FAILED", true),
            "{error:?}"
        );
        assert!(
            error.message.contains("metadata cannot be changed"),
            "{error:?}"
        );
    }
    let error = wire.refused("delete_topic", map! { "name" => "t" });
    assert!(error.definite, "{error:?}");
    wire.produce("t", elsewhere, plain("fine ", 0..3));
    assert_eq!(wire.read_all("t", elsewhere).len(), 3);
    assert_eq!(states(&mut wire), ["failed", "online"]);
    rig.heal();
    rig.broker.stop();
    rig.broker.start_again();
    let mut wire = rig.broker.connect();
    assert_eq!(wire.read_all("t", elsewhere).len(), 3);
    wire.create_topic("never", 1, &[]);
}

#[test]
fn a_broker_without_file_descriptors_refuses_and_recovers() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("warm", 1, &[]);
    wire.produce("warm", 0, plain("x", 0..1));
    let limit = |files: usize| {
        let (pid, limit) = (broker.pid().to_string(), format!("--nofile={files}:"));
        let done = Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status();
        assert!(done.expect("prlimit runs").success());
    };
    let open = fs::read_dir(format!("/proc/{}/fd", broker.pid()))
        .expect("it runs")
        .count();
    limit(open + 2);
    // More partitions than there are descriptors for: their files cannot be made, or not be opened.
    wire.create_topic("t", 40, &[]);
    let mut refused = 0;
    for partition in 0..40 {
        // Not long: a sync that waits for a descriptor waits with its acknowledgement.
        let args = map! { "topic" => "t", "partition" => partition, "records" => plain("early", 0..1), "timeout_ms" => 500 };
        if let Err(error) = wire.call("produce", args) {
            let is_known = error.definite || error.name == "TIMED_OUT";
            assert!(error.retriable && is_known, "{error:?}");
            refused += 1;
        }
    }
    assert!(refused > 0, "there were descriptors enough");
    assert_eq!(states(&mut wire), ["online"]);
    limit(4096);
    for partition in 0..40 {
        eventually("every partition is written to", || {
            try_produce(&mut wire, partition, "late").ok()
        });
    }
    wire.produce("warm", 0, plain("x", 1..2));
    assert_eq!(states(&mut wire), ["online"]);
}

#[test]
fn an_index_that_cannot_be_read_is_told_and_costs_no_more_than_itself() {
    let mut rig = FaultyDisks::start();
    let mut wire = rig.broker.connect();
    let config = [("segment.bytes", "4KiB")];
    wire.create_topic("s", 1, &config);
    for number in 0..40 {
        wire.produce("s", 0, vec![valued(&format!("{number:0200}"))]);
    }
    rig.broker.stop();
    rig.fail_reads("s-0/00000000000000000000.timeindex");
    rig.broker.start_again();
    assert_eq!(rig.broker.connect().read_all("s", 0).len(), 40);
    let log = rig.broker.log();
    let told = log
        .lines()
        .find(|line| line.contains("an index cannot be read"));
    let told = told.expect("it is told");
    assert!(
        told.contains("s-0/00000000000000000000.timeindex"),
        "{told}"
    );
    assert!(!log.contains("out of service"), "{log}");
    rig.heal();
}
