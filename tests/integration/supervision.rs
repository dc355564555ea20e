//! Supervision: each kind of actor is made to panic while the broker is used. Whoever was waiting is told
//! that the outcome is unknown, the actor comes back on what is stored, the others never stop.

use std::time::Instant;

use crate::harness::{Broker, Setup, Value, Wire, eventually, keyed, map, patience, plain, valued};

fn broken_on_demand() -> Broker {
    Setup::new()
        .option("fault.injection.enable", "true")
        .expects_panics()
        .start()
}

fn restarts(wire: &mut Wire, kind: &str, name: &str) -> Option<u64> {
    let answer = wire.call("list_actors", map! {}).unwrap();
    let is_it =
        |actor: &&Value| actor.get("kind").text() == kind && actor.get("name").text() == name;
    let actor = answer.get("actors").list().iter().find(is_it)?.clone();
    (actor.get("state").text() == "running").then(|| actor.get("restarts").u64())
}

fn crash(wire: &mut Wire, kind: &str, name: &str) {
    let before = restarts(wire, kind, name).unwrap_or_else(|| panic!("{kind} {name} does not run"));
    wire.call("crash_actor", map! { "kind" => kind, "name" => name })
        .unwrap();
    eventually(&format!("{kind} {name} is started again"), || {
        restarts(wire, kind, name).filter(|restarts| *restarts > before)
    });
    // It is counted when it begins; until it is done whoever asks is told to come back. A question by
    // time is one that only the actor itself can answer.
    if let Some((topic, number)) = name.rsplit_once('-') {
        let partition: u32 = number
            .parse()
            .expect("a partition's name ends in its number");
        let query = map! { "topic" => topic, "partition" => partition, "at" => 0 };
        eventually("the partition answers again", || {
            let answer = wire
                .call("list_offsets", map! { "partitions" => vec![query.clone()] })
                .unwrap();
            let error = answer.get("partitions").list()[0].get("error").clone();
            assert!(error.is_nil() || error.get("retriable").bool(), "{error:?}");
            error.is_nil().then_some(())
        });
    }
}

#[test]
fn every_actor_is_listed_with_its_mailbox_and_what_it_did() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 2, &[]);
    wire.produce("t", 1, plain("x", 0..1));
    let answer = wire.call("list_actors", map! {}).unwrap();
    let name = |actor: &Value| {
        (
            actor.get("kind").text().to_owned(),
            actor.get("name").text().to_owned(),
        )
    };
    let names: Vec<_> = answer.get("actors").list().iter().map(name).collect();
    let expected = [
        ("broker", "1"),
        ("controller", "1"),
        ("partition", "t-0"),
        ("partition", "t-1"),
    ];
    for (kind, name) in expected {
        assert!(
            names.contains(&(kind.to_owned(), name.to_owned())),
            "{kind} {name}: {names:?}"
        );
    }
    let busy = answer
        .get("actors")
        .list()
        .iter()
        .find(|actor| actor.get("name").text() == "t-1")
        .expect("listed");
    assert!(busy.get("handled").u64() >= 1);
    assert_eq!(
        (busy.get("state").text(), busy.get("restarts").u64()),
        ("running", 0)
    );
    assert!(!busy.get("mailbox_depth").is_nil());
}

#[test]
fn nobody_crashes_actors_of_a_broker_that_was_not_started_for_it() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    let error = wire.refused("crash_actor", map! { "kind" => "controller" });
    assert_eq!(error.name, "FAULT_INJECTION_DISABLED");
    let features = Wire::open(broker.address()).call("hello", map! {}).unwrap();
    assert!(
        !features
            .get("features")
            .list()
            .contains(&Value::from("fault_injection"))
    );
}

#[test]
fn a_partition_that_panics_comes_back_with_all_that_was_acknowledged() {
    let broker = broken_on_demand();
    let mut wire = broker.connect();
    wire.create_topic("t", 2, &[]);
    for round in 0..3 {
        wire.produce("t", 0, plain("x", round * 10..round * 10 + 10));
        crash(&mut wire, "partition", "t-0");
        let texts: Vec<String> = wire
            .read_all("t", 0)
            .iter()
            .map(|record| record.text())
            .collect();
        assert_eq!(
            texts,
            (0..(round + 1) * 10)
                .map(|n| format!("x{n}"))
                .collect::<Vec<_>>()
        );
        wire.produce("t", 1, vec![valued("others go on")]);
    }
    assert_eq!(wire.produce("t", 0, plain("x", 30..31)), 30);
    assert_eq!(restarts(&mut wire, "partition", "t-1"), Some(0));
}

