//! A disk that gets full, and one that is: records are refused with an error that says so and can be
//! tried again, everything else goes on, and nothing acknowledged is lost. On a small file system
//! where the user may mount one, and with limits that everybody can set.

use std::process::Command;

use crate::harness::{Broker, Setup, SmallDisk, Value, Wire, WireError, eventually, map, valued};

/// The value of record `number`: 8 KiB that begin with its number.
fn big(number: u64) -> Value {
    valued(&format!("{number:08}{}", "x".repeat(8184)))
}

fn try_produce(wire: &mut Wire, topic: &str, number: u64) -> Result<Value, WireError> {
    let args = map! { "topic" => topic, "partition" => 0, "records" => vec![big(number)] };
    wire.call("produce", args)
}

/// Produces big records until one is refused; answers how many were acknowledged, and the error.
#[track_caller]
fn produce_until_refused(wire: &mut Wire, topic: &str, first: u64) -> (u64, WireError) {
    for number in first..first + 100_000 {
        if let Err(error) = try_produce(wire, topic, number) {
            return (number, error);
        }
    }
    panic!("nothing was refused");
}

#[track_caller]
fn assert_disk_full(error: &WireError) {
    assert_eq!(error.name, "DISK_FULL", "{error:?}");
    assert!(error.definite && error.retriable, "{error:?}");
}

/// Asserts that a topic holds the records `from..to` and no others.
#[track_caller]
fn assert_holds(wire: &mut Wire, topic: &str, from: u64, to: u64) {
    let records = wire.read_all(topic, 0);
    let numbers: Vec<String> = records
        .iter()
        .map(|record| record.text()[..8].to_owned())
        .collect();
    let expected: Vec<String> = (from..to).map(|number| format!("{number:08}")).collect();
    assert_eq!(numbers, expected, "{topic}");
}

fn log_dir(wire: &mut Wire) -> Value {
    let cluster = wire.call("describe_cluster", map! {}).unwrap();
    cluster.get("brokers").list()[0].get("log_dirs").list()[0].clone()
}

/// Everything that has to work whether or not there is room.
#[track_caller]
fn administer(wire: &mut Wire, topic: &str) {
    wire.create_topic(topic, 2, &[]);
    let config = map! { "retention.ms" => "1000000" };
    wire.call("alter_topic", map! { "name" => topic, "set" => config })
        .unwrap();
    wire.describe_topic(topic);
    wire.call("delete_topic", map! { "name" => topic }).unwrap();
}

fn delete_below(wire: &mut Wire, topic: &str, offset: u64) {
    let args = map! { "topic" => topic, "partition" => 0, "before_offset" => offset };
    let answer = wire.call("delete_records", args).unwrap();
    assert_eq!(answer.get("log_start").u64(), offset);
}

#[test]
fn below_the_threshold_records_are_refused_and_the_rest_goes_on() {
    let mut broker = Setup::new().option("log.min.free.bytes", "0").start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    for number in 0..3 {
        try_produce(&mut wire, "t", number).unwrap();
    }
    broker.stop();
    broker.set_up_again(|setup| setup.option("log.min.free.bytes", "1000TiB"));
    broker.start_again();
    let mut wire = broker.connect();
    let error = try_produce(&mut wire, "t", 3).unwrap_err();
    assert_disk_full(&error);
    let limit = 1000 * (1 << 40);
    assert_eq!(error.data.get("limit").u64(), limit, "{error:?}");
    assert_eq!(
        error.data.get("file").text(),
        broker.data_dir().display().to_string()
    );
    assert!(error.data.get("actual").u64() < limit, "{error:?}");
    // No disk has so much: to delete records would be of no use.
    for word in ["set log.min.free.bytes below", "in all", "t-0"] {
        assert!(error.message.contains(word), "{word} in {error:?}");
    }
    assert_holds(&mut wire, "t", 0, 3);
    administer(&mut wire, "another");
    delete_below(&mut wire, "t", 1);
    assert_holds(&mut wire, "t", 1, 3);
    let dir = log_dir(&mut wire);
    assert_eq!(dir.get("state").text(), "low_space", "{dir:?}");
    assert_eq!(dir.get("min_free_bytes").u64(), limit, "{dir:?}");
    let shown = broker
        .command(&["cluster", "describe"])
        .output()
        .expect("it runs");
    let shown = String::from_utf8_lossy(&[shown.stdout, shown.stderr].concat()).into_owned();
    assert!(
        shown.contains("low_space") && shown.contains("takes no records"),
        "{shown}"
    );
    assert_eq!(broker.log().matches("no records are taken").count(), 1);
}

