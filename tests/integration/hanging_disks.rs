//! A disk whose syncs never return, beside one that is well: nobody waits for it who has nothing on it, and
//! those who have are refused once it is plain that it hangs.

use std::fs;

use crate::harness::{FaultyDisks, Wire, eventually, map, valued};

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

    // One that is to have a log on that disk waits until it is plain that it hangs.
    wires[0].create_topic("late", 2, &[]);
    others_are_served(&mut wires, &good);
    let told = wires[1].call("describe_cluster", map! {}).unwrap();
    let warnings = format!("{:?}", told.get("warnings"));
    assert!(warnings.contains("does not answer"), "{warnings}");
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
    other.create_topic("late", 2, &[]);
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
    wire.create_topic("late", 2, &[]);
    wire.call("delete_topic", map! { "name" => "late" })
        .expect("it is deleted");
    wire.create_topic("late", 2, &[]);
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
