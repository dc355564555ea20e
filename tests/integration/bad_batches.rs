//! Batches that lie or break rules. Nothing of them is stored, the error says that this is certain, and
//! the facts are in `data`.

use std::fs;

use crate::harness::{
    Broker, Value, Wire, WireError, keyed, map, opaque, opaque_body, pack, plain,
};

struct Target {
    broker: Broker,
    wire: Wire,
}

impl Target {
    fn start() -> Self {
        let broker = Broker::start();
        let mut wire = broker.connect();
        wire.create_topic("t", 2, &[]);
        Self { broker, wire }
    }

    /// The request is refused with this error, for certain, and the partition stays empty.
    #[track_caller]
    fn refuses(&mut self, args: Value, name: &str) -> WireError {
        let error = self.wire.refused("produce", args);
        assert_eq!(error.name, name, "{error:?}");
        assert!(error.definite, "{error:?}");
        assert_eq!(self.wire.offset_at("t", 0, "latest"), Some(0));
        let log = self.broker.files("t", 0, "log");
        let stored: u64 = log
            .iter()
            .map(|file| fs::metadata(file).map_or(0, |file| file.len()))
            .sum();
        assert_eq!(stored, 0, "bytes of a refused batch are on disk");
        error
    }
}

fn plain_args(records: Value) -> Value {
    map! { "topic" => "t", "partition" => 0, "records" => records }
}

#[test]
fn a_wrong_checksum_is_refused_with_both_values() {
    let mut target = Target::start();
    let good = opaque("t", 0, &plain("x", 0..3), "none");
    let actual = good.get("crc").u64();
    let error = target.refuses(good.set("crc", actual ^ 1), "CORRUPT_BATCH");
    assert_eq!(error.data.get("expected").u64(), actual ^ 1);
    assert_eq!(error.data.get("actual").u64(), actual);
    assert!(error.retriable);
}

#[test]
fn a_count_that_lies_is_refused_in_every_codec() {
    let mut target = Target::start();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for claimed in [2, 4] {
            let args = opaque("t", 0, &plain("x", 0..3), codec).set("record_count", claimed);
            let error = target.refuses(args, "INVALID_BATCH");
            assert_eq!(error.data.get("expected").u64(), claimed, "{codec}");
            assert_eq!(error.data.get("actual").u64(), 3, "{codec}");
        }
        let args = opaque("t", 0, &plain("x", 0..3), codec).set("record_count", 0);
        target.refuses(args, "INVALID_BATCH");
    }
}

#[test]
fn timestamps_and_offset_deltas_cannot_lie() {
    let mut target = Target::start();
    let late = opaque("t", 0, &plain("x", 0..3), "gzip").set("max_timestamp_ms", 2_000);
    target.refuses(late, "INVALID_BATCH");
    let record = |delta: i32| {
        Value::Array(vec![
            Value::Nil,
            Value::Nil,
            Value::Nil,
            Value::Nil,
            delta.into(),
        ])
    };
    let error = target.refuses(
        plain_args(vec![record(0), record(7)].into()),
        "INVALID_RECORD",
    );
    assert_eq!(error.data.get("record").u64(), 1);
    target.refuses(
        opaque("t", 0, &vec![record(1)].into(), "zstd"),
        "INVALID_RECORD",
    );
}

#[test]
fn an_unknown_codec_is_refused_by_name() {
    let mut target = Target::start();
    let error = target.refuses(
        opaque("t", 0, &plain("x", 0..1), "none").set("codec", "brotli"),
        "UNSUPPORTED_CODEC",
    );
    assert!(error.message.contains("brotli"), "{error:?}");
}

#[test]
fn bodies_that_do_not_unpack_are_refused() {
    let mut target = Target::start();
    let body = plain("some text to pack ", 0..50).encode();
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let packed = pack(&body, codec);
        let cut = packed[..packed.len() - 3].to_vec();
        let longer = [&packed[..], b"tail"].concat();
        for damaged in [cut, longer, b"nonsense".to_vec(), vec![]] {
            target.refuses(
                opaque_body("t", 0, damaged, codec).set("record_count", 50),
                "INVALID_BATCH",
            );
        }
    }
}

#[test]
fn a_body_that_unfolds_without_end_is_refused() {
    let mut target = Target::start();
    let bomb = vec![0xc0; 100 << 20];
    for codec in ["gzip", "zstd", "lz4", "snappy"] {
        let packed = pack(&bomb, codec);
        if packed.len() < 1 << 20 {
            target.refuses(opaque_body("t", 0, packed, codec), "INVALID_BATCH");
        }
    }
}

