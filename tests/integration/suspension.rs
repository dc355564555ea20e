//! What becomes of a plugin that keeps crashing: after three traps it rests, its users get the documented
//! consequence of its kind and no other, and somebody can see why and end it.

use std::fs;

use crate::harness::{
    Broker, Rec, Setup, Value, Wire, config_of, eventually, hostile_module, hostile_sister, keyed,
    map, valued,
};

/// Cleans and deletes every 50 ms.
fn quick() -> Setup {
    Setup::new()
        .option("log.cleaner.backoff.ms", "50")
        .option("log.retention.check.interval.ms", "50")
}

fn options(behaviour: &str) -> Value {
    map! { "options" => map! { "behaviour" => behaviour } }
}

fn deploy(wire: &mut Wire, kind: &str, behaviour: &str) {
    let file = match kind {
        "partitioner" => hostile_module().to_owned(),
        other => {
            hostile_module();
            hostile_sister(other)
        }
    };
    let module = fs::read(file).expect("it was built");
    wire.deploy("bad", &module, options(behaviour)).unwrap();
}

/// The plugin, once it is suspended.
fn suspended(wire: &mut Wire) -> Value {
    eventually("the plugin is suspended", || {
        let plugin = wire.plugin("bad");
        (plugin.get("state").text() == "suspended").then_some(plugin)
    })
}

fn resume(wire: &mut Wire) -> bool {
    let answer = wire.call("resume_plugin", map! { "name" => "bad" });
    answer.unwrap().get("was_suspended").bool()
}

fn go(topic: &str) -> Value {
    map! { "topic" => topic, "records" => vec![keyed("go", "1"), keyed("21", "2")] }
}

#[test]
fn a_partitioner_rests_after_three_traps_until_it_is_resumed() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    deploy(&mut wire, "partitioner", "panic");
    wire.create_topic("t", 2, &[("partitioner", "bad")]);
    for round in 1..=2 {
        for _ in 0..3 {
            assert_eq!(wire.plugin("bad").get("state").text(), "active");
            assert_eq!(wire.refused("produce", go("t")).name, "PLUGIN_TRAPPED");
        }
        let error = wire.refused("produce", go("t"));
        assert_eq!(error.name, "PLUGIN_SUSPENDED");
        assert!(error.retriable && error.definite, "{error:?}");
        assert!(error.message.contains("roof is on fire"), "why: {error:?}");
        // It is not asked, whatever the batch; a chosen partition needs no plugin.
        let calls = wire.plugin("bad").get("calls").u64();
        let fine = map! { "topic" => "t", "records" => vec![valued("fine")] };
        assert_eq!(
            wire.refused("produce", fine.clone()).name,
            "PLUGIN_SUSPENDED"
        );
        wire.produce("t", 1, vec![valued("x")]);
        let plugin = wire.plugin("bad");
        assert_eq!(plugin.get("calls").u64(), calls);
        assert_eq!(plugin.get("state").text(), "suspended");
        assert!(
            plugin.get("suspended_reason").text().contains("3 traps"),
            "{plugin:?}"
        );
        assert!(plugin.get("suspended_since_ms").i64() > 0);
        assert_eq!(plugin.get("suspensions").u64(), round);
        let log = broker.log();
        let events = log.lines().filter(|line| line.contains("plugin suspended"));
        assert_eq!(u64::try_from(events.count()).expect("fits"), round);
        assert!(resume(&mut wire));
        wire.call("produce", fine).unwrap();
        let plugin = wire.plugin("bad");
        assert!(
            plugin.get("suspended_reason").is_nil() && plugin.get("suspended_since_ms").is_nil()
        );
    }
    assert!(!resume(&mut wire), "it is at work");
    assert_eq!(broker.log().matches("plugin resumed").count(), 2);
    let error = wire.refused("resume_plugin", map! { "name" => "nobody" });
    assert_eq!(error.name, "UNKNOWN_PLUGIN");
}

