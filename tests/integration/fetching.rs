//! Reading: long polls, limits, several partitions at once, offsets by name and by time, and the
//! administrator's deletion of records.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Broker, Rec, Value, Wire, eventually, map, patience, plain, valued};

fn wanted(topic: &str, partition: u32, offset: u64) -> Value {
    map! { "topic" => topic, "partition" => partition, "offset" => offset }
}

fn texts(answer: &Value) -> Vec<String> {
    answer
        .get("records")
        .list()
        .iter()
        .map(|record| Rec::from_answer(record).text())
        .collect()
}

#[test]
fn a_fetch_at_the_end_waits_until_something_is_appended() {
    let broker = Broker::start();
    let (mut reader, mut writer) = (broker.connect(), broker.connect());
    writer.create_topic("t", 2, &[]);
    let args = map! { "partitions" => vec![wanted("t", 0, 0), wanted("t", 1, 0)], "max_wait_ms" => 60_000 };
    let began = Instant::now();
    let fetch = reader.send("fetch", args);
    // What waits holds up nothing else on the connection.
    let ping = reader.send("ping", map! {});
    assert_eq!(reader.receive().id, Some(ping));
    writer.produce("t", 1, vec![valued("news")]);
    let answer = reader.receive();
    assert_eq!(answer.id, Some(fetch));
    let answer = answer.outcome.unwrap();
    assert_eq!(texts(&answer.get("partitions").list()[0]), [""; 0]);
    assert_eq!(texts(&answer.get("partitions").list()[1]), ["news"]);
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "it slept through the news"
    );
}

#[test]
fn a_wait_ends_with_an_empty_answer() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let began = Instant::now();
    let fetched = wire
        .fetch("t", 0, 0, map! { "max_wait_ms" => 300 })
        .unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "it did not wait"
    );
    assert_eq!(fetched.records(), []);
    assert_eq!(fetched.offset("next_offset"), 0);
    let fetched = wire
        .fetch(
            "t",
            0,
            0,
            map! { "max_wait_ms" => 60_000, "min_bytes" => 0 },
        )
        .unwrap();
    assert_eq!(fetched.records(), []);
    assert!(began.elapsed() < patience());
}

#[test]
fn min_bytes_gathers_before_it_answers() {
    let broker = Broker::start();
    let (mut reader, mut writer) = (broker.connect(), broker.connect());
    writer.create_topic("t", 1, &[]);
    let one = 68 + plain("x", 0..1).encode().len();
    let args = map! { "partitions" => vec![wanted("t", 0, 0)], "max_wait_ms" => 60_000, "min_bytes" => 3 * one };
    reader.send("fetch", args);
    for number in 0..3 {
        writer.produce("t", 0, plain("x", number..number + 1));
    }
    let answer = reader.receive().outcome.unwrap();
    assert_eq!(
        texts(&answer.get("partitions").list()[0]),
        ["x0", "x1", "x2"]
    );
}

/// Messages that a partition's actor has taken.
fn handled(wire: &mut Wire, actor: &str) -> u64 {
    let answer = wire.call("list_actors", map! {}).unwrap();
    let actors = answer.get("actors").list();
    let actor = actors.iter().find(|one| one.get("name").text() == actor);
    actor.expect("it is listed").get("handled").u64()
}

/// A poll that one record does not answer; it waits when this returns.
fn poll_for(reader: &mut Wire, bytes: usize, partitions: Vec<Value>) {
    let args = map! { "partitions" => partitions, "max_wait_ms" => 60_000, "min_bytes" => bytes };
    reader.send("fetch", args);
    let ping = reader.send("ping", map! {});
    assert_eq!(reader.receive().id, Some(ping));
}

