//! Exit codes and errors: what scripts rely on.

use crate::fake_broker::{Behaviour, FakeBroker};
use crate::harness::{broker, run};

/// An address at which nobody listens.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn a_wrong_command_line_is_2_and_suggests() {
    run(&["topik", "list"]).ended(2).says(&["topic"]);
    run(&["topic", "create"]).ended(2).says(&["<NAME>"]);
    run(&["produce", "orders", "--key-field", "a"])
        .ended(2)
        .says(&["--format ndjson"]);
    run(&["consume", "orders", "--from", "middle"])
        .ended(2)
        .says(&["beginning", "5min-ago"]);
    run(&["ping", "--server", "http://here/"])
        .ended(2)
        .says(&["--server", "host:port"]);
}

#[test]
fn a_wrong_command_line_with_json_is_a_json_error() {
    let error = run(&["topic", "create", "--json"]).ended(2).json_error();
    assert_eq!(
        (&error["status"], &error["exit_code"]),
        (&"usage".into(), &2.into())
    );
}

#[test]
fn no_broker_is_3_with_a_hint() {
    for args in [
        &["topic", "list"][..],
        &["ping"],
        &["produce", "t"],
        &["consume", "t"],
        &["plugin", "list"],
    ] {
        let mut args = args.to_vec();
        args.extend(["--server", NOBODY]);
        run(&args)
            .ended(3)
            .says(&["error:", NOBODY, "hint:", "broker serve"]);
    }
    let error = run(&["topic", "list", "--json", "--server", NOBODY])
        .ended(3)
        .json_error();
    assert_eq!(error["status"], "no_connection");
    assert!(error["hint"].as_str().unwrap().contains("--server"));
}

#[test]
fn the_server_comes_from_the_environment_and_the_first_dead_one_is_passed_over() {
    let fake = FakeBroker::start(Behaviour::Answers);
    let list = format!("{NOBODY},{}", fake.address);
    let listed = broker(&["topic", "list"])
        .env("BROKER_SERVER", list)
        .output()
        .unwrap();
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
}

#[test]
fn an_answer_that_never_comes_is_7_because_it_may_have_been_done() {
    let fake = FakeBroker::start(Behaviour::HangsUpOn("create_topic"));
    let args = ["topic", "create", "orders", "--server", &fake.address];
    run(&args)
        .ended(7)
        .says(&["may or may not have been carried out"]);
}

#[test]
fn a_port_that_is_no_broker_is_3_and_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let web = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 1024]);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    run(&["ping", "--server", &address])
        .ended(3)
        .says(&[&address]);
    web.join().unwrap();
}

#[test]
fn errors_go_to_standard_error_without_colours_in_a_pipe() {
    let ran = run(&["topic", "list", "--server", NOBODY]).ended(3);
    assert_eq!(ran.stdout, b"");
    assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
}

#[test]
fn output_that_nobody_reads_ends_quietly() {
    use std::process::{Command, Stdio};
    let mut child: Command = broker(&["config", "sample"]);
    let mut child = child
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
