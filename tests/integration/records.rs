//! Records: what is put in comes out, byte for byte and in order, with offsets and times that the broker
//! answers for.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::{Broker, Rec, Value, keyed, map, opaque, plain, valued};

fn header(name: &str, value: impl Into<Value>) -> Value {
    Value::Array(vec![name.into(), value.into()])
}

fn record(
    key: impl Into<Value>,
    value: impl Into<Value>,
    timestamp: impl Into<Value>,
    headers: Vec<Value>,
) -> Value {
    Value::Array(vec![
        key.into(),
        value.into(),
        timestamp.into(),
        headers.into(),
    ])
}

#[test]
fn a_record_comes_back_with_all_its_five_parts() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let headers = vec![
        header("b", &b"2"[..]),
        header("a", &b"1"[..]),
        header("b", &b""[..]),
        header("b", Value::Nil),
        header("", &b"x"[..]),
    ];
    wire.produce(
        "t",
        0,
        vec![record(&b"key"[..], &b"value"[..], 123, headers)],
    );
    let expected = Rec {
        offset: 0,
        timestamp: 123,
        key: Some(b"key".to_vec()),
        value: Some(b"value".to_vec()),
        headers: vec![
            ("b".to_owned(), Some(b"2".to_vec())),
            ("a".to_owned(), Some(b"1".to_vec())),
            ("b".to_owned(), Some(Vec::new())),
            ("b".to_owned(), None),
            (String::new(), Some(b"x".to_vec())),
        ],
    };
    let expected = [expected];
    assert_eq!(wire.read_all("t", 0), expected);
    broker.crash();
    assert_eq!(broker.connect().read_all("t", 0), expected);
}

#[test]
fn null_and_empty_are_not_the_same() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let empty = || Value::Bin(Vec::new());
    let records = vec![
        record(Value::Nil, Value::Nil, Value::Nil, vec![]),
        record(empty(), empty(), Value::Nil, vec![]),
        record(Value::Nil, empty(), Value::Nil, vec![]),
        record(empty(), Value::Nil, Value::Nil, vec![]),
    ];
    wire.produce("t", 0, records);
    let found = wire
        .read_all("t", 0)
        .into_iter()
        .map(|record| (record.key, record.value));
    let empty = || Some(Vec::new());
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            (None, None),
            (empty(), empty()),
            (None, empty()),
            (empty(), None)
        ]
    );
}

#[test]
fn bytes_are_bytes() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state >> 56).expect("a byte")
    };
    let random: Vec<u8> = (0..(1 << 20) - 200).map(|_| next()).collect();
    let every: Vec<u8> = (0..=255).collect();
    wire.produce(
        "t",
        0,
        vec![record(
            Value::Bin(every.clone()),
            Value::Bin(random.clone()),
            Value::Nil,
            vec![],
        )],
    );
    let found = wire.read_all("t", 0).remove(0);
    assert_eq!(found.key, Some(every));
    assert!(
        found.value == Some(random),
        "a MiB of random bytes came back changed"
    );
}

#[test]
fn text_is_taken_where_bytes_are_meant() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    wire.produce(
        "t",
        0,
        vec![record("key", "value", Value::Nil, vec![header("h", "x")])],
    );
    let found = wire.read_all("t", 0).remove(0);
    assert_eq!(
        (found.key, found.value),
        (Some(b"key".to_vec()), Some(b"value".to_vec()))
    );
    assert_eq!(found.headers, [("h".to_owned(), Some(b"x".to_vec()))]);
}

#[test]
fn what_is_stored_is_what_was_sent() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let plain_records = plain("plain ", 0..20);
    wire.produce("t", 0, plain_records.clone());
    let packed = opaque("t", 0, &plain("packed ", 0..20), "zstd");
    wire.call("produce", packed.clone()).unwrap();
    let file = fs::read(&broker.files("t", 0, "log")[0]).unwrap();
    let contains = |wanted: &[u8]| file.windows(wanted.len()).any(|window| window == wanted);
    assert!(
        contains(&plain_records.encode()),
        "the array of a plain request is not in the file"
    );
    let body = packed.get("body").bytes().expect("it has one");
    assert!(
        contains(&body),
        "the body of an encoded batch is not in the file"
    );
    assert_eq!(
        file.len(),
        2 * 68 + plain_records.encode().len() + body.len()
    );
    // And the same bytes are what a fetch in batch form answers.
    let fetched = wire.fetch("t", 0, 0, map! { "form" => "batch" }).unwrap();
    assert!(
        fetched.answer.get("batch").bytes() == Some(file),
        "batch form is not what is stored"
    );
}

