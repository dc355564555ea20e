//! What others notice of a plugin that never comes back, and of floods: how long their requests take meanwhile. It is
//! compared with what they notice of busy cores, so that it does not depend on how fast the machine is.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker_tests::flood::stage::Size;

use crate::harness::{
    Broker, COMPARISONS, Flooded, Value, Wire, eventually, hostile_module, is_massive, keyed, map,
    patience, valued,
};

/// How long each of some requests to another topic takes, sorted.
fn latencies(wires: &mut [Wire]) -> Vec<Duration> {
    let mut all = Vec::new();
    for _ in 0..150 {
        for wire in &mut *wires {
            let began = Instant::now();
            wire.produce("bystander", 1, vec![valued("x")]);
            all.push(began.elapsed());
        }
    }
    all.sort();
    all
}

/// The same while a plugin is called again and again that never comes back.
fn latencies_beside_a_loop(wire: &mut Wire, bystanders: &mut [Wire]) -> Vec<Duration> {
    let (stop, loops) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            while !stop.load(Ordering::SeqCst) && began.elapsed() < patience() {
                let args = map! { "topic" => "t", "records" => vec![keyed("go", "1")] };
                match wire.refused("produce", args).name.as_str() {
                    "PLUGIN_TIMEOUT" => loops.fetch_add(1, Ordering::SeqCst),
                    // Whoever resumes it does not help it.
                    "PLUGIN_SUSPENDED" => {
                        wire.call("resume_plugin", map! { "name" => "bad" })
                            .unwrap();
                        0
                    }
                    other => panic!("{other}"),
                };
            }
        });
        eventually("it loops", || {
            (loops.load(Ordering::SeqCst) > 0).then_some(())
        });
        let during = latencies(bystanders);
        stop.store(true, Ordering::SeqCst);
        during
    })
}

/// The same while every core is busy with something else.
fn latencies_beside_busy_cores(bystanders: &mut [Wire]) -> Vec<Duration> {
    let stop = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let during = latencies(bystanders);
        stop.store(true, Ordering::Relaxed);
        during
    })
}

#[test]
fn others_hardly_notice_a_plugin_that_loops() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let module = fs::read(hostile_module()).expect("it was built");
    let options = map! { "options" => map! { "behaviour" => "loop" } };
    wire.deploy("bad", &module, options).unwrap();
    wire.create_topic("t", 2, &[("partitioner", "bad")]);
    wire.create_topic("bystander", 2, &[]);
    let mut bystanders: Vec<Wire> = (0..4).map(|_| broker.connect()).collect();
    latencies(&mut bystanders);
    let at = |sorted: &[Duration], percent: usize| sorted[sorted.len() * percent / 100];
    let mut rounds = 1;
    let is_spared = (0..COMPARISONS).any(|_| {
        let control = latencies_beside_busy_cores(&mut bystanders);
        let during = latencies_beside_a_loop(&mut wire, &mut bystanders);
        rounds += 2;
        for (name, percent) in [("median", 50), ("99th percentile", 99)] {
            let (control, during) = (at(&control, percent), at(&during, percent));
            println!("{name}: {control:?} beside busy cores, {during:?} beside a looping plugin");
        }
        !is_massive(at(&during, 99), at(&control, 99))
    });
    assert!(is_spared, "others wait for it");
    let records = broker.connect().read_all("bystander", 1);
    assert_eq!(records.len(), rounds * 150 * 4);
}

#[test]
fn others_do_not_wait_for_bombs_tiny_requests_or_those_who_read_nothing() {
    let flooded = Flooded::on(Size::Small);
    for (attack, connections) in [
        ("bombs-zstd", 6),
        ("tiny-produces", 10),
        ("unread-records", 30),
    ] {
        flooded.spares_others(attack, connections);
    }
}

/// How many lists somebody else gets while a plugin is asked about many keys.
fn lists_meanwhile(wire: &mut Wire, other: &mut Wire) -> u64 {
    let keys: Vec<Value> = (0..2000).map(|_| Value::from(b"go".as_slice())).collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let args = map! { "topic" => "t", "keys" => keys };
            assert_eq!(wire.refused("partition_for", args).name, "PLUGIN_TIMEOUT");
            is_over.store(true, Ordering::SeqCst);
        });
        let mut answered = 0;
        let began = Instant::now();
        while !is_over.load(Ordering::SeqCst) && began.elapsed() < patience() {
            other.call("metadata", map! {}).unwrap();
            answered += 1;
        }
        answered
    })
}

#[test]
fn lists_are_answered_while_a_plugin_looks_at_many_keys() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let module = fs::read(hostile_module()).expect("it was built");
    let options = map! {
        "options" => map! { "behaviour" => "loop" },
        "limits" => map! { "deadline_ms" => 1000 },
    };
    wire.deploy("bad", &module, options).unwrap();
    wire.create_topic("t", 2, &[("partitioner", "bad")]);
    let mut other = broker.connect();
    // Before the plugin has begun there is time for some, on the way of its request. It may have a core at a time
    // when the others have none.
    let are_answered = (0..5).any(|_| {
        let answered = lists_meanwhile(&mut wire, &mut other);
        println!("{answered} lists in a second");
        let name = map! { "name" => "bad" };
        wire.call("resume_plugin", name).expect("it is resumed");
        answered >= 20
    });
    assert!(are_answered);
}
