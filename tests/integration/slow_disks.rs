//! Records that are not in memory any more: whoever reads them waits for the disk, and nobody else does,
//! whichever thread serves them. The disk is as slow as the test wants.

use std::fs;
use std::time::Duration;

use crate::harness::{FaultyDisks, Setup, Wire, eventually, map, opens_late, plain, valued};

/// More than is answered by copy, and so goes from the file to the socket.
const RECORDS: u64 = 2_000;

/// Connections on every arbiter do something on the other disk.
fn all_others_are_served(wires: &mut [Wire], good: &[u32]) {
    for wire in wires {
        for partition in good {
            wire.produce("t", *partition, vec![valued("meanwhile")]);
            assert!(wire.offset_at("t", *partition, "latest") > Some(0));
        }
        wire.call("ping", map! {}).unwrap();
    }
}

#[test]
fn who_reads_what_is_on_the_disk_alone_waits_alone() {
    let rig = FaultyDisks::start();
    let (slow, good) = (rig.partitions_in("second"), rig.partitions_in("first"));
    let slow = slow[0];
    let mut wire = rig.broker.connect();
    for start in (0..RECORDS).step_by(500) {
        wire.produce("t", slow, plain(&"x".repeat(100), start..start + 500));
    }
    let expected = wire.read_all("t", slow);
    assert_eq!(expected.len() as u64, RECORDS);
    let mut others: Vec<Wire> = (0..16).map(|_| rig.broker.connect()).collect();
    for form in ["batch", "records"] {
        let wanted = map! { "topic" => "t", "partition" => slow, "offset" => 0 };
        let args = map! { "partitions" => vec![wanted], "form" => form, "max_wait_ms" => 0 };
        let from_memory = wire.call("fetch", args.clone()).unwrap();
        rig.hold_reads(&format!("second/t-{slow}"));
        let id = wire.send("fetch", args);
        all_others_are_served(&mut others, &good);
        assert!(!wire.has_answer(), "it has waited for nothing: {form}");
        rig.heal();
        let answer = wire.receive();
        assert_eq!(
            (answer.id, answer.outcome.unwrap()),
            (Some(id), from_memory),
            "{form}"
        );
        assert_eq!(wire.read_all("t", slow), expected);
    }
}

/// How many threads the broker has.
fn threads(rig: &FaultyDisks) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", rig.broker.pid()));
    tasks.expect("it runs").count()
}

#[test]
fn looks_at_a_disk_that_hangs_do_not_pile_up_and_others_are_looked_at() {
    let rig = FaultyDisks::start();
    let good = rig.partitions_in("second")[0];
    rig.broker.connect().produce("t", good, vec![valued("x")]);
    rig.hang("first");
    // From here on one look waits, and nobody else: the disks are looked at every second.
    std::thread::sleep(Duration::from_secs(2));
    // Threads that the start needed may go late on a machine that has much else to do.
    let before = eventually("as many threads as a second before", || {
        let before = threads(&rig);
        std::thread::sleep(Duration::from_secs(1));
        (threads(&rig) == before).then_some(before)
    });
    std::thread::sleep(Duration::from_secs(5));
    let after = threads(&rig);
    assert!(after < before + 4, "{before} threads became {after}");
    let dir = rig.dir("second").join(format!("t-{good}"));
    fs::rename(&dir, rig.dir("second").join("aside")).expect("it can be moved");
    eventually("what is gone on the other disk is missed", || {
        rig.broker
            .log()
            .contains(&*dir.display().to_string())
            .then_some(())
    });
    rig.heal();
}

#[test]
fn logs_on_a_disk_whose_syncs_are_slow_are_opened_in_the_end_without_anybody_waiting() {
    let rig = FaultyDisks::start();
    let mut wire = rig.broker.connect();
    rig.slow_syncs("second", Duration::from_secs(5));
    let made = wire.begin_topic("late", 2, &[]);
    assert!(opens_late(&made), "{made:?}");
    let more = map! { "name" => "late", "partitions" => 4 };
    let made = wire
        .call("create_partitions", more)
        .expect("there are more");
    assert!(opens_late(&made), "{made:?}");
    eventually("one is open while the disk is slow", || {
        let opened = "a partition that was offline is open";
        rig.broker.log().contains(opened).then_some(())
    });
    let refused = "its log cannot be opened";
    assert_eq!(rig.broker.log().matches(refused).count(), 0);
    rig.heal();
    for partition in 0..4 {
        let args =
            map! { "topic" => "late", "partition" => partition, "records" => vec![valued("x")] };
        eventually("it takes records", || {
            wire.call("produce", args.clone()).ok()
        });
    }
}

#[test]
fn who_creates_waits_for_its_own_logs_whatever_else_a_disk_is_at() {
    let rig = FaultyDisks::start_on(&["only"]);
    let mut wire = rig.broker.connect();
    // A look at the room on it, every second.
    rig.hang("only");
    std::thread::sleep(Duration::from_secs(5));
    // A real disk may take long for one now and then.
    let topics = ["soon", "sooner", "as-soon", "once-more", "at-last"];
    let is_waited_for = |name: &&str| {
        let made = wire.begin_topic(name, 4, &[]);
        made.get("warnings").list().is_empty()
    };
    let mut names = topics.into_iter();
    let name = names.find(is_waited_for).expect("its logs are waited for");
    for partition in 0..4 {
        assert_eq!(wire.offset_at(name, partition, "latest"), Some(0));
    }
    rig.heal();
}

/// A stop that waits for a log in `second` that is not opened so far.
fn stop_beside_an_opening() -> FaultyDisks {
    let setup = Setup::new().log_filter("broker_server=debug");
    let rig = FaultyDisks::start_with(setup, &["first", "second"]);
    let mut wire = rig.broker.connect();
    for partition in rig.partitions_in("second") {
        wire.produce("t", partition, vec![valued("x")]);
    }
    rig.hang_opens("second/late-");
    assert!(opens_late(&wire.begin_topic("late", 2, &[])));
    rig.broker.signal_term();
    eventually("the other disk is cleanly stopped", || {
        rig.is_clean("first").then_some(())
    });
    rig
}

#[test]
fn a_log_that_is_opened_while_the_broker_stops_is_cleanly_stopped() {
    let mut rig = stop_beside_an_opening();
    assert!(!rig.is_clean("second"));
    rig.heal();
    assert!(rig.broker.wait().success(), "{}", rig.broker.log());
    assert!(rig.is_clean("second"), "{}", rig.broker.log());
    let before = rig.broker.log().len();
    rig.broker.start_again();
    let log = &rig.broker.log()[before..];
    let opened = log.lines().filter(|line| line.contains("log opened"));
    let read = opened.filter(|line| !line.contains("scanned_bytes=0"));
    assert_eq!(read.count(), 0, "{log}");
    let mut wire = rig.broker.connect();
    for partition in 0..2 {
        wire.produce("late", partition, vec![valued("x")]);
    }
}

#[test]
fn a_stop_does_not_wait_for_ever_for_a_log_to_be_opened() {
    let mut rig = stop_beside_an_opening();
    eventually("it is given up", || {
        let told = "its disk has not opened a log";
        rig.broker.log().contains(told).then_some(())
    });
    rig.heal();
    assert!(rig.broker.wait().success(), "{}", rig.broker.log());
    assert!(!rig.is_clean("second"));
    rig.broker.start_again();
    let mut wire = rig.broker.connect();
    for partition in rig.partitions_in("second") {
        assert_eq!(wire.read_all("t", partition).len(), 1);
    }
}
