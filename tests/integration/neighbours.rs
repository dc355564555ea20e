//! What others notice of a plugin that never comes back: how long their requests take meanwhile. Nothing
//! here depends on how fast the machine is; the ratio is printed for whoever wants to know.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{
    Broker, Value, Wire, eventually, hostile_module, keyed, map, patience, valued,
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
    let before = latencies(&mut bystanders);
    let (stop, loops) = (AtomicBool::new(false), AtomicU64::new(0));
    let during = std::thread::scope(|scope| {
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
        let during = latencies(&mut bystanders);
        stop.store(true, Ordering::SeqCst);
        during
    });
    for (name, percent) in [("median", 50), ("99th percentile", 99)] {
        let at = |sorted: &[Duration]| sorted[sorted.len() * percent / 100];
        let (before, during) = (at(&before), at(&during));
        let ratio = during.as_secs_f64() / before.as_secs_f64();
        println!("{name}: {before:?} without, {during:?} with a looping plugin, ratio {ratio:.2}");
    }
    println!("the plugin looped {} times", loops.load(Ordering::SeqCst));
    assert_eq!(broker.connect().read_all("bystander", 1).len(), 3 * 150 * 4);
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
