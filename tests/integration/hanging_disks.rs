//! A disk whose syncs never return, beside one that is well: nobody waits for it who has nothing on it, and
//! those who have are refused once it is plain that it hangs.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{FaultyDisks, Setup, Value, Wire, eventually, keyed, map, plain, valued};

/// On connections of every arbiter.
fn others_are_served(wires: &mut [Wire], good: &[u32]) {
    for wire in wires {
        for partition in good {
            let at = wire.produce("t", *partition, vec![valued("meanwhile")]);
            assert_eq!(wire.read_from("t", *partition, at).len(), 1);
        }
        wire.call("describe_cluster", map! {}).expect("it is told");
        wire.call("describe_topic", map! { "name" => "t" })
            .expect("it is told");
    }
}

/// The high watermark that the checkpoint of the good disk has.
fn noted(rig: &FaultyDisks, partition: u32) -> Option<u64> {
    let file = rig.dir("first").join("replication-offset-checkpoint");
    let text = fs::read_to_string(file).ok()?;
    let name = format!("t {partition} ");
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(&*name))
        .map(|offset| offset.parse().expect("a number"))
}

fn is_clean(rig: &FaultyDisks, dir: &str) -> bool {
    let file = rig.dir(dir).join("recovery-point-checkpoint");
    fs::read_to_string(file).is_ok_and(|text| text.contains("clean=true"))
}

#[test]
fn a_disk_that_hangs_holds_up_nobody_on_the_others() {
    let mut rig = FaultyDisks::start();
    let (good, bad) = (rig.partitions_in("first"), rig.partitions_in("second"));
    let mut wires: Vec<Wire> = (0..8).map(|_| rig.broker.connect()).collect();
    others_are_served(&mut wires, &good);
    let mut lone = rig.broker.connect();
    for _ in 0..100 {
        // One producer alone, as its thread sees it.
        lone.produce("t", bad[0], vec![valued("before")]);
    }
    rig.hang_syncs("second/");
    let args = map! { "topic" => "t", "partition" => bad[0], "records" => vec![valued("stuck")], "timeout_ms" => 300_000 };
    lone.send("produce", args.clone());
    others_are_served(&mut wires, &good);
    let expected = wires[0].offset_at("t", good[0], "latest");
    eventually("the good disk's checkpoint is written", || {
        (noted(&rig, good[0]) >= expected).then_some(())
    });

    // One that is to have a log on that disk waits a moment.
    wires[0].begin_topic("late", 2, &[]);
    others_are_served(&mut wires, &good);
    eventually("it is told", || is_told(&mut wires[1]).then_some(()));
    let error = wires[1].call("produce", args).unwrap_err();
    assert!(error.definite && error.retriable, "{error:?}");
    assert!(error.message.contains("does not answer"), "{error:?}");
    // Now that it is known, nobody waits.
    wires[0].create_topic("new", 4, &[]);
    for partition in 0..4 {
        wires[0].produce("new", partition, vec![valued("x")]);
    }
    wires[0]
        .call("delete_topic", map! { "name" => "late" })
        .expect("it is deleted");
    wires[0]
        .call(
            "delete_records",
            map! { "topic" => "t", "partition" => good[0], "before_offset" => 1 },
        )
        .expect("they are deleted");
    assert!(!lone.has_answer());

    rig.broker.signal_term();
    eventually("the good disk is cleanly stopped", || {
        is_clean(&rig, "first").then_some(())
    });
    assert!(!is_clean(&rig, "second"));
    rig.heal();
    assert!(rig.broker.wait().success(), "{}", rig.broker.log());
}

#[test]
fn a_disk_that_comes_back_is_written_on_again() {
    let rig = FaultyDisks::start();
    let bad = rig.partitions_in("second")[0];
    let mut wire = rig.broker.connect();
    rig.hang_syncs("second/");
    let args = map! { "topic" => "t", "partition" => bad, "records" => vec![valued("waits")], "timeout_ms" => 300_000 };
    let waiting = wire.send("produce", args.clone());
    let mut other = rig.broker.connect();
    other.begin_topic("late", 2, &[]);
    rig.heal();
    let answer = wire.receive();
    assert_eq!(answer.id, Some(waiting));
    let offset = answer
        .outcome
        .expect("it is durable")
        .get("base_offset")
        .u64();
    eventually("it takes records again", || {
        other.call("produce", args.clone()).ok()
    });
    assert_eq!(other.read_from("t", bad, offset).len(), 2);
    for partition in 0..2 {
        let args =
            map! { "topic" => "late", "partition" => partition, "records" => vec![valued("x")] };
        eventually("what could not be opened is", || {
            other.call("produce", args.clone()).ok()
        });
    }
}

