//! Memory that clients make the broker use in different ways at once. Each way has a bound of its own; together they
//! stay below one that is less than all of those.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Broker, Value, Wire, frame, map, patience};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What clients of this test may use together: what all kinds of memory have in common, what those have of their own
/// that are used here, and as much again as half of it for whatever else it takes.
const GROWN_MIB_MAX: u64 = 150;

/// All of a produce request but its last byte.
fn half_sent(bytes: usize) -> Vec<u8> {
    let value = Value::Bin(vec![b'x'; bytes - 200]);
    let records = Value::Array(vec![Value::Array(vec![Value::Nil, value])]);
    let args = map! { "topic" => "large", "partition" => 0, "records" => records };
    let request = Value::Array(vec![0.into(), 2.into(), "produce".into(), args]);
    let mut frame = frame(&request.encode());
    frame.pop();
    frame
}

fn holding(broker: &Broker, connections: usize, bytes: usize) -> Vec<Wire> {
    let frame = half_sent(bytes);
    let hold = |_| {
        let mut wire = broker.connect();
        wire.send_bytes(&frame);
        wire
    };
    (0..connections).map(hold).collect()
}

/// Clients that each ask for 8 MiB of decoded records and do not read.
fn not_reading(broker: &Broker, connections: usize) -> Vec<Wire> {
    let one = map! { "topic" => "large", "partition" => 0, "offset" => 0 };
    let ask = |_| {
        let mut wire = broker.connect();
        for _ in 0..3 {
            let wanted = map! { "partitions" => vec![one.clone()], "form" => "records", "max_bytes" => 8_000_000 };
            wire.send("fetch", wanted);
        }
        wire
    };
    (0..connections).map(ask).collect()
}

/// Clients that wait for a thousand partitions sixteen times each.
fn polling(broker: &Broker, connections: usize) -> Vec<Wire> {
    let one = map! { "topic" => "quiet", "partition" => 0, "offset" => 0 };
    let many: Vec<Value> = (0..1_000).map(|_| one.clone()).collect();
    let poll = |_| {
        let mut wire = broker.connect();
        for _ in 0..16 {
            let wanted =
                map! { "partitions" => many.clone(), "max_wait_ms" => 20_000, "min_bytes" => 1 };
            wire.send("fetch", wanted);
        }
        wire
    };
    (0..connections).map(poll).collect()
}

#[test]
fn many_kinds_of_memory_at_once_stay_below_one_ceiling() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("quiet", 1, &[]);
    wire.create_large_topic("large");
    let before = broker.resident_mib();
    let mut peak = before;
    // Each fills the part of its size that newcomers have: 16, 32 and 16 MiB.
    let frames = [
        holding(&broker, 63, 256 * KIB),
        holding(&broker, 31, MIB),
        holding(&broker, 1, 16 * MIB - KIB),
    ];
    let (readers, pollers) = (not_reading(&broker, 20), polling(&broker, 8));
    let began = Instant::now();
    let is_less = |peak: u64| peak.saturating_sub(before) < 48 && began.elapsed() < patience();
    while began.elapsed() < Duration::from_secs(4) || is_less(peak) {
        peak = peak.max(broker.resident_mib());
        wire.call("ping", map! {}).expect("a ping is answered");
        thread::sleep(Duration::from_millis(20));
    }
    let grown = peak.saturating_sub(before);
    assert!(
        grown >= 48,
        "only {grown} MiB: they did not get what they may"
    );
    assert!(grown <= GROWN_MIB_MAX, "{grown} MiB");
    // Whoever waits for memory goes on when those who held it have gone.
    drop((frames, readers, pollers));
    let value = Value::Bin(vec![b'y'; 1_000_000]);
    wire.produce(
        "large",
        0,
        Value::Array(vec![Value::Array(vec![Value::Nil, value])]),
    );
    assert_eq!(
        wire.fetch("large", 0, 8, map! { "form" => "records" })
            .unwrap()
            .records()
            .len(),
        1
    );
}

/// 128 fetches, each of a thousand partitions of which there is nothing to tell.
fn about_nothing() -> Vec<u8> {
    let one = map! { "topic" => "quiet", "partition" => 0, "offset" => 0 };
    let many: Vec<Value> = (0..1_000).map(|_| one.clone()).collect();
    let fetch = |id: u64| {
        let wanted = map! { "partitions" => many.clone(), "max_wait_ms" => 0 };
        let request = Value::Array(vec![0.into(), id.into(), "fetch".into(), wanted]);
        frame(&request.encode())
    };
    (2..130).flat_map(fetch).collect()
}

#[test]
fn answers_about_nothing_that_nobody_reads_are_bounded_too() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("quiet", 1, &[]);
    let requests = about_nothing();
    let before = broker.resident_mib();
    let mut peak = before;
    thread::scope(|scope| {
        let asking: Vec<_> = (0..40)
            .map(|_| {
                let mut asking = broker.connect();
                let requests = &requests;
                // Whoever does not read is not listened to any more, and closed in the end.
                scope.spawn(move || asking.try_send_bytes(requests).map(|()| asking))
            })
            .collect();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3)
            || asking.iter().any(|asking| !asking.is_finished())
        {
            peak = peak.max(broker.resident_mib());
            wire.call("ping", map! {}).expect("a ping is answered");
            thread::sleep(Duration::from_millis(20));
        }
    });
    let grown = peak.saturating_sub(before);
    assert!(grown <= 320, "{grown} MiB");
}

#[test]
fn large_modules_at_once_do_not_wait_for_each_other_nor_lists_for_them() {
    let broker = Broker::start();
    let mut asking = broker.connect();
    asking.create_topic("t", 1, &[]);
    thread::scope(|scope| {
        for client in 0..2 {
            let mut wire = broker.connect();
            let module = vec![client; 4 * MIB];
            scope.spawn(move || {
                for _ in 0..8 {
                    let name = format!("large-{client}");
                    let refused = wire.deploy(&name, &module, map! {});
                    let error = refused.expect_err("it is no module");
                    assert_eq!(error.name, "INVALID_PLUGIN");
                }
            });
        }
        for _ in 0..20 {
            asking.call("metadata", map! {}).expect("it is answered");
            thread::sleep(Duration::from_millis(20));
        }
    });
}