#[test]
fn a_plugin_that_one_topic_breaks_goes_on_for_the_others() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    deploy(&mut wire, "partitioner", "panic");
    for topic in ["breaks", "before"] {
        wire.create_topic(topic, 2, &[("partitioner", "bad")]);
    }
    for _ in 0..3 {
        assert_eq!(wire.refused("produce", go("breaks")).name, "PLUGIN_TRAPPED");
    }
    assert_eq!(
        wire.refused("produce", go("breaks")).name,
        "PLUGIN_SUSPENDED"
    );
    wire.create_topic("after", 2, &[("partitioner", "bad")]);
    for topic in ["before", "after"] {
        wire.produce_routed(topic, vec![valued("fine")]);
    }
    let topics = suspended(&mut wire).get("suspended_topics").clone();
    assert_eq!(topics, Value::Array(vec!["breaks".into()]));
    let cluster = wire.call("describe_cluster", map! {}).unwrap();
    let warnings = cluster.get("warnings").list().iter();
    let of_plugin: Vec<_> = warnings
        .map(Value::text)
        .filter(|warning| warning.contains("plugin bad"))
        .collect();
    assert_eq!(of_plugin.len(), 1, "{of_plugin:?}");
    assert!(
        of_plugin[0].contains("suspended for topic breaks: "),
        "{of_plugin:?}"
    );
}

#[test]
fn other_options_end_a_rest_in_their_topic_alone() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    deploy(&mut wire, "partitioner", "panic");
    for topic in ["mended", "left"] {
        wire.create_topic(topic, 2, &[("partitioner", "bad")]);
        for _ in 0..3 {
            assert_eq!(wire.refused("produce", go(topic)).name, "PLUGIN_TRAPPED");
        }
    }
    wire.alter("left", &[("retention.ms", "1000")]);
    wire.alter("mended", &[("partitioner.option.behaviour", "none")]);
    wire.call("produce", go("mended")).unwrap();
    let error = wire.refused("produce", go("left"));
    assert_eq!(error.name, "PLUGIN_SUSPENDED");
    assert!(error.message.contains("resume_plugin"), "{error:?}");
    let topics = wire.plugin("bad").get("suspended_topics").clone();
    assert_eq!(topics, Value::Array(vec!["left".into()]));
}

#[test]
fn a_fallback_places_records_while_its_plugin_rests() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let module = fs::read(hostile_module()).expect("it was built");
    let more = options("panic").set("fallback", "key-hash");
    wire.deploy("bad", &module, more).unwrap();
    wire.create_topic("t", 6, &[("partitioner", "bad")]);
    wire.create_topic("hashed", 6, &[]);
    let records = || vec![keyed("go", "1"), keyed("21", "2"), keyed("foobar", "3")];
    for number in 0..6 {
        let (own, hashed) = (
            wire.produce_routed("t", records()),
            wire.produce_routed("hashed", records()),
        );
        assert_eq!(own, hashed, "batch {number}");
    }
    let plugin = suspended(&mut wire);
    assert_eq!(plugin.get("fallbacks").u64(), 6, "{plugin:?}");
    assert_eq!(plugin.get("traps").u64(), 3, "{plugin:?}");
    assert!(resume(&mut wire));
    let fine = wire.produce_routed("t", vec![keyed("foobar", "x")]);
    assert_eq!(fine[0].0, 0, "the plugin itself answers again");
}

#[test]
fn a_fallback_that_answers_for_every_batch_is_one_line_of_the_log() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    let module = fs::read(hostile_module()).expect("it was built");
    let more = options("refuse").set("fallback", "key-hash");
    wire.deploy("bad", &module, more).unwrap();
    for topic in ["t", "u"] {
        wire.create_topic(topic, 2, &[("partitioner", "bad")]);
        for _ in 0..20 {
            wire.produce_routed(topic, vec![keyed("go", "1")]);
        }
    }
    assert_eq!(wire.plugin("bad").get("fallbacks").u64(), 40);
    broker.stop();
    let log = broker.log();
    let told = log
        .lines()
        .filter(|line| line.contains("its fallback answers"));
    // A line a topic, and room for a machine that takes a minute for this.
    assert!((2..=4).contains(&told.count()), "{log}");
}

