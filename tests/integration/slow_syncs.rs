//! A disk whose syncs take longer than `flush.ms` allows: under `flush.mode = async` acknowledgements wait
//! for it, so that a power cut takes no more than `flush.ms` of them, and no longer than it is slow.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{FaultyDisks, Value, Wire, eventually, map, valued};

const FLUSH_MS: u64 = 100;
const SYNC: Duration = Duration::from_secs(5);
const CHECKPOINT: &str = "replication-offset-checkpoint";

fn log_dirs(wire: &mut Wire) -> Vec<Value> {
    let cluster = wire.call("describe_cluster", map! {}).unwrap();
    cluster.get("brokers").list()[0]
        .get("log_dirs")
        .list()
        .to_vec()
}

fn waiting(wire: &mut Wire) -> u64 {
    let dirs = log_dirs(wire);
    dirs.iter()
        .map(|dir| dir.get("waiting_for_syncs").u64())
        .sum()
}

/// The log file of the only partition.
fn data_file(rig: &FaultyDisks) -> std::path::PathBuf {
    let dirs = ["first", "second"].map(|name| rig.dir(name).join("async-0"));
    let dir = dirs
        .iter()
        .find(|dir| dir.exists())
        .expect("it has a place");
    dir.join("00000000000000000000.log")
}

/// How long the file was when the last sync of it began that has come to its end.
fn synced_bytes(rig: &FaultyDisks) -> u64 {
    let synced = rig.synced();
    let of_data = synced.lines().filter(|line| line.ends_with(".log"));
    let lens = of_data.filter_map(|line| line.split(' ').next()?.parse().ok());
    lens.max().unwrap_or(0)
}

/// The checkpoint writes that are done.
fn checkpoints(rig: &FaultyDisks) -> usize {
    let synced = rig.synced();
    let written = synced.lines().filter(|line| line.contains(CHECKPOINT));
    written.count()
}

/// The partitions that the log says are offline because their files were removed.
fn told_offline(rig: &FaultyDisks) -> usize {
    let log = rig.broker.log();
    let lines = log.lines();
    let told = lines.filter(|line| line.contains("files of partitions were removed"));
    let counts = told.map(|line| {
        let count = line.split("count=").nth(1).expect("it says how many");
        let digits = count.split(' ').next().expect("a word");
        digits.parse::<usize>().expect("a number")
    });
    counts.sum()
}

#[test]
fn changes_of_topics_do_not_wait_for_what_is_noted_of_partitions_that_vanish() {
    let rig = FaultyDisks::start();
    let mut wire = rig.broker.connect();
    for partition in 0..4 {
        wire.produce("t", partition, vec![valued("x")]);
    }
    rig.slow_syncs(CHECKPOINT, Duration::from_millis(1));
    rig.hang_syncs(CHECKPOINT);
    let begun = checkpoints(&rig);
    for number in 0..4 {
        let dirs = ["first", "second"].map(|name| rig.dir(name).join(format!("t-{number}")));
        let dir = dirs.iter().find(|dir| dir.exists()).expect("a place");
        fs::remove_dir_all(dir).expect("it is there");
        let args = map! { "topic" => "t", "partition" => number, "records" => vec![valued("y")] };
        let error = wire.call("produce", args).unwrap_err();
        assert_eq!(error.name, "PARTITION_OFFLINE", "{error:?}");
    }
    let set = map! { "retention.ms" => "3600000" };
    wire.call("alter_topic", map! { "name" => "t", "set" => set })
        .expect("it can be changed");
    assert_eq!(checkpoints(&rig), begun, "the change came first");
    assert_eq!(told_offline(&rig), 0);
    rig.let_syncs_go();
    eventually("they are noted, and offline", || {
        (told_offline(&rig) == 4).then_some(())
    });
    let written = checkpoints(&rig) - begun;
    assert!((1..=4).contains(&written), "{written} for two directories");
}

#[test]
fn no_more_than_flush_ms_of_acknowledgements_are_ahead_of_a_slow_disk() {
    let mut rig = FaultyDisks::start();
    let mut wire = rig.broker.connect();
    let flush_ms = FLUSH_MS.to_string();
    let config = [("flush.mode", "async"), ("flush.ms", flush_ms.as_str())];
    wire.create_topic("async", 1, &config);
    rig.slow_syncs("async-0", SYNC);
    let producing = rig.broker.connect();
    let producer = std::thread::spawn(move || produce_for(producing, SYNC * 2 + SYNC / 2));
    eventually("acknowledgements wait", || {
        (waiting(&mut wire) == 1).then_some(())
    });
    let cluster = wire.call("describe_cluster", map! {}).unwrap();
    let warned = format!("{:?}", cluster.get("warnings"));
    assert!(
        warned.contains("syncs more slowly than flush.ms allows"),
        "{warned}"
    );
    let acknowledged = producer.join().expect("every record was acknowledged");
    let bytes = fs::metadata(data_file(&rig)).unwrap().len();
    // All records are of one size.
    let durable = synced_bytes(&rig) * acknowledged.len() as u64 / bytes;
    let durable = usize::try_from(durable).unwrap();
    assert!(durable > 1, "something was synced");
    if let [first, .., last] = &acknowledged[durable..] {
        let span = last.duration_since(*first);
        assert!(span < SYNC / 2, "{span:?} of acknowledgements");
    }
    let dirs = log_dirs(&mut wire);
    let waits: u64 = dirs.iter().map(|dir| dir.get("sync_waits").u64()).sum();
    assert_eq!(waits, 1, "one episode: {dirs:?}");
    let told = rig
        .broker
        .log()
        .matches("acknowledgements under flush.mode = async wait")
        .count();
    assert_eq!(told, 1);
    rig.heal();
    eventually("acknowledgements wait no more", || {
        produce(&mut wire);
        (waiting(&mut wire) == 0).then_some(())
    });
    let end = wire.offset_at("async", 0, "latest");
    rig.broker.crash();
    let mut wire = rig.broker.connect();
    assert_eq!(wire.offset_at("async", 0, "latest"), end);
}

fn produce(wire: &mut Wire) {
    let args =
        map! { "topic" => "async", "partition" => 0, "records" => vec![valued("0123456789")] };
    wire.call("produce", args)
        .expect("it is acknowledged, sooner or later");
}

/// Produces one record after the other; answers when each was acknowledged.
fn produce_for(mut wire: Wire, time: Duration) -> Vec<Instant> {
    let began = Instant::now();
    let mut acknowledged = Vec::new();
    while began.elapsed() < time {
        produce(&mut wire);
        acknowledged.push(Instant::now());
        std::thread::sleep(Duration::from_millis(2));
    }
    acknowledged
}