#[test]
fn a_disk_that_gets_full_refuses_records_before_it_is() {
    let Some(disk) = SmallDisk::of_mib(24) else {
        return;
    };
    let broker = Setup::new().log_dirs(&[disk.data_dir()]).start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "1MiB")]);
    let (acknowledged, error) = produce_until_refused(&mut wire, "t", 0);
    assert_disk_full(&error);
    let dir = log_dir(&mut wire);
    let (free, min_free) = (dir.get("free_bytes").u64(), dir.get("min_free_bytes").u64());
    assert_eq!(min_free, 24 * (1 << 20) / 20, "5 %: {dir:?}");
    assert!(free > min_free / 2, "the threshold was overrun: {dir:?}");
    assert!(
        free < 2 * min_free,
        "refused long before it had to be: {dir:?}"
    );
    assert_holds(&mut wire, "t", 0, acknowledged);
    administer(&mut wire, "another");
    delete_below(&mut wire, "t", acknowledged - 10);
    eventually("writing goes on by itself", || {
        try_produce(&mut wire, "t", acknowledged).ok()
    });
    assert_holds(&mut wire, "t", acknowledged - 10, acknowledged + 1);
    for said in ["no records are taken", "there is room again"] {
        assert_eq!(broker.log().matches(said).count(), 1, "{said}");
    }
}

#[test]
fn a_broker_lives_on_a_disk_without_a_free_byte() {
    let Some(disk) = SmallDisk::of_mib(16) else {
        return;
    };
    let setup = Setup::new().log_dirs(&[disk.data_dir()]);
    let mut broker = setup.option("log.min.free.bytes", "0").start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "256KiB")]);
    wire.create_topic("doomed", 1, &[]);
    try_produce(&mut wire, "doomed", 0).unwrap();
    disk.fill();
    let (mut acknowledged, error) = produce_until_refused(&mut wire, "t", 0);
    assert_disk_full(&error);
    for round in 0..2 {
        administer(&mut wire, &format!("while-full-{round}"));
        assert_holds(&mut wire, "t", 0, acknowledged);
        // Whatever room an administrator's work has left is taken again by others.
        disk.fill();
        assert_disk_full(&try_produce(&mut wire, "t", acknowledged).unwrap_err());
        broker.crash();
        wire = broker.connect();
    }
    assert_holds(&mut wire, "t", 0, acknowledged);
    disk.empty();
    // All but one of the partition's pages were taken: now some records fit.
    eventually("writing goes on by itself", || {
        try_produce(&mut wire, "t", acknowledged).ok()
    });
    acknowledged += 1;
    let (acknowledged, error) = produce_until_refused(&mut wire, "t", acknowledged);
    assert_disk_full(&error);
    disk.fill();
    delete_below(&mut wire, "t", acknowledged - 20);
    wire.call("delete_topic", map! { "name" => "doomed" })
        .unwrap();
    eventually("the deleted segments make room", || {
        try_produce(&mut wire, "t", acknowledged).ok()
    });
    disk.fill();
    broker.stop();
    disk.fill();
    broker.start_again();
    let mut wire = broker.connect();
    assert_holds(&mut wire, "t", acknowledged - 20, acknowledged + 1);
    assert_eq!(
        wire.call("metadata", map! {})
            .unwrap()
            .get("topics")
            .list()
            .len(),
        1
    );
}

fn warnings(wire: &mut Wire) -> String {
    let cluster = wire.call("describe_cluster", map! {}).unwrap();
    let warnings = cluster.get("warnings").list().iter();
    warnings
        .map(|warning| format!("{}\n", warning.text()))
        .collect()
}

