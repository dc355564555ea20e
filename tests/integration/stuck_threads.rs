//! A thread that stands still, since an append does not come back from a disk that hangs: newcomers are served by
//! others, who asks for its partitions is told soon, and topics of other disks come and go.

use std::fs;

use crate::hanging_disks::{is_refused, is_told, record, warnings};
use crate::harness::{FaultyDisks, Setup, Value, Wire, eventually, map, valued};

/// A thread for each of the four partitions, however many cores there are.
fn on_threads_of_their_own() -> FaultyDisks {
    on_threads("4", &["first", "second"])
}

/// So many threads. The broker says when a connection moves.
fn on_threads(count: &str, names: &[&str]) -> FaultyDisks {
    let setup = Setup::new()
        .option("num.arbiters", count)
        .log_filter("broker_server=debug");
    FaultyDisks::start_with(setup, names)
}

/// A producer that has moved to the thread of its partition, and whose next record, of that offset, is not written.
fn stuck_append(rig: &FaultyDisks, partition: u32) -> (Wire, u64) {
    let mut stuck = rig.broker.connect();
    let moves = || rig.broker.log().matches("moves to another arbiter").count();
    eventually("it moves to the thread of its partition", || {
        let mut produce_run = |partition: u32| {
            for _ in 0..100 {
                stuck.produce("t", partition, vec![valued("before")]);
            }
        };
        produce_run((partition + 1) % 4);
        let elsewhere = moves();
        produce_run(partition);
        (moves() > elsewhere).then_some(())
    });
    let end = stuck.offset_at("t", partition, "latest");
    rig.hang_writes(&format!("second/t-{partition}/"));
    stuck.send("produce", record("t", partition));
    eventually("its write hangs", || rig.a_write_hangs().then_some(()));
    (stuck, end.expect("it has an end"))
}

fn fetch(partition: u32) -> Value {
    let wanted = map! { "topic" => "t", "partition" => partition, "offset" => 0 };
    map! { "partitions" => vec![wanted], "form" => "batch", "max_wait_ms" => 0 }
}

#[test]
fn an_append_that_hangs_is_noticed_and_newcomers_are_served() {
    let rig = on_threads_of_their_own();
    let (good, bad) = (rig.partitions_in("first"), rig.partitions_in("second"));
    let (mut stuck, end) = stuck_append(&rig, bad[0]);
    let mut wires: Vec<Wire> = (0..8).map(|_| rig.broker.connect()).collect();
    for wire in &mut wires {
        wire.call("ping", map! {}).expect("it is answered");
        for partition in &good {
            let at = wire.produce("t", *partition, vec![valued("meanwhile")]);
            assert_eq!(wire.read_from("t", *partition, at).len(), 1);
        }
    }
    eventually("it is told", || is_told(&mut wires[0]).then_some(()));
    is_refused(&mut wires[1], "t", bad[1]);
    let is_stuck = |wire: &mut Wire| warnings(wire).contains("thread shard");
    eventually("the thread is told", || {
        is_stuck(&mut wires[0]).then_some(())
    });
    wires[2].create_topic("new", 1, &[]);
    assert!(!stuck.has_answer());
    rig.heal();
    let answer = stuck.receive().outcome.expect("it is durable");
    assert_eq!(answer.get("base_offset").u64(), end);
    eventually("it takes records again", || {
        wires[3].call("produce", record("t", bad[1])).ok()
    });
    let fetch = fetch(bad[0]);
    eventually("its thread is known to go on", || {
        wires[3].send("fetch", fetch.clone());
        (!fetched(&mut wires[3]).contains("PARTITION_OFFLINE")).then_some(())
    });
    assert_eq!(wires[3].read_from("t", bad[0], end).len(), 1);
}

#[test]
fn a_change_of_metadata_that_hangs_is_told_by_those_who_are_served() {
    let rig = on_threads_of_their_own();
    let (mut changes, mut other) = (rig.broker.connect(), rig.broker.connect());
    rig.hang_writes("__cluster_metadata-0/");
    let new = map! { "name" => "new", "partitions" => 1, "timeout_ms" => 300_000 };
    changes.send("create_topic", new);
    eventually("the thread is told", || {
        let told = warnings(&mut other);
        (told.contains("thread control") && told.contains("changes of topics")).then_some(())
    });
    for partition in rig.partitions_in("second") {
        other.produce("t", partition, vec![valued("x")]);
    }
    rig.heal();
    changes.receive().outcome.expect("it is created");
    eventually("it goes on", || {
        (!warnings(&mut other).contains("thread")).then_some(())
    });
}

