//! Bytes that no client should send. Each gets a clear answer, the broker serves others as before, and
//! nothing of it is stored. The frames are those of the page: what it promises is what happens.

use std::fs;

use broker_tests::repository;
use serde_json::Value as Json;

use crate::harness::{Broker, Setup, Value, Wire, eventually, frame, map, plain};

/// A frame of the page and what the page says is answered.
struct BadFrame {
    name: String,
    bytes: Vec<u8>,
    answer: Value,
}

/// Every `<!-- bad frame: … -->` of PROTOCOL.md with the two fences below it.
fn bad_frames() -> Vec<BadFrame> {
    let page = fs::read_to_string(repository().join("broker/protocol/PROTOCOL.md"));
    let page = page.expect("the page is there");
    let fence = |text: &str, kind: &str| {
        let (_, inside) = text.split_once(&format!("```{kind}\n"))?;
        inside
            .split_once("```")
            .map(|(inside, _)| inside.to_owned())
    };
    let sections = page.split("<!-- bad frame: ").skip(1);
    let parse = |section: &str| {
        let (name, rest) = section.split_once(" -->").expect("the comment ends");
        let hex: String = fence(rest, "hex").expect("a hex fence follows");
        let json = fence(rest, "json").expect("a json fence follows");
        let json: Json = serde_json::from_str(&json).expect("the fence is JSON");
        let bytes = hex
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).expect("hex"));
        BadFrame {
            name: name.to_owned(),
            bytes: bytes.collect(),
            answer: from_json(&json),
        }
    };
    sections.map(parse).collect()
}

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => Value::from(number.as_i64().expect("a whole number")),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        Json::Object(fields) => match fields.get("$bin").and_then(Json::as_str) {
            Some(hex) => {
                let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
                Value::Bin((0..hex.len()).step_by(2).map(byte).collect())
            }
            None => Value::Map(
                fields
                    .iter()
                    .map(|(key, value)| (Value::from(key.as_str()), from_json(value)))
                    .collect(),
            ),
        },
    }
}

/// A broker with one topic whose contents have to survive whatever a test does.
struct Guarded {
    broker: Broker,
    before: u64,
}

impl Guarded {
    fn start() -> Self {
        let broker = Broker::start();
        let mut wire = broker.connect();
        wire.create_topic("guard", 1, &[]);
        wire.produce("guard", 0, plain("kept ", 0..10));
        let before = bytes_on_disk(&broker);
        Self { broker, before }
    }

    /// Others are served and nothing was added.
    fn is_unharmed(&self) {
        let mut wire = self.broker.connect();
        let found: Vec<String> = wire
            .read_all("guard", 0)
            .iter()
            .map(|record| record.text())
            .collect();
        let kept: Vec<String> = (0..10).map(|number| format!("kept {number}")).collect();
        assert_eq!(found, kept);
        assert_eq!(
            bytes_on_disk(&self.broker),
            self.before,
            "something was stored"
        );
        let topics = wire.call("metadata", map! {}).unwrap();
        let topics: Vec<_> = topics
            .get("topics")
            .list()
            .iter()
            .filter(|topic| !topic.get("internal").bool())
            .collect();
        assert_eq!(topics.len(), 1, "{topics:?}");
    }
}

fn bytes_on_disk(broker: &Broker) -> u64 {
    let logs = broker.files("guard", 0, "log");
    logs.iter()
        .map(|file| fs::metadata(file).map_or(0, |file| file.len()))
        .sum()
}

