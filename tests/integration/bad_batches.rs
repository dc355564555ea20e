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
fn a_batch_above_the_limit_is_refused_before_it_is_unfolded() {
    let mut target = Target::start();
    let nonsense = vec![7; (1 << 20) + 2_048];
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let args = opaque_body("t", 0, nonsense.clone(), codec);
        let error = target.refuses(args, "MESSAGE_TOO_LARGE");
        assert!(error.data.get("actual").u64() > 1 << 20, "{error:?}");
    }
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

/// The body of a frame with an unknown field of so many bytes, this one, and these bytes as records.
fn raw_request(padding: u16, field: &[u8], records: &[u8]) -> Vec<u8> {
    let mut body = b"\x94\x00\x07\xa7produce\x84\xa5topic\xa1t\xa7padding\xc5".to_vec();
    body.extend(padding.to_be_bytes());
    body.resize(body.len() + usize::from(padding), 0);
    [&body, field, b"\xa7records", records].concat()
}

#[test]
fn what_is_wrong_with_a_small_request_is_told_as_with_a_large_one() {
    const MORE: u16 = 30_000;
    let mut target = Target::start();
    let deep = [&[0x91; 40][..], &[0xc0]].concat();
    let an_extension = b"\x91\x92\xc0\xd4\x01\x02";
    let no_marker = b"\x91\x92\xc0\xc1";
    let cut_off = b"\x91\x92\xc0\xc4\x05ab";
    let a_count_that_lies = b"\x95\x92\xc0\xc0";
    let a_byte_too_many = b"\x91\x92\xc0\xc0\xc0";
    let none_and_a_byte = b"\xc0\xc0";
    let a_boolean = b"\x91\x92\xc0\xc3";
    let text = b"\xa1x";
    let bad_records: [(&[u8], &str); 9] = [
        (an_extension, "MALFORMED_FRAME"),
        (no_marker, "MALFORMED_FRAME"),
        (cut_off, "MALFORMED_FRAME"),
        (a_count_that_lies, "MALFORMED_FRAME"),
        (a_byte_too_many, "MALFORMED_FRAME"),
        (none_and_a_byte, "MALFORMED_FRAME"),
        (&deep, "NESTING_TOO_DEEP"),
        (a_boolean, "INVALID_RECORD"),
        (text, "MALFORMED_REQUEST"),
    ];
    let to_a_partition = b"\xa9partition\x00";
    let ways: [&[u8]; 3] = [to_a_partition, b"\xa4acks\xc0", b"\xa6encode\xc3"];
    for (records, name) in bad_records {
        for field in ways {
            let [small, large] = [0, MORE].map(|padding| {
                let body = raw_request(padding, field, records);
                target.wire.send_frame(&body);
                let answer = target.wire.receive();
                assert_eq!(answer.id, Some(7));
                answer.outcome.expect_err(name)
            });
            let told = format!("{records:x?}: {small:?}, {large:?}");
            assert_eq!(small.name, large.name, "{told}");
            assert!(small.definite && large.definite, "{told}");
            if name.starts_with("INVALID") {
                continue;
            }
            assert_eq!(small.name, name, "{told}");
            let position = |error: &WireError| match error.data.get("position") {
                Value::Nil => 0,
                position => position.u64(),
            };
            let more = position(&large) - position(&small);
            assert!(more == 0 || more == u64::from(MORE), "{told}");
            assert_eq!(more == 0, name == "MALFORMED_REQUEST", "{told}");
        }
    }
    let good = raw_request(0, to_a_partition, b"\x91\x92\xc0\xc0");
    target.wire.send_frame(&good);
    assert!(target.wire.receive().outcome.is_ok());
    assert_eq!(target.wire.offset_at("t", 0, "latest"), Some(1));
}

#[test]
fn what_is_wrong_beside_the_records_of_a_small_request_is_told() {
    let mut target = Target::start();
    let topic = b"\xa5topic\xa1t\xa9partition\x00";
    let records = b"\xa7records\x91\x92\xc0\xc0";
    let start = [&b"\x94\x00\x07\xa7produce\x84"[..], topic].concat();
    let a_byte_too_many = [&start, &records[..], b"\xa4acks\xc0\xc0"].concat();
    let nested = |depth: usize| {
        let value = [&[0x91].repeat(depth)[..], &[0xc0]].concat();
        [&start, &b"\xa5other"[..], &value, records].concat()
    };
    for (body, name) in [
        (a_byte_too_many, "MALFORMED_FRAME"),
        (nested(31), "NESTING_TOO_DEEP"),
    ] {
        target.wire.send_frame(&body);
        let refused = target.wire.receive().outcome.expect_err(name);
        assert_eq!(refused.name, name, "{refused:?}");
        assert_eq!(target.wire.offset_at("t", 0, "latest"), Some(0));
    }
    target.wire.send_frame(&nested(30));
    let answer = target.wire.receive();
    assert!(answer.outcome.is_ok(), "{:?}", answer.outcome);
}