#[test]
fn a_resting_serializer_takes_nothing_and_gives_what_is_stored() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    deploy(&mut wire, "serializer", "panic");
    wire.create_topic("t", 1, &[("value.serializer", "bad")]);
    let produce = |value: &str| {
        let record = Value::Array(vec![Value::Nil, value.into()]);
        map! { "topic" => "t", "partition" => 0, "records" => vec![record], "encode" => true }
    };
    wire.call("produce", produce("fine")).unwrap();
    for _ in 0..3 {
        let error = wire.refused("produce", produce("go"));
        assert_eq!(error.name, "PLUGIN_TRAPPED");
        assert!(error.definite, "{error:?}");
    }
    let error = wire.refused("produce", produce("fine"));
    assert_eq!(error.name, "PLUGIN_SUSPENDED");
    assert!(error.retriable && error.definite, "{error:?}");
    let accept = produce("fine").set("partial", "accept");
    assert_eq!(wire.refused("produce", accept).name, "PLUGIN_SUSPENDED");
    assert_eq!(
        wire.offset_at("t", 0, "latest"),
        Some(1),
        "nothing was stored"
    );

    let decode = |wire: &mut Wire| {
        let more = map! { "decode" => true, "max_wait_ms" => 0 };
        let fetched = wire.fetch("t", 0, 0, more).unwrap();
        fetched.answer.get("records").list()[0].list().to_vec()
    };
    let record = decode(&mut wire);
    assert_eq!(record[3], Value::from(&b"\xa4fine"[..]), "raw");
    let why = record[5].get("value");
    assert_eq!(why.get("plugin").text(), "bad");
    assert_eq!(why.get("code").text(), "PLUGIN_SUSPENDED");
    assert!(resume(&mut wire));
    assert_eq!(decode(&mut wire)[3], Value::from("fine"));
    assert_eq!(decode(&mut wire).len(), 5);
}

/// Sealed batches of about 1,000 bytes with an old timestamp, `count` in all, and one key.
fn fill(wire: &mut Wire, topic: &str, count: u64) {
    for number in 0..count {
        let record = Value::Array(vec![
            (&b"go"[..]).into(),
            Value::Bin(vec![b'x'; 900]),
            1_000.into(),
        ]);
        assert_eq!(wire.produce(topic, 0, vec![record]), number);
    }
}

#[test]
fn what_a_crashing_retention_plugin_was_asked_about_is_kept() {
    let broker = quick().start();
    let mut wire = broker.connect();
    deploy(&mut wire, "retention", "panic");
    let config = [("segment.bytes", "8KiB"), ("retention.ms", "1")];
    // The guest crashes when the log ends at 666.
    wire.create_topic(
        "t",
        1,
        &[&config[..], &[("retention.policy", "bad")]].concat(),
    );
    let records: Vec<Value> = (0..660).map(|_| valued("y")).collect();
    wire.produce("t", 0, records);
    for _ in 0..6 {
        let record = Value::Array(vec![
            Value::Nil,
            Value::Bin(vec![b'x'; 5_000]),
            1_000.into(),
        ]);
        wire.produce("t", 0, vec![record]);
    }
    let plugin = suspended(&mut wire);
    assert_eq!(plugin.get("kind").text(), "retention");
    let start = wire.offset_at("t", 0, "earliest");
    wire.create_topic("probe", 1, &config);
    fill(&mut wire, "probe", 20);
    eventually("others' segments go", || {
        (wire.offset_at("probe", 0, "earliest") > Some(0)).then_some(())
    });
    assert_eq!(wire.offset_at("t", 0, "earliest"), start);
    assert!(broker.log().contains("plugin suspended"));
    wire.alter("t", &[("retention.policy", "time-and-size")]);
    wire.produce("t", 0, vec![valued("z")]);
    eventually("another policy lets them go", || {
        (wire.offset_at("t", 0, "earliest") > start).then_some(())
    });
}