#[test]
fn every_bad_frame_of_the_page_is_answered_as_the_page_says() {
    let guarded = Guarded::start();
    let frames = bad_frames();
    assert!(
        frames.len() >= 15,
        "the page has only {} bad frames",
        frames.len()
    );
    for BadFrame {
        name,
        bytes,
        answer,
    } in frames
    {
        let is_first = ["TLS", "before hello"]
            .iter()
            .any(|word| name.contains(word));
        let address = guarded.broker.address();
        let mut wire = if is_first {
            Wire::open(address)
        } else {
            Wire::connect(address)
        };
        wire.send_bytes(&bytes);
        let got = wire.receive();
        let [_, id, error, _] = answer.list() else {
            panic!("{name}: the page has no response")
        };
        assert_eq!(got.id, (!id.is_nil()).then(|| id.u64()), "{name}");
        let found = got.outcome.expect_err(&name);
        assert_eq!(found.code, error.get("code").u64(), "{name}: {found:?}");
        assert_eq!(found.name, error.get("name").text(), "{name}");
        assert_eq!(found.retriable, error.get("retriable").bool(), "{name}");
        assert_eq!(found.definite, error.get("definite").bool(), "{name}");
        let Value::Map(facts) = error.get("data") else {
            continue;
        };
        for (key, value) in facts {
            assert_eq!(
                found.data.get(key.text()),
                value,
                "{name}: data.{}",
                key.text()
            );
        }
        match got.id {
            Some(_) if is_first => {}
            Some(_) => drop(wire.call("ping", map! {}).expect("the connection goes on")),
            None => wire.expect_closed(),
        }
    }
    guarded.is_unharmed();
}

#[test]
fn a_browser_gets_an_answer_that_it_can_show() {
    let guarded = Guarded::start();
    let mut wire = Wire::open(guarded.broker.address());
    wire.send_bytes(b"GET /index.html HTTP/1.1\r\nHost: broker\r\nAccept: */*\r\n\r\n");
    let answer = String::from_utf8(wire.read_to_end()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("MessagePack"), "{answer}");
    guarded.is_unharmed();
}

#[test]
fn a_frame_that_ends_too_early_is_told_apart_from_a_goodbye() {
    let guarded = Guarded::start();
    for cut in [&b"\xce"[..], b"\xce\0\0\0", b"\xce\0\0\0\x09\x94\0\x01"] {
        let mut wire = guarded.broker.connect();
        wire.send_bytes(cut);
        wire.finish_sending();
        let answer = wire.receive();
        assert_eq!(answer.id, None);
        assert_eq!(answer.outcome.unwrap_err().name, "MALFORMED_FRAME");
        wire.expect_closed();
    }
    let mut wire = guarded.broker.connect();
    wire.finish_sending();
    wire.expect_closed();
    guarded.is_unharmed();
}

#[test]
fn what_was_asked_before_a_wrong_frame_is_answered_before_it() {
    let guarded = Guarded::start();
    let mut wire = guarded.broker.connect();
    let wanted = map! { "topic" => "guard", "partition" => 0, "offset" => 10 };
    let poll = |wait: u64| map! { "partitions" => vec![wanted.clone()], "max_wait_ms" => wait, "min_bytes" => 1 };
    let mut asked = [500, 30_000].map(|wait| Some(wire.send("fetch", poll(wait))));
    wire.send_frame(b"nonsense");
    // Neither of them gets its time.
    let mut answered = [(); 2].map(|()| {
        let answer = wire.receive();
        answer.outcome.expect("nothing new is no error");
        answer.id
    });
    asked.sort();
    answered.sort();
    assert_eq!(answered, asked);
    let last = wire.receive();
    assert_eq!(last.id, None);
    assert_eq!(last.outcome.unwrap_err().name, "MALFORMED_FRAME");
    wire.expect_closed();
    guarded.is_unharmed();
}

#[test]
fn wrong_types_are_refused_by_every_method_and_the_connection_goes_on() {
    let guarded = Guarded::start();
    let mut wire = guarded.broker.connect();
    let methods = [
        "hello",
        "metadata",
        "create_topic",
        "delete_topic",
        "alter_topic",
        "create_partitions",
        "describe_topic",
        "describe_configs",
        "produce",
        "fetch",
        "list_offsets",
        "delete_records",
        "partition_for",
        "crash_actor",
    ];
    // Nothing that is wrong in this way can be right for a method with fields of these names.
    let nonsense = Value::Map(vec![(Value::from(7), Value::from(true))]);
    let odd = Value::Array(vec![Value::Nil, Value::from(-1)]);
    for method in methods {
        for args in [
            Value::from(7),
            Value::from("text"),
            Value::Array(vec![]),
            Value::from(&b"bin"[..]),
            nonsense.clone(),
        ] {
            let error = wire.refused(method, args);
            assert_eq!(error.name, "MALFORMED_REQUEST", "{method}: {error:?}");
        }
        let fields = [
            "name",
            "topic",
            "topics",
            "partitions",
            "partition",
            "records",
            "resource",
            "protocol_min",
            "kind",
            "keys",
        ];
        let all_odd = Value::Map(
            fields
                .iter()
                .map(|field| (Value::from(*field), odd.clone()))
                .collect(),
        );
        let error = wire.refused(method, all_odd);
        assert_eq!(error.name, "MALFORMED_REQUEST", "{method}: {error:?}");
        assert!(error.definite && !error.retriable, "{method}: {error:?}");
    }
    wire.call("ping", map! {}).unwrap();
    guarded.is_unharmed();
}

