//! `kill -9` under load, again and again. Every acknowledged record is compared afterwards: at its
//! offset, with its bytes; nothing is there that nobody sent, and nothing twice.

use std::time::Duration;

use crate::harness::{Broker, Ledger, eventually, map, plain, produce_until_killed, valued};

fn kill_under_load(flush_mode: &str, rounds: u64) {
    let mut broker = Broker::start();
    let config = [
        ("flush.mode", flush_mode),
        ("segment.bytes", "4KiB"),
        ("index.interval.bytes", "512"),
    ];
    broker.connect().create_topic("t", 3, &config);
    let ledger = Ledger::default();
    for round in 0..rounds {
        let before = ledger.count();
        std::thread::scope(|scope| {
            for partition in 0..3 {
                // Connected before the others begin, so that none of them gets the broker killed first.
                let (wire, ledger) = (broker.connect(), &ledger);
                scope.spawn(move || produce_until_killed(wire, "t", partition, ledger));
            }
            // At least some of each round is acknowledged; the rest of the wait varies the moment.
            eventually("there is a load", || {
                (ledger.count() >= before + 50).then_some(())
            });
            std::thread::sleep(Duration::from_millis(37 * (round % 5)));
            broker.kill();
        });
        broker.start_again();
        ledger.verify(&mut broker.connect(), "t", 3);
    }
    assert!(
        broker.files("t", 0, "log").len() > 1,
        "the load never rolled a segment"
    );
    assert!(
        !broker.log().contains("stored data is damaged"),
        "a mere kill damages nothing"
    );
}

#[test]
fn nothing_acknowledged_is_lost_to_kill_nine_under_sync() {
    kill_under_load("sync", 8);
}

#[test]
fn nothing_acknowledged_is_lost_to_kill_nine_under_async() {
    kill_under_load("async", 8);
}

#[test]
fn metadata_survives_kill_nine_at_any_moment() {
    let mut broker = Broker::start();
    let mut created = Vec::new();
    for round in 0..6 {
        let mut wire = broker.connect();
        for number in 0..5 {
            let name = format!("r{round}-{number}");
            wire.create_topic(&name, 2, &[("retention.ms", "5h")]);
            created.push(name);
        }
        // One more is under way when the process dies: it is there or not, never half.
        wire.send(
            "create_topic",
            map! { "name" => format!("maybe-{round}"), "partitions" => 3 },
        );
        std::thread::sleep(Duration::from_millis(round * 3));
        broker.crash();
        let mut wire = broker.connect();
        for name in &created {
            let described = wire.describe_topic(name);
            assert_eq!(described.get("partitions").list().len(), 2, "{name}");
        }
        let answer = wire
            .call(
                "metadata",
                map! { "topics" => vec![format!("maybe-{round}")] },
            )
            .unwrap();
        let maybe = &answer.get("topics").list()[0];
        if maybe.get("error").is_nil() {
            assert_eq!(maybe.get("partitions").list().len(), 3);
            wire.produce(&format!("maybe-{round}"), 2, plain("x", 0..1));
        }
    }
}

#[test]
fn a_broker_that_is_killed_while_it_starts_starts_the_next_time() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 4, &[("segment.bytes", "16KiB")]);
    for partition in 0..4 {
        for start in (0..200).step_by(20) {
            wire.produce(
                "t",
                partition,
                plain("some text to fill segments ", start..start + 20),
            );
        }
    }
    broker.kill();
    for wait in [0, 5, 20, 50, 100, 150] {
        broker.start_and_kill_after(Duration::from_millis(wait));
    }
    broker.start_again();
    let mut wire = broker.connect();
    for partition in 0..4 {
        assert_eq!(wire.read_all("t", partition).len(), 200);
    }
}

#[test]
fn the_comparison_notices_a_loss_a_change_a_duplicate_and_a_stranger() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    wire.produce("t", 0, vec![valued("0 1 a"), valued("0 2 a")]);
    let mut verdict = |acknowledged: &[(u64, &str)], attempted: u64| {
        let ledger = Ledger::of_attempts(attempted);
        for (offset, value) in acknowledged {
            ledger.acknowledge(0, *offset, (*value).to_owned());
        }
        let compare = std::panic::AssertUnwindSafe(|| ledger.verify(&mut wire, "t", 1));
        std::panic::catch_unwind(compare).is_ok()
    };
    assert!(verdict(&[(0, "0 1 a"), (1, "0 2 a")], 2));
    assert!(!verdict(&[(2, "0 2 b")], 2), "a loss");
    assert!(!verdict(&[(0, "0 2 a")], 2), "a change");
    assert!(!verdict(&[], 1), "a stranger");
    broker.connect().produce("t", 0, vec![valued("0 1 a")]);
    assert!(!verdict(&[], 2), "a duplicate");
}
