//! Serializers as applications have them: typed values in, typed values out, and a malformed record that is
//! refused alone, never stored, and never stops a consumer.

use crate::harness::{Broker, Rec, Value, Wire, map, opaque};

fn pair(key: impl Into<Value>, value: impl Into<Value>) -> Value {
    Value::Array(vec![key.into(), value.into()])
}

fn produce(
    wire: &mut Wire,
    topic: &str,
    records: Vec<Value>,
    more: Value,
) -> Result<Value, crate::harness::WireError> {
    let mut args = more.set("topic", topic).set("records", records);
    if args.get("partition").is_nil() {
        args = args.set("partition", 0);
    }
    wire.call("produce", args)
}

/// Key and value of each record as `decode` answers them, and the sixth element where there is one.
fn decoded(wire: &mut Wire, topic: &str) -> Vec<(Value, Value, Option<Value>)> {
    let more = map! { "decode" => true, "max_wait_ms" => 0 };
    let fetched = wire.fetch(topic, 0, 0, more).unwrap();
    let records = fetched.answer.get("records").list().iter();
    records
        .map(|record| {
            let parts = record.list();
            (parts[2].clone(), parts[3].clone(), parts.get(5).cloned())
        })
        .collect()
}

fn json_topic(wire: &mut Wire, name: &str, more: &[(&str, &str)]) {
    let mut config = vec![("value.serializer", "json")];
    config.extend(more);
    wire.create_topic(name, 1, &config);
}

#[test]
fn values_are_stored_as_the_plugin_serializes_them_and_come_back_as_values() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let config = [("value.serializer", "json"), ("key.serializer", "integer")];
    wire.create_topic("t", 1, &config);
    let order = map! { "id" => 7, "items" => vec![Value::from("a"), Value::Nil] };
    let records = vec![
        pair(1, order.clone()),
        pair(Value::Nil, Value::Nil),
        pair(-1, "x"),
    ];
    produce(&mut wire, "t", records, map! { "encode" => true }).unwrap();
    let stored = wire.read_all("t", 0);
    assert_eq!(stored[0].key, Some(1_i64.to_be_bytes().to_vec()));
    assert_eq!(stored[0].text(), r#"{"id":7,"items":["a",null]}"#);
    assert_eq!(
        (stored[1].key.clone(), stored[1].value.clone()),
        (None, None)
    );
    assert_eq!(stored[2].text(), r#""x""#);
    let back = decoded(&mut wire, "t");
    assert_eq!(back[0], (1.into(), order, None));
    assert_eq!(back[1], (Value::Nil, Value::Nil, None));
    assert_eq!(back[2], ((-1).into(), "x".into(), None));
}

#[test]
fn a_bad_record_refuses_the_batch_unless_the_producer_wants_the_rest_in() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    json_topic(&mut wire, "t", &[]);
    let records = || -> Vec<Value> {
        ["{}", "{oops", "[1]", "nope"]
            .map(|text| pair(Value::Nil, text.as_bytes()))
            .to_vec()
    };
    let error = produce(&mut wire, "t", records(), map! {}).unwrap_err();
    assert_eq!(error.name, "RECORD_REFUSED");
    assert!(error.definite && !error.retriable, "{error:?}");
    let refused = |list: &Value| -> Vec<(u64, String, String)> {
        let entry = |entry: &Value| {
            assert!(!entry.get("reason").text().is_empty(), "{entry:?}");
            let field = entry.get("field").text().to_owned();
            (
                entry.get("index").u64(),
                field,
                entry.get("plugin").text().to_owned(),
            )
        };
        list.list().iter().map(entry).collect()
    };
    let expected = [
        (1, "value".to_owned(), "json".to_owned()),
        (3, "value".to_owned(), "json".to_owned()),
    ];
    assert_eq!(refused(error.data.get("refused")), expected);
    assert_eq!(wire.read_all("t", 0), [], "nothing of it is stored");

    let answer = produce(&mut wire, "t", records(), map! { "partial" => "accept" }).unwrap();
    assert_eq!(refused(answer.get("refused")), expected);
    assert_eq!(answer.get("base_offset").u64(), 0);
    assert_eq!(answer.get("record_count").u64(), 2);
    let texts: Vec<_> = wire.read_all("t", 0).iter().map(Rec::text).collect();
    assert_eq!(texts, ["{}", "[1]"]);

    let only_bad = vec![pair(Value::Nil, &b"{"[..])];
    let answer = produce(&mut wire, "t", only_bad, map! { "partial" => "accept" }).unwrap();
    assert_eq!(
        answer.get("record_count").u64(),
        0,
        "nothing was left to store"
    );
    assert!(answer.get("base_offset").is_nil());
}

