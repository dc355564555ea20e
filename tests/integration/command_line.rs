//! The command line against a broker: records in and out, places to start from, exit codes, JSON.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

use crate::harness::{Broker, eventually, map};

/// Runs a command with this standard input.
#[track_caller]
fn feed(broker: &Broker, arguments: &[&str], input: &[u8]) -> Output {
    let mut command: Command = broker.command(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .expect("the binary under test can be started");
    let mut stdin = child.stdin.take().expect("it was asked for");
    let input = input.to_vec();
    // A command that refuses its arguments does not read.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it can be waited for");
    writer.join().expect("no panic");
    output
}

#[track_caller]
fn produce(broker: &Broker, arguments: &[&str], input: &[u8]) -> Json {
    let output = feed(broker, &[&["--json", "produce"], arguments].concat(), input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "produce {arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("--json prints JSON")
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output)
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn lines_come_back_as_they_went_whatever_is_in_them() {
    let broker = Broker::start();
    broker.run(&["topic", "create", "t"]);
    let input = "plain\n\n  spaces  \ttab\nGröße 한글 🦀\n\"quotes\" \\n\nlast without a line feed";
    produce(&broker, &["t"], input.as_bytes());
    assert_eq!(
        broker.run(&["consume", "t"]),
        format!("{input}\n").as_bytes()
    );
    let mut wire = broker.connect();
    assert_eq!(wire.read_all("t", 0).len(), 6);
}

#[test]
fn keys_headers_and_a_partition_are_taken_from_the_arguments() {
    let broker = Broker::start();
    broker.run(&["topic", "create", "t", "--partitions", "3"]);
    let arguments = [
        "t",
        "--partition",
        "2",
        "--key-separator",
        "\\t",
        "-H",
        "a=1",
        "-H",
        "a=2",
        "-H",
        "b=",
    ];
    produce(&broker, &arguments, b"k1\tv1\nk2\tv2\n");
    let found = broker.connect().read_all("t", 2);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[1].key.as_deref(), found[1].text()),
        (Some(&b"k2"[..]), "v2".to_owned())
    );
    let headers: Vec<_> = found[0]
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    assert_eq!(
        headers,
        [("a", Some(&b"1"[..])), ("a", Some(b"2")), ("b", Some(b""))]
    );
}

#[test]
fn json_lines_give_their_fields_and_stay_what_they_are() {
    let broker = Broker::start();
    broker.run(&["topic", "create", "t", "--partitions", "4"]);
    let input = b"{\"user\": {\"id\": \"a\"}, \"n\": 1}\n{\"n\": 2,   \"user\": {\"id\": \"b\"}}\n";
    produce(
        &broker,
        &["t", "--format", "ndjson", "--key-field", "user.id"],
        input,
    );
    let mut wire = broker.connect();
    let all: Vec<_> = (0..4)
        .flat_map(|partition| wire.read_all("t", partition))
        .collect();
    let mut pairs: Vec<_> = all
        .iter()
        .map(|record| (record.key.clone().expect("a key"), record.text()))
        .collect();
    pairs.sort();
    assert_eq!(
        pairs[0],
        (
            b"a".to_vec(),
            "{\"user\": {\"id\": \"a\"}, \"n\": 1}".to_owned()
        )
    );
    assert_eq!(
        pairs[1],
        (
            b"b".to_vec(),
            "{\"n\": 2,   \"user\": {\"id\": \"b\"}}".to_owned()
        )
    );
    let output = feed(
        &broker,
        &[
            "produce",
            "t",
            "--format",
            "ndjson",
            "--key-field",
            "user.id",
        ],
        b"{\"user\": 1\n",
    );
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("input:1:"),
        "{output:?}"
    );
}

#[test]
fn a_hundred_thousand_records_go_through_a_pipe_unchanged() {
    let broker = Broker::start();
    broker.run(&["topic", "create", "t", "-c", "segment.bytes=4MiB"]);
    let input: String = (0..100_000)
        .map(|n| {
            format!(
                "{{\"id\":{n},\"text\":\"record number {n}\",\"crc\":{}}}\n",
                n * 7919 % 65_537
            )
        })
        .collect();
    let summary = produce(
        &broker,
        &[
            "t",
            "--format",
            "ndjson",
            "--key-field",
            "id",
            "--compression",
            "zstd",
        ],
        input.as_bytes(),
    );
    assert!(summary.to_string().contains("100000"), "{summary}");
    let output = broker.run(&["consume", "t"]);
    assert!(
        output == input.as_bytes(),
        "{} bytes went in, {} came out, or they differ",
        input.len(),
        output.len()
    );
    // Far fewer batches than records.
    let described = broker.connect().call("list_actors", map! {}).unwrap();
    let partition = described
        .get("actors")
        .list()
        .iter()
        .find(|actor| actor.get("name").text() == "t-0")
        .expect("listed");
    assert!(partition.get("handled").u64() < 5_000, "{partition:?}");
}