#[test]
fn a_full_disk_is_told_once_however_many_records_it_refuses() {
    let Some(disk) = SmallDisk::of_mib(16) else {
        return;
    };
    let setup = Setup::new().log_dirs(&[disk.data_dir()]);
    let broker = setup.option("log.min.free.bytes", "0").start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let told = || {
        broker
            .log()
            .matches("the disk is full: records that do not fit")
            .count()
    };
    disk.fill();
    eventually("a full disk is seen before a record meets it", || {
        (told() == 1).then_some(())
    });
    for _ in 0..300 {
        assert_disk_full(&try_produce(&mut wire, "t", 0).unwrap_err());
    }
    assert_eq!(told(), 1);
    assert!(
        !broker.log().contains("append failed"),
        "each refusal is told"
    );
    assert_eq!(log_dir(&mut wire).get("state").text(), "low_space");
    let said = warnings(&mut wire);
    assert!(
        said.contains("is full") && said.contains("refused"),
        "{said}"
    );
    let shown = String::from_utf8(broker.run(&["cluster", "describe"])).expect("text");
    assert!(
        shown.contains("NEEDS ATTENTION (1)") && shown.contains("is full"),
        "{shown}"
    );
    disk.empty();
    eventually("writing goes on by itself", || {
        try_produce(&mut wire, "t", 0).ok()
    });
    eventually("the end of it is told", || {
        let ended = broker
            .log()
            .lines()
            .find(|line| line.contains("there is room again"))?
            .to_owned();
        assert!(ended.contains("refused=300"), "{ended}");
        Some(())
    });
    eventually("nothing is left of the warning", || {
        warnings(&mut wire).is_empty().then_some(())
    });
    let shown = String::from_utf8(broker.run(&["cluster", "describe"])).expect("text");
    assert!(shown.contains("nothing needs attention"), "{shown}");
}

#[test]
fn new_partitions_go_where_there_is_room() {
    let Some(disk) = SmallDisk::of_mib(16) else {
        return;
    };
    let roomy = tempfile::TempDir::new().expect("a temporary directory can be made");
    let dirs = [disk.data_dir(), roomy.path().join("data")];
    let setup = Setup::new().log_dirs(&dirs);
    let broker = setup.option("log.min.free.bytes", "0").start();
    let mut wire = broker.connect();
    disk.fill();
    eventually("the full disk is noticed", || {
        (log_dir(&mut wire).get("state").text() == "low_space").then_some(())
    });
    wire.create_topic("t", 4, &[]);
    for partition in 0..4 {
        assert!(
            dirs[1].join(format!("t-{partition}")).exists(),
            "t-{partition}"
        );
        let args = map! { "topic" => "t", "partition" => partition, "records" => vec![big(0)] };
        wire.call("produce", args).unwrap();
    }
}

/// What is kept back on the disk of a broker.
fn reserve(disk: &SmallDisk) -> u64 {
    std::fs::metadata(disk.data_dir().join(".reserve")).map_or(0, |file| file.len())
}

#[test]
fn restarts_and_changes_on_a_disk_that_stays_full_do_not_use_up_what_is_kept_back() {
    let Some(disk) = SmallDisk::of_mib(24) else {
        return;
    };
    let setup = Setup::new().log_dirs(&[disk.data_dir()]);
    let mut broker = setup.option("log.min.free.bytes", "0").start();
    let mut wire = broker.connect();
    wire.create_topic("t", 2, &[("segment.bytes", "64KiB")]);
    wire.create_topic("doomed", 1, &[]);
    for number in 0..40 {
        try_produce(&mut wire, "t", number).unwrap();
    }
    disk.fill();
    let kept = reserve(&disk);
    assert!(kept > 500_000, "{kept}");
    for round in 0..25_u32 {
        match round % 2 {
            0 => broker.kill(),
            _ => broker.stop(),
        }
        disk.fill();
        broker.start_again();
        wire = broker.connect();
        let retention = (1_000_000 + round).to_string();
        let set = map! { "retention.ms" => retention.as_str() };
        wire.call("alter_topic", map! { "name" => "t", "set" => set })
            .unwrap();
        disk.fill();
    }
    let left = reserve(&disk);
    assert!(left > kept * 3 / 4, "{left} of {kept}");
    assert_holds(&mut wire, "t", 0, 40);
    delete_below(&mut wire, "t", 20);
    disk.fill();
    wire.call("delete_topic", map! { "name" => "doomed" })
        .unwrap();
    assert_holds(&mut wire, "t", 20, 40);
}