#[test]
fn routed_records_are_refused_by_their_own_index() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 4, &[("value.serializer", "json")]);
    let records: Vec<Value> = (0..40)
        .map(|n| {
            let value = if n % 3 == 1 { "{" } else { "{}" };
            pair(format!("k{n}").as_bytes(), value.as_bytes())
        })
        .collect();
    let args = map! { "topic" => "t", "records" => records, "partial" => "accept" };
    let answer = wire.call("produce", args).unwrap();
    let (partitions, offsets) = (
        answer.get("partitions").list(),
        answer.get("offsets").list(),
    );
    assert_eq!((partitions.len(), offsets.len()), (40, 40));
    for n in 0..40 {
        assert_eq!(partitions[n].is_nil(), n % 3 == 1, "{n}");
        assert_eq!(offsets[n].is_nil(), n % 3 == 1, "{n}");
        if !partitions[n].is_nil() {
            let partition = u32::try_from(partitions[n].u64()).expect("fits");
            let record = wire.read_from("t", partition, offsets[n].u64())[0].clone();
            assert_eq!(record.key, Some(format!("k{n}").into_bytes()));
        }
    }
    let refused = answer.get("refused").list().iter();
    let indexes: Vec<u64> = refused.map(|entry| entry.get("index").u64()).collect();
    let expected: Vec<u64> = (0..40).filter(|n| n % 3 == 1).collect();
    assert_eq!(indexes, expected);
}

#[test]
fn compressed_batches_are_checked_and_keep_their_codec() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        json_topic(&mut wire, codec, &[]);
        let good = pair(Value::Nil, &br#"{"a":1}"#[..]);
        let bad = pair(Value::Nil, &b"{"[..]);
        let batch = Value::Array(vec![good.clone(), bad, good]);
        let args = opaque(codec, 0, &batch, codec);
        let error = wire.call("produce", args.clone()).unwrap_err();
        assert_eq!(error.name, "RECORD_REFUSED", "{codec}");
        let answer = wire.call("produce", args.set("partial", "accept")).unwrap();
        assert_eq!(answer.get("record_count").u64(), 2, "{codec}");
        assert_eq!(wire.read_all(codec, 0).len(), 2, "{codec}");
        let fetched = wire.fetch(codec, 0, 0, map! { "form" => "batch" }).unwrap();
        let batch = fetched.answer.get("batch").bytes().unwrap();
        let ids = ["none", "gzip", "snappy", "lz4", "zstd"];
        assert_eq!(ids[usize::from(batch[22])], codec);
        assert_eq!(decoded(&mut wire, codec)[0].1, map! { "a" => 1 });
    }
}

#[test]
fn a_compressed_batch_is_unfolded_as_far_as_a_frame_goes_also_on_trust() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    json_topic(&mut wire, "t", &[("batch.validation", "trust")]);
    // More than is tried first, and more than any frame.
    for (mib, is_taken) in [(10, true), (20, false)] {
        let text: String = (0..2_048).map(|n| format!("{n:x<512}")).collect();
        let value = format!("\"{text}\"");
        let record = pair(Value::Nil, Value::Bin(value.into_bytes()));
        let batch = Value::Array(vec![record; mib]);
        let answer = wire.call("produce", opaque("t", 0, &batch, "zstd"));
        match is_taken {
            true => assert_eq!(answer.expect("it fits").get("record_count").u64(), 10),
            false => assert_eq!(answer.expect_err("too much").name, "INVALID_BATCH"),
        }
    }
    let one = Value::Array(vec![pair(Value::Nil, &b"1"[..])]);
    let lying = opaque("t", 0, &one, "zstd").set("record_count", 2);
    let error = wire.call("produce", lying).unwrap_err();
    assert_eq!(error.name, "INVALID_BATCH", "{error:?}");
}

