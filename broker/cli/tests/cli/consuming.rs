//! `broker consume`: places, formats, following.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::harness::{Broker, signal, wait};

/// A broker with the numbers 0 to 9 in partition 0 of a topic of two partitions, at 0 to 9 seconds.
fn with_numbers() -> Broker {
    let broker = Broker::start();
    broker.topic("t", 2);
    let lines: String = (0..10)
        .map(|n| format!("{{\"n\": {n}, \"at\": {}}}\n", n * 1000))
        .collect();
    let args = [
        "produce",
        "t",
        "-p",
        "0",
        "--format",
        "ndjson",
        "--value-field",
        "n",
        "--timestamp-field",
        "at",
    ];
    broker.run_with_input(&args, lines.as_bytes()).ok();
    broker
}

fn lines(broker: &Broker, args: &[&str]) -> Vec<String> {
    let all: Vec<&str> = ["consume", "t"].iter().chain(args).copied().collect();
    broker
        .run(&all)
        .ok()
        .text()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_place_is_found() {
    let broker = with_numbers();
    let all: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(lines(&broker, &[]), all);
    assert_eq!(
        lines(&broker, &["--from", "beginning", "-n", "3"]),
        all[..3]
    );
    assert_eq!(lines(&broker, &["--from", "end"]), Vec::<String>::new());
    assert_eq!(
        lines(&broker, &["--from", "7", "--partition", "0"]),
        all[7..]
    );
    assert_eq!(lines(&broker, &["--from", "-2"]), all[8..]);
    assert_eq!(lines(&broker, &["--from", "-20"]), all);
    assert_eq!(lines(&broker, &["--from", "@4500"]), all[5..]);
    assert_eq!(
        lines(&broker, &["--from", "1970-01-01T00:00:08Z"]),
        all[8..]
    );
    assert_eq!(lines(&broker, &["--from", "1h-ago"]), Vec::<String>::new());
    assert_eq!(lines(&broker, &["--partition", "1"]), Vec::<String>::new());
}

#[test]
fn an_offset_that_is_not_there_is_an_error_with_the_range() {
    let broker = with_numbers();
    broker
        .run(&["consume", "t", "--partition", "0", "--from", "11"])
        .ended(1)
        .says(&["t-0", "offset 11", "0 up to 10"]);
    broker
        .run(&["consume", "t", "--partition", "5"])
        .ended(1)
        .says(&["no partition 5"]);
}

#[test]
fn formats_show_what_they_say() {
    let broker = with_numbers();
    assert_eq!(
        lines(&broker, &["--format", "text", "-n", "1"]),
        ["0\t0\t1970-01-01T00:00:00.000Z\t<null>\t\t0"]
    );
    assert_eq!(
        lines(
            &broker,
            &[
                "--format",
                "text",
                "--columns",
                "offset,value",
                "--from",
                "9",
                "--partition",
                "0"
            ]
        ),
        ["9\t9"]
    );
    assert_eq!(lines(&broker, &["--format", "hex", "-n", "1"]), ["30"]);
    assert_eq!(
        lines(
            &broker,
            &["--template", "{{ offset }}={{ value }}", "-n", "2"]
        ),
        ["0=0", "1=1"]
    );
    let json = lines(&broker, &["--json", "-n", "1"]);
    let record: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!(
        (&record["topic"], &record["key"], &record["value"]),
        (&"t".into(), &().into(), &"0".into())
    );
    broker
        .run(&["consume", "t", "--template", "{{ offzet }}"])
        .ended(1)
        .says(&["--template", "offset 0"]);
}

#[test]
fn bytes_that_are_not_text_are_shown_in_hexadecimal_unless_raw() {
    let broker = Broker::start();
    broker.topic("t", 1);
    broker.run_with_input(&["produce", "t"], b"\xff\x00\n").ok();
    let shown = broker
        .run(&["consume", "t"])
        .ok()
        .says(&["warning:", "t-0 offset 0", "--raw"]);
    assert_eq!(shown.text(), "0xff00\n");
    assert_eq!(
        broker.run(&["consume", "t", "--raw"]).ok().stdout,
        b"\xff\x00\n"
    );
}

#[test]
fn following_shows_records_as_they_come_until_it_is_interrupted() {
    let broker = with_numbers();
    let mut follower = broker
        .command(&["consume", "t", "--from", "end", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(follower.stdout.take().unwrap()).lines();
    // Where the end is, is decided while the follower starts: write until it shows something.
    let writer = std::thread::spawn(move || shown.next().map(|line| (line, shown)));
    while !writer.is_finished() {
        broker.run_with_input(&["produce", "t"], b"new\n").ok();
    }
    let (first, _shown) = writer.join().unwrap().unwrap();
    assert_eq!(first.unwrap(), "new");
    signal(&follower, "INT");
    assert_eq!(wait(&mut follower).code(), Some(0));
}

#[test]
fn a_reader_that_has_had_enough_ends_it_quietly() {
    let broker = Broker::start();
    broker.topic("t", 1);
    let input: String = (0..50_000)
        .map(|n| format!("a rather long line with the number {n}\n"))
        .collect();
    broker
        .run_with_input(&["produce", "t"], input.as_bytes())
        .ok();
    let mut child = broker
        .command(&["consume", "t"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert_eq!(first, "a rather long line with the number 0\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap()
        ),
        (Some(0), String::new())
    );
}