#[test]
fn records_of_the_wrong_shape_are_refused_by_index() {
    let mut target = Target::start();
    let shapes = [
        Value::Nil,
        Value::from(7),
        Value::from("text"),
        Value::Array(vec![]),
        Value::Array(vec![Value::Nil]),
        Value::Array(vec![Value::Nil; 6]),
        Value::Array(vec![Value::from(7), Value::Nil]),
        Value::Array(vec![Value::Nil, Value::from(true)]),
        Value::Array(vec![Value::Nil, Value::Nil, Value::from("now")]),
        Value::Array(vec![Value::Nil, Value::Nil, Value::Nil, Value::from(1)]),
        Value::Array(vec![
            Value::Nil,
            Value::Nil,
            Value::Nil,
            vec![Value::Nil].into(),
        ]),
        map! { "key" => "k" },
    ];
    for shape in shapes {
        let error = target.refuses(
            plain_args(vec![keyed("k", "v"), shape.clone()].into()),
            "INVALID_RECORD",
        );
        assert_eq!(error.data.get("record").u64(), 1, "{shape:?}");
        let encoded: Value = vec![keyed("k", "v"), shape].into();
        target.refuses(opaque("t", 0, &encoded, "lz4"), "INVALID_RECORD");
    }
    target.refuses(plain_args(Value::Array(vec![])), "INVALID_BATCH");
}

#[test]
fn a_batch_above_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let mut target = Target::start();
    let value = |bytes: usize| {
        Value::Array(vec![Value::Array(vec![
            Value::Nil,
            Value::Bin(vec![7; bytes]),
        ])])
    };
    let error = target.refuses(plain_args(value((1 << 20) + 2_048)), "MESSAGE_TOO_LARGE");
    assert!(
        error.data.get("actual").u64() > error.data.get("limit").u64(),
        "{error:?}"
    );
    assert!(error.message.contains("message.max.bytes"), "{error:?}");
    let raised = map! { "name" => "t", "set" => map! { "message.max.bytes" => "4MiB" } };
    target.wire.call("alter_topic", raised).unwrap();
    target.wire.produce("t", 0, value((1 << 20) + 2_048));
    assert_eq!(target.wire.produce("t", 1, value(1 << 20)), 0);
}

#[test]
fn an_unknown_topic_or_partition_is_told_for_certain() {
    let mut target = Target::start();
    let elsewhere = map! { "topic" => "nowhere", "partition" => 0, "records" => plain("x", 0..1) };
    target.refuses(elsewhere.clone(), "UNKNOWN_TOPIC_OR_PARTITION");
    target.refuses(
        plain_args(plain("x", 0..1)).set("partition", 2),
        "UNKNOWN_TOPIC_OR_PARTITION",
    );
    target.refuses(
        map! { "topic" => "nowhere", "records" => plain("x", 0..1) },
        "UNKNOWN_TOPIC_OR_PARTITION",
    );
    let error = target.wire.fetch("nowhere", 0, 0, map! {}).unwrap_err();
    assert_eq!(error.name, "UNKNOWN_TOPIC_OR_PARTITION");
    let error = target.wire.fetch("t", 9, 0, map! {}).unwrap_err();
    assert_eq!(error.name, "UNKNOWN_TOPIC_OR_PARTITION");
    let topic = target
        .wire
        .call("metadata", map! { "topics" => vec!["nowhere"] })
        .unwrap();
    let topic = &topic.get("topics").list()[0];
    assert_eq!(
        topic.get("error").get("name").text(),
        "UNKNOWN_TOPIC_OR_PARTITION"
    );
}

#[test]
fn a_batch_without_a_partition_has_to_be_plain() {
    let mut target = Target::start();
    let mut args = opaque("t", 0, &plain("x", 0..1), "none");
    let Value::Map(fields) = &mut args else {
        unreachable!("it is a map")
    };
    fields.retain(|(key, _)| *key != Value::from("partition"));
    target.refuses(args, "INVALID_REQUEST");
}

#[test]
fn a_trusted_producer_is_still_held_to_its_checksum() {
    let mut target = Target::start();
    target
        .wire
        .create_topic("trusting", 1, &[("batch.validation", "trust")]);
    let good = opaque("trusting", 0, &plain("x", 0..3), "gzip");
    let crc = good.get("crc").u64();
    let error = target
        .wire
        .refused("produce", good.clone().set("crc", crc ^ 1));
    assert_eq!(error.name, "CORRUPT_BATCH");
    target.wire.call("produce", good).unwrap();
    assert_eq!(target.wire.read_all("trusting", 0).len(), 3);
}

#[test]
fn a_trusted_batch_that_cannot_be_decoded_says_where_reading_goes_on() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("batch.validation", "trust")]);
    wire.produce("t", 0, plain("good ", 0..3));
    let garbage = opaque_body("t", 0, b"no records at all".to_vec(), "none").set("record_count", 2);
    wire.call("produce", garbage).unwrap();
    wire.produce("t", 0, plain("after ", 0..1));
    let (before, error) = wire.read_until_error("t", 0, 0);
    assert_eq!(before.len(), 3, "what lies before it is served");
    let error = error.expect("it is not skipped in silence");
    assert_eq!(error.name, "CORRUPT_LOG", "{error:?}");
    assert_eq!(error.data.get("offset").u64(), 3);
    assert_eq!(error.data.get("next_offset").u64(), 5);
    let (after, error) = wire.read_until_error("t", 0, 5);
    assert_eq!(
        (after[0].text().as_str(), error.is_none()),
        ("after 0", true)
    );
}
