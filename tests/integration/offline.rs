//! `broker log`: data directories looked at without a broker. It shows what a consumer would have seen,
//! finds what is damaged, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value as Json;

use crate::harness::{Broker, Value, keyed, opaque, plain};

const DAMAGED: i32 = 5;

fn run(broker: &Broker, arguments: &[&str]) -> Output {
    broker
        .command(arguments)
        .output()
        .expect("the binary under test can be started")
}

fn json_lines(output: &Output) -> Vec<Json> {
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON document a line"))
        .collect()
}

/// Every file below a directory with its bytes.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = walk(dir).into_iter().filter(|path| path.is_file());
    files
        .map(|path| (path.clone(), fs::read(path).expect("it is there")))
        .collect()
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .expect("it is there")
        .flatten()
        .map(|entry| entry.path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// A stopped broker with some of everything in `t`, and a little in `other`.
fn stopped_with_data() -> Broker {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "2KiB")]);
    wire.create_topic("other", 1, &[]);
    wire.produce("other", 0, plain("x", 0..3));
    let headers = vec![Value::Array(vec!["h".into(), Value::from(&b"1"[..])])];
    wire.produce(
        "t",
        0,
        vec![Value::Array(vec![
            Value::Nil,
            Value::Nil,
            77.into(),
            headers.into(),
        ])],
    );
    for round in 0..6 {
        wire.produce("t", 0, vec![keyed("key", &format!("value {round}"))]);
        wire.call(
            "produce",
            opaque("t", 0, &plain("packed text ", 0..40), "zstd"),
        )
        .unwrap();
        wire.produce("t", 0, plain("some text to fill a segment ", 0..20));
    }
    drop(wire);
    broker.stop();
    broker
}

#[test]
fn a_dump_shows_every_record_as_a_consumer_sees_it() {
    let mut broker = stopped_with_data();
    let before = contents(&broker.data_dir());
    let dir = broker.partition_dir("t", 0).display().to_string();
    let output = run(&broker, &["--json", "log", "dump", &dir, "--records"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        contents(&broker.data_dir()),
        before,
        "looking has changed something"
    );
    let lines = json_lines(&output);
    let of_kind = |kind: &str| {
        lines
            .iter()
            .filter_map(|line| line.get(kind))
            .cloned()
            .collect::<Vec<_>>()
    };
    let (segments, batches, records) = (of_kind("segment"), of_kind("batch"), of_kind("record"));
    assert_eq!(segments.len(), broker.files("t", 0, "log").len());
    assert!(segments.len() > 1);
    assert_eq!(batches.len(), 19);
    assert_eq!(batches[2]["codec"], "zstd");
    let bytes: u64 = batches
        .iter()
        .map(|batch| batch["bytes"].as_u64().expect("a size"))
        .sum();
    let on_disk: u64 = broker
        .files("t", 0, "log")
        .iter()
        .map(|file| fs::metadata(file).expect("it is there").len())
        .sum();
    assert_eq!(
        bytes, on_disk,
        "the sizes of all batches are the size of the log"
    );
    broker.start_again();
    let consumed = broker.connect().read_all("t", 0);
    assert_eq!(records.len(), consumed.len());
    for (dumped, consumed) in records.iter().zip(consumed) {
        let text =
            |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).expect("text"));
        assert_eq!(dumped["offset"].as_u64(), Some(consumed.offset));
        assert_eq!(dumped["timestamp_ms"].as_i64(), Some(consumed.timestamp));
        assert_eq!(dumped["key"].as_str(), text(consumed.key).as_deref());
        assert_eq!(dumped["value"].as_str(), text(consumed.value).as_deref());
        assert_eq!(
            dumped["headers"].as_array().map(Vec::len),
            Some(consumed.headers.len())
        );
    }
}