#[test]
fn offsets_start_at_zero_grow_by_one_and_are_the_brokers_to_give() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let mut expected = 0;
    for size in [1, 7, 100, 1, 391, 500] {
        assert_eq!(wire.produce("t", 0, plain("x", 0..size)), expected);
        expected += size;
    }
    let offsets = |broker: &Broker| {
        broker
            .connect()
            .read_all("t", 0)
            .iter()
            .map(|record| record.offset)
            .collect::<Vec<_>>()
    };
    assert_eq!(offsets(&broker), (0..1000).collect::<Vec<_>>());
    broker.crash();
    assert_eq!(offsets(&broker), (0..1000).collect::<Vec<_>>());
    assert_eq!(broker.connect().produce("t", 0, plain("x", 0..1)), 1000);
    // An offset that a producer wants is refused, not obeyed.
    let wanted = Value::Array(vec![
        Value::Nil,
        Value::Nil,
        Value::Nil,
        Value::Nil,
        5.into(),
    ]);
    let args = map! { "topic" => "t", "partition" => 0, "records" => vec![wanted] };
    assert_eq!(
        broker.connect().refused("produce", args).name,
        "INVALID_RECORD"
    );
}

#[test]
fn create_time_is_the_producers_and_append_time_the_brokers() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("created", 1, &[]);
    wire.create_topic(
        "appended",
        1,
        &[("message.timestamp.type", "LogAppendTime")],
    );
    let now = wire.call("ping", map! {}).unwrap().get("time_ms").i64();
    let records = || vec![record(Value::Nil, &b"own"[..], 123, vec![]), valued("none")];
    wire.produce("created", 0, records());
    let args = map! { "topic" => "created", "partition" => 0, "timestamp_ms" => 77, "records" => records() };
    wire.call("produce", args).unwrap();
    let found: Vec<i64> = wire
        .read_all("created", 0)
        .iter()
        .map(|record| record.timestamp)
        .collect();
    assert_eq!((found[0], found[2], found[3]), (123, 123, 77));
    assert!(
        found[1] >= now,
        "without a time the broker's is taken: {found:?}"
    );

    let args = map! { "topic" => "appended", "partition" => 0, "timestamp_ms" => 77, "records" => records() };
    let answer = wire.call("produce", args).unwrap();
    let append_time = answer.get("log_append_time_ms").i64();
    assert!(append_time >= now);
    let found: Vec<i64> = wire
        .read_all("appended", 0)
        .iter()
        .map(|record| record.timestamp)
        .collect();
    assert_eq!(found, [append_time, append_time]);
    wire.call("produce", opaque("appended", 0, &plain("x", 0..1), "gzip"))
        .unwrap();
    assert!(wire.read_all("appended", 0)[2].timestamp >= append_time);
}

#[test]
fn a_key_has_one_partition_and_its_records_stay_in_order() {
    let broker = Broker::start();
    let (mut one, mut other) = (broker.connect(), broker.connect());
    one.create_topic("t", 8, &[]);
    let mut homes = Vec::new();
    for key in 0..40 {
        let key = format!("key-{key}");
        let first = one.produce_routed("t", vec![keyed(&key, "1")])[0];
        let second = other.produce_routed("t", vec![keyed(&key, "2")])[0];
        assert_eq!(first.0, second.0, "{key}");
        assert!(first.1 < second.1, "{key}");
        homes.push(first.0);
    }
    let keys: Vec<Value> = (0..40)
        .map(|key| Value::from(format!("key-{key}").as_bytes()))
        .collect();
    let asked = one
        .call("partition_for", map! { "topic" => "t", "keys" => keys })
        .unwrap();
    let asked: Vec<u32> = asked
        .get("partitions")
        .list()
        .iter()
        .map(|p| u32::try_from(p.u64()).expect("fits"))
        .collect();
    assert_eq!(asked, homes);
    assert!(
        homes.iter().collect::<BTreeSet<_>>().len() > 4,
        "40 keys share too few partitions: {homes:?}"
    );
    // Kafka's own answers for these keys and eight partitions.
    let known = one
        .call(
            "partition_for",
            map! { "topic" => "t", "keys" => vec![&b"21"[..], b"foobar"] },
        )
        .unwrap();
    assert_eq!(*known.get("partitions"), Value::from(vec![4, 6]));
}

#[test]
fn records_without_a_key_go_round_by_batch_or_by_record() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("batches", 4, &[]);
    wire.create_topic("singly", 4, &[("partitioner", "round-robin")]);
    let mut turns = Vec::new();
    for _ in 0..8 {
        let placed = wire.produce_routed("batches", plain("x", 0..5));
        let partitions: BTreeSet<u32> = placed.iter().map(|(partition, _)| *partition).collect();
        assert_eq!(partitions.len(), 1, "one batch, one partition: {placed:?}");
        turns.extend(partitions);
    }
    for pair in turns.windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) % 4, "{turns:?}");
    }
    let placed = wire.produce_routed("singly", plain("x", 0..8));
    let mut counts = [0; 4];
    placed
        .iter()
        .for_each(|(partition, _)| counts[usize::try_from(*partition).expect("fits")] += 1);
    assert_eq!(counts, [2, 2, 2, 2], "{placed:?}");
}

