//! Clients that ask and do not read. What they asked for stays within the memory for answers, a client that
//! reads gets its own, and whoever is in the way is closed. And one that is slow to send what is refused.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use broker_tests::flood::stage::Size;

use crate::harness::{Broker, Flooded, Value, frame, map, plain};

#[test]
fn decoded_answers_that_nobody_reads_leave_room_for_those_who_read() {
    let flooded = Flooded::on(Size::Small);
    for (attack, connections) in [
        ("unread-records", 60),
        ("slow-readers", 40),
        ("unread-unfolded", 10),
    ] {
        let report = flooded.until(attack, connections, |report| {
            report.during.reader.served() > 0
        });
        let reader = &report.during.reader;
        assert_eq!(reader.errors, 0, "{attack}: {reader:?}");
    }
}

#[test]
fn other_answers_that_nobody_reads_are_bounded_too() {
    let flooded = Flooded::on(Size::Full);
    flooded.by("unread-metadata", 20);
    flooded.by("unread-lists", 20);
    flooded.by("unread-batches", 60);
    flooded.by("unread-pings", 10);
    flooded.by("long-polls", 5);
}

#[test]
fn long_polls_beyond_the_limit_are_refused_and_the_others_go_on() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("quiet", 1, &[]);
    wire.create_topic("full", 1, &[]);
    wire.produce("full", 0, plain("there ", 0..1));
    let one = map! { "topic" => "quiet", "partition" => 0, "offset" => 0 };
    let many: Vec<Value> = (0..1_000).map(|_| one.clone()).collect();
    let mut poller = broker.connect();
    // Each weighs 1,008 of 16,384.
    for _ in 0..17 {
        let wanted =
            map! { "partitions" => many.clone(), "max_wait_ms" => 30_000, "min_bytes" => 1 };
        poller.send("fetch", wanted);
    }
    let refused = poller.receive().outcome.unwrap_err();
    assert_eq!(refused.name, "BUSY");
    assert!(refused.retriable && refused.definite, "{refused:?}");
    // One that finds enough need not wait, and is not refused.
    let full = map! { "topic" => "full", "partition" => 0, "offset" => 0 };
    let full: Vec<Value> = (0..1_000).map(|_| full.clone()).collect();
    let wanted = map! { "partitions" => full, "max_wait_ms" => 30_000, "min_bytes" => 1 };
    poller.call("fetch", wanted).unwrap();
    wire.produce("quiet", 0, plain("wake ", 0..1));
    for _ in 0..16 {
        poller.receive().outcome.unwrap();
    }
    // What has been answered makes room.
    let wanted = map! { "partitions" => many, "max_wait_ms" => 1, "min_bytes" => 1_000_000 };
    poller.call("fetch", wanted).unwrap();
}

#[test]
fn a_record_that_unfolds_to_much_is_read_whole_by_whoever_asks() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("folded", 1, &[]);
    let value = Value::Bin(vec![b'x'; 5_000_000]);
    let records = Value::Array(vec![
        Value::Array(vec![Value::Nil, value.clone()]),
        Value::Array(vec![Value::Nil, value]),
    ]);
    let args = crate::harness::opaque("folded", 0, &records, "gzip");
    wire.call("produce", args).unwrap();
    let first = wire
        .fetch("folded", 0, 0, map! { "form" => "records" })
        .unwrap();
    assert_eq!(
        first.records()[0].value.as_ref().map(Vec::len),
        Some(5_000_000)
    );
    assert_eq!(wire.read_all("folded", 0).len(), 2);
}

#[test]
fn fetches_that_have_to_unfold_much_leave_memory_to_others() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("folded", 3, &[]);
    wire.create_topic("plain", 1, &[]);
    let record = |bytes| Value::Array(vec![Value::Nil, Value::Bin(vec![b'x'; bytes])]);
    let folded = Value::Array((0..60).map(|_| record(1_000_000)).collect());
    let mut deep = Vec::new();
    for partition in 0..3 {
        let args = crate::harness::opaque("folded", partition, &folded, "gzip");
        wire.call("produce", args).unwrap();
        deep.push(map! { "topic" => "folded", "partition" => partition, "offset" => 59 });
    }
    let plain = map! { "topic" => "plain", "partition" => 0, "records" => vec![record(100_000)] };
    wire.call("produce", plain).unwrap();
    let deep = map! { "partitions" => deep, "form" => "records" };
    let mut greedy: Vec<_> = (0..60).map(|_| broker.connect()).collect();
    let (answers, answer) = mpsc::channel();
    thread::scope(|scope| {
        for wire in &mut greedy {
            for _ in 0..64 {
                wire.send("fetch", deep.clone());
            }
            let answers = answers.clone();
            scope.spawn(move || {
                while let Ok(Some(_)) = wire.try_receive() {
                    let _ = answers.send(());
                }
            });
        }
        answer.recv().expect("theirs are answered, too");
        // Whoever gets no memory is BUSY after 5 s.
        let reads: Vec<_> = (0..3)
            .map(|_| wire.fetch("plain", 0, 0, map! { "form" => "records" }))
            .collect();
        broker.kill();
        for read in reads {
            assert_eq!(read.unwrap().records().len(), 1);
        }
    });
}

#[test]
fn one_that_was_sent_away_and_reads_nothing_is_gone_soon() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let wanted = wire.create_large_topic("large");
    for _ in 0..4 {
        wire.send("fetch", wanted.clone());
    }
    wire.send_frame(b"nonsense");
    // Far less than somebody gets who was not sent away and reads nothing.
    let refused = (0..50).any(|_| {
        thread::sleep(Duration::from_millis(500));
        wire.try_send_bytes(&[0]).is_err()
    });
    assert!(refused, "its socket is still open");
}

#[test]
fn whoever_sends_a_refused_frame_slowly_can_still_read_why() {
    const MIB: usize = 1024 * 1024;
    let broker = Broker::start();
    let mut wire = broker.connect();
    let nested = frame(&[0x91; MIB]);
    for piece in nested.chunks(MIB / 32) {
        wire.send_bytes(piece);
        thread::sleep(Duration::from_millis(100));
    }
    let answer = wire.receive();
    assert_eq!(answer.id, None);
    assert_eq!(answer.outcome.unwrap_err().name, "NESTING_TOO_DEEP");
    wire.expect_closed();
    broker.connect().call("ping", map! {}).unwrap();
}

#[test]
fn polls_in_large_frames_hold_nothing_of_them_while_they_wait() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("quiet", 1, &[]);
    wire.create_topic("other", 1, &[]);
    let padding = Value::Bin(vec![0; 2_030_000]);
    let one = map! { "topic" => "quiet", "partition" => 0, "offset" => 0 };
    let poll = map! {
        "partitions" => vec![one], "max_wait_ms" => 60_000, "min_bytes" => 1, "padding" => padding,
    };
    let mut pollers: Vec<_> = (0..11).map(|_| broker.connect()).collect();
    for poller in &mut pollers {
        // Together nearly all that frames of this size may occupy.
        for _ in 0..3 {
            poller.send("fetch", poll.clone());
        }
        poller.call("ping", map! {}).unwrap();
    }
    let value = Value::Bin(vec![b'x'; 1_000_000]);
    let records = Value::Array(vec![Value::Array(vec![Value::Nil, value])]);
    let mut newcomers: Vec<_> = (0..4).map(|_| broker.connect()).collect();
    for newcomer in &mut newcomers {
        newcomer.produce("other", 0, records.clone());
    }
    wire.produce("quiet", 0, plain("wake ", 0..1));
    for mut poller in pollers {
        poller.receive().outcome.unwrap();
    }
}