#[test]
fn a_batch_of_many_records_is_decoded_in_parts() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let text = |n: u64| match n % 1_000 {
        7 => format!("poison {n}"),
        _ => n.to_string(),
    };
    let records = (0..3_500).map(|n| pair(Value::Nil, Value::Bin(text(n).into_bytes())));
    let batch = Value::Array(records.collect());
    wire.call("produce", opaque("t", 0, &batch, "zstd"))
        .unwrap();
    let set = map! { "value.serializer" => "json" };
    wire.call("alter_topic", map! { "name" => "t", "set" => set })
        .unwrap();
    let more = map! { "decode" => true, "max_wait_ms" => 0 };
    let fetched = wire.fetch("t", 0, 1_500, more).unwrap();
    let records = fetched.answer.get("records").list();
    assert_eq!(records.len(), 2_000);
    for (n, record) in (1_500..).zip(records) {
        let parts = record.list();
        assert_eq!(parts[0].u64(), n);
        let is_raw = n % 1_000 == 7;
        let expected = match is_raw {
            true => Value::Bin(text(n).into_bytes()),
            false => Value::from(n),
        };
        assert_eq!((&parts[3], parts.len() > 5), (&expected, is_raw));
    }
}

#[test]
fn a_record_that_cannot_be_decoded_is_given_raw_and_stops_nobody() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    for text in ["{}", "poison", "[2]"] {
        wire.produce("t", 0, vec![pair(Value::Nil, text.as_bytes())]);
    }
    let set = map! { "value.serializer" => "json" };
    wire.call("alter_topic", map! { "name" => "t", "set" => set })
        .unwrap();
    let back = decoded(&mut wire, "t");
    assert_eq!(back.len(), 3, "the consumer is not stopped");
    assert_eq!(back[0].1, map! {});
    assert_eq!(back[1].1, Value::from(&b"poison"[..]), "raw");
    let error = back[1].2.clone().expect("it says why").get("value").clone();
    assert_eq!(error.get("plugin").text(), "json");
    assert!(!error.get("reason").text().is_empty());
    assert_eq!(back[2].1, Value::from(vec![2]));
    assert_eq!(back[2].2, None);
}

#[test]
fn refused_records_go_to_the_dead_letter_topic_with_the_reason() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("dead", 1, &[]);
    json_topic(&mut wire, "t", &[("dead.letter.topic", "dead")]);
    let header = Value::Array(vec!["trace".into(), (&b"42"[..]).into()]);
    let bad = Value::Array(vec![
        (&b"k"[..]).into(),
        (&b"{"[..]).into(),
        77.into(),
        vec![header].into(),
    ]);
    let records = vec![pair(Value::Nil, &b"{}"[..]), bad];
    let answer = produce(&mut wire, "t", records, map! { "partial" => "accept" }).unwrap();
    let letter = answer.get("refused").list()[0].get("dead_letter").clone();
    assert_eq!(
        (letter.get("partition").u64(), letter.get("offset").u64()),
        (0, 0)
    );
    let dead = wire.read_all("dead", 0);
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].key.clone(), dead[0].text(), dead[0].timestamp),
        (Some(b"k".to_vec()), "{".to_owned(), 77)
    );
    let headers: Vec<(&str, String)> = dead[0]
        .headers
        .iter()
        .map(|(name, value)| {
            let value = value.clone().unwrap_or_default();
            (name.as_str(), String::from_utf8(value).expect("text"))
        })
        .collect();
    assert_eq!(headers[0], ("trace", "42".to_owned()));
    let of = |name: &str| {
        let found = headers.iter().find(|(known, _)| *known == name);
        found
            .unwrap_or_else(|| panic!("{name}: {headers:?}"))
            .1
            .clone()
    };
    assert_eq!(of("dead-letter.topic"), "t");
    assert_eq!(of("dead-letter.partition"), "0");
    assert_eq!(of("dead-letter.field"), "value");
    assert_eq!(of("dead-letter.plugin"), "json");
    assert_eq!(of("dead-letter.code"), "PLUGIN_REJECTED");
    assert!(!of("dead-letter.reason").is_empty());
    assert_eq!(wire.read_all("t", 0).len(), 1);
}