#[test]
fn consuming_starts_where_it_is_told() {
    let broker = Broker::start();
    broker.run(&["topic", "create", "t"]);
    let input: String = (0..50).map(|n| format!("{n}\n")).collect();
    produce(&broker, &["t"], input.as_bytes());
    let consume = |more: &[&str]| lines(&broker.run(&[&["consume", "t"], more].concat()));
    let numbers = |range: std::ops::Range<u32>| range.map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(consume(&[]), numbers(0..50));
    assert_eq!(consume(&["--from", "40"]), numbers(40..50));
    assert_eq!(consume(&["--from", "-3"]), numbers(47..50));
    assert_eq!(consume(&["--from", "10", "-n", "5"]), numbers(10..15));
    assert_eq!(consume(&["--from", "end"]), [""; 0]);
    assert_eq!(consume(&["--from", "@0", "-n", "1"]), ["0"]);
    assert_eq!(
        consume(&["-n", "1", "--template", "{{ offset }}:{{ value }}"]),
        ["0:0"]
    );
    let first: Json =
        serde_json::from_str(&consume(&["-n", "1", "--json"])[0]).expect("a JSON document a line");
    assert_eq!(
        (first["offset"].as_u64(), first["value"].as_str()),
        (Some(0), Some("0"))
    );
}

#[test]
fn bytes_that_are_not_text_are_shown_as_hex_and_kept_with_raw() {
    let broker = Broker::start();
    broker.run(&["topic", "create", "t"]);
    let bytes = [0xff, 0x00, 0x80, b'a'];
    produce(&broker, &["t", "--format", "raw"], &bytes);
    assert_eq!(lines(&broker.run(&["consume", "t"])), ["0xff008061"]);
    assert_eq!(
        broker.run(&["consume", "t", "--raw", "--delimiter", ""]),
        bytes
    );
}

#[test]
fn exit_codes_tell_what_kind_of_failure_it_was() {
    let mut broker = Broker::start();
    let code = |output: Output| output.status.code();
    let run =
        |broker: &Broker, arguments: &[&str]| broker.command(arguments).output().expect("it runs");
    assert_eq!(
        code(run(&broker, &["topic", "describe", "nowhere"])),
        Some(1)
    );
    assert_eq!(
        code(run(&broker, &["topic", "create", "bad name"])),
        Some(1)
    );
    assert_eq!(code(run(&broker, &["topic", "creat", "t"])), Some(2));
    assert_eq!(code(run(&broker, &["consume"])), Some(2));
    assert_eq!(code(run(&broker, &["ping"])), Some(0));
    let output = run(&broker, &["--json", "topic", "describe", "nowhere"]);
    let error: Json = serde_json::from_slice(&output.stderr).expect("errors are JSON as well");
    assert!(error["error"].to_string().contains("nowhere"), "{error}");
    assert!(output.stdout.is_empty());
    let address = broker.address().to_owned();
    broker.stop();
    let output = run(&broker, &["--timeout", "300ms", "topic", "list"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(&address),
        "{output:?}"
    );
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn topics_are_administered() {
    let broker = Broker::start();
    broker.run(&[
        "topic",
        "create",
        "orders",
        "--partitions",
        "2",
        "-c",
        "retention.ms=3d",
    ]);
    let listed = lines(&broker.run(&["topic", "list"]));
    assert!(
        listed.iter().any(|line| line.contains("orders")),
        "{listed:?}"
    );
    let described: Json =
        serde_json::from_slice(&broker.run(&["--json", "topic", "describe", "orders"]))
            .expect("JSON");
    assert!(described.to_string().contains("259200000"), "{described}");
    broker.run(&["topic", "delete", "orders"]);
    let listed = lines(&broker.run(&["topic", "list"]));
    assert!(
        !listed.iter().any(|line| line.contains("orders")),
        "{listed:?}"
    );
}

#[test]
fn ping_waits_for_a_broker_that_is_about_to_be_there() {
    let mut broker = Broker::start();
    broker.stop();
    let status = |broker: &Broker, arguments: &[&str]| feed(broker, arguments, b"").status.code();
    assert_eq!(status(&broker, &["ping"]), Some(3));
    let in_vain = ["ping", "--wait", "--timeout", "300ms"];
    assert_eq!(status(&broker, &in_vain), Some(3), "it gives up");
    let mut waiting = broker
        .command(&["ping", "--wait", "--timeout", "1min"])
        .spawn()
        .expect("the binary under test can be started");
    let data = broker.data_dir().display().to_string();
    let serve = ["serve", "--data-dir", &data, "--listen", broker.address()];
    let mut serve = broker
        .command(&serve)
        .spawn()
        .expect("the binary under test can be started");
    let found = waiting.wait().expect("it can be waited for");
    serve.kill().expect("it can be killed");
    serve.wait().expect("it can be waited for");
    assert!(found.success(), "{found}");
}

#[test]
fn a_producer_that_waits_says_so_in_json_when_json_is_asked_for() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let mut command = broker.command(&["--json", "produce", "t", "--delivery-timeout", "10s"]);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    stdin.write_all(b"a\n").expect("it reads");
    eventually("the first record is stored", || {
        (wire.read_all("t", 0).len() == 1).then_some(())
    });
    broker.kill();
    stdin.write_all(b"b\n").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stderr).expect("text");
    let parsed = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    let lines: Vec<Json> = parsed.collect();
    let warning = lines.iter().find(|line| line["warning"].is_string());
    let warning = warning.unwrap_or_else(|| panic!("it waited: {said}"));
    assert_eq!(warning["fields"]["target"], "t", "{warning}");
    assert!(lines.iter().any(|line| line["error"].is_object()), "{said}");
}