#[test]
fn notifications_of_nonsense_are_dropped_without_a_word() {
    let guarded = Guarded::start();
    let mut wire = guarded.broker.connect();
    wire.notify("no_such_method", map! {});
    wire.notify("produce", map! { "topic" => 7 });
    wire.notify(
        "produce",
        map! { "topic" => "nowhere", "partition" => 0, "records" => plain("x", 0..1) },
    );
    wire.call("ping", map! {}).unwrap();
    guarded.is_unharmed();
}

#[test]
fn hello_comes_first_and_its_versions_have_to_meet() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.address());
    let error = wire.refused("metadata", map! {});
    assert_eq!(error.name, "HELLO_REQUIRED");
    let error = wire.refused("hello", map! { "protocol_min" => 90, "protocol_max" => 99 });
    assert_eq!(error.name, "UNSUPPORTED_PROTOCOL");
    assert_eq!(error.data.get("protocol_max"), &Value::from(1));
    let hello = wire.call("hello", map! { "protocol_max" => 99 }).unwrap();
    assert_eq!(hello.get("protocol"), &Value::from(1));
    let codecs: Vec<_> = hello.get("codecs").list().iter().map(Value::text).collect();
    assert_eq!(codecs, ["none", "gzip", "snappy", "lz4", "zstd"]);
    wire.call("metadata", map! {}).unwrap();
}

/// A generator without a crate; the seed is printed with every failure.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below).expect("fits")).expect("fits")
    }
}

#[test]
fn random_bytes_and_damaged_requests_harm_nobody() {
    let guarded = Guarded::start();
    let mut wire = guarded.broker.connect();
    wire.create_topic("target", 2, &[]);
    let good = map! { "topic" => "target", "partition" => 1, "records" => plain("r", 0..5) };
    let good = Value::Array(vec![0.into(), 9.into(), "produce".into(), good]).encode();
    for seed in 1..=300_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut wire = guarded.broker.connect();
        let body: Vec<u8> = if seed % 3 == 0 {
            (0..dice.roll(200))
                .map(|_| u8::try_from(dice.roll(256)).expect("a byte"))
                .collect()
        } else {
            let mut damaged = good.clone();
            for _ in 0..=dice.roll(3) {
                let at = dice.roll(damaged.len());
                damaged[at] = u8::try_from(dice.roll(256)).expect("a byte");
            }
            damaged
        };
        wire.send_frame(&body);
        wire.finish_sending();
        // It answers something, or nothing to what has become a notification; it never hangs.
        while let Some(answer) = wire
            .try_receive()
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"))
        {
            if let Err(error) = answer.outcome {
                assert_ne!(error.name, "UNKNOWN", "seed {seed}: {error:?}");
            }
        }
    }
    wire.read_all("target", 1);
    assert_eq!(bytes_on_disk(&guarded.broker), guarded.before);
}

#[test]
fn announced_lengths_cost_no_memory() {
    let guarded = Guarded::start();
    let before = guarded.broker.resident_mib();
    let half_sent: Vec<Wire> = (0..200)
        .map(|_| {
            let mut wire = guarded.broker.connect();
            wire.send_bytes(b"\xce\x00\xff\xff\xff\x94\x00\x01\xa7produce");
            wire
        })
        .collect();
    guarded.is_unharmed();
    let grown = guarded.broker.resident_mib().saturating_sub(before);
    assert!(
        grown < 200,
        "200 frames announced with 16 MiB each cost {grown} MiB"
    );
    drop(half_sent);
    guarded.is_unharmed();
}