#[test]
fn appends_that_are_not_enough_for_a_poll_make_it_ask_nothing() {
    const APPENDS: u64 = 200;
    let broker = Broker::start();
    let (mut reader, mut writer) = (broker.connect(), broker.connect());
    for mode in ["sync", "async"] {
        writer.create_topic(mode, 2, &[("flush.mode", mode)]);
        for poll in 1..=10 {
            let both = vec![wanted(mode, 0, 0), wanted(mode, 1, 0)];
            poll_for(&mut reader, poll * 100_000, both);
        }
        let actor = format!("{mode}-0");
        let before = handled(&mut writer, &actor);
        for _ in 0..APPENDS {
            writer.produce(mode, 0, vec![valued("x")]);
        }
        let asked = handled(&mut writer, &actor) - before;
        // A few that the broker itself sends may be among them.
        assert!((APPENDS..APPENDS + 20).contains(&asked), "{mode}: {asked}");
        // Some of them in each: the least that one waits for is not in either.
        for partition in [0, 1] {
            writer.produce(mode, partition, plain(&"x".repeat(50_000), 0..1));
        }
        let answer = reader.receive().outcome.unwrap();
        let [first, second] = answer.get("partitions").list() else {
            panic!("{answer:?}");
        };
        assert_eq!(texts(first).len() as u64, APPENDS + 1, "{mode}");
        assert_eq!(texts(second).len(), 1, "{mode}");
    }
}

#[test]
fn a_poll_is_answered_at_once_when_what_it_waits_for_is_deleted() {
    let broker = Broker::start();
    let (mut reader, mut writer) = (broker.connect(), broker.connect());
    let told = |reader: &mut Wire| {
        let answer = reader.receive().outcome.unwrap();
        let error = answer.get("partitions").list()[0].get("error").clone();
        error.get("name").text().to_owned()
    };
    let began = Instant::now();
    writer.create_topic("t", 1, &[]);
    writer.produce("t", 0, vec![valued("x")]);
    poll_for(&mut reader, 1_000_000, vec![wanted("t", 0, 0)]);
    let delete = map! { "topic" => "t", "partition" => 0, "before_offset" => 1 };
    writer.call("delete_records", delete).unwrap();
    assert_eq!(told(&mut reader), "OFFSET_OUT_OF_RANGE");
    poll_for(&mut reader, 1_000_000, vec![wanted("t", 0, 1)]);
    writer.call("delete_topic", map! { "name" => "t" }).unwrap();
    assert_eq!(told(&mut reader), "UNKNOWN_TOPIC_OR_PARTITION");
    assert!(began.elapsed() < Duration::from_secs(60), "time was up");
}

#[test]
fn a_poll_that_can_get_no_more_is_answered_at_once() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "4096")]);
    for start in (0..200).step_by(10) {
        wire.produce("t", 0, plain("to fill segments ", start..start + 10));
    }
    let began = Instant::now();
    for max_bytes in [500, 1_000_000] {
        let limits =
            map! { "max_wait_ms" => 60_000, "min_bytes" => 100_000, "max_bytes" => max_bytes };
        let some = wire.fetch("t", 0, 0, limits).unwrap();
        assert!((1..200).contains(&some.records().len()), "{max_bytes}");
    }
    assert!(began.elapsed() < Duration::from_secs(60), "it waited");
}

#[test]
fn the_polls_of_a_client_that_sends_nothing_more_are_answered_with_what_there_is() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    wire.produce("t", 0, vec![valued("x")]);
    let began = Instant::now();
    poll_for(&mut wire, 1_000_000, vec![wanted("t", 0, 0)]);
    wire.finish_sending();
    let answer = wire.receive().outcome.unwrap();
    assert_eq!(texts(&answer.get("partitions").list()[0]), ["x"]);
    assert!(began.elapsed() < Duration::from_secs(60), "time was up");
}

#[test]
fn max_bytes_is_respected_and_one_batch_always_fits() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 2, &[]);
    for partition in 0..2 {
        for number in 0..5 {
            wire.produce(
                "t",
                partition,
                plain(&"x".repeat(1_000), number..number + 1),
            );
        }
    }
    let first = wire.fetch("t", 0, 0, map! { "max_bytes" => 1 }).unwrap();
    assert_eq!(
        first.records().len(),
        1,
        "one whole batch even above the limit"
    );
    let some = wire
        .fetch("t", 0, 0, map! { "max_bytes" => 2_500 })
        .unwrap();
    assert_eq!((some.records().len(), some.offset("next_offset")), (2, 2));
    let raw = wire
        .fetch("t", 0, 0, map! { "max_bytes" => 2_500, "form" => "batch" })
        .unwrap();
    let bytes = raw.answer.get("batch").bytes().expect("bytes").len();
    assert!(bytes <= 2_500, "{bytes} bytes");
    // The limit is for all partitions together, and each can have one of its own.
    let both = vec![wanted("t", 0, 0).set("max_bytes", 1_200), wanted("t", 1, 0)];
    let answer = wire
        .call("fetch", map! { "partitions" => both, "max_bytes" => 3_500 })
        .unwrap();
    let counts: Vec<usize> = answer
        .get("partitions")
        .list()
        .iter()
        .map(|p| texts(p).len())
        .collect();
    assert_eq!(counts, [1, 2]);
}

