//! Connections that move to the arbiter of the partitions they talk to: nobody outside notices. Order,
//! what waits, what was agreed and how long it may be idle are the same afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::harness::{Broker, Setup, Value, Wire, map, patience, plain, valued};

/// Requests under way at once.
const IN_FLIGHT: usize = 8;
/// Requests in a row for one partition.
const RUN: u64 = 200;

/// A broker of two arbiters that says when a connection moves; its topic `t` has partition 0 on one of them
/// and partition 1 on the other.
fn two_arbiters(more: impl FnOnce(Setup) -> Setup) -> Broker {
    let setup = Setup::new()
        .option("num.arbiters", "2")
        .log_filter("broker_server=debug");
    let broker = more(setup).start();
    let overrides = [("flush.mode", "async")];
    broker.connect().create_topic("t", 2, &overrides);
    broker
}

fn moves(broker: &Broker) -> usize {
    broker.log().matches("moves to another arbiter").count()
}

/// Appends to one partition and then to the other, in long runs, until a connection has moved so often.
fn produce_until_moved(broker: &Broker, wire: &mut Wire, wanted: usize) -> [u64; 2] {
    let mut ends = [wire.list_end(0), wire.list_end(1)];
    let began = Instant::now();
    while moves(broker) < wanted {
        for (partition, end) in (0..).zip(&mut ends) {
            *end = produce_run(wire, partition, *end);
        }
        assert!(began.elapsed() < patience(), "the connection never moved");
    }
    ends
}

/// Appends a run of batches to a partition, several at a time; answers where it ends.
fn produce_run(wire: &mut Wire, partition: u32, begin: u64) -> u64 {
    let end = begin + RUN;
    let mut sent = BTreeMap::new();
    let mut next = begin;
    while next < end || !sent.is_empty() {
        while next < end && sent.len() < IN_FLIGHT {
            let records = vec![valued(&format!("{partition}-{next}"))];
            let args = map! { "topic" => "t", "partition" => partition, "records" => records };
            sent.insert(wire.send("produce", args), next);
            next += 1;
        }
        let answer = wire.receive();
        let expected = sent.remove(&answer.id.unwrap()).expect("answered once");
        let offset = answer.outcome.unwrap().get("base_offset").u64();
        assert_eq!(offset, expected, "appended in the order sent");
    }
    end
}

trait ListEnd {
    fn list_end(&mut self, partition: u32) -> u64;
}

impl ListEnd for Wire {
    fn list_end(&mut self, partition: u32) -> u64 {
        let nothing_waits = map! { "min_bytes" => 0, "max_bytes" => 1 };
        self.fetch("t", partition, 0, nothing_waits)
            .unwrap()
            .offset("log_end")
    }
}

#[test]
fn appends_keep_their_order_while_their_connection_moves_back_and_forth() {
    let broker = two_arbiters(|setup| setup);
    let mut wire = broker.connect();
    let ends = produce_until_moved(&broker, &mut wire, 4);
    for (partition, end) in (0..).zip(ends) {
        let mut offset = 0;
        while offset < end {
            let fetched = wire.fetch("t", partition, offset, map! {}).unwrap();
            for record in fetched.records() {
                assert_eq!(record.text(), format!("{partition}-{}", record.offset));
            }
            offset = fetched.offset("next_offset");
        }
    }
}

/// Has a connection moved at least once.
fn moved(broker: &Broker) -> Wire {
    let mut wire = broker.connect();
    produce_until_moved(broker, &mut wire, 1);
    wire
}

#[test]
fn a_long_poll_is_answered_after_its_connection_has_moved() {
    let broker = two_arbiters(|setup| setup);
    let mut other = broker.connect();
    other.create_topic("quiet", 1, &[]);
    let mut wire = broker.connect();
    let wanted = map! { "topic" => "quiet", "partition" => 0, "offset" => 0 };
    let poll = wire.send(
        "fetch",
        map! { "partitions" => vec![wanted], "max_wait_ms" => 60_000 },
    );
    // Answers of other requests are told from that of the poll by their ids.
    produce_until_moved(&broker, &mut wire, 1);
    other.produce("quiet", 0, vec![valued("news")]);
    let answer = wire.receive();
    assert_eq!(answer.id, Some(poll));
    let answer = answer.outcome.unwrap();
    let [partition] = answer.get("partitions").list() else {
        panic!("one partition: {answer:?}")
    };
    assert_eq!(partition.get("records").list().len(), 1);
}

#[test]
fn a_connection_that_moved_needs_no_hello_and_may_send_large_frames() {
    let broker = two_arbiters(|setup| setup);
    let mut wire = moved(&broker);
    let large = "x".repeat(300_000);
    let base = wire.produce("t", 1, Value::from(vec![valued(&large)]));
    wire.produce("t", 0, plain("after-", 0..2));
    let fetched = wire.fetch("t", 1, base, map! {}).unwrap();
    assert_eq!(fetched.records()[0].text(), large);
}

#[test]
fn a_connection_that_moved_is_closed_when_idle_and_counted_once() {
    let broker = two_arbiters(|setup| setup.option("connections.max.idle.ms", "5000"));
    let mut wire = moved(&broker);
    let answer = wire.receive();
    let error = answer.outcome.unwrap_err();
    assert_eq!((answer.id, error.name.as_str()), (None, "TIMED_OUT"));
    wire.expect_closed();
    let mut broker = broker;
    let began = Instant::now();
    // Ends well only when no connection is taken to be open still.
    broker.stop();
    assert!(began.elapsed() < Duration::from_secs(30));
}
