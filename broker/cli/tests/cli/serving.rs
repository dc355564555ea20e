//! `broker serve`: starts, says where it listens, keeps what it was given, stops when told to.

use crate::harness::{Broker, broker, run};

#[test]
fn a_file_survives_a_stop_and_a_start_byte_for_byte() {
    let broker = Broker::start();
    broker.topic("packages", 1);
    let lines: String = (0..20_000)
        .map(|n| format!("{{\"Package\":\"lib{n}\",\"Source\":\"src{}\",\"Description\":\"naïve \\\"{n}\\\"\"}}\n", n % 97))
        .collect();
    let path = broker.file("packages.ndjson", lines.as_bytes());
    let args = [
        "produce",
        "packages",
        "--format",
        "ndjson",
        "--key-field",
        "Source",
        &path,
        "--json",
    ];
    assert_eq!(broker.run(&args).ok().json()["records"], 20_000);
    assert!(broker.run(&["consume", "packages"]).ok().stdout == lines.as_bytes());

    let (code, home) = broker.stop();
    assert_eq!(code, Some(0));
    let broker = Broker::start_in(home);
    assert!(broker.run(&["consume", "packages"]).ok().stdout == lines.as_bytes());
    assert_eq!(broker.stop().0, Some(0));
}

#[test]
fn a_data_directory_or_port_in_use_is_refused_by_name() {
    let running = Broker::start();
    let data = running.data_dir().display().to_string();
    run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &data])
        .ended(1)
        .says(&["error:", &data]);
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().display().to_string();
    let address = running.address.clone();
    run(&["serve", "--listen", &address, "--data-dir", &elsewhere])
        .ended(1)
        .says(&[&address, "--listen"]);
}

#[test]
fn a_wrong_manifest_keeps_it_from_starting() {
    let home = tempfile::tempdir().unwrap();
    let manifest = home.path().join("plugins.toml");
    std::fs::write(
        &manifest,
        "[[plugin]]\nname = \"x\"\nkind = \"partitioner\"\npath = \"x.wasm\"\n",
    )
    .unwrap();
    let manifest = manifest.display().to_string();
    let data = home.path().join("data").display().to_string();
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        &data,
        "--plugins",
        &manifest,
    ];
    run(&args).ended(1).says(&["plugins.toml", "x"]);
}

/// What a broker of this configuration logs until it is stopped; with `--json`, as its line about listening is.
fn json_log(option: &str) -> Vec<serde_json::Value> {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let home = tempfile::tempdir().expect("a directory can be made");
    let args = ["serve", "--listen", "127.0.0.1:0", "-o", option, "--json"];
    let mut process = broker(&args)
        .arg("--data-dir")
        .arg(home.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let stdout = process.stdout.take().expect("it was asked for");
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("it listens");
    let line: serde_json::Value = serde_json::from_str(&line).expect("a document");
    let listening = line["listening"].as_str();
    assert!(listening.is_some_and(|at| at.starts_with("127.0.0.1:")));
    crate::harness::signal(&process, "TERM");
    let output = process.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    let log = String::from_utf8(output.stderr).expect("the log is text");
    assert!(!log.is_empty());
    let entry = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(entry).collect()
}

#[test]
fn the_log_is_json_when_asked_for_and_the_listening_line_too() {
    for entry in json_log("logging.format=json") {
        assert!(entry["level"].is_string(), "{entry}");
    }
    for entry in json_log("logging.format=text") {
        let text = [&entry["log"], &entry["warning"]];
        assert!(text.iter().any(|text| text.is_string()), "{entry}");
        assert!(entry["time"].as_str().unwrap().ends_with('Z'), "{entry}");
    }
}