/// Sends records one by one, and answers which were acknowledged, and where they are. While the partition starts again
/// each is refused at once: it goes on until one is acknowledged.
fn produce_in_spite_of_crashes(mut wire: Wire, producer: u32) -> Vec<(u64, String)> {
    let (mut acknowledged, mut sent, began) = (Vec::new(), 0, Instant::now());
    while sent < 150 || acknowledged.is_empty() && began.elapsed() < patience() {
        let text = format!("{producer}-{sent}");
        let args = map! { "topic" => "t", "partition" => 0, "records" => vec![valued(&text)] };
        match wire.call("produce", args) {
            Ok(answer) => acknowledged.push((answer.get("base_offset").u64(), text)),
            Err(error) => assert!(error.retriable, "{error:?}"),
        }
        sent += 1;
    }
    acknowledged
}

#[test]
fn a_crash_under_load_tells_every_producer_something() {
    let broker = broken_on_demand();
    let mut admin = broker.connect();
    admin.create_topic("t", 1, &[]);
    let acknowledged = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..2)
            .map(|producer| {
                let wire = broker.connect();
                scope.spawn(move || produce_in_spite_of_crashes(wire, producer))
            })
            .collect();
        for _ in 0..2 {
            crash(&mut admin, "partition", "t-0");
        }
        producers
            .into_iter()
            .flat_map(|producer| producer.join().expect("no panic"))
            .collect::<Vec<_>>()
    });
    let records = admin.read_all("t", 0);
    assert!(!acknowledged.is_empty());
    for (offset, text) in acknowledged {
        assert_eq!(records[usize::try_from(offset).expect("fits")].text(), text);
    }
}

#[test]
fn a_waiting_fetch_survives_the_crash_of_its_partition() {
    let broker = broken_on_demand();
    let (mut reader, mut wire) = (broker.connect(), broker.connect());
    wire.create_topic("t", 1, &[]);
    let wanted = map! { "topic" => "t", "partition" => 0, "offset" => 0 };
    reader.send(
        "fetch",
        map! { "partitions" => vec![wanted], "max_wait_ms" => 30_000 },
    );
    crash(&mut wire, "partition", "t-0");
    eventually("the partition takes records again", || {
        let args = map! { "topic" => "t", "partition" => 0, "records" => plain("x", 0..1) };
        wire.call("produce", args).ok()
    });
    let answer = reader.receive().outcome.unwrap();
    let partition = &answer.get("partitions").list()[0];
    let told = !partition.get("error").is_nil() || !partition.get("records").list().is_empty();
    assert!(
        told,
        "it was left waiting until its time was up: {partition:?}"
    );
}

#[test]
fn the_controller_comes_back_from_its_log() {
    let broker = broken_on_demand();
    let mut wire = broker.connect();
    wire.create_topic("before", 2, &[("retention.ms", "5h")]);
    for round in 0..2 {
        crash(&mut wire, "controller", "1");
        // Data is served meanwhile, and metadata can be changed again.
        wire.produce("before", 1, plain("x", 0..1));
        let name = format!("after-{round}");
        let created = eventually("a topic can be created", || {
            match wire.call("create_topic", map! { "name" => name.as_str() }) {
                Ok(created) => Some(created),
                Err(error) => {
                    assert!(error.retriable, "{error:?}");
                    None
                }
            }
        });
        assert_eq!(created.get("name").text(), name);
        assert_eq!(
            wire.describe_topic("before").get("partitions").list().len(),
            2
        );
        wire.produce(&name, 0, plain("x", 0..1));
    }
    let error = wire.refused("create_topic", map! { "name" => "before" });
    assert_eq!(error.name, "TOPIC_ALREADY_EXISTS");
}

#[test]
fn the_broker_actor_comes_back_and_still_carries_out_changes() {
    let mut broker = broken_on_demand();
    let mut wire = broker.connect();
    wire.create_topic("before", 1, &[]);
    for round in 0..2 {
        crash(&mut wire, "broker", "1");
        wire.produce("before", 0, plain("x", 0..1));
        let name = format!("after-{round}");
        wire.create_topic(&name, 2, &[]);
        wire.produce(&name, 1, plain("x", 0..1));
    }
    // It is still the parent: a partition that dies now is started again, and a stop is clean.
    crash(&mut wire, "partition", "after-0-1");
    assert_eq!(wire.read_all("after-0", 1).len(), 1);
    drop(wire);
    broker.stop();
    broker.start_again();
    assert_eq!(broker.connect().read_all("before", 0).len(), 2);
}