#[test]
fn a_verification_finds_damage_and_passes_what_is_whole() {
    let broker = stopped_with_data();
    let data_dir = broker.data_dir().display().to_string();
    let verify = || run(&broker, &["--json", "log", "verify", &data_dir]);
    let output = verify();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report = json_lines(&output).remove(0);
    let partitions = report["partitions"].as_array().expect("partitions").len();
    assert_eq!(partitions, 3, "the topics' and the metadata's: {report}");
    assert_eq!(report["damages"].as_u64(), Some(0));

    let log = broker.files("t", 0, "log").remove(1);
    let mut bytes = fs::read(&log).expect("it is there");
    bytes[80] ^= 4;
    fs::write(&log, bytes).expect("it can be written");
    let before = contents(&broker.data_dir());
    let output = verify();
    assert_eq!(output.status.code(), Some(DAMAGED));
    let report = json_lines(&output).remove(0);
    assert_eq!(report["damages"].as_u64(), Some(1), "{report}");
    let found = report["partitions"]
        .as_array()
        .expect("partitions")
        .iter()
        .find(|p| p["partition"] == "t-0");
    let damage = &found.expect("it is listed")["damages"][0];
    let base: u64 = log
        .file_stem()
        .expect("a name")
        .to_string_lossy()
        .parse()
        .expect("digits");
    assert_eq!(damage["file"], log.display().to_string());
    assert_eq!(
        (damage["position"].as_u64(), damage["offset"].as_u64()),
        (Some(0), Some(base))
    );
    assert_eq!(
        contents(&broker.data_dir()),
        before,
        "looking has changed something"
    );
}

/// What a verification says of a partition.
fn verified(broker: &Broker, partition: &str) -> (Option<i32>, Json) {
    let data_dir = broker.data_dir().display().to_string();
    let output = run(broker, &["--json", "log", "verify", &data_dir]);
    let report = json_lines(&output).remove(0);
    assert_eq!(report["topics_not_compared"], Json::Array(Vec::new()));
    let partitions = report["partitions"].as_array().expect("partitions");
    let mut found = partitions.iter().filter(|p| p["partition"] == partition);
    let found = found.next().expect("it is listed").clone();
    (output.status.code(), found)
}

#[test]
fn a_verification_compares_directories_with_the_topics_of_the_metadata() {
    let broker = stopped_with_data();
    let (t, other) = (
        broker.partition_dir("t", 0),
        broker.partition_dir("other", 0),
    );
    let aside = broker.data_dir().join("aside");
    let swap = || {
        fs::rename(&t, &aside).expect("it can be renamed");
        fs::rename(&other, &t).expect("it can be renamed");
        fs::rename(&aside, &other).expect("it can be renamed");
    };
    swap();
    for (partition, holds, not) in [
        ("t-0", "topic other", "of t"),
        ("other-0", "topic t", "of other"),
    ] {
        let (code, found) = verified(&broker, partition);
        assert_eq!(code, Some(DAMAGED));
        let damages = found["damages"].as_array().expect("damages");
        assert_eq!(damages.len(), 1, "{found}");
        let what = damages[0]["what"].as_str().expect("a text");
        assert!(what.contains(holds) && what.contains(not), "{what}");
        let file = broker.data_dir().join(partition).join("partition.metadata");
        assert_eq!(damages[0]["file"], file.display().to_string());
    }
    swap();
    let unknown = broker.partition_dir("unknown", 0);
    fs::rename(&other, &unknown).expect("it can be renamed");
    let (code, found) = verified(&broker, "unknown-0");
    assert_eq!(code, Some(DAMAGED), "it is a topic's: {found}");
    fs::rename(&unknown, &other).expect("it can be renamed");

    let log = "__cluster_metadata-0/00000000000000000000.log";
    let mut bytes = fs::read(broker.data_dir().join(log)).expect("it is there");
    bytes[80] ^= 4;
    fs::write(broker.data_dir().join(log), bytes).expect("it can be written");
    let data_dir = broker.data_dir().display().to_string();
    let output = run(&broker, &["log", "verify", &data_dir]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("topic ids are not compared"), "{text}");
}