#[test]
fn a_field_without_a_serializer_takes_bytes_and_says_so() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let records = vec![pair("k", &b"v"[..]), pair(Value::Nil, map! {})];
    let error = produce(&mut wire, "t", records, map! { "encode" => true }).unwrap_err();
    assert_eq!(error.name, "RECORD_REFUSED");
    assert!(
        error.message.contains("value.serializer"),
        "{}",
        error.message
    );
    let records = vec![pair("k", &b"v"[..])];
    produce(&mut wire, "t", records, map! { "encode" => true }).unwrap();
    assert_eq!(wire.read_all("t", 0)[0].text(), "v");
}

#[test]
fn a_schema_refuses_what_does_not_fit() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let schema = r#"{"type":"object","required":["id"],"properties":{"id":{"type":"integer"}}}"#;
    let config = [
        ("value.serializer", "json-schema"),
        ("value.serializer.option.schema", schema),
    ];
    wire.create_topic("t", 1, &config);
    let records = vec![
        pair(Value::Nil, map! { "id" => 1 }),
        pair(Value::Nil, map! { "id" => "one" }),
        pair(Value::Nil, map! {}),
    ];
    let more = map! { "encode" => true, "partial" => "accept" };
    let answer = produce(&mut wire, "t", records, more).unwrap();
    let refused = answer.get("refused").list();
    assert_eq!(refused.len(), 2, "{answer:?}");
    assert!(
        refused[0].get("reason").text().contains("id"),
        "{refused:?}"
    );
    assert_eq!(wire.read_all("t", 0).len(), 1);
    let args = map! { "name" => "u", "partitions" => 1, "config" => map! {
        "value.serializer" => "json-schema",
        "value.serializer.option.schema" => "{]",
    } };
    let error = wire.refused("create_topic", args);
    assert!(error.message.contains("schema"), "{error:?}");
}

#[test]
fn dead_letters_come_in_as_many_batches_as_they_need_and_no_more_than_can_be_listed() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("dead", 1, &[("message.max.bytes", "1KiB")]);
    json_topic(&mut wire, "t", &[("dead.letter.topic", "dead")]);
    let bad = |count: usize| -> Vec<Value> {
        let text = |number| format!("{{{number}").into_bytes();
        let record = |number| pair(Value::Nil, Value::Bin(text(number)));
        (0..count).map(record).collect()
    };
    let answer = produce(&mut wire, "t", bad(50), map! { "partial" => "accept" }).unwrap();
    let refused = answer.get("refused").list();
    let offsets = refused
        .iter()
        .map(|refused| refused.get("dead_letter").get("offset").u64());
    assert!(offsets.eq(0..50), "{refused:?}");
    let dead = wire.read_all("dead", 0);
    let texts = dead.iter().map(|letter| letter.text());
    assert!(texts.eq((0..50).map(|number| format!("{{{number}"))));
    wire.alter("dead", &[("message.max.bytes", "64KiB")]);
    // Listed are 10,000 at most, and so are the letters of a request.
    let error = produce(&mut wire, "t", bad(10_050), map! {}).unwrap_err();
    assert_eq!(error.name, "RECORD_REFUSED");
    assert_eq!(error.data.get("refused_count").u64(), 10_050);
    assert_eq!(wire.offset_at("dead", 0, "latest"), Some(10_050));
}

#[test]
fn a_decoded_value_with_too_many_levels_is_answered_as_it_is_stored_and_named() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    json_topic(&mut wire, "t", &[]);
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for levels in [26, 27] {
        let record = pair(Value::Nil, nested(levels).as_bytes());
        produce(&mut wire, "t", vec![record], map! {}).unwrap();
    }
    let back = decoded(&mut wire, "t");
    assert_eq!(back[0].2, None);
    let fault = back[1].2.as_ref().expect("it is named").get("value");
    assert_eq!(fault.get("code").text(), "NESTING_TOO_DEEP");
    assert_eq!(back[1].1, Value::from(nested(27).as_bytes()));
}