#[test]
fn routed_records_are_answered_one_by_one_in_their_order() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 5, &[]);
    let records: Vec<Value> = (0..200)
        .map(|n| keyed(&format!("k{}", n % 17), &n.to_string()))
        .collect();
    let placed = wire.produce_routed("t", records);
    assert_eq!(placed.len(), 200);
    let by_partition: Vec<Vec<Rec>> = (0..5)
        .map(|partition| wire.read_all("t", partition))
        .collect();
    for (number, (partition, offset)) in placed.iter().enumerate() {
        let partition = &by_partition[usize::try_from(*partition).expect("fits")];
        let found = &partition[usize::try_from(*offset).expect("fits")];
        assert_eq!((found.offset, found.text()), (*offset, number.to_string()));
    }
    for records in &by_partition {
        let numbers: Vec<u64> = records
            .iter()
            .map(|record| record.text().parse().expect("a number"))
            .collect();
        assert!(numbers.is_sorted(), "order inside a partition: {numbers:?}");
    }
}

#[test]
fn each_producer_keeps_its_own_order_however_many_there_are() {
    let broker = Broker::start();
    broker
        .connect()
        .create_topic("t", 1, &[("flush.mode", "async")]);
    std::thread::scope(|scope| {
        for producer in 0..4 {
            let mut wire = broker.connect();
            scope.spawn(move || {
                // Pipelined: nothing waits for the answer of the one before.
                let send = |number: u64| map! { "topic" => "t", "partition" => 0, "records" => vec![valued(&format!("{producer} {number}"))] };
                for number in 0..100 {
                    wire.send("produce", send(number));
                }
                for _ in 0..100 {
                    wire.receive().outcome.expect("it is stored");
                }
            });
        }
    });
    let records = broker.connect().read_all("t", 0);
    assert_eq!(records.len(), 400);
    for producer in 0..4 {
        let mine = records.iter().map(Rec::text).filter_map(|text| {
            text.strip_prefix(&format!("{producer} "))
                .map(str::to_owned)
        });
        let mine: Vec<u64> = mine
            .map(|number| number.parse().expect("a number"))
            .collect();
        assert_eq!(mine, (0..100).collect::<Vec<_>>(), "producer {producer}");
    }
}

#[test]
fn reading_takes_nothing_away_and_later_writes_change_nothing() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "4096")]);
    wire.produce("t", 0, plain("some text that fills a segment ", 0..100));
    wire.produce("t", 0, plain("more ", 0..100));
    let sealed: Vec<_> = broker
        .files("t", 0, "log")
        .into_iter()
        .rev()
        .skip(1)
        .collect();
    assert!(!sealed.is_empty(), "no segment was sealed");
    let before: Vec<Vec<u8>> = sealed
        .iter()
        .map(|file| fs::read(file).expect("it is there"))
        .collect();
    let first = wire.read_all("t", 0);
    for _ in 0..20 {
        wire.produce("t", 0, plain("later ", 0..50));
    }
    let after: Vec<Vec<u8>> = sealed
        .iter()
        .map(|file| fs::read(file).expect("it is there"))
        .collect();
    assert!(before == after, "a sealed segment has changed");
    assert_eq!(wire.read_all("t", 0)[..first.len()], first);
}

#[test]
fn acks_none_is_answered_without_offsets_and_stored_all_the_same() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let args = |text: &str| map! { "topic" => "t", "partition" => 0, "acks" => "none", "records" => vec![valued(text)] };
    let answer = wire.call("produce", args("request")).unwrap();
    assert!(answer.get("base_offset").is_nil(), "{answer:?}");
    wire.notify("produce", args("notification"));
    let acknowledged = |text: &str| map! { "topic" => "t", "partition" => 0, "acks" => "leader", "records" => vec![valued(text)] };
    let answer = wire.call("produce", acknowledged("leader")).unwrap();
    assert_eq!(answer.get("base_offset").u64(), 2);
    let routed = map! { "topic" => "t", "acks" => "none", "records" => plain("routed", 0..2) };
    let answer = wire.call("produce", routed).unwrap();
    assert_eq!(*answer.get("partitions"), Value::from(vec![0, 0]));
    assert!(
        answer.get("offsets").list().iter().all(Value::is_nil),
        "{answer:?}"
    );
    // Their answer did not wait until they were there; this one comes after them.
    let answer = wire.call("produce", acknowledged("last")).unwrap();
    assert_eq!(answer.get("base_offset").u64(), 5);
    let texts: Vec<String> = wire.read_all("t", 0).iter().map(Rec::text).collect();
    assert_eq!(texts[..3], ["request", "notification", "leader"]);
    assert_eq!((texts.len(), texts[5].as_str()), (6, "last"));
}
