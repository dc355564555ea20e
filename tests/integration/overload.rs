//! As much as comes: connections that have more requests under way together than a mailbox holds get an answer or BUSY
//! for each, and neither timers nor administration stand still for them. The controller's mailbox does overflow.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use broker_model::limits::PARTITION_MAILBOX;

use crate::harness::{Broker, Setup, Value, Wire, eventually, map, plain};

/// Requests that a connection has under way; the broker allows as many.
const PIPELINE: usize = 100;
/// So many connections have twice as many under way as a mailbox holds.
const CONNECTIONS: usize = 2 * PARTITION_MAILBOX.div_ceil(PIPELINE);

/// What all flooding connections were answered.
#[derive(Debug, Default)]
struct Answers {
    taken: AtomicU64,
    busy: AtomicU64,
}

/// Connections that flood.
struct Flood {
    answers: Arc<Answers>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Each has that asked again and again.
    fn start(broker: &Broker, method: &'static str, args: &Value) -> Self {
        let (answers, stop) = (Arc::<Answers>::default(), Arc::default());
        let threads = (0..CONNECTIONS).map(|_| {
            let (wire, args) = (broker.connect(), args.clone());
            let (answers, stop) = (Arc::clone(&answers), Arc::clone(&stop));
            std::thread::spawn(move || flood(wire, &stop, &answers, (method, &args)))
        });
        Self {
            threads: threads.collect(),
            answers,
            stop,
        }
    }

    /// Whether some were taken, and some were too many.
    fn overloads(&self) -> bool {
        let seen = |count: &AtomicU64| count.load(Ordering::Relaxed) > 0;
        seen(&self.answers.taken) && seen(&self.answers.busy)
    }

    /// Stops it, and says how many were taken.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("only answers and BUSY came");
        }
        self.answers.taken.load(Ordering::Relaxed)
    }
}

/// Has requests under way until told to stop, always as many: a connection that has none for a moment may move to the
/// thread of what it asks, and would wait there instead of asking more. Anything but a result or BUSY is no answer.
fn flood(mut wire: Wire, stop: &AtomicBool, answers: &Answers, (method, args): (&str, &Value)) {
    let mut under_way = 0;
    while under_way > 0 || !stop.load(Ordering::Relaxed) {
        while under_way < PIPELINE && !stop.load(Ordering::Relaxed) {
            wire.send(method, args.clone());
            under_way += 1;
        }
        if under_way == 0 {
            return;
        }
        under_way -= 1;
        let counted = match wire.receive().outcome {
            Ok(_) => &answers.taken,
            Err(error) => {
                assert_eq!(error.name, "BUSY", "{error:?}");
                assert!(error.retriable && error.definite, "{error:?}");
                &answers.busy
            }
        };
        counted.fetch_add(1, Ordering::Relaxed);
    }
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
    wire.create_topic("bystander", 1, &[]);
    let args = map! { "topic" => "t", "partition" => 0, "records" => plain("v", 0..1) };
    let flood = Flood::start(&broker, "produce", &args);
    durable_positions_move(&broker);
    eventually("retention goes on", || {
        wire.offset_at("t", 0, "earliest")
            .filter(|start| *start > 0)
    });
    for number in 0..3 {
        wire.create_topic(&format!("other{number}"), 1, &[]);
    }
    wire.call("ping", map! {}).expect("ping is answered");
    wire.produce("bystander", 0, plain("v", 0..3));
    assert_eq!(wire.read_all("bystander", 0).len(), 3);
    let taken = flood.end();
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
    const CONNECTIONS: u64 = 50;
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", PARTITIONS, &[]);
    wire.wait_until_open("t", PARTITIONS);
    let mut changing: Vec<Wire> = (0..CONNECTIONS).map(|_| broker.connect()).collect();
    let all = 2 * CONNECTIONS * u64::from(PARTITIONS);
    eventually("most of them were merged", || {
        let before = handled_by_partitions(&mut wire, "t");
        for (number, wire) in changing.iter_mut().enumerate() {
            for retention in [100_000 + number, 200_000 + number] {
                let set = map! { "retention.ms" => retention.to_string() };
                wire.send("alter_topic", map! { "name" => "t", "set" => set });
            }
        }
        for wire in &mut changing {
            for _ in 0..2 {
                wire.receive().outcome.expect("it is changed");
            }
        }
        let asks = map! { "name" => "t", "validate_only" => true };
        let altered = wire.call("alter_topic", asks).unwrap();
        let last = altered.get("config").get("retention.ms").text().to_owned();
        assert!(last.starts_with("2000"), "some connection's last: {last}");
        (handled_by_partitions(&mut wire, "t") - before < all / 2).then_some(())
    });
}

#[test]
fn a_change_does_not_wait_for_all_that_another_connection_asked_for() {
    let broker = Broker::start();
    let (mut greedy, mut modest) = (broker.connect(), broker.connect());
    for number in 0..PIPELINE {
        greedy.send(
            "create_topic",
            map! { "name" => format!("t{number}"), "partitions" => 1 },
        );
    }
    // Those under way are ahead of it, and the first of the others.
    modest.create_topic("modest", 1, &[]);
    let topics = modest.call("metadata", map! {}).unwrap();
    let created = topics.get("topics").list().len() - 1;
    assert!(created < PIPELINE / 2, "it waited for {created}");
    for _ in 0..PIPELINE {
        greedy.receive().outcome.expect("it is created, too");
    }
}

#[test]
fn a_change_does_not_wait_for_the_large_ones_of_other_connections() {
    const OTHERS: usize = 20;
    let broker = Broker::start();
    let mut others: Vec<Wire> = (0..OTHERS).map(|_| broker.connect()).collect();
    let mut modest = broker.connect();
    for (number, other) in others.iter_mut().enumerate() {
        for which in ["first", "second"] {
            let name = format!("{which}-{number}");
            let args = map! { "name" => name, "partitions" => 20 };
            other.send("create_topic", args);
        }
    }
    eventually("the first of them is there", || {
        let topics = modest.call("metadata", map! {}).unwrap();
        (!topics.get("topics").list().is_empty()).then_some(())
    });
    modest.create_topic("modest", 1, &[]);
    let topics = modest.call("metadata", map! {}).unwrap();
    let created = topics.get("topics").list().len() - 1;
    assert!(created < OTHERS / 2, "it waited for {created}");
    for other in &mut others {
        for _ in 0..2 {
            other.receive().outcome.expect("it is created, too");
        }
    }
}

#[test]
fn a_flooded_controller_answers_and_refuses_nobody_who_asks_for_one_thing_at_a_time() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let set = map! { "retention.ms" => "1h" };
    let args = map! { "name" => "t", "set" => set };
    let flood = Flood::start(&broker, "alter_topic", &args);
    eventually("the controller is overloaded", || {
        flood.overloads().then_some(())
    });
    for number in 0..3 {
        wire.create_topic(&format!("other{number}"), 1, &[]);
        wire.wait_until_open(&format!("other{number}"), 1);
        wire.produce(&format!("other{number}"), 0, plain("v", 0..3));
    }
    assert!(flood.end() > 0);
}
