//! Many connections that misbehave together: half-sent frames, connections for their own sake, requests as
//! large and as many as go. Memory stays bounded, others are served, and the offenders are told or closed.

use std::time::{Duration, Instant};

use broker_model::limits::IN_FLIGHT_REQUESTS_PER_CONNECTION;
use broker_tests::flood::Report;
use broker_tests::flood::link::Fate;
use broker_tests::flood::stage::Size;

use crate::harness::{Broker, Flooded, Setup, Wire, counted, eventually, map};

fn serves_large(report: &Report) -> bool {
    report.during.large.served() > 0
}

fn is_busy(fate: &Fate) -> bool {
    *fate == Fate::SentAway("BUSY".to_owned())
}

#[test]
fn half_sent_large_frames_hold_up_neither_small_nor_other_large_ones() {
    let flooded = Flooded::on(Size::Small);
    // 32 MiB hold two of them; the others lose their place to each other.
    flooded.until("half-frames", 60, |report| {
        serves_large(report) && counted(report, is_busy) > 0
    });
}

#[test]
fn half_sent_batches_lose_their_place_to_whole_ones() {
    let flooded = Flooded::on(Size::Small);
    flooded.until("half-batches", 150, |report| {
        serves_large(report) && counted(report, is_busy) > 0
    });
    flooded.by("trickle", 150);
    flooded.by("almost-small", 200);
}

#[test]
fn connections_without_requests_cost_little() {
    let flooded = Flooded::on(Size::Small);
    let idle = flooded.by("idle", 300);
    assert!(idle.grown_mib() < 64, "{} MiB", idle.grown_mib());
    assert_eq!(
        counted(&idle, |fate| *fate == Fate::Held),
        300,
        "{:?}",
        idle.fates
    );
    flooded.by("resets", 30);
    flooded.by("open-close", 30);
}

#[test]
fn costly_requests_of_many_hold_up_nobody_for_long() {
    let flooded = Flooded::on(Size::Small);
    flooded.by("many-names", 20);
    flooded.by("many-keys", 10);
    flooded.until("deploys", 10, serves_large);
    flooded.by("tiny-produces", 20);
}

#[test]
fn answers_about_many_partitions_that_nobody_reads_take_bounded_memory() {
    let flooded = Flooded::on(Size::Small);
    flooded.by("unread-nothing", 40);
}

#[test]
fn searches_that_nobody_waits_for_take_bounded_memory() {
    let flooded = Flooded::on(Size::Small);
    flooded.by("lookups", 500);
}

#[test]
fn notifications_hold_places_as_requests_do() {
    let flooded = Flooded::on(Size::Small);
    flooded.by("notifications", 10);
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let wait = Duration::from_millis(1_500);
    let partition = map! { "topic" => "t", "partition" => 0, "offset" => 0 };
    let poll = map! { "partitions" => vec![partition], "min_bytes" => 1, "max_wait_ms" => 1_500 };
    let began = Instant::now();
    for _ in 0..IN_FLIGHT_REQUESTS_PER_CONNECTION {
        wire.notify("fetch", poll.clone());
    }
    wire.call("ping", map! {})
        .expect("there is a place when the first has ended");
    assert!(began.elapsed() >= wait, "{:?}", began.elapsed());
}

#[test]
fn many_attacks_at_once_hold_up_nobody_for_long() {
    let flooded = Flooded::on(Size::Small);
    let attacks = [
        ("half-batches", 60),
        ("tiny-produces", 10),
        ("unread-pings", 10),
        ("many-names", 5),
        ("many-keys", 5),
        ("empty-elements", 5),
        ("bombs-lz4", 5),
        ("open-close", 10),
    ];
    flooded.all_until(&attacks, |report| {
        serves_large(report) && report.during.reader.served() > 0
    });
}

#[test]
fn records_with_nothing_in_them_are_routed_in_bounded_memory() {
    let flooded = Flooded::on(Size::Small);
    let refused = |fate: &Fate| *fate == Fate::Refused("INVALID_BATCH".to_owned());
    let accepted = |fate: &Fate| *fate == Fate::Answered;
    // A few are answered, though on a busy machine it may take a while until they have been looked at.
    for (attack, meant) in [
        ("routed-nothing", &refused as &dyn Fn(&Fate) -> bool),
        ("routed-little", &accepted),
    ] {
        flooded.until(attack, 2, |few| counted(few, meant) > 0);
    }
    let many = flooded.by("routed-nothing", 30);
    assert_eq!(counted(&many, accepted), 0, "{:?}", many.fates);
    let some = flooded.by("routed-little", 30);
    assert_eq!(counted(&some, refused), 0, "{:?}", some.fates);
}

#[test]
fn one_address_is_kept_to_its_share_of_connections() {
    let broker = Setup::new().option("connections.max.per.ip", "2").start();
    let first = broker.connect();
    let _second = broker.connect();
    let mut third = Wire::open(broker.address());
    let error = third.receive().outcome.unwrap_err();
    assert_eq!(error.name, "TOO_MANY_CONNECTIONS");
    assert!(error.message.contains("from this address"), "{error:?}");
    third.expect_closed();
    drop(first);
    eventually("a place is free again", || {
        let mut wire = Wire::open(broker.address());
        wire.try_send("hello", map! { "client" => "late" }).ok()?;
        wire.try_receive().ok().flatten()?.outcome.ok()
    });
}
