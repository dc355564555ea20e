//! Clients: the Rust examples, the Python client, and the one that the protocol page shows. They agree
//! about where keys go, and each reads what the others wrote.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use broker_tests::repository;

use crate::harness::{Broker, Rec, Setup, Value, eventually, keyed, map, output_of, python};

#[test]
fn the_rust_examples_write_and_read() {
    let broker = Broker::start();
    let mut producer = Command::new(env!("CARGO_BIN_EXE_example-producer"));
    let said = output_of(producer.args(["greetings", "25", broker.address()]));
    assert_eq!(said.lines().count(), 25, "{said}");
    assert!(
        said.lines().all(|line| line.contains(" -> greetings-")),
        "{said}"
    );
    let consumer = || Command::new(env!("CARGO_BIN_EXE_example-consumer"));
    let read = output_of(consumer().args(["greetings", broker.address()]));
    assert_eq!(read.lines().count(), 25, "{read}");
    for number in 0..25 {
        let wanted = format!(
            "key=user-{} value=hello {number} [source=example]",
            number % 5
        );
        assert_eq!(
            read.lines().filter(|line| line.contains(&wanted)).count(),
            1,
            "{wanted}: {read}"
        );
    }
    // A second run finds the topic and goes on.
    output_of(producer.args(["greetings", "5", broker.address()]));
    let missing = consumer()
        .args(["nowhere", broker.address()])
        .output()
        .expect("it runs");
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nowhere"));
}

#[test]
fn the_python_demo_runs() {
    let broker = Broker::start();
    let said = output_of(
        python()
            .arg(repository().join("examples/python/demo.py"))
            .arg(broker.address()),
    );
    assert!(
        said.contains("OFFSET_OUT_OF_RANGE") && said.trim_end().ends_with("done"),
        "{said}"
    );
}

#[test]
fn the_client_of_the_protocol_page_works_as_printed() {
    let broker = Broker::start();
    let page = fs::read_to_string(repository().join("broker/protocol/PROTOCOL.md"))
        .expect("the page is there");
    let (_, code) = page
        .split_once("```python\n")
        .expect("the page shows a client");
    let (code, _) = code.split_once("```").expect("the fence ends");
    let (_, port) = broker.address().rsplit_once(':').expect("it has a port");
    let code = code.replace("port=7420", &format!("port={port}"));
    assert!(
        code.contains(port),
        "the page's client has no port to change"
    );
    let said = output_of(python().arg("-c").arg(&code));
    assert!(
        said.contains("b'hello'") && said.contains("b'world'"),
        "{said}"
    );
}

#[test]
fn every_client_sends_a_key_to_the_same_partition() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 7, &[]);
    let keys: Vec<String> = (0..30)
        .map(|number| format!("schlüssel-{number}"))
        .collect();
    let asked: Vec<Value> = keys.iter().map(|key| Value::from(key.as_bytes())).collect();
    let answer = wire
        .call("partition_for", map! { "topic" => "t", "keys" => asked })
        .unwrap();
    let expected: Vec<u64> = answer
        .get("partitions")
        .list()
        .iter()
        .map(Value::u64)
        .collect();
    let code = "
import sys
from broker_client import Client, Record
with Client(sys.argv[1]) as client:
    records = [Record(key='schlüssel-{}'.format(n).encode(), value=b'from python') for n in range(30)]
    print([partition for partition, _ in client.produce('t', records)])
";
    let said = output_of(python().args(["-c", code, broker.address()]));
    assert_eq!(said.trim(), format!("{expected:?}"));
    let placed = wire.produce_routed(
        "t",
        keys.iter().map(|key| keyed(key, "raw")).collect::<Vec<_>>(),
    );
    assert_eq!(
        placed
            .iter()
            .map(|(partition, _)| u64::from(*partition))
            .collect::<Vec<_>>(),
        expected
    );
    // The command line, and through it the Rust client.
    let lines: String = keys
        .iter()
        .map(|key| format!("{key}|from the command line\n"))
        .collect();
    let file = broker.home().join("lines");
    fs::write(&file, lines).expect("it can be written");
    broker.run(&["produce", "t", "--key-separator", "|", "lines"]);
    for partition in 0..7 {
        for record in wire.read_all("t", partition) {
            let key = String::from_utf8(record.key.expect("all have one")).expect("text");
            let number = keys
                .iter()
                .position(|known| *known == key)
                .expect("a known key");
            assert_eq!(u64::from(partition), expected[number], "{key}");
        }
    }
}