#[test]
fn more_partitions_than_threads_on_a_disk_that_hangs_hold_up_nobody() {
    let mut rig = FaultyDisks::start();
    let good = rig.partitions_in("first")[0];
    let mut wire = rig.broker.connect();
    wire.create_topic("many", 64, &[]);
    rig.hang_syncs("second/");
    wire.call("delete_topic", map! { "name" => "many" })
        .expect("it is deleted");
    wire.create_topic("new", 4, &[]);
    for partition in 0..4 {
        wire.produce("new", partition, vec![valued("x")]);
    }
    let set = map! { "retention.ms" => "1000000" };
    wire.call("alter_topic", map! { "name" => "t", "set" => set })
        .expect("it is altered");
    let at = wire.produce("t", good, vec![valued("meanwhile")]);
    eventually("the good disk's checkpoint is written", || {
        (noted(&rig, good) > Some(at)).then_some(())
    });
    rig.broker.signal_term();
    eventually("the good disk is cleanly stopped", || {
        is_clean(&rig, "first").then_some(())
    });
    rig.heal();
    assert!(rig.broker.wait().success(), "{}", rig.broker.log());
    rig.broker.start_again();
    eventually("what was deleted is gone", || {
        let entries = fs::read_dir(rig.dir("second")).expect("it can be listed");
        let mut names = entries.map(|entry| entry.expect("an entry").file_name());
        (!names.any(|name| name.to_string_lossy().starts_with("many-"))).then_some(())
    });
}

#[test]
fn what_a_disk_makes_late_of_a_deleted_topic_is_removed() {
    let mut rig = FaultyDisks::start();
    let mut wire = rig.broker.connect();
    rig.hang_new_directories("second/");
    wire.begin_topic("late", 2, &[]);
    wire.call("delete_topic", map! { "name" => "late" })
        .expect("it is deleted");
    wire.begin_topic("late", 2, &[]);
    rig.heal();
    for partition in 0..2 {
        let args =
            map! { "topic" => "late", "partition" => partition, "records" => vec![valued("x")] };
        eventually("it takes records", || {
            wire.call("produce", args.clone()).ok()
        });
    }
    rig.broker.stop();
    rig.broker.start_again();
    let mut wire = rig.broker.connect();
    for partition in 0..2 {
        assert_eq!(wire.read_all("late", partition).len(), 1);
    }
}

/// Whether the broker tells that a disk does not answer.
fn is_told(wire: &mut Wire) -> bool {
    let told = wire.call("describe_cluster", map! {}).unwrap();
    format!("{:?}", told.get("warnings")).contains("does not answer")
}

fn record(topic: &str, partition: u32) -> Value {
    map! { "topic" => topic, "partition" => partition, "records" => vec![valued("x")], "timeout_ms" => 300_000 }
}

fn is_refused(wire: &mut Wire, topic: &str, partition: u32) {
    let error = wire
        .call("produce", record(topic, partition))
        .expect_err("its disk hangs");
    assert!(error.definite && error.retriable, "{error:?}");
    assert!(error.message.contains("does not answer"), "{error:?}");
}

#[test]
fn reads_alone_that_hang_are_noticed_and_keep_no_threads_from_other_disks() {
    let rig = FaultyDisks::start();
    let (good, bad) = (rig.partitions_in("first"), rig.partitions_in("second"));
    let mut wires: Vec<Wire> = (0..96).map(|_| rig.broker.connect()).collect();
    for partition in [good[0], bad[0]] {
        for start in (0..2_000).step_by(500) {
            let records = plain(&"x".repeat(100), start..start + 500);
            wires[0].produce("t", partition, records);
        }
        assert_eq!(wires[0].read_all("t", partition).len(), 2_000);
    }
    rig.nothing_in_memory("first/t-");
    rig.hold_reads("second/t-");
    let wanted = map! { "topic" => "t", "partition" => bad[0], "offset" => 0 };
    let args = map! { "partitions" => vec![wanted], "form" => "batch", "max_wait_ms" => 0 };
    for wire in &mut wires {
        wire.send("fetch", args.clone());
    }
    let mut others: Vec<Wire> = (0..4).map(|_| rig.broker.connect()).collect();
    for other in &mut others {
        assert_eq!(other.read_all("t", good[0]).len(), 2_000);
    }

    eventually("it is told", || is_told(&mut others[0]).then_some(()));
    is_refused(&mut others[1], "t", bad[1]);
    let answers = wires.iter_mut().map(|wire| wire.receive().outcome);
    let refused = answers.filter(|answer| {
        let partition = answer.as_ref().expect("an answer").get("partitions").list()[0].clone();
        format!("{:?}", partition.get("error")).contains("does not answer")
    });
    assert_eq!(refused.count(), 96);
    others_are_served(&mut others, &good);
    rig.heal();
    eventually("it takes records again", || {
        others[0].call("produce", record("t", bad[0])).ok()
    });
    assert_eq!(others[0].read_all("t", bad[0]).len(), 2_001);
}