#[test]
fn several_partitions_are_answered_in_the_order_asked_and_fail_alone() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("a", 2, &[]);
    wire.create_topic("b", 1, &[]);
    wire.produce("a", 1, vec![valued("a1")]);
    wire.produce("b", 0, vec![valued("b0")]);
    let partitions = vec![
        wanted("b", 0, 0),
        wanted("nowhere", 0, 0),
        wanted("a", 1, 0),
        wanted("a", 0, 7),
    ];
    let answer = wire
        .call("fetch", map! { "partitions" => partitions })
        .unwrap();
    let partitions = answer.get("partitions").list();
    let names: Vec<_> = partitions
        .iter()
        .map(|p| (p.get("topic").text(), p.get("partition").u64()))
        .collect();
    assert_eq!(names, [("b", 0), ("nowhere", 0), ("a", 1), ("a", 0)]);
    assert_eq!(
        (texts(&partitions[0]), texts(&partitions[2])),
        (vec!["b0".to_owned()], vec!["a1".to_owned()])
    );
    let error = |at: usize| partitions[at].get("error").get("name").text();
    assert_eq!(
        (error(1), error(3)),
        ("UNKNOWN_TOPIC_OR_PARTITION", "OFFSET_OUT_OF_RANGE")
    );
}

#[test]
fn any_offset_can_be_the_start_and_one_out_of_range_is_told_the_range() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "4096")]);
    for start in (0..1_000).step_by(50) {
        wire.produce("t", 0, plain("", start..start + 50));
    }
    for start in [0, 1, 49, 50, 500, 777, 999] {
        let fetched = wire.fetch("t", 0, start, map! {}).unwrap();
        let first = fetched.records().remove(0);
        assert_eq!((first.offset, first.text()), (start, start.to_string()));
    }
    assert_eq!(
        wire.fetch("t", 0, 1_000, map! { "max_wait_ms" => 0 })
            .unwrap()
            .records(),
        []
    );
    wire.call(
        "delete_records",
        map! { "topic" => "t", "partition" => 0, "before_offset" => 300 },
    )
    .unwrap();
    for asked in [0, 299, 1_001] {
        let error = wire.fetch("t", 0, asked, map! {}).unwrap_err();
        assert_eq!(error.name, "OFFSET_OUT_OF_RANGE");
        assert_eq!(error.data.get("offset").u64(), asked);
        assert_eq!(
            (
                error.data.get("earliest").u64(),
                error.data.get("latest").u64()
            ),
            (300, 1_000)
        );
    }
}

/// A topic with a record at each of these times, one batch each.
fn topic_with_times(wire: &mut Wire, topic: &str, times: &[i64]) {
    wire.create_topic(
        topic,
        1,
        &[("segment.bytes", "1024"), ("index.interval.bytes", "1")],
    );
    for time in times {
        let record = Value::Array(vec![
            Value::Nil,
            Value::Bin(vec![b'x'; 100]),
            (*time).into(),
        ]);
        wire.produce(topic, 0, vec![record]);
    }
}

#[test]
fn an_offset_is_found_by_name_and_by_time() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    let times: Vec<i64> = (0..60).map(|n| 1_000 + n * 10).collect();
    topic_with_times(&mut wire, "t", &times);
    for _ in 0..2 {
        let mut at = |time: i64| wire.offset_at("t", 0, time);
        assert_eq!(at(-5), Some(0));
        assert_eq!(at(1_000), Some(0));
        assert_eq!(at(1_001), Some(1));
        assert_eq!(at(1_300), Some(30));
        assert_eq!(at(1_590), Some(59));
        assert_eq!(at(1_591), None);
        assert_eq!(wire.offset_at("t", 0, "earliest"), Some(0));
        assert_eq!(wire.offset_at("t", 0, "latest"), Some(60));
        broker.crash();
        wire = broker.connect();
    }
}

