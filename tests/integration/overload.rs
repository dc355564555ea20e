//! More than one partition can take: connections that pipeline tiny requests as fast as they can get an
//! answer or BUSY for each, and neither timers nor administration stand still for them.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::harness::{Broker, Setup, Value, Wire, eventually, map, patience, plain};

/// Requests that a connection has under way; the broker allows as many.
const PIPELINE: usize = 100;

/// What a flooding connection was answered.
#[derive(Debug, Default)]
struct Answers {
    taken: u64,
    busy: u64,
}

/// Sends requests in pipelines until told to stop, and until one of them was taken; anything but a result or BUSY is
/// no answer.
fn flood(
    broker: &Broker,
    stop: &Arc<AtomicBool>,
    method: &'static str,
    args: Value,
) -> JoinHandle<Answers> {
    let (mut wire, stop) = (broker.connect(), Arc::clone(stop));
    std::thread::spawn(move || {
        let (mut answers, began) = (Answers::default(), Instant::now());
        let is_in_vain = |taken: u64| taken == 0 && began.elapsed() < patience();
        while !stop.load(Ordering::Relaxed) || is_in_vain(answers.taken) {
            for _ in 0..PIPELINE {
                wire.send(method, args.clone());
            }
            for _ in 0..PIPELINE {
                match wire.receive().outcome {
                    Ok(_) => answers.taken += 1,
                    Err(error) => {
                        assert_eq!(error.name, "BUSY", "{error:?}");
                        assert!(error.retriable && error.definite, "{error:?}");
                        answers.busy += 1;
                    }
                }
            }
        }
        answers
    })
}

/// Ends when it has seen the durable positions change three times.
fn durable_positions_move(broker: &Broker) {
    let file = broker.data_dir().join("durable-positions");
    for _ in 0..3 {
        let before = fs::read(&file).expect("it is there");
        eventually("what is not durable is synced", || {
            (fs::read(&file).expect("it is there") != before).then_some(())
        });
    }
}

#[test]
fn a_flooded_partition_answers_and_syncs_and_retention_and_administration_go_on() {
    let broker = Setup::new()
        .option("log.retention.check.interval.ms", "50")
        .start();
    let mut wire = broker.connect();
    let config = [
        ("flush.mode", "async"),
        ("flush.ms", "50"),
        ("segment.bytes", "64KiB"),
        ("retention.bytes", "64KiB"),
    ];
    wire.create_topic("t", 1, &config);
    let stop = Arc::new(AtomicBool::new(false));
    let args = map! { "topic" => "t", "partition" => 0, "records" => plain("v", 0..1) };
    let floods: Vec<_> = (0..4)
        .map(|_| flood(&broker, &stop, "produce", args.clone()))
        .collect();
    durable_positions_move(&broker);
    eventually("retention goes on", || {
        wire.offset_at("t", 0, "earliest")
            .filter(|start| *start > 0)
    });
    for number in 0..3 {
        wire.create_topic(&format!("other{number}"), 1, &[]);
    }
    wire.call("ping", map! {}).expect("ping is answered");
    stop.store(true, Ordering::Relaxed);
    let mut taken = 0;
    for flood in floods {
        taken += flood.join().expect("only answers and BUSY came").taken;
    }
    let end = wire.offset_at("t", 0, "latest").expect("it has an end");
    assert_eq!(end, taken, "what was taken is there, what was busy is not");
}

/// How many messages the partitions of a topic have handled.
fn handled_by_partitions(wire: &mut Wire, topic: &str) -> u64 {
    let actors = wire.call("list_actors", map! {}).unwrap();
    let actors = actors.get("actors").list().iter();
    let of_topic = actors.filter(|actor| {
        let name = actor.get("name").text();
        actor.get("kind").text() == "partition"
            && name.rsplit_once('-').is_some_and(|(of, _)| of == topic)
    });
    of_topic.map(|actor| actor.get("handled").u64()).sum()
}

#[test]
fn changes_that_later_ones_supersede_do_not_reach_the_partitions_one_by_one() {
    const PARTITIONS: u32 = 200;
    const CHANGES: u64 = 100;
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", PARTITIONS, &[]);
    wire.wait_until_open("t", PARTITIONS);
    let all = CHANGES * u64::from(PARTITIONS);
    eventually("most of them were merged", || {
        let before = handled_by_partitions(&mut wire, "t");
        for number in 0..CHANGES {
            let set = map! { "retention.ms" => (100_000 + number).to_string() };
            wire.send("alter_topic", map! { "name" => "t", "set" => set });
        }
        let mut last = Value::Nil;
        for _ in 0..CHANGES {
            last = wire.receive().outcome.expect("it is changed");
        }
        assert_eq!(last.get("config").get("retention.ms").text(), "100099");
        (handled_by_partitions(&mut wire, "t") - before < all / 2).then_some(())
    });
}

#[test]
fn a_flooded_controller_answers_and_changes_metadata() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let set = map! { "retention.ms" => "1h" };
    let args = map! { "name" => "t", "set" => set };
    let floods: Vec<_> = (0..3)
        .map(|_| flood(&broker, &stop, "alter_topic", args.clone()))
        .collect();
    for number in 0..3 {
        wire.create_topic(&format!("other{number}"), 1, &[]);
        wire.produce(&format!("other{number}"), 0, plain("v", 0..3));
    }
    stop.store(true, Ordering::Relaxed);
    for flood in floods {
        assert!(flood.join().expect("only answers and BUSY came").taken > 0);
    }
}