#[test]
fn what_a_crashing_compaction_plugin_was_asked_about_is_kept() {
    let broker = quick().start();
    let mut wire = broker.connect();
    deploy(&mut wire, "compaction", "late-panic");
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "4KiB"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    wire.create_topic(
        "t",
        1,
        &[&config[..], &[("compaction.policy", "bad")]].concat(),
    );
    fill(&mut wire, "t", 20);
    suspended(&mut wire);
    let offsets = |wire: &mut Wire| -> Vec<u64> {
        let records = wire.read_all("t", 0);
        records.iter().map(|record: &Rec| record.offset).collect()
    };
    assert_eq!(offsets(&mut wire), (0..20).collect::<Vec<_>>());
    wire.create_topic("probe", 1, &config);
    fill(&mut wire, "probe", 20);
    eventually("others are compacted", || {
        (wire.read_all("probe", 0).len() < 10).then_some(())
    });
    assert_eq!(offsets(&mut wire), (0..20).collect::<Vec<_>>());
    let traps = wire.plugin("bad").get("traps").u64();
    assert_eq!(traps, 3, "it is not asked again");
    let files = broker.files("t", 0, "cleaned");
    assert_eq!(
        files,
        [""; 0].map(std::path::PathBuf::from),
        "nothing is left behind"
    );
    wire.alter("t", &[("compaction.policy", "latest-by-key")]);
    eventually("another policy compacts it", || {
        (offsets(&mut wire).len() < 10).then_some(())
    });
}

#[test]
fn a_plugins_last_words_can_be_followed() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    deploy(&mut wire, "partitioner", "panic");
    wire.create_topic("t", 2, &[("partitioner", "bad")]);
    let logs = |wire: &mut Wire, after: u64, max: u64| {
        let args = map! { "name" => "bad", "after" => after, "max" => max };
        wire.call("plugin_logs", args).unwrap()
    };
    let none = logs(&mut wire, 0, 10);
    assert_eq!(
        (none.get("lines").list().len(), none.get("next").u64()),
        (0, 0)
    );
    for _ in 0..4 {
        wire.refused("produce", go("t"));
    }
    let all = logs(&mut wire, 0, 100);
    let lines = all.get("lines").list();
    let numbers: Vec<u64> = lines
        .iter()
        .map(|line| line.get("sequence").u64())
        .collect();
    let count = u64::try_from(lines.len()).expect("fits");
    assert!(count >= 4, "three last words and a suspension: {lines:?}");
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    assert_eq!(all.get("next").u64(), count);
    assert!(all.get("dropped").is_nil());
    for line in lines {
        assert!(line.get("at_ms").i64() > 0);
        assert!(line.get("message").text().len() <= 300, "{line:?}");
        assert!(!line.get("message").text().contains('\n'), "{line:?}");
    }
    assert_eq!(lines[0].get("level").text(), "error");
    assert_eq!(lines[0].get("topic").text(), "t");
    assert!(lines[0].get("message").text().contains("roof is on fire"));
    let mentions = |what: &str| {
        let mut lines = lines.iter();
        lines.any(|line| line.get("message").text().contains(what))
    };
    assert!(mentions("suspended"), "{lines:?}");
    // Page by page it is the same.
    let (mut paged, mut next) = (Vec::new(), 0);
    loop {
        let page = logs(&mut wire, next, 2);
        assert!(page.get("lines").list().len() <= 2);
        if page.get("lines").list().is_empty() {
            break;
        }
        paged.extend_from_slice(page.get("lines").list());
        next = page.get("next").u64();
    }
    assert_eq!((&paged[..], next), (lines, count));
    // From behind the end, as after a restart of the broker: from the start.
    let again = logs(&mut wire, count + 50, 100);
    assert_eq!(again.get("lines").list(), lines);
    resume(&mut wire);
    wire.refused("produce", go("t"));
    let new = logs(&mut wire, next, 100);
    assert_eq!(new.get("lines").list()[0].get("sequence").u64(), count + 1);
    let error = wire.refused("plugin_logs", map! { "name" => "nobody" });
    assert_eq!(error.name, "UNKNOWN_PLUGIN");
}

#[test]
fn a_suspension_ends_with_the_broker() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    deploy(&mut wire, "partitioner", "divide");
    let config = config_of(&[("partitioner", "bad")]);
    let args = map! { "name" => "t", "partitions" => 2, "config" => config };
    wire.call("create_topic", args).unwrap();
    for _ in 0..3 {
        wire.refused("produce", go("t"));
    }
    suspended(&mut wire);
    broker.crash();
    let mut wire = broker.connect();
    assert_eq!(wire.plugin("bad").get("state").text(), "active");
    assert_eq!(wire.refused("produce", go("t")).name, "PLUGIN_TRAPPED");
}