#[test]
fn times_out_of_order_give_the_first_record_that_is_late_enough() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    topic_with_times(&mut wire, "t", &[500, 100, 900, 200, 900, 950, 50]);
    for (time, offset) in [
        (0, Some(0)),
        (501, Some(2)),
        (900, Some(2)),
        (901, Some(5)),
        (951, None),
    ] {
        assert_eq!(wire.offset_at("t", 0, i64::from(time)), offset, "{time}");
    }
    // Inside one batch as well.
    wire.create_topic("one", 1, &[]);
    let record = |time: i64| Value::Array(vec![Value::Nil, Value::Nil, time.into()]);
    wire.produce("one", 0, [5_i64, 1, 9, 9, 3].map(record).to_vec());
    assert_eq!(wire.offset_at("one", 0, 6_i64), Some(2));
    assert_eq!(wire.offset_at("one", 0, 10_i64), None);
}

#[test]
fn deleted_records_stay_deleted() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "4096")]);
    for start in (0..500).step_by(10) {
        wire.produce(
            "t",
            0,
            plain("some text to fill segments ", start..start + 10),
        );
    }
    let segments = broker.files("t", 0, "log").len();
    let delete = |before: i64| map! { "topic" => "t", "partition" => 0, "before_offset" => before };
    assert_eq!(
        wire.call("delete_records", delete(255))
            .unwrap()
            .get("log_start")
            .u64(),
        255
    );
    assert!(
        broker.files("t", 0, "log").len() < segments,
        "whole segments below are removed"
    );
    assert_eq!(
        wire.refused("delete_records", delete(501)).name,
        "OFFSET_OUT_OF_RANGE"
    );
    assert_eq!(
        wire.call("delete_records", delete(10))
            .unwrap()
            .get("log_start")
            .u64(),
        255,
        "it never goes back"
    );
    broker.crash();
    let mut wire = broker.connect();
    assert_eq!(wire.offset_at("t", 0, "earliest"), Some(255));
    assert_eq!(wire.read_all("t", 0).len(), 245);
    assert_eq!(
        wire.call("delete_records", delete(-1))
            .unwrap()
            .get("log_start")
            .u64(),
        500
    );
    assert_eq!(wire.read_all("t", 0), []);
    assert_eq!(wire.produce("t", 0, vec![valued("next")]), 500);
    broker.crash();
    assert_eq!(broker.connect().read_all("t", 0)[0].offset, 500);
}

#[test]
fn an_answer_that_takes_no_more_waits_for_nothing() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 2, &[]);
    wire.produce("t", 0, vec![valued("one that is larger than is asked for")]);
    let began = Instant::now();
    for form in ["records", "batch"] {
        for limit in [0, 1, 50] {
            let all = map! { "max_bytes" => limit, "partitions" => vec![wanted("t", 0, 0)] };
            let of_one = wanted("t", 0, 0).set("max_bytes", limit);
            for args in [all, map! { "partitions" => vec![of_one] }] {
                let args = args.set("form", form).set("max_wait_ms", 60_000);
                let answer = wire.call("fetch", args.set("min_bytes", 100_000)).unwrap();
                let next = answer.get("partitions").list()[0].get("next_offset").u64();
                assert_eq!(next, 1);
            }
        }
    }
    assert!(began.elapsed() < patience(), "it waits for nothing");
    // A first batch there is always room for.
    let nothing = map! { "max_bytes" => 0, "max_wait_ms" => 60_000 };
    let waits = thread::spawn({
        let mut reader = broker.connect();
        move || reader.fetch("t", 1, 0, nothing).unwrap().records().len()
    });
    eventually("it waits", || {
        wire.produce("t", 1, vec![valued("x")]);
        waits.is_finished().then_some(())
    });
    assert!(waits.join().expect("it was answered") > 0);
}
