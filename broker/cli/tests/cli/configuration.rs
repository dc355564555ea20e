//! `broker config` and the checks of `broker serve`: offline.

use crate::harness::run;

fn file(contents: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(file.path(), contents).expect("it can be written");
    file
}

#[test]
fn a_key_is_explained_with_default_range_and_variable() {
    let text = run(&["config", "explain", "log.segment.bytes"]).ok().text();
    for part in [
        "1073741824",
        "bytes",
        "BROKER__LOG__SEGMENT__BYTES",
        "allowed",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    let json = run(&["config", "explain", "retention.ms", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&json["level"], &json["default"], &json["unit"]),
        (&"topic".into(), &"604800000".into(), &"ms".into())
    );
}

#[test]
fn a_misspelt_key_is_an_error_with_a_suggestion() {
    run(&["config", "explain", "log.segment.byte"])
        .ended(1)
        .says(&["log.segment.bytes"]);
}

#[test]
fn the_sample_is_a_file_that_passes_the_check() {
    let sample = run(&["config", "sample"]).ok().text();
    let sample = file(&sample);
    let path = sample.path().display().to_string();
    run(&["config", "check", &path]).ok();
    let json = run(&["config", "check", &path, "--json"]).ok().json();
    assert_eq!(json["keys_set"], 0);
}

#[test]
fn every_problem_of_a_file_is_reported_at_once_with_its_line() {
    let bad =
        file("log.segment.byte = \"1GiB\"\nnum.partitions = 0\nlog.retention.ms = \"soon\"\n");
    let path = bad.path().display().to_string();
    let parts = [
        ":1",
        "log.segment.bytes",
        ":2",
        "num.partitions",
        ":3",
        "soon",
    ];
    run(&["config", "check", &path]).ended(6).says(&parts);
    run(&["serve", "--config", &path, "--check"])
        .ended(6)
        .says(&parts);
    run(&["serve", "--config", &path]).ended(6).says(&parts);
    let error = run(&["serve", "--config", &path, "--json"])
        .ended(6)
        .json_error();
    assert_eq!(error["status"], "invalid_config");
}

#[test]
fn options_of_serve_are_checked_too_and_the_last_one_counts() {
    run(&["serve", "--check", "-o", "log.segment.byte=1"])
        .ended(6)
        .says(&["command line", "log.segment.bytes"]);
    run(&["serve", "--check", "-o", "nonsense"])
        .ended(2)
        .says(&["KEY=VALUE"]);
    run(&[
        "serve",
        "--check",
        "-o",
        "num.partitions=4",
        "--listen",
        "127.0.0.1:0",
    ])
    .ok();
    run(&["serve", "--check", "--config", "/nowhere/broker.toml"])
        .ended(6)
        .says(&["/nowhere/broker.toml"]);
}

#[test]
fn a_check_warns_of_what_cannot_work_on_this_machine() {
    let says = [
        "warning",
        "log.min.free.bytes",
        "no record",
        "./broker-data",
    ];
    run(&["serve", "--check", "-o", "log.min.free.bytes=8000000TiB"])
        .ok()
        .says(&says);
    let file = file("log.min.free.bytes = \"8000000TiB\"\n");
    let path = file.path().display().to_string();
    run(&["config", "check", &path]).ok().says(&says);
}

#[test]
fn a_check_loads_the_plugin_manifest_and_fails_as_the_start_does() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let data = dir.path().join("data").display().to_string();
    let bad =
        file("[[plugin]]\nname = \"mine\"\nkind = \"partitioner\"\npath = \"nowhere.wasm\"\n");
    let path = bad.path().display().to_string();
    let serve = [
        "serve",
        "--plugins",
        &path,
        "--data-dir",
        &data,
        "--listen",
        "127.0.0.1:0",
        "--json",
    ];
    let checked = run(&[&serve[..], &["--check"]].concat()).ended(1);
    let started = run(&serve).ended(1);
    let message = checked.json_error()["message"].clone();
    assert_eq!(message, started.json_error()["message"]);
    let message = message.as_str().unwrap_or_default();
    assert!(
        message.contains("nowhere.wasm") && message.contains(&path),
        "{message}"
    );
    let none = file("");
    let path = none.path().display().to_string();
    run(&["serve", "--check", "--plugins", &path]).ok();
}

#[test]
fn keys_are_listed_for_the_broker_and_for_topics() {
    let broker = run(&["config", "list"]).ok().text();
    assert!(broker.contains("log.dir ") && broker.contains("listeners"));
    let topic = run(&["config", "list", "--topic", "--json"]).ok().json();
    let keys = topic.as_array().unwrap();
    assert!(keys.iter().any(|key| key["key"] == "flush.mode"));
    assert!(keys.iter().all(|key| key["level"] == "topic"));
}
