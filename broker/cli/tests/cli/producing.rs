//! `broker produce`: formats, errors, sums.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Broker, Ran, eventually, signal};

/// The records of a topic as `consume --json` shows them.
fn records(broker: &Broker, topic: &str) -> Vec<Value> {
    let text = broker.run(&["consume", topic, "--json"]).ok().text();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect()
}

fn summary(ran: &Ran) -> Value {
    ran.json()
}

#[test]
fn any_bytes_come_back_as_they_went_in() {
    let broker = Broker::start();
    broker.topic("t", 1);
    let mut file = b"plain\r\n\n  blanks \n\xff\xfe binary \x00 \x1b[31m\n".to_vec();
    file.extend("naïve ünïcode".bytes().cycle().take(300_000));
    file.push(b'\n');
    let path = broker.file("input", &file);
    broker
        .run(&["produce", "t", &path])
        .ok()
        .says(&["5 record(s)"]);
    let back = broker.run(&["consume", "t", "--raw"]).ok();
    assert!(
        back.stdout == file,
        "{} bytes instead of {}",
        back.stdout.len(),
        file.len()
    );
}

#[test]
fn every_codec_and_acknowledgement_stores_the_same() {
    let broker = Broker::start();
    let input: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("t-{codec}");
        broker.topic(&topic, 1);
        let args = [
            "produce",
            &topic,
            "--compression",
            codec,
            "--batch-size",
            "4KiB",
            "--acks",
            "leader",
        ];
        broker.run_with_input(&args, input.as_bytes()).ok();
        assert_eq!(
            broker.run(&["consume", &topic]).ok().text(),
            input,
            "{codec}"
        );
    }
    broker.topic("unacknowledged", 1);
    let args = ["produce", "unacknowledged", "--acks", "none", "--json"];
    assert_eq!(
        summary(&broker.run_with_input(&args, b"a\nb\n").ok())["records"],
        2
    );
}

#[test]
fn keys_headers_nulls_and_timestamps_arrive() {
    let broker = Broker::start();
    broker.topic("t", 1);
    let args = [
        "produce",
        "t",
        "--key-separator",
        "\\t",
        "--null-value",
        "NULL",
        "-H",
        "a=1",
        "-H",
        "b=",
        "-H",
        "a=2",
        "--timestamp",
        "2023-11-14T22:13:20Z",
    ];
    broker.run_with_input(&args, b"k\tv\nNULL\tNULL\n\t\n").ok();
    let records = records(&broker, "t");
    let seen: Vec<_> = records
        .iter()
        .map(|record| (record["key"].clone(), record["value"].clone()))
        .collect();
    assert_eq!(
        seen,
        [
            ("k".into(), "v".into()),
            (Value::Null, Value::Null),
            ("".into(), "".into())
        ]
    );
    assert_eq!(records[0]["timestamp_ms"], 1_700_000_000_000u64);
    let headers = serde_json::json!([
        {"name": "a", "value": "1"}, {"name": "b", "value": ""}, {"name": "a", "value": "2"}
    ]);
    assert_eq!(records[0]["headers"], headers);
}

#[test]
fn fields_of_json_lines_become_key_timestamp_headers_and_value() {
    let broker = Broker::start();
    broker.topic("t", 1);
    let line = r#"{"id": {"n": 7}, "at": 123, "h": {"x": "y"}, "body": "text"}"#;
    let args = [
        "produce",
        "t",
        "--format",
        "ndjson",
        "--key-field",
        "id.n",
        "--timestamp-field",
        "at",
        "--headers-field",
        "h",
    ];
    broker.run_with_input(&args, line.as_bytes()).ok();
    broker
        .run_with_input(
            &[
                "produce",
                "t",
                "--format",
                "json-lines",
                "--value-field",
                "body",
            ],
            line.as_bytes(),
        )
        .ok();
    let records = records(&broker, "t");
    assert_eq!(
        (&records[0]["key"], &records[0]["value"]),
        (&"7".into(), &line.into())
    );
    assert_eq!(
        (
            &records[0]["timestamp_ms"],
            &records[0]["headers"][0]["value"]
        ),
        (&123.into(), &"y".into())
    );
    assert_eq!(
        (&records[1]["key"], &records[1]["value"]),
        (&Value::Null, &"text".into())
    );
}

#[test]
fn a_bad_json_line_stops_with_its_place_and_what_was_stored() {
    let broker = Broker::start();
    broker.topic("t", 1);
    let path = broker.file(
        "input.ndjson",
        b"{\"a\":1}\n{\"a\":2}\n{\"a\":\n{\"a\":4}\n",
    );
    let args = ["produce", "t", "--format", "ndjson", &path];
    broker.run(&args).ended(4).says(&[
        "input.ndjson:3: not JSON",
        "2 record(s) were stored before it",
        "--on-error skip",
    ]);
    assert_eq!(records(&broker, "t").len(), 2);
    let ran = broker
        .run(&["produce", "t", "--format", "ndjson", &path, "--json"])
        .ended(4);
    assert_eq!(summary(&ran)["records"], 2);
    assert_eq!(ran.json_error()["status"], "partial");
}

