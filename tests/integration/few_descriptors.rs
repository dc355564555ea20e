//! File descriptors that run out: a start without enough of them is refused in words, and a broker that has none left
//! says so to whoever comes, goes on for everybody else, and serves all again when there are some.

use std::fs;
use std::process::Command;

use crate::harness::{Broker, Setup, Value, Wire, eventually, map, plain};

/// Exit code of the binary, as its help prints it.
const FAILED: i32 = 1;

/// Changes the limit of a broker that runs.
fn limit(broker: &Broker, files: usize) {
    let (pid, limit) = (broker.pid().to_string(), format!("--nofile={files}:"));
    let done = Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status();
    assert!(done.expect("prlimit runs").success());
}

/// The number behind a word.
fn number_behind(word: &str, text: &str) -> u32 {
    let (_, rest) = text.split_once(word).expect("the word is there");
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.unwrap().parse().expect("a number")
}

#[test]
fn a_start_with_too_few_is_refused_in_words_and_as_many_as_it_names_are_enough() {
    let two_threads = || Setup::new().option("num.arbiters", "2");
    let mut needed = 0;
    for files in [16, 24, 40] {
        let refused = two_threads().open_files_limit(files).refused();
        let told = format!("the limit of open files is {files}");
        refused
            .exits_with(FAILED)
            .names(&[&told, "ulimit -n", "LimitNOFILE", "num.arbiters"]);
        needed = number_behind("ulimit -n ", &refused.said);
    }
    let broker = two_threads().open_files_limit(needed).start();
    let mut connections: Vec<Wire> = (0..8).map(|_| broker.connect()).collect();
    connections[0].create_topic("t", 20, &[("partitioner", "round-robin")]);
    for number in 0..20 {
        let at = number as usize % connections.len();
        connections[at].produce("t", number, plain("x", 0..1));
    }
    for number in 0..20 {
        let at = number as usize % connections.len();
        assert_eq!(connections[at].read_all("t", number).len(), 1);
    }
}

#[test]
fn a_connection_that_there_is_no_descriptor_for_is_told_so() {
    let broker = Broker::start();
    let mut first = broker.connect();
    first.create_topic("t", 1, &[]);
    first.produce("t", 0, plain("x", 0..1));
    limit(&broker, broker.open_files() + 2);
    let mut others = Vec::new();
    let refused = loop {
        let mut next = Wire::open(broker.address());
        // Whoever is accepted is answered, and anybody else without having asked.
        next.try_send("hello", map! { "client" => "next" }).ok();
        match next.try_receive().ok().flatten().map(|told| told.outcome) {
            Some(Ok(_)) => others.push(next),
            Some(Err(refused)) => break refused,
            // Closed with what it had sent unread, which may take the word along.
            None => {}
        }
        assert!(others.len() < 100, "there were descriptors enough");
    };
    assert_eq!(refused.name, "TOO_MANY_CONNECTIONS");
    assert!(refused.retriable && refused.definite, "{refused:?}");
    for word in ["file descriptor", "ulimit -n"] {
        assert!(refused.message.contains(word), "{refused:?}");
    }
    first.produce("t", 0, plain("y", 0..1));
    assert_eq!(first.read_all("t", 0).len(), 2);
    limit(&broker, 4096);
    let mut late = eventually("there is room again", || {
        let mut wire = Wire::open(broker.address());
        wire.try_send("hello", map! { "client" => "late" }).ok()?;
        wire.try_receive().ok().flatten()?.outcome.ok()?;
        Some(wire)
    });
    assert_eq!(late.read_all("t", 0).len(), 2);
}

#[test]
fn a_topic_is_made_without_a_descriptor_for_its_plugins_or_refused_for_now() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("warm", 1, &[]);
    wire.produce("warm", 0, plain("x", 0..1));
    // Plugins that nobody has used before are compiled.
    let config = || map! { "partitioner" => "sticky-grow", "value.serializer" => "json" };
    let topic = |name: &str| map! { "name" => name, "partitions" => 1, "config" => config() };
    for free in 0..4 {
        limit(&broker, lowest_free(&broker) + free);
        if let Err(error) = wire.call("create_topic", topic(&format!("early-{free}"))) {
            assert!(error.retriable && error.definite, "{free}: {error:?}");
            assert!(error.message.contains("open files"), "{free}: {error:?}");
        }
        limit(&broker, 4096);
    }
    let made = eventually("it can be made", || {
        wire.call("create_topic", topic("late")).ok()
    });
    assert_ne!(made, Value::Nil);
}

/// The number that the next file gets.
fn lowest_free(broker: &Broker) -> usize {
    let is_free = |number: &usize| {
        fs::symlink_metadata(format!("/proc/{}/fd/{number}", broker.pid())).is_err()
    };
    (0..).find(is_free).expect("numbers have no end")
}