#[test]
fn a_large_frame_is_refused_by_its_start_and_the_rest_of_it_thrown_away() {
    const BYTES: usize = 1024 * 1024;
    const START: usize = 8 * 1024;
    let guarded = Guarded::start();
    let mut wire = guarded.broker.connect();
    let mut body = b"\x94\x00\x4d\xa8metadata".to_vec();
    body.resize(BYTES, 0x91);
    let whole = frame(&body);
    let (start, rest) = whole.split_at(START);
    wire.send_bytes(start);
    let refused = wire.receive();
    assert_eq!(refused.id, Some(0x4d), "{:?}", refused.outcome);
    let error = refused.outcome.expect_err("it is nested too deep");
    assert_eq!(error.name, "NESTING_TOO_DEEP");
    wire.send_bytes(rest);
    wire.call("ping", map! {}).expect("the connection goes on");
    let without_id = frame(&vec![0x91; BYTES]);
    wire.send_bytes(without_id.split_at(START).0);
    let last = wire.receive();
    assert_eq!(last.id, None, "{:?}", last.outcome);
    assert_eq!(last.outcome.unwrap_err().name, "NESTING_TOO_DEEP");
    wire.expect_closed();
    guarded.is_unharmed();
}

#[test]
fn a_connection_too_many_is_told_so() {
    let broker = Setup::new().option("max.connections", "2").start();
    let first = broker.connect();
    let _second = broker.connect();
    let mut third = Wire::open(broker.address());
    let answer = third.receive();
    assert_eq!(answer.id, None);
    let error = answer.outcome.unwrap_err();
    assert_eq!(error.name, "TOO_MANY_CONNECTIONS");
    assert!(error.retriable);
    third.expect_closed();
    drop(first);
    eventually("a place is free again", || {
        let mut wire = Wire::open(broker.address());
        if wire.try_send_bytes(&hello_frame()).is_err() {
            return None;
        }
        let answer = wire.try_receive().ok().flatten()?;
        answer.outcome.ok()
    });
}

fn hello_frame() -> Vec<u8> {
    let body = Value::Array(vec![0.into(), 1.into(), "hello".into(), map! {}]).encode();
    [
        &b"\xce\0\0\0"[..],
        &[u8::try_from(body.len()).expect("short")],
        &body,
    ]
    .concat()
}

#[test]
fn an_idle_connection_is_told_and_closed() {
    let broker = Setup::new()
        .option("connections.max.idle.ms", "2000")
        .start();
    let mut wire = broker.connect();
    let answer = wire.receive();
    assert_eq!(answer.id, None);
    assert_eq!(answer.outcome.unwrap_err().name, "TIMED_OUT");
    wire.expect_closed();
}

#[test]
fn clients_that_do_not_read_hold_up_nobody() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("big", 1, &[("flush.mode", "async")]);
    let record = Value::Array(vec![Value::Nil, Value::Bin(vec![b'x'; 1_000_000])]);
    for _ in 0..10 {
        wire.produce("big", 0, vec![record.clone()]);
    }
    wire.produce("big", 0, plain("small ", 0..1));
    let wanted = map! { "topic" => "big", "partition" => 0, "offset" => 0 };
    let lazy: Vec<Wire> = (0..40)
        .map(|_| {
            let mut lazy = broker.connect();
            lazy.send("fetch", map! { "partitions" => vec![wanted.clone()] });
            lazy
        })
        .collect();
    // Others get their records, or are told to come back, while the lazy ones are still there.
    for _ in 0..5 {
        match wire.fetch("big", 0, 10, map! {}) {
            Ok(fetched) => assert_eq!(fetched.records()[0].text(), "small 0"),
            Err(error) => assert_eq!(error.name, "BUSY", "{error:?}"),
        }
    }
    let described = wire.call("describe_cluster", map! {}).unwrap();
    let connections = described.get("brokers").list()[0].get("connections").u64();
    assert!(
        connections > 40,
        "it was answered only after {} of 41 were cut off",
        41 - connections.min(41)
    );
    assert!(broker.resident_mib() < 600, "{} MiB", broker.resident_mib());
    drop(lazy);
}
