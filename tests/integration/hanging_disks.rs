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
        rig.is_clean("first").then_some(())
    });
    assert!(!rig.is_clean("second"));
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
        rig.is_clean("first").then_some(())
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

/// What the broker warns of.
pub(crate) fn warnings(wire: &mut Wire) -> String {
    let told = wire.call("describe_cluster", map! {}).unwrap();
    format!("{:?}", told.get("warnings"))
}

/// Whether the broker tells that a disk does not answer.
pub(crate) fn is_told(wire: &mut Wire) -> bool {
    warnings(wire).contains("does not answer")
}

pub(crate) fn record(topic: &str, partition: u32) -> Value {
    map! { "topic" => topic, "partition" => partition, "records" => vec![valued("x")], "timeout_ms" => 300_000 }
}

pub(crate) fn is_refused(wire: &mut Wire, topic: &str, partition: u32) {
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