#[test]
fn a_partition_that_keeps_panicking_goes_offline_and_says_so() {
    let broker = broken_on_demand();
    let mut wire = broker.connect();
    wire.create_topic("t", 2, &[]);
    wire.produce("t", 0, plain("x", 0..1));
    let state = |wire: &mut Wire| {
        let answer = wire.call("list_actors", map! {}).unwrap();
        let actor = answer
            .get("actors")
            .list()
            .iter()
            .find(|actor| actor.get("name").text() == "t-0")
            .expect("listed");
        actor.get("state").text().to_owned()
    };
    eventually("it is taken out of service", || {
        let _ = wire.call(
            "crash_actor",
            map! { "kind" => "partition", "name" => "t-0" },
        );
        (state(&mut wire) == "offline").then_some(())
    });
    let args = map! { "topic" => "t", "partition" => 0, "records" => plain("y", 0..1) };
    let error = wire.refused("produce", args);
    assert_eq!(error.name, "PARTITION_OFFLINE");
    assert!(error.definite && error.message.contains("t-0"), "{error:?}");
    assert_eq!(
        wire.fetch("t", 0, 0, map! {}).unwrap_err().name,
        "PARTITION_OFFLINE"
    );
    wire.produce("t", 1, plain("x", 0..1));

    // Of routed records those for the other partition are stored, and each of the rest is accounted for.
    let records: Vec<Value> = (0..20).map(|n| keyed(&format!("k{n}"), "v")).collect();
    let args = map! { "topic" => "t", "records" => records };
    let answer = wire.call("produce", args).unwrap();
    let partitions: Vec<u64> = answer
        .get("partitions")
        .list()
        .iter()
        .map(Value::u64)
        .collect();
    let errors = answer.get("errors").list();
    assert_eq!(errors.len(), 1, "one entry for one reason: {errors:?}");
    assert_eq!(
        errors[0].get("error").get("name").text(),
        "PARTITION_OFFLINE"
    );
    let failed: Vec<u64> = errors[0]
        .get("indexes")
        .list()
        .iter()
        .map(Value::u64)
        .collect();
    let meant: Vec<u64> = (0..)
        .zip(&partitions)
        .filter(|(_, p)| **p == 0)
        .map(|(index, _)| index)
        .collect();
    assert_eq!(failed, meant);
    assert!(!failed.is_empty() && failed.len() < 20, "{partitions:?}");
    for (offset, partition) in answer.get("offsets").list().iter().zip(&partitions) {
        assert_eq!(offset.is_nil(), *partition == 0, "{answer:?}");
    }
    assert_eq!(wire.read_all("t", 1).len(), 21 - failed.len());
    a_batch_without_keys_has_one_fate(&mut wire);
    assert_eq!(wire.read_all("t", 1).len(), 24 - failed.len());
}

/// Of two in turn, one goes to partition 0, which is gone.
fn a_batch_without_keys_has_one_fate(wire: &mut Wire) {
    for _ in 0..2 {
        let args = map! { "topic" => "t", "records" => plain("z", 0..3) };
        let answer = wire.call("produce", args).unwrap();
        let partition = answer.get("partitions").list()[0].u64();
        assert_eq!(*answer.get("partitions"), Value::from(vec![partition; 3]));
        let errors = answer.get("errors").list();
        let lost = answer
            .get("offsets")
            .list()
            .iter()
            .filter(|offset| offset.is_nil());
        assert_eq!(
            (lost.count(), errors.len()),
            if partition == 0 { (3, 1) } else { (0, 0) }
        );
        for error in errors {
            assert_eq!(error.get("error").get("name").text(), "PARTITION_OFFLINE");
            assert_eq!(*error.get("indexes"), Value::from(vec![0, 1, 2]));
        }
    }
}

#[test]
fn an_actor_that_does_not_exist_cannot_crash() {
    let broker = broken_on_demand();
    let mut wire = broker.connect();
    for (kind, name) in [
        ("partition", "nowhere-0"),
        ("partition", "x"),
        ("wizard", "1"),
    ] {
        let error = wire.refused("crash_actor", map! { "kind" => kind, "name" => name });
        assert!(
            ["UNKNOWN_ACTOR", "UNKNOWN_TOPIC_OR_PARTITION"].contains(&error.name.as_str()),
            "{error:?}"
        );
    }
}