#[test]
fn a_broker_starts_reads_and_deletes_on_a_full_disk_with_nothing_kept_back() {
    let Some(disk) = SmallDisk::of_mib(16) else {
        return;
    };
    let setup = Setup::new().log_dirs(&[disk.data_dir()]);
    let mut broker = setup.option("log.min.free.bytes", "0").start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "64KiB")]);
    wire.create_topic("doomed", 1, &[]);
    for number in 0..40 {
        try_produce(&mut wire, "t", number).unwrap();
    }
    for _ in 0..3 {
        broker.stop();
        std::fs::write(disk.data_dir().join(".reserve"), "").unwrap();
        disk.fill();
        broker.start_again();
        wire = broker.connect();
        assert_holds(&mut wire, "t", 0, 40);
        // It is said where it is, also when there is no room to write that down.
        let metadata = wire.call("metadata", map! {}).unwrap();
        let port = metadata.get("brokers").list()[0].get("port").u64();
        assert_eq!(broker.address(), format!("127.0.0.1:{port}"));
        let refused = wire.refused("create_topic", map! { "name" => "new", "partitions" => 1 });
        assert_disk_full(&refused);
    }
    delete_below(&mut wire, "t", 20);
    assert_holds(&mut wire, "t", 20, 40);
    wire.call("delete_topic", map! { "name" => "doomed" })
        .unwrap();
    disk.empty();
    eventually("everything goes on by itself", || {
        try_produce(&mut wire, "t", 40).ok()
    });
    eventually("topics too", || {
        wire.call("create_topic", map! { "name" => "new", "partitions" => 1 })
            .ok()
    });
}

#[test]
fn segments_end_at_a_limit_on_file_sizes_and_a_larger_batch_is_refused_in_words() {
    let broker = Broker::start();
    let limit = |bytes: &str| {
        let pid = broker.pid().to_string();
        let limit = format!("--fsize={bytes}:");
        let done = Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status();
        assert!(done.expect("prlimit runs").success());
    };
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    // Not a multiple of the batches, so that some are cut in their middle: segments end there.
    limit("100000");
    for number in 0..40 {
        try_produce(&mut wire, "t", number).unwrap();
    }
    let large = map! {
        "topic" => "t", "partition" => 0, "records" => vec![valued(&"x".repeat(200_000))],
    };
    let refused = wire.refused("produce", large);
    assert_disk_full(&refused);
    for word in ["limit on file sizes", "ulimit -f", "t-0"] {
        assert!(refused.message.contains(word), "{word}: {refused:?}");
    }
    wire.produce("t", 0, vec![valued("a small one fits")]);
    assert_eq!(wire.read_all("t", 0).len(), 41);
    assert_eq!(log_dir(&mut wire).get("state").text(), "online");
    assert!(broker.log().contains("set segment.bytes below it"));
    let data_dir = broker.data_dir().display().to_string();
    let verified = broker
        .command(&["log", "verify", &data_dir])
        .output()
        .expect("it runs");
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
    limit("unlimited");
    try_produce(&mut wire, "t", 41).unwrap();
    let mut broker = broker;
    broker.crash();
    let records = broker.connect().read_all("t", 0);
    assert_eq!(records.len(), 42);
    assert_eq!(records[40].text(), "a small one fits");
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let mut broker = Setup::new().log_file("/dev/full").start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    try_produce(&mut wire, "t", 0).unwrap();
    assert_holds(&mut wire, "t", 0, 1);
    broker.stop();
}

#[test]
fn a_file_system_without_inodes_is_not_called_full() {
    let Some(disk) = SmallDisk::of_inodes(64, 400) else {
        return;
    };
    let setup = Setup::new().log_dirs(&[disk.data_dir()]);
    let broker = setup.option("log.min.free.bytes", "0").start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[("segment.bytes", "64KiB")]);
    for number in 0..20 {
        try_produce(&mut wire, "t", number).unwrap();
    }
    let many = disk.use_up_inodes();
    let (acknowledged, error) = produce_until_refused(&mut wire, "t", 20);
    assert_disk_full(&error);
    let said = eventually("it is told", || {
        let _ = try_produce(&mut wire, "t", acknowledged);
        let said = warnings(&mut wire);
        said.contains("no inodes left").then_some(said)
    });
    assert!(
        !said.contains("is full") && said.contains("bytes are free"),
        "{said}"
    );
    eventually("it is logged", || {
        let log = broker.log();
        log.contains("no inodes left").then_some(())
    });
    // Deleting goes on, which needs a file of its own here.
    delete_below(&mut wire, "t", 15);
    assert_holds(&mut wire, "t", 15, acknowledged);
    std::fs::remove_dir_all(many).expect("they can be removed");
    eventually("writing goes on by itself", || {
        try_produce(&mut wire, "t", acknowledged).ok()
    });
    eventually("nothing is left of the warning", || {
        warnings(&mut wire).is_empty().then_some(())
    });
}