#[test]
fn the_python_client_tells_errors_apart_and_finds_another_broker_of_its_list() {
    let broker = Broker::start();
    let code = "
import sys
from broker_client import BrokerError, Client, ConnectionLost, Record
address = sys.argv[1]
with Client('127.0.0.1:1,' + address) as client:
    client.create_topic('t', partitions=2, config={'message.max.bytes': 2048})
    for call, name in [
        (lambda: client.create_topic('t'), 'TOPIC_ALREADY_EXISTS'),
        (lambda: client.produce('t', [Record(value=b'x' * 5000)], partition=0), 'MESSAGE_TOO_LARGE'),
        (lambda: client.produce('nowhere', [Record(value=b'x')], partition=0), 'UNKNOWN_TOPIC_OR_PARTITION'),
        (lambda: client.fetch('t', 0, 99), 'OFFSET_OUT_OF_RANGE'),
        (lambda: client.call('no_such_method'), 'UNKNOWN_METHOD'),
    ]:
        try:
            call()
            raise SystemExit(name + ' was not raised')
        except BrokerError as error:
            assert (error.name, error.definite, error.retriable) == (name, True, False), error
            assert error.code > 0 and error.message
    records = [Record(key=b'k', value=None, timestamp=n, headers=[('h', b'1'), ('h', None)]) for n in (5, 3, 9)]
    for codec in (None, 'none', 'gzip'):
        client.produce('t', records, partition=1, codec=codec)
    found = list(client.consume('t', 1, follow=False))
    assert [r.timestamp for r in found] == [5, 3, 9] * 3, found
    assert all(r.key == b'k' and r.value is None and r.headers == [('h', b'1'), ('h', None)] for r in found)
    assert [r.offset for r in client.consume('t', 1, offset=('time', 9), follow=False)][:1] == [2]
    assert client.list_offset('t', 1, 10) is None
try:
    Client('127.0.0.1:1').metadata()
    raise SystemExit('nobody listens there')
except ConnectionLost as error:
    assert '127.0.0.1:1' in str(error)
print('fine')
";
    assert_eq!(
        output_of(python().args(["-c", code, broker.address()])).trim(),
        "fine"
    );
}

/// A free port: one that was free a moment ago.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener
        .local_addr()
        .expect("it has an address")
        .to_string()
}

#[test]
fn a_producer_and_a_follower_outlive_crashes_of_the_broker() {
    let mut broker = Setup::new()
        .argument("--listen")
        .argument(free_address())
        .start();
    broker.run(&["topic", "create", "t"]);
    let mut follower = broker.command(&["consume", "t", "--follow", "--format", "value"]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().expect("it runs");
    let followed = collect_lines(follower.stdout.take().expect("it was asked for"));
    let mut producer = broker.command(&["produce", "t", "--batch-size", "1KiB"]);
    let mut producer = producer
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = producer.stdin.take().expect("it was asked for");
    let mut feed = |numbers: std::ops::Range<u32>| {
        numbers.for_each(|number| writeln!(input, "line {number}").expect("it reads"));
        input.flush().expect("it reads");
    };
    feed(0..100);
    eventually("both are connected", || {
        (!followed.lock().expect("no panic").is_empty()).then_some(())
    });
    for part in 1..5 {
        feed(part * 100..part * 100 + 100);
        if part % 2 == 0 {
            broker.crash();
        }
    }
    drop(input);
    let output = producer.wait_with_output().expect("it ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stored: Vec<String> = broker
        .connect()
        .read_all("t", 0)
        .iter()
        .map(Rec::text)
        .collect();
    // At least once, and in order but for what was sent again.
    let mut first_seen: Vec<&String> = Vec::new();
    for text in &stored {
        if !first_seen.contains(&text) {
            first_seen.push(text);
        }
    }
    let sent: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
    assert_eq!(first_seen, sent.iter().collect::<Vec<_>>());
    eventually("the follower is at the end", || {
        (followed.lock().expect("no panic").len() >= stored.len()).then_some(())
    });
    follower.kill().expect("an own process can be killed");
    follower.wait().expect("an own process can be waited for");
    assert_eq!(
        *followed.lock().expect("no panic"),
        stored,
        "it missed something, or saw it twice"
    );
}

/// The lines that a process prints, as they come.
fn collect_lines(stdout: ChildStdout) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let out = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            out.lock().expect("no panic").push(line);
        }
    });
    lines
}