/// The answer about one partition's fetch.
fn fetched(wire: &mut Wire) -> String {
    let answer = wire.receive().outcome.expect("an answer");
    format!("{:?}", answer.get("partitions").list()[0].get("error"))
}

#[test]
fn who_asks_a_thread_that_an_append_keeps_is_answered_before_the_disk_is() {
    // Looks at the thread are counted, while the disk has its time: a slow machine may find the disk first.
    assert!((0..3).any(|_| is_the_thread_found_first()));
}

/// Whether it is, and then asserts what becomes of those who ask.
fn is_the_thread_found_first() -> bool {
    let rig = on_threads_of_their_own();
    let bad = rig.partitions_in("second")[0];
    // Those that live on the same thread wait with it; there are more threads than one.
    let mut writers: Vec<Wire> = (0..4).map(|_| rig.broker.connect()).collect();
    let mut readers: Vec<Wire> = (0..4).map(|_| rig.broker.connect()).collect();
    let (mut stuck, _) = stuck_append(&rig, bad);
    let fetch = fetch(bad);
    for (writer, reader) in writers.iter_mut().zip(&mut readers) {
        writer.send("produce", record("t", bad));
        reader.send("fetch", fetch.clone());
    }
    eventually("those elsewhere are answered", || {
        let answered = |wires: &[Wire]| wires.iter().filter(|wire| wire.has_answer()).count();
        (answered(&writers) > 0 && answered(&readers) > 0).then_some(())
    });
    let log = rig.broker.log();
    let thread = log.find("a thread is stuck");
    let disk = log.find("the disk does not answer");
    if disk.is_some_and(|disk| thread.is_none_or(|thread| disk < thread)) {
        return false;
    }
    assert!(thread.is_some(), "it is logged: {log}");
    let mut newcomer = rig.broker.connect();
    let error = newcomer
        .call("produce", record("t", bad))
        .expect_err("it is not written");
    assert!(error.definite && error.retriable, "{error:?}");
    let reasons = ["has been stuck", "does not answer"];
    let is_told = reasons.iter().any(|told| error.message.contains(told));
    assert!(is_told, "{error:?}");
    for writer in writers.iter_mut().filter(|writer| writer.has_answer()) {
        let error = writer.receive().outcome.expect_err("it is withdrawn");
        assert!(error.definite && error.retriable, "{error:?}");
        assert!(error.message.contains("has been stuck"), "{error:?}");
    }
    for reader in readers.iter_mut().filter(|reader| reader.has_answer()) {
        assert!(fetched(reader).contains("has been stuck"));
    }
    rig.heal();
    stuck.receive().outcome.expect("it is durable");
    eventually("it takes records again", || {
        newcomer.call("produce", record("t", bad)).ok()
    });
    true
}

#[test]
fn a_thread_that_an_append_keeps_does_not_keep_topics_of_other_disks_from_being_deleted() {
    // Two disks for each thread.
    let names = ["first", "second", "third", "fourth"];
    let rig = on_threads("2", &names);
    let (mut stuck, _) = {
        rig.broker.connect().create_topic("gone", 4, &[]);
        stuck_append(&rig, rig.partitions_in("second")[0])
    };
    let mut wire = rig.broker.connect();
    wire.call("delete_topic", map! { "name" => "gone" })
        .expect("it is deleted");
    wire.call("create_topic", map! { "name" => "new", "partitions" => 4 })
        .expect("changes go on");
    let is_there = |name: &&str| {
        let entries = fs::read_dir(rig.dir(name)).expect("it can be listed");
        let mut names = entries.map(|entry| entry.expect("an entry").file_name());
        names.any(|name| name.to_string_lossy().starts_with("gone-"))
    };
    assert!(names.iter().any(&is_there), "none was stuck");
    rig.heal();
    stuck.receive().outcome.expect("it is durable");
    eventually("what was deleted is gone", || {
        (!names.iter().any(&is_there)).then_some(())
    });
}

#[test]
fn a_stop_names_every_directory_that_a_stuck_thread_keeps_from_being_closed() {
    let names = ["first", "second", "third", "fourth"];
    let mut rig = on_threads("2", &names);
    let (stuck, _) = stuck_append(&rig, rig.partitions_in("second")[0]);
    rig.broker.signal_term();
    eventually("its own and the one beside it are named", || {
        let log = rig.broker.log();
        let named = log.matches("the stop waits to close this directory");
        (named.count() == 2).then_some(())
    });
    rig.heal();
    assert!(rig.broker.wait().success(), "{}", rig.broker.log());
    assert!(names.iter().all(|name| rig.is_clean(name)));
    drop(stuck);
}
