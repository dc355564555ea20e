//! SIGTERM: what is under way is answered, everything is synced, and the next start has nothing to look
//! through.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{
    Broker, FaultyDisks, Setup, Wire, broker_command, eventually, map, plain, valued,
};

/// A broker whose log says how much of each partition it reads when it starts.
fn talkative() -> Broker {
    Setup::new().log_filter("broker_server=debug").start()
}

/// What was read at the start that is logged from this byte on, by partition.
fn scanned(broker: &Broker, from: usize) -> Vec<(String, u64)> {
    let log = broker.log();
    let last_start = &log[from..];
    let opened = last_start
        .lines()
        .filter(|line| line.contains("log opened"));
    let field = |line: &str, name: &str| {
        let (_, rest) = line.split_once(name).expect("the field is there");
        rest.split(' ').next().expect("a word").to_owned()
    };
    let number = |line: &str| field(line, "scanned_bytes=").parse().expect("a number");
    opened
        .map(|line| (field(line, "partition="), number(line)))
        .collect()
}

#[test]
fn what_is_under_way_is_answered_and_what_is_acknowledged_is_kept() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let mut ids = Vec::new();
    for number in 0..100 {
        let args = map! { "topic" => "t", "partition" => 0, "records" => vec![valued(&number.to_string())] };
        ids.push(wire.send("produce", args));
    }
    broker.signal_term();
    let mut acknowledged = Vec::new();
    // The broker may stop reading at any request; those it has read are answered, in full.
    while let Ok(Some(answer)) = wire.try_receive() {
        let number = ids
            .iter()
            .position(|id| Some(*id) == answer.id)
            .expect("it was asked");
        match answer.outcome {
            Ok(result) => acknowledged.push((result.get("base_offset").u64(), number.to_string())),
            Err(error) => assert!(error.definite && error.retriable, "{error:?}"),
        }
    }
    assert!(broker.wait().success(), "{}", broker.log());
    broker.start_again();
    let records = broker.connect().read_all("t", 0);
    for (offset, text) in &acknowledged {
        assert_eq!(
            records[usize::try_from(*offset).expect("fits")].text(),
            *text
        );
    }
    assert_eq!(
        records.len(),
        acknowledged.len(),
        "what is stored was acknowledged, and the other way round"
    );
}

#[test]
fn a_long_poll_does_not_hold_up_a_stop() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let wanted = map! { "topic" => "t", "partition" => 0, "offset" => 0 };
    let fetch = wire.send(
        "fetch",
        map! { "partitions" => vec![wanted], "max_wait_ms" => 60_000 },
    );
    // A stop answers what was read by then: this comes behind it.
    wire.call("ping", map! {}).expect("it is answered");
    let _idle = broker.connect();
    broker.signal_term();
    let answer = wire.receive();
    assert_eq!(answer.id, Some(fetch));
    wire.expect_closed();
    assert!(broker.wait().success());
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_up_a_stop_and_one_that_reads_gets_its_answers() {
    let mut broker = Setup::new().option("shutdown.timeout.ms", "50000").start();
    let mut wire = broker.connect();
    let wanted = wire.create_large_topic("large");
    let mut unreading: Vec<Wire> = (0..3).map(|_| broker.connect()).collect();
    for one in &mut unreading {
        for _ in 0..4 {
            one.send("fetch", wanted.clone());
        }
        eventually("it is answered", || one.has_answer().then_some(()));
    }
    // Far more than lies in sockets, and nothing of it is read before the broker stops.
    let mut asked: Vec<u64> = (0..4).map(|_| wire.send("fetch", wanted.clone())).collect();
    let args = map! { "topic" => "large", "partition" => 0, "records" => plain("last", 0..1) };
    asked.push(wire.send("produce", args));
    eventually("what was sent is taken", || {
        (broker.connect().offset_at("large", 0, "latest") == Some(9)).then_some(())
    });
    broker.signal_term();
    let mut answered = Vec::new();
    while let Ok(Some(answer)) = wire.try_receive() {
        answer.outcome.expect("it was asked before the stop");
        answered.extend(answer.id);
    }
    answered.sort_unstable();
    assert_eq!(answered, asked);
    assert!(broker.wait().success(), "{}", broker.log());
    let log = broker.log();
    assert!(!log.contains("connections are cut off"), "{log}");
}

#[test]
fn a_start_after_a_clean_stop_reads_no_data() {
    let mut broker = talkative();
    let mut wire = broker.connect();
    for (topic, mode) in [("synced", "sync"), ("lazy", "async")] {
        let config = [
            ("flush.mode", mode),
            ("flush.ms", "1h"),
            ("segment.bytes", "16KiB"),
        ];
        wire.create_topic(topic, 2, &config);
        for partition in 0..2 {
            for start in (0..400).step_by(40) {
                wire.produce(
                    topic,
                    partition,
                    plain("some text to fill segments with ", start..start + 40),
                );
            }
        }
    }
    drop(wire);
    broker.stop();
    let checkpoint = broker.data_dir().join("recovery-point-checkpoint");
    let checkpoint = std::fs::read_to_string(checkpoint).expect("it is there");
    assert!(checkpoint.contains("clean=true"), "{checkpoint}");
    let logged = broker.log().len();
    broker.start_again();
    let found = scanned(&broker, logged);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().all(|(_, bytes)| *bytes == 0), "{found:?}");
    let mut wire = broker.connect();
    for topic in ["synced", "lazy"] {
        for partition in 0..2 {
            assert_eq!(wire.read_all(topic, partition).len(), 400);
        }
    }
}