#[test]
fn a_bad_first_line_stores_nothing() {
    let broker = Broker::start();
    broker.topic("t", 1);
    broker
        .run_with_input(&["produce", "t", "--format", "ndjson"], b"nonsense\n{}\n")
        .ended(1)
        .says(&["standard input:1"]);
    assert_eq!(records(&broker, "t").len(), 0);
}

#[test]
fn bad_lines_can_be_skipped_and_are_counted() {
    let broker = Broker::start();
    broker.topic("t", 1);
    let args = [
        "produce",
        "t",
        "--format",
        "ndjson",
        "--key-field",
        "k",
        "--on-error",
        "skip",
        "--json",
    ];
    let ran = broker
        .run_with_input(&args, b"{\"k\":1}\nbad\n{}\n\n{\"k\":2}\n")
        .ended(4);
    let summary = summary(&ran);
    assert_eq!(
        (
            &summary["records"],
            &summary["bad_lines"],
            &summary["blank_lines"]
        ),
        (&2.into(), &2.into(), &1.into())
    );
    assert_eq!(records(&broker, "t").len(), 2);
}

#[test]
fn a_record_above_the_topics_limit_is_refused_by_line_and_the_others_are_stored() {
    let broker = Broker::start();
    broker
        .run(&["topic", "create", "t", "-c", "message.max.bytes=10KiB"])
        .ok();
    let mut input = b"small\n".to_vec();
    input.extend([b'x'; 50_000]);
    input.extend(b"\nsmall too\n");
    let args = [
        "produce",
        "t",
        "--partition",
        "0",
        "--batch-size",
        "1KiB",
        "--on-error",
        "skip",
    ];
    broker
        .run_with_input(&args, &input)
        .ended(4)
        .says(&["standard input:2", "MESSAGE_TOO_LARGE"]);
    assert_eq!(
        broker.run(&["consume", "t"]).ok().text(),
        "small\nsmall too\n"
    );
}

#[test]
fn a_chosen_partition_is_honoured_and_one_that_is_not_there_is_refused() {
    let broker = Broker::start();
    broker.topic("t", 3);
    let ran = broker
        .run_with_input(&["produce", "t", "--partition", "2", "--json"], b"a\nb\n")
        .ok();
    let partitions = summary(&ran)["partitions"].clone();
    assert_eq!(
        partitions,
        serde_json::json!([{"partition": 2, "records": 2, "first_offset": 0, "last_offset": 1}])
    );
    broker
        .run_with_input(&["produce", "t", "--partition", "3"], b"a\n")
        .ended(1)
        .says(&["no partition 3", "0 to 2"]);
}

#[test]
fn the_same_key_goes_to_the_same_partition() {
    let broker = Broker::start();
    broker.topic("t", 8);
    let input: String = (0..200)
        .map(|number| format!("key-{}:{number}\n", number % 10))
        .collect();
    broker
        .run_with_input(&["produce", "t", "--key-separator", ":"], input.as_bytes())
        .ok();
    let mut homes = std::collections::BTreeMap::new();
    for record in records(&broker, "t") {
        let home = homes
            .entry(record["key"].to_string())
            .or_insert_with(|| record["partition"].clone());
        assert_eq!(*home, record["partition"]);
    }
    assert_eq!(homes.len(), 10);
}

#[test]
fn raw_takes_a_file_as_one_record() {
    let broker = Broker::start();
    broker.topic("t", 1);
    let picture = b"\x89PNG\r\n\x1a\n\x00\x00".to_vec();
    let path = broker.file("picture.png", &picture);
    broker
        .run(&["produce", "t", "--format", "raw", "--key", "cat", &path])
        .ok();
    let back = broker
        .run(&["consume", "t", "--raw", "--delimiter", ""])
        .ok();
    assert_eq!(back.stdout, picture);
}

#[test]
fn a_file_that_is_missing_is_named() {
    let broker = Broker::start();
    broker.topic("t", 1);
    broker
        .run(&["produce", "t", "/nowhere/at/all"])
        .ended(1)
        .says(&["/nowhere/at/all", "No such file"]);
}

#[test]
fn an_interrupted_run_says_what_was_stored() {
    let broker = Broker::start();
    broker.topic("t", 1);
    let mut child = broker
        .command(&["produce", "t"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\nunfinished").unwrap();
    // What is typed is stored at once, while the input stays open.
    let stored = || broker.run(&["consume", "t"]).ok().text() == "one\ntwo\n";
    eventually("two lines are stored", stored);
    signal(&child, "INT");
    let ran = Ran::from(child.wait_with_output().unwrap());
    ran.ended(130)
        .says(&["interrupted", "2 record(s) were stored"]);
}

#[test]
fn a_broker_that_goes_away_for_good_is_reported_with_what_was_stored() {
    let broker = Broker::start();
    broker.topic("t", 1);
    let mut child = broker
        .command(&["produce", "t", "--delivery-timeout", "10s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    let stored = || broker.run(&["consume", "t"]).ok().text() == "one\n";
    eventually("a line is stored", stored);
    drop(broker);
    stdin.write_all(b"two\n").unwrap();
    drop(stdin);
    let ran = Ran::from(child.wait_with_output().unwrap());
    ran.ended(4)
        .says(&["standard input:2", "1 record(s) were stored, 1 were not"]);
}