#[test]
fn files_that_are_not_opened_hold_up_nobody_on_the_other_disk() {
    let rig = FaultyDisks::start();
    let mut wire = rig.broker.connect();
    let began = Instant::now();
    rig.hang_opens("second/late-");
    wire.begin_topic("late", 2, &[]);
    std::thread::sleep(Duration::from_millis(500));
    wire.create_topic("soon", 2, &[]);
    for partition in 0..2 {
        let place = rig.dir("first").join(format!("soon-{partition}"));
        assert!(place.exists(), "placed where a call takes long");
    }
    // Twenty seconds make it plain, which a slow machine may have taken until here.
    let is_early = is_told(&mut wire) && began.elapsed() < Duration::from_secs(15);
    assert!(!is_early, "it has waited until that was plain");
    eventually("it is told", || is_told(&mut wire).then_some(()));
    wire.create_topic("other", 2, &[]);
    for partition in 0..2 {
        wire.produce("other", partition, vec![valued("x")]);
    }
    wire.call("delete_topic", map! { "name" => "other" })
        .expect("it is deleted");
    rig.heal();
    for partition in 0..2 {
        eventually("what could not be opened is", || {
            wire.call("produce", record("late", partition)).ok()
        });
    }
}

/// A thread for each of the four partitions, however many cores there are. It says when a connection moves.
fn on_threads_of_their_own() -> FaultyDisks {
    let setup = Setup::new()
        .option("num.arbiters", "4")
        .log_filter("broker_server=debug");
    FaultyDisks::start_with(setup, &["first", "second"])
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

/// A producer that its thread has served alone for a while, and whose next record waits for a disk that hangs.
fn stuck_producer(rig: &FaultyDisks) -> Wire {
    let mut lone = rig.broker.connect();
    for _ in 0..100 {
        lone.produce("t", 0, vec![valued("before")]);
    }
    rig.hang_syncs("only/t-0/");
    lone.send("produce", record("t", 0));
    std::thread::sleep(Duration::from_millis(200));
    lone
}

#[test]
fn a_lone_producer_on_the_only_disk_waits_alone_when_it_hangs() {
    let rig = FaultyDisks::start_on(&["only"]);
    let mut residents: Vec<Wire> = (0..8).map(|_| rig.broker.connect()).collect();
    let mut lone = stuck_producer(&rig);
    for wire in &mut residents {
        wire.call("ping", map! {}).expect("it is answered");
        wire.call("metadata", map! {}).expect("it is answered");
        assert_eq!(wire.read_from("t", 0, 99).len(), 1);
    }
    assert!(!lone.has_answer());
    rig.heal();
    lone.receive().outcome.expect("it is durable");

    // Nobody but it lives on its thread now; whoever comes is served by others.
    drop((residents, lone));
    let mut lone = stuck_producer(&rig);
    let mut newcomers: Vec<Wire> = (0..8).map(|_| rig.broker.connect()).collect();
    for wire in &mut newcomers {
        wire.call("ping", map! {}).expect("it is answered");
        wire.call("metadata", map! {}).expect("it is answered");
    }
    assert!(!lone.has_answer());
    rig.heal();
    lone.receive().outcome.expect("it is durable");
}

#[test]
fn a_cleaning_that_hangs_keeps_no_other_disk_from_being_cleaned() {
    let setup = Setup::new()
        .option("log.cleaner.backoff.ms", "50")
        .option("log.cleaner.threads", "1");
    let mut rig = FaultyDisks::start_with(setup, &["first", "second"]);
    let mut wire = rig.broker.connect();
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "4KiB"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    wire.create_topic("c", 2, &config);
    let is_in_second = |partition: &u32| rig.dir("second").join(format!("c-{partition}")).exists();
    let (bad, good): (Vec<u32>, Vec<u32>) = (0..2).partition(is_in_second);
    rig.hold_reads("second/c-");
    for partition in [bad[0], good[0]] {
        for version in 0..200 {
            let value = format!("{version:0100}");
            wire.produce("c", partition, vec![keyed("k", &value)]);
        }
    }
    let is_cleaned = |wire: &mut Wire, partition: u32| {
        let told = wire.describe_topic("c");
        let cleaning = told.get("partitions").list()[partition as usize].get("cleaning");
        cleaning.get("cleanings").u64() > 0 && cleaning.get("dirty_bytes").u64() == 0
    };
    eventually("the other is cleaned", || {
        is_cleaned(&mut wire, good[0]).then_some(())
    });
    assert!(is_told(&mut wire));
    is_refused(&mut wire, "c", bad[0]);
    rig.heal();
    eventually("it takes records again", || {
        wire.call("produce", record("t", rig.partitions_in("second")[0]))
            .ok()
    });
    eventually("it is cleaned", || {
        is_cleaned(&mut wire, bad[0]).then_some(())
    });
    let newest = wire.read_all("c", bad[0]).pop().expect("it is kept");
    assert_eq!(newest.value, Some(format!("{:0100}", 199).into_bytes()));
    rig.broker.stop();
}

#[test]
fn a_thread_that_an_append_keeps_does_not_keep_topics_of_other_disks_from_being_deleted() {
    // Two disks for each thread.
    let names = ["first", "second", "third", "fourth"];
    let rig = FaultyDisks::start_with(Setup::new().option("num.arbiters", "2"), &names);
    let mut stuck = {
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
    assert!(names.iter().any(|name| is_there(name)), "none was stuck");
    rig.heal();
    stuck.receive().outcome.expect("it is durable");
    eventually("what was deleted is gone", || {
        (!names.iter().any(|name| is_there(name))).then_some(())
    });
}