#[test]
fn a_start_after_a_kill_reads_only_what_was_not_known_to_be_durable() {
    let mut broker = talkative();
    let mut wire = broker.connect();
    wire.create_topic("synced", 1, &[]);
    wire.create_topic("lazy", 1, &[("flush.mode", "async"), ("flush.ms", "1h")]);
    for start in (0..5_000).step_by(100) {
        for topic in ["synced", "lazy"] {
            wire.produce(
                topic,
                0,
                plain("some text that takes room ", start..start + 100),
            );
        }
    }
    let size = |wire: &mut Wire, topic: &str| {
        wire.describe_topic(topic).get("partitions").list()[0]
            .get("size_bytes")
            .u64()
    };
    let (synced, lazy) = (size(&mut wire, "synced"), size(&mut wire, "lazy"));
    drop(wire);
    broker.kill();
    let logged = broker.log().len();
    broker.start_again();
    let found = scanned(&broker, logged);
    let bytes = |name: &str| {
        found
            .iter()
            .find(|(partition, _)| partition == name)
            .map(|(_, bytes)| *bytes)
    };
    assert_eq!(
        bytes("lazy-0"),
        Some(lazy),
        "what nobody has synced is read: {found:?}"
    );
    let again = bytes("synced-0").expect("it was opened");
    assert!(
        again < synced / 4,
        "{again} of {synced} bytes were read again"
    );
    for topic in ["synced", "lazy"] {
        assert_eq!(broker.connect().read_all(topic, 0).len(), 5_000);
    }
}

#[test]
fn a_log_that_nobody_reads_stops_neither_the_broker_nor_its_stop() {
    let home = tempfile::TempDir::new().expect("a temporary directory can be made");
    let mut command = broker_command(home.path());
    command.args(["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
    command.env("BROKER_LOG", "trace");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut broker = command.spawn().expect("the binary can be started");
    let said = broker.stdout.take().expect("it is a pipe");
    let mut said = BufReader::new(said).lines();
    let first = said.next().expect("it says something").expect("a line");
    let address = first.rsplit(' ').next().expect("it ends with an address");
    let mut wire = Wire::connect(address);
    // Each of them says more than a line; a pipe has room for 64 KiB.
    for number in 0..100 {
        wire.create_topic(&format!("t{number}"), 4, &[]);
    }
    let id = Pid::from_child(&broker);
    kill_process(id, Signal::TERM).expect("it runs");
    let ended = eventually("it stops", || broker.try_wait().expect("it can be asked"));
    assert!(ended.success(), "{ended}");
    let mut log = String::new();
    let mut left = broker.stderr.take().expect("it is a pipe");
    left.read_to_string(&mut log).expect("it is text");
    assert!(log.len() > 60_000, "it was never full: {}", log.len());
}

#[test]
fn a_second_signal_cuts_the_stop_short_and_the_exit_code_says_so() {
    let mut rig = FaultyDisks::start_on(&["only"]);
    let mut wire = rig.broker.connect();
    wire.produce("t", 0, plain("before ", 0..3));
    rig.hang_syncs("only/t-");
    let args =
        map! { "topic" => "t", "partition" => 0, "records" => vec![valued("not acknowledged")] };
    wire.send("produce", args);
    rig.broker.signal_term();
    eventually("it is stopping", || {
        rig.broker.log().contains("SIGTERM: stopping").then_some(())
    });
    rig.broker.signal_term();
    assert_eq!(rig.broker.wait().code(), Some(128 + 15));
    assert!(rig.broker.log().contains("the stop is cut short"));
    rig.heal();
    assert!(!rig.is_clean("only"));
    rig.broker.start_again();
    let records = rig.broker.connect().read_all("t", 0);
    assert!(records.len() >= 3, "{}", records.len());
}

#[test]
fn a_terminal_that_goes_away_stops_it_in_good_order_unless_that_is_ignored() {
    for (disposition, by) in [("default", "SIGHUP"), ("ignore", "SIGTERM")] {
        let home = TempDir::new().expect("a directory can be made");
        let mut command = Command::new("env");
        command.arg(format!("--{disposition}-signal=HUP"));
        command.arg(broker_command(home.path()).get_program());
        command.args(["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
        command.current_dir(home.path());
        let mut broker = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let said = broker.stdout.take().expect("it is a pipe");
        let mut said = BufReader::new(said).lines();
        let first = said.next().expect("it says something").expect("a line");
        let address = first.rsplit(' ').next().expect("it ends with an address");
        let id = Pid::from_child(&broker);
        kill_process(id, Signal::HUP).expect("it runs");
        if by != "SIGHUP" {
            Wire::connect(address).create_topic("t", 1, &[]);
            kill_process(id, Signal::TERM).expect("it runs");
        }
        let ended = eventually("it stops", || broker.try_wait().expect("it can be asked"));
        assert!(ended.success(), "{ended}");
        let mut log = String::new();
        let mut left = broker.stderr.take().expect("it is a pipe");
        left.read_to_string(&mut log).expect("it is text");
        assert!(log.contains(&format!("{by}: stopping")), "{log}");
        assert!(log.contains("stopped"), "{log}");
    }
}
